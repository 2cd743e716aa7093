//! The pictures of the README: real runs as SVG.

use crate::view::contrast::{self, Shown, verdict};
use crate::view::live::svg::{Blocks, svg};
use crate::view::live::{Line, Size, frame, sample};

/// The pictures.
pub fn files() -> Vec<super::Generated> {
    vec![
        live_view(),
        attached(),
        demo(),
        #[cfg(feature = "http")]
        service(),
    ]
}

#[cfg(feature = "http")]
fn service() -> super::Generated {
    let lines = crate::serve::sample::picture(Size { columns: 104, rows: 32 });
    let command = "highwater serve :8080 --route /customers.csv '…' --route /orders.csv.gz '…'";
    let picture = svg("The live view of a service", command, &lines, Blocks::Bars);
    ("man/serve.svg".to_owned(), picture)
}

fn live_view() -> super::Generated {
    let size = Size { columns: 92, rows: 40 };
    let lines = frame(&sample::throttled(), &sample::history(), size);
    let command = "highwater 'read big.iso | gzip | throttle 1MB/s | write tcp://127.0.0.1:9000'";
    let picture = svg("The live view of highwater", command, &lines, Blocks::Bars);
    ("man/live-view.svg".to_owned(), picture)
}

fn attached() -> super::Generated {
    let size = Size { columns: 92, rows: 40 };
    let lines = frame(&sample::attached(), &sample::steady(), size);
    let picture = svg(
        "A pipeline of other programs",
        "highwater attach zstd",
        &lines,
        Blocks::Bars,
    );
    ("man/attach.svg".to_owned(), picture)
}

fn demo() -> super::Generated {
    const COLUMNS: usize = 93;
    let seen = contrast::sample::recorded();
    let mut lines: Vec<Line> = contrast::frame(&seen, COLUMNS, Shown::Both);
    lines.extend(verdict(&seen, COLUMNS));
    let label = "Resident memory of the same chain, with backpressure ignored and honoured";
    let picture = svg(label, "highwater demo", &lines, Blocks::Area);
    ("man/demo.svg".to_owned(), picture)
}
