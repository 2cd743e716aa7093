//! `lines`.

use crate::catalog::{Build, Definition, Example, Role, Topic};
use crate::graph::Port;
use crate::records::Lines;

use super::{FramingPlan, LONG, MAX_RECORD, REJECT};

/// The definition of `lines`.
pub static LINES: Definition = Definition {
    name: "lines",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "bytes to records: one a line",
    details: "A line ends in a newline; a last one without it gets one, and nothing else is changed. Links behind it count \
              records beside bytes, and never hold a part of a line. What a line holds is not looked at: it may be of any \
              encoding, and a carriage return before the newline belongs to the line.",
    params: &[MAX_RECORD, LONG, REJECT],
    examples: &[Example {
        text: "read run.jsonl | lines high-records=1000 | grep end | write ends",
        about: "the lines that have a word in them",
    }],
    build: Build::Transform(|args| Ok(Box::new(FramingPlan::new(args, Port::Lines, Lines::new)))),
};
