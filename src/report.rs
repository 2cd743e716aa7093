//! Draws recordings: memory against the ceiling, each stage's time, each link's level, rates, and notable moments.
//!
//! A report is one file, which needs neither scripts nor a network, and the same recordings give the same bytes.

mod chart;
mod charts;
mod document;
mod format;
mod html;
mod moments;
mod palette;
mod pauses;
#[cfg(feature = "png")]
mod png;
mod poster;
mod recording;
mod scale;
mod series;
mod summary;
mod svg;
mod verdict;

#[cfg(test)]
mod tests;

pub use format::Format;
pub use recording::{Recording, Trouble, read};

use crate::error::Failure;

/// Draws recordings, in the given order.
///
/// # Errors
/// If a picture in pixels would be too large, or this program was built without them.
pub fn draw(recordings: &[Recording], format: Format) -> Result<Vec<u8>, Failure> {
    let document = document::of(recordings);
    match format {
        Format::Html => Ok(html::page(&document).into_bytes()),
        Format::Svg => Ok(poster::poster(&document, true).into_bytes()),
        #[cfg(feature = "png")]
        Format::Png => png::pixels(&poster::poster(&document, false)),
    }
}
