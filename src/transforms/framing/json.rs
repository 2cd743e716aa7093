//! `from-json`.

use crate::catalog::{Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::graph::Port;
use crate::records::JsonValues;

use super::{BAD, FramingPlan, LONG, MAX_RECORD, REJECT};

/// The definition of `from-json`.
pub static FROM_JSON: Definition = Definition {
    name: "from-json",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "bytes to records: JSON values",
    details: "Takes JSON Lines, or values that follow each other with or without white space between them; with items=true \
              the items of one array. Every value is checked: RFC 8259, UTF-8 included, nested at most 1024 levels deep. \
              Its bytes stay as they are: numbers, escapes, the order of names and the space between tokens, except that \
              newlines between tokens become spaces, so that a record is one line. A byte order mark at the beginning is \
              dropped, and so are blank lines.\n\nA bad or too long record is the line on which it begins; the next one is \
              looked for behind that. The error names the record and the byte. Of two members with the same name the last \
              one counts for the stages that look for it; both stay.",
    params: &[
        Param {
            name: "items",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "whether the input is one array, and its items are the records",
        },
        MAX_RECORD,
        LONG,
        BAD,
        REJECT,
    ],
    examples: &[
        Example {
            text: "read run.jsonl | from-json | where \"elapsed_s >= 0\" | write samples.jsonl",
            about: "the records that meet a condition",
        },
        Example {
            text: "read run.jsonl | from-json bad=skip reject=bad.txt | to-json array=true | write run.json",
            about: "one array of what is JSON, and what is not in a file",
        },
    ],
    build: Build::Transform(|args| {
        let make = if args.flag("items") {
            JsonValues::items
        } else {
            JsonValues::new
        };
        Ok(Box::new(FramingPlan::new(args, Port::Json, move |_| make())))
    }),
};
