//! `upper` and `lower`: the case of fields.

use crate::catalog::{Build, Definition, Example, Role};
use crate::records::{Fields, Record, TextChange};

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
    build: Build::Transform(|args| Ok(plan(fields(args, FIELDS.name)?, |text| text.to_uppercase()))),
};

/// The definition of `lower`.
pub static LOWER: Definition = Definition {
    name: "lower",
    summary: "put the text of fields in lower case",
    examples: &[Example {
        text: "read people.csv | from-csv | lower name | to-csv | write lower.csv",
        about: "a column in small letters",
    }],
    build: Build::Transform(|args| Ok(plan(fields(args, FIELDS.name)?, |text| text.to_lowercase()))),
    ..UPPER
};

fn plan(fields: Fields, change: fn(&str) -> String) -> Box<dyn crate::stage::TransformPlan> {
    PerRecordPlan::rewrite(Case { fields, change }, Takes::Json)
}

struct Case {
    fields: Fields,
    change: fn(&str) -> String,
}

impl PerRecord for Case {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        let mut texts = TextChange::new(record, made);
        self.fields.visit(record, &mut |value| {
            texts.text(value, &mut |text| {
                let text = str::from_utf8(text).ok()?;
                Some((self.change)(text))
                    .filter(|changed| changed != text)
                    .map(String::into_bytes)
            });
        });
        if texts.finish() {
            Verdict::Replace
        } else {
            Verdict::Keep
        }
    }
}
