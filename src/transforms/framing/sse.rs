//! `from-sse`.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::graph::Port;
use crate::records::SseEvents;
use crate::stage::TransformPlan;

use super::{BAD, FramingPlan, LONG, MAX_RECORD, REJECT};

const JSON: &str = "json";

/// The definition of `from-sse`.
pub static FROM_SSE: Definition = Definition {
    name: "from-sse",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "bytes to records: server-sent events as JSON objects",
    details: "Reads an event stream as the HTML standard does: lines end in LF, CR or CRLF; a byte order mark, comments and \
              unknown fields are dropped; bytes that are not UTF-8 become U+FFFD. The record of an event is an object with \
              the members event, id, retry (in milliseconds) and data, without those that the event does not have; lines of \
              data are joined with newlines. An event without data makes no record; its id and retry go to the next \
              one.\n\nWith data=json, data that is a JSON object or array becomes that, so that fields in it can be named, as \
              in `select data.choices`; any other data, such as [DONE], stays a string.\n\nAn event that the end of the \
              stream cuts off is dropped and counted, as the standard wants; with bad=fail the run fails. Nothing else is \
              bad. max-record bounds both an event and its record. Stages look at one event at a time: redact does not find \
              what is split between two.",
    params: &[
        Param {
            name: "data",
            kind: Kind::Choice(&["text", JSON]),
            place: Place::Named,
            required: false,
            default: Some("text"),
            help: "whether data is always a string, or with json an object or array where it is one",
        },
        MAX_RECORD,
        LONG,
        Param {
            default: Some("skip"),
            help: "whether an event that the end of the stream cuts off ends the run with exit code 6, or is dropped and \
                   counted",
            ..BAD
        },
        REJECT,
    ],
    examples: &[Example {
        text: "read chat.sse | from-sse data=json | select data.choices | write choices.jsonl",
        about: "a part of what a language model sends",
    }],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let embeds_json = args.choice("data") == Some(JSON);
    let plan = FramingPlan::new(args, Port::Json, move |limit| SseEvents::new(embeds_json, limit));
    // One more for an id that belongs to the next event.
    Ok(Box::new(FramingPlan {
        held: plan.held + 1,
        ..plan
    }))
}
