//! `select` and `drop`: records with some of their fields.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, brief};
use crate::records::json::{Path, PathError};
use crate::records::{Fields, Record};

use super::per_record::{PerRecord, PerRecordPlan, Takes, Verdict};

/// The definition of `select`.
pub static SELECT: Definition = Definition {
    name: "select",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "keep only some fields of JSON records",
    details: "A nested field, as user.name, keeps its place in the objects around it; a backslash before a dot makes it a \
              part of the name. Fields keep the order and the bytes that they have in the record; one that is missing is \
              left out. Of several members with the same name all are kept.",
    params: &[FIELDS],
    examples: &[Example {
        text: "read run.jsonl | from-json | select elapsed_s rss_bytes | write memory.jsonl",
        about: "two fields of each record",
    }],
    build: Build::Transform(|args| {
        Ok(PerRecordPlan::on_one_thread(
            Select(fields(args, FIELDS.name)?),
            Takes::Json,
            1,
        ))
    }),
};

/// The definition of `drop`.
pub static DROP: Definition = Definition {
    name: "drop",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "remove fields from JSON records",
    details: "All other bytes of a record stay as they are. Fields are written as for `select`; of several members with the \
              same name all are removed.",
    params: &[FIELDS],
    examples: &[Example {
        text: "read run.jsonl | from-json | drop stages links | write short.jsonl",
        about: "each record without its lists",
    }],
    build: Build::Transform(|args| {
        Ok(PerRecordPlan::on_one_thread(
            Drop(fields(args, FIELDS.name)?),
            Takes::Json,
            1,
        ))
    }),
};

/// The fields of a call.
pub const FIELDS: Param = Param {
    name: "field",
    kind: Kind::Bytes,
    place: Place::PositionalMany,
    required: true,
    default: None,
    help: "the name of a field, with dots between the names of nested ones",
};

/// The fields that a parameter names.
///
/// # Errors
/// If one is no name.
pub fn fields(args: &Args, param: &str) -> Result<Fields, Problem> {
    let path = |word: &[u8]| {
        Path::parse(word).map_err(|error| {
            let why = match error {
                PathError::EmptyName => "a name is empty",
                PathError::OpenEscape => "nothing follows its backslash",
            };
            Problem::at(args.span_of(param), format!("`{}` names no field: {why}", brief(word)))
                .help(r"dots are between names, as in user.name; a dot within one is written \.")
        })
    };
    let paths = args.words(param).into_iter().map(path).collect::<Result<Vec<_>, _>>()?;
    Ok(Fields::new(&paths))
}

#[derive(Clone)]
struct Select(Fields);

impl PerRecord for Select {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        self.0.select(record, made);
        Verdict::Replace
    }
}

#[derive(Clone)]
struct Drop(Fields);

impl PerRecord for Drop {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        if self.0.remove(record, made) {
            Verdict::Replace
        } else {
            Verdict::Keep
        }
    }
}
