//! The picture of the README: a frame of a real run as SVG.

use crate::view::live::{Size, frame, sample, svg};

/// The picture.
pub fn file() -> super::Generated {
    let size = Size { columns: 92, rows: 40 };
    let lines = frame(&sample::throttled(), &sample::history(), size);
    let command = "highwater 'read big.iso | gzip | throttle 1MB/s | write tcp://127.0.0.1:9000'";
    ("man/live-view.svg".to_owned(), svg::svg(command, &lines))
}
