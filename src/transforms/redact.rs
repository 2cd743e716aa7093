//! `redact`: replaces what matches a pattern.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, brief};
use crate::graph::Port;
use crate::records::{Fields, Needle, Record, Redaction, Search, TextBuffers, TextChange};
use crate::stage::TransformPlan;

use super::grep::FIELD;
use super::per_record::{PerRecord, PerRecordPlan, THREADS, Takes, Verdict, given_threads};
use super::select::fields;

/// The definition of `redact`.
pub static REDACT: Definition = Definition {
    name: "redact",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "replace what matches a pattern in records",
    details: "Takes lines or JSON. A pattern is a regular expression of the Rust regex crate, or one of the names email, \
              ipv4, ipv6, card and phone, which find what is usually written so; the word itself is found by a pattern that \
              is not just the word, as [e]mail. Several patterns are looked for in one pass.\n\nIn JSON records every text \
              is searched, with its escapes decoded; names of members, numbers and all other bytes stay as they are. With \
              field= only the texts of those fields are searched. A text that is changed is escaped anew.",
    params: &[
        Param {
            name: "pattern",
            kind: Kind::Text,
            place: Place::PositionalMany,
            required: true,
            default: None,
            help: "a regular expression, or email, ipv4, ipv6, card or phone",
        },
        Param {
            name: "with",
            kind: Kind::Text,
            place: Place::Named,
            required: false,
            default: Some("***"),
            help: "what stands there instead",
        },
        FIELD,
        THREADS,
    ],
    examples: &[Example {
        text: "read page.html | lines | redact email ipv4 with=REDACTED | write public.html",
        about: "a text without addresses of two kinds",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let mut redaction = Redaction::new(args.text("with").unwrap_or_default().as_bytes());
    for text in args.texts("pattern") {
        redaction.add(text).map_err(|why| {
            let message = format!("`{}` is no pattern: {why}", brief(text.as_bytes()));
            let names: Vec<&str> = Redaction::names().collect();
            let help = format!(
                "write a regular expression of the Rust regex crate, or one of {}",
                names.join(", ")
            );
            Problem::at(args.span_of("pattern"), message).help(help)
        })?;
    }
    let fields = args
        .is_given(FIELD.name)
        .then(|| fields(args, FIELD.name))
        .transpose()?;
    let takes = if fields.is_some() { Takes::Json } else { Takes::Lines };
    let redact = Redact {
        redaction,
        fields,
        search: None,
        are_texts: true,
        buffers: TextBuffers::new(0),
    };
    Ok(PerRecordPlan::on_threads(
        given_threads(args),
        redact,
        takes,
        1 + TextBuffers::RECORDS,
    ))
}

#[derive(Clone)]
struct Redact {
    redaction: Redaction,
    fields: Option<Fields>,
    search: Option<Search>,
    /// Whether records are JSON, whose texts are searched.
    are_texts: bool,
    buffers: TextBuffers,
}

impl PerRecord for Redact {
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
        let redaction = &self.redaction;
        let is_changed = if self.are_texts {
            let mut texts = TextChange::new(record, made, &mut self.buffers);
            match &self.fields {
                None => texts.all_texts(|text, made| redaction.apply(text, made)),
                Some(fields) => fields.visit(record, &mut |value| {
                    texts.text(value, |text, made| redaction.apply(text, made));
                }),
            }
            texts.finish()
        } else {
            redaction.apply(record, made)
        };
        if is_changed { Verdict::Replace } else { Verdict::Keep }
    }

    fn state_bytes(&self) -> u64 {
        self.redaction.state_bytes()
    }

    fn settle(&mut self, input: Port, limit: usize) {
        self.are_texts = input == Port::Json;
        self.buffers = TextBuffers::new(limit);
        // Where there is an escape, a text may hold anything.
        let escape = self.are_texts.then(|| Needle::bytes(br"\"));
        let needles = self.redaction.needles(self.are_texts);
        self.search = needles.map(|needles| Search::new(needles.into_iter().chain(escape).collect()));
    }

    fn search(&mut self) -> Option<(&mut Search, Verdict)> {
        self.search.as_mut().map(|search| (search, Verdict::Keep))
    }
}
