//! The live view: one picture of a running pipeline, redrawn at the same place.
//!
//! [`frame`] is a pure function from a snapshot, a little history and the size of the terminal to lines; a [`Style`]
//! turns those into text. The [`Painter`] puts them on the terminal, and never waits for one that has stopped reading.

mod bars;
mod columns;
mod explain;
mod footer;
mod frame;
mod history;
mod keys;
mod line;
mod meaning;
mod painter;
pub mod sample;
mod screen;
mod stages;
mod style;
pub mod svg;
#[cfg(test)]
mod tests;

pub use bars::{curve, curve_below, level, share};
pub use frame::{Size, frame, frame_with_keys};
pub use history::History;
pub use keys::{KEYS, KeyLine, NO_KEYS, hint};
pub use line::{Line, Paint, left, right, squeezed};
pub use meaning::{Meaning, Page, usable};
pub use painter::{Painter, forget, print_above};
pub use style::{Background, Style};
