//! Records on slices: where one ends, and what is in it. Knows no stage.
//!
//! A record stream is bytes with boundaries. Lines and JSON values end in a newline each, so that a stage works on a
//! slice of a chunk and passes on unchanged bytes as they are.
//!
//! A [`Framer`] finds the records of a byte stream: [`Lines`], [`JsonValues`], [`CsvRows`] and [`SseEvents`]. [`json`]
//! reads and rewrites a JSON value in place; it relies on a framer having checked the value.

mod condition;
mod csv;
mod csv_writer;
mod fields;
mod framer;
pub mod json;
mod json_values;
mod lines;
mod record;
mod redaction;
mod search;
mod sse;
mod sse_writer;
mod text_change;

pub use condition::{Condition, ConditionError};
use csv::MOST_COLUMNS;
pub use csv::{CsvOptions, CsvRows};
pub use csv_writer::CsvWriter;
pub use fields::Fields;
pub use framer::{Fault, Framer, Step};
pub use json_values::JsonValues;
pub use lines::Lines;
pub use record::Record;
pub use redaction::Redaction;
pub use search::{Needle, Pattern, Search};
pub use sse::SseEvents;
pub use sse_writer::SseEvent;
pub use text_change::{TextBuffers, TextChange};

#[cfg(all(test, not(feature = "shuttle")))]
mod framing_tests;
#[cfg(test)]
mod json_suite;
