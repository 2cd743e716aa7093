//! Records on slices: where one ends, and what is in it. Knows no stage.
//!
//! A record stream is bytes with boundaries. Lines and JSON values end in a newline each, so that a stage works on a
//! slice of a chunk and passes on unchanged bytes as they are.
//!
//! A [`Framer`] finds the records of a byte stream: [`Lines`], [`JsonValues`] and [`CsvRows`]. [`json`] reads and
//! rewrites a JSON value in place; it relies on a framer having checked the value.

mod condition;
mod csv;
mod fields;
mod framer;
pub mod json;
mod json_values;
mod lines;
mod record;
mod text_change;

pub use condition::{Condition, ConditionError};
pub use csv::{CsvOptions, CsvRows, write_csv_field};
pub use fields::Fields;
pub use framer::{Fault, Framer, Step};
pub use json_values::JsonValues;
pub use lines::Lines;
pub use record::Record;
pub use text_change::TextChange;

#[cfg(all(test, not(feature = "shuttle")))]
mod framing_tests;
