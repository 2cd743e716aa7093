//! `upper` and `lower`: the case of fields.

use crate::catalog::{Build, Definition, Example, Role, Topic};
use crate::graph::Port;
use crate::records::{Fields, Record, TextBuffers, TextChange};
use crate::stage::TransformPlan;

use super::per_record::{PerRecord, PerRecordPlan, Takes, Verdict};
use super::select::{FIELDS, fields};

/// The definition of `upper`.
pub static UPPER: Definition = Definition {
    name: "upper",
    role: Role::Transform,
    topic: Topic::Records,
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
    PerRecordPlan::on_one_thread(case, Takes::Json, 1 + TextBuffers::RECORDS)
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
            let Ok(mut rest) = str::from_utf8(text) else {
                return false;
            };
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(piece_length(rest));
                made.extend((self.unicode)(piece).as_bytes());
                rest = behind;
            }
        }
        made.is_over() || made.as_slice() != text
    }
}

/// The most bytes whose case is changed at once, in memory of the standard library's.
const PIECE: usize = 4 << 10;

/// The length of the piece of `text` that comes next: up to a space, since the lower case of Σ depends on its word.
fn piece_length(text: &str) -> usize {
    let mut end = text.len().min(PIECE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text[..end].rfind(' ') {
        Some(space) if end < text.len() => space + 1,
        _ => end,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_change_as_short_ones_do() {
        for text in ["ΟΔΟΣ ΣΑΣ ", "ß\u{149}"] {
            let long = text.repeat(3 * PIECE / text.len());
            for (mapping, expected) in [(&LOWER_CASE, long.to_lowercase()), (&UPPER_CASE, long.to_uppercase())] {
                let mut made = Record::new(8 * PIECE);
                mapping.apply(long.as_bytes(), &mut made);
                assert!(made.as_slice() == expected.as_bytes(), "{text}");
            }
        }
    }
}
