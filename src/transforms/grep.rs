//! `grep`: keeps the records in which a pattern is found.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, brief};
use crate::records::{Fields, Needle, Pattern, Record, Search, TextBuffers, TextChange};
use crate::stage::TransformPlan;

use super::per_record::{PerRecord, PerRecordPlan, THREADS, Takes, Verdict, given_threads};
use super::select::fields;

/// The definition of `grep`.
pub static GREP: Definition = Definition {
    name: "grep",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "keep the records in which a pattern is found",
    details: "Takes lines or JSON. The pattern is a regular expression of the Rust regex crate, or with fixed=true a plain \
              text, and is looked for in the bytes of the record. With field= it is looked for in the text of that field of \
              a JSON record, with its escapes decoded; a field that is missing or no string has no text. Quote a pattern \
              with a `|` or a parenthesis in it.",
    params: &[
        Param {
            name: PATTERN,
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
        THREADS,
    ],
    examples: &[Example {
        text: "read page.html | lines | grep \"eta|shrdlu\" invert=true | write rest",
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
    let word = args.words(PATTERN).pop().unwrap_or_default();
    let fields = args
        .is_given(FIELD.name)
        .then(|| fields(args, FIELD.name))
        .transpose()?;
    let (needle, can_search) = if args.flag("fixed") {
        (Needle::bytes(word), true)
    } else {
        let pattern = compile(args, word)?;
        let can_search = if fields.is_some() {
            !pattern.has_anchors
        } else {
            pattern.spans_records
        };
        (pattern.needle, can_search)
    };
    let search = can_search.then(|| {
        // Where there is an escape, a field may hold anything.
        let escape = fields.iter().map(|_| Needle::bytes(br"\"));
        Search::new(std::iter::once(needle.clone()).chain(escape).collect())
    });
    // A text without its escapes.
    let (takes, held) = if fields.is_some() {
        (Takes::Json, 1)
    } else {
        (Takes::Lines, 0)
    };
    let grep = Grep {
        needle,
        search,
        fields,
        invert: args.flag("invert"),
        buffers: TextBuffers::new(0),
    };
    Ok(PerRecordPlan::on_threads(given_threads(args), grep, takes, held))
}

const PATTERN: &str = "pattern";

/// The regular expression that a word of the parameter `pattern` is.
///
/// # Errors
/// If it is none.
pub fn compile(args: &Args, word: &[u8]) -> Result<Pattern, Problem> {
    let refused = |why: String| {
        let message = format!("`{}` is no pattern: {why}", brief(word));
        Problem::at(args.span_of(PATTERN), message).help("regular expressions are those of the Rust regex crate")
    };
    let text = str::from_utf8(word).map_err(|_| refused("it is not UTF-8".to_owned()))?;
    Pattern::compile(text).map_err(refused)
}

#[derive(Clone)]
struct Grep {
    needle: Needle,
    search: Option<Search>,
    fields: Option<Fields>,
    invert: bool,
    buffers: TextBuffers,
}

impl PerRecord for Grep {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        let is_found = match &self.fields {
            None => self.needle.is_in(record),
            Some(fields) => {
                let mut is_found = false;
                let mut texts = TextChange::new(record, made, &mut self.buffers);
                fields.visit(record, &mut |value| {
                    texts.text(value, |text, _| {
                        is_found |= self.needle.is_in(text);
                        false
                    });
                });
                is_found
            }
        };
        self.verdict(is_found)
    }

    fn state_bytes(&self) -> u64 {
        self.needle.state_bytes()
    }

    fn search(&mut self) -> Option<(&mut Search, Verdict)> {
        let otherwise = self.verdict(false);
        self.search.as_mut().map(|search| (search, otherwise))
    }
}

impl Grep {
    fn verdict(&self, is_found: bool) -> Verdict {
        if is_found == self.invert {
            Verdict::Drop
        } else {
            Verdict::Keep
        }
    }
}
