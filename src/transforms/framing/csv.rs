//! `from-csv`.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, brief};
use crate::graph::Port;
use crate::records::{CsvOptions, CsvRows, Framer};
use crate::stage::TransformPlan;

use super::{BAD, FramingPlan, LONG, MAX_RECORD, REJECT};

const INFER: &str = "infer";

/// What separates fields.
pub const DELIMITER: Param = Param {
    name: "delimiter",
    kind: Kind::Bytes,
    place: Place::Named,
    required: false,
    default: Some(","),
    help: "what separates fields: one ASCII character, or tab",
};

/// The names of the columns.
pub const COLUMNS: Param = Param {
    name: "columns",
    kind: Kind::Bytes,
    place: Place::Named,
    required: false,
    default: None,
    help: "the names of the columns, with commas between them",
};

/// The definition of `from-csv`.
pub static FROM_CSV: Definition = Definition {
    name: "from-csv",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "bytes to records: rows of CSV as JSON objects",
    details: "RFC 4180 with what real files have: a byte order mark, LF or CRLF, blank lines, no newline at the end, newlines \
              and doubled quotes within quotes. Every field becomes a string; with types=infer one that is a number as \
              JSON writes it, true, false or null becomes that. The first row has the names of the columns, unless \
              header=false: then they are named by columns= or numbered from 1. With columns= and a header the header is \
              skipped.\n\nA row with more or fewer fields than there are columns is bad, and so are a quote that is never \
              closed and bytes that are not UTF-8. A bad row is the line on which it begins.",
    params: &[
        DELIMITER,
        Param {
            name: "header",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("true"),
            help: "whether the first row has the names of the columns",
        },
        COLUMNS,
        Param {
            name: "types",
            kind: Kind::Choice(&["text", INFER]),
            place: Place::Named,
            required: false,
            default: Some("text"),
            help: "whether every field is a string, or what looks like a number, true, false or null is that",
        },
        MAX_RECORD,
        LONG,
        BAD,
        REJECT,
    ],
    examples: &[Example {
        text: "read people.csv | from-csv types=infer | where \"age >= 18\" | to-csv | write adults.csv",
        about: "the rows that meet a condition",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let options = CsvOptions {
        delimiter: delimiter(args)?,
        has_header: args.flag("header"),
        columns: columns(args)?,
        infers_types: args.choice("types") == Some(INFER),
    };
    let state = CsvRows::new(&options, 0).state_bytes();
    let plan = FramingPlan::new(args, Port::Json, move |limit| CsvRows::new(&options, limit));
    // One more for the fields without their quotes.
    Ok(Box::new(FramingPlan {
        held: plan.held + 1,
        state,
        ..plan
    }))
}

/// The delimiter that a call gives.
///
/// # Errors
/// If it is no single ASCII character, or has a meaning of its own.
pub fn delimiter(args: &Args) -> Result<u8, Problem> {
    let word = args.words(DELIMITER.name).pop().unwrap_or_default();
    match word {
        b"tab" | br"\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => {
            let message = format!("`{}` cannot separate fields", brief(word));
            let problem = Problem::at(args.span_of(DELIMITER.name), message);
            Err(problem.help("one ASCII character that is no quote can, as in delimiter=';', or delimiter=tab"))
        }
    }
}

/// The names of the columns that a call gives.
///
/// # Errors
/// If one is given twice.
pub fn columns(args: &Args) -> Result<Option<Vec<Vec<u8>>>, Problem> {
    let Some(word) = args.words(COLUMNS.name).pop() else {
        return Ok(None);
    };
    let names: Vec<Vec<u8>> = word.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
    let refused = |message: String| Problem::at(args.span_of(COLUMNS.name), message);
    if str::from_utf8(word).is_err() {
        return Err(refused("names of columns are UTF-8".to_owned()));
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(refused(format!("two columns are named `{}`", brief(name))).help("give each a name of its own"));
        }
    }
    Ok(Some(names))
}
