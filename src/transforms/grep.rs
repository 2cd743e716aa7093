//! `grep`: keeps the records in which a pattern is found.

use memchr::memmem::Finder;
use regex::bytes::Regex;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{Problem, brief};
use crate::records::{Fields, Record, TextChange};
use crate::stage::TransformPlan;

use super::per_record::{PerRecord, PerRecordPlan, Takes, Verdict};
use super::select::fields;

/// The definition of `grep`.
pub static GREP: Definition = Definition {
    name: "grep",
    role: Role::Transform,
    summary: "keep the records in which a pattern is found",
    details: "Takes lines or JSON. The pattern is a regular expression of the Rust regex crate, or with fixed=true a plain \
              text, and is looked for in the bytes of the record. With field= it is looked for in the text of that field of \
              a JSON record, with its escapes decoded; a field that is missing or no string has no text. Quote a pattern \
              with a `|` or a parenthesis in it.",
    params: &[
        Param {
            name: "pattern",
            kind: Kind::Bytes,
            place: Place::Positional,
            required: true,
            default: None,
            help: "a regular expression, or with fixed=true a text",
        },
        Param {
            name: "invert",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "whether to keep the records in which it is not found",
        },
        FIELD,
        Param {
            name: "fixed",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "whether the pattern is a text",
        },
    ],
    examples: &[Example {
        text: "read page.html | lines | grep 'eta|shrdlu' invert=true | write rest",
        about: "the lines in which none of two words is",
    }],
    build: Build::Transform(plan),
};

/// The field in which a pattern is looked for.
pub const FIELD: Param = Param {
    name: "field",
    kind: Kind::Bytes,
    place: Place::NamedMany,
    required: false,
    default: None,
    help: "the field of JSON records in whose text it is looked for; any number of them",
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let word = args.words("pattern").pop().unwrap_or_default();
    let pattern = if args.flag("fixed") {
        Pattern::Fixed(Box::new(Finder::new(word).into_owned()))
    } else {
        Pattern::Regex(compile(args, word)?)
    };
    let fields = args
        .is_given(FIELD.name)
        .then(|| fields(args, FIELD.name))
        .transpose()?;
    let takes = if fields.is_some() { Takes::Json } else { Takes::Lines };
    let grep = Grep {
        pattern,
        fields,
        invert: args.flag("invert"),
    };
    Ok(PerRecordPlan::filter(grep, takes))
}

/// The regular expression that a word of the parameter `pattern` is.
///
/// # Errors
/// If it is none.
pub fn compile(args: &Args, word: &[u8]) -> Result<Regex, Problem> {
    let refused = |message: String| Problem::at(args.span_of("pattern"), message);
    let text = str::from_utf8(word).map_err(|_| {
        refused(format!("`{}` is no pattern: it is not UTF-8", brief(word)))
            .help(r"a byte is written as (?-u:\xff); with fixed=true the pattern may be any bytes")
    })?;
    Regex::new(text).map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        refused(format!("`{}` is no pattern: {why}", brief(word)))
            .help("regular expressions are those of the Rust regex crate")
    })
}

enum Pattern {
    Fixed(Box<Finder<'static>>),
    Regex(Regex),
}

impl Pattern {
    fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Fixed(finder) => finder.find(text).is_some(),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

struct Grep {
    pattern: Pattern,
    fields: Option<Fields>,
    invert: bool,
}

impl PerRecord for Grep {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        let is_found = match &self.fields {
            None => self.pattern.is_in(record),
            Some(fields) => {
                let mut is_found = false;
                let mut texts = TextChange::new(record, made);
                fields.visit(record, &mut |value| {
                    texts.text(value, &mut |text| {
                        is_found |= self.pattern.is_in(text);
                        None
                    });
                });
                is_found
            }
        };
        if is_found == self.invert {
            Verdict::Drop
        } else {
            Verdict::Keep
        }
    }
}
