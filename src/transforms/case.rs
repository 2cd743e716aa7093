//! `upper` and `lower`: the case of fields.

use crate::catalog::{Build, Definition, Example, Role};
use crate::graph::Port;
use crate::records::{Fields, Record, TextBuffers, TextChange};
use crate::stage::TransformPlan;

use super::per_record::{PerRecord, PerRecordPlan, Takes, Verdict};
use super::select::{FIELDS, fields};

/// The definition of `upper`.
pub static UPPER: Definition = Definition {
    name: "upper",
    role: Role::Transform,
    summary: "put the text of fields in upper case",
    details: "The case is that of Unicode. A field is written as for `select`; one that is missing or no string stays as it \
              is, and so does every other byte of the record.",
    params: &[FIELDS],
    examples: &[Example {
        text: "read run.jsonl | from-json | upper event | write loud.jsonl",
        about: "the kind of each record in capitals",
    }],
    build: Build::Transform(|args| Ok(plan(fields(args, FIELDS.name)?, &UPPER_CASE))),
};

/// The definition of `lower`.
pub static LOWER: Definition = Definition {
    name: "lower",
    summary: "put the text of fields in lower case",
    examples: &[Example {
        text: "read people.csv | from-csv | lower name | to-csv | write lower.csv",
        about: "a column in small letters",
    }],
    build: Build::Transform(|args| Ok(plan(fields(args, FIELDS.name)?, &LOWER_CASE))),
    ..UPPER
};

fn plan(fields: Fields, mapping: &'static Mapping) -> Box<dyn TransformPlan> {
    let case = Case {
        fields,
        mapping,
        buffers: TextBuffers::new(0),
    };
    PerRecordPlan::new(case, Takes::Json, 1 + TextBuffers::RECORDS)
}

/// How one case is made.
struct Mapping {
    ascii: fn(&mut [u8]),
    unicode: fn(&str) -> String,
}

static UPPER_CASE: Mapping = Mapping {
    ascii: <[u8]>::make_ascii_uppercase,
    unicode: str::to_uppercase,
};

static LOWER_CASE: Mapping = Mapping {
    ascii: <[u8]>::make_ascii_lowercase,
    unicode: str::to_lowercase,
};

impl Mapping {
    /// Writes `text` in this case; returns whether that is another text.
    fn apply(&self, text: &[u8], made: &mut Record) -> bool {
        if text.is_ascii() {
            made.extend(text);
            (self.ascii)(made.as_mut_slice());
        } else {
            // JSON was checked to be UTF-8.
            made.extend((self.unicode)(&String::from_utf8_lossy(text)).as_bytes());
        }
        made.is_over() || made.as_slice() != text
    }
}

#[derive(Clone)]
struct Case {
    fields: Fields,
    mapping: &'static Mapping,
    buffers: TextBuffers,
}

impl PerRecord for Case {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        let mut texts = TextChange::new(record, made, &mut self.buffers);
        self.fields.visit(record, &mut |value| {
            texts.text(value, |text, made| self.mapping.apply(text, made));
        });
        if texts.finish() {
            Verdict::Replace
        } else {
            Verdict::Keep
        }
    }

    fn settle(&mut self, _: Port, limit: usize) {
        self.buffers = TextBuffers::new(limit);
    }
}
