//! `to-sse`: records to server-sent events.

use std::time::{Duration, Instant};

use memchr::memchr;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Problem, Stop};
use crate::flow::{Chunk, Outlet};
use crate::graph::Port;
use crate::records::SseEvent;
use crate::stage::{
    Context, Conversion, MemoryUse, Mismatch, OnThread, Outcome, RecordBound, RecordRoom, Stage, Transform,
    TransformPlan, Want,
};

use super::framing::{BAD, Faults, Policy, REJECT};
use super::gathered::Gathered;

const KEEP_ALIVE: Param = Param {
    name: "keep-alive",
    kind: Kind::Duration,
    place: Place::Named,
    required: false,
    default: Some("15s"),
    help: "send a comment after this time without a record, and again; 0s for none",
};

/// The comment that keeps an idle connection alive. Many receivers only look at what a blank line ends.
const COMMENT: &[u8] = b": keep-alive\n\n";

/// The definition of `to-sse`.
pub static TO_SSE: Definition = Definition {
    name: "to-sse",
    role: Role::Transform,
    topic: Topic::Records,
    summary: "records to bytes: server-sent events",
    details: "Takes lines or JSON. A JSON object with a member data is an event, and may have the members event, id and \
              retry besides: what from-sse makes of an event becomes that event again. Data that is a string is sent as its \
              text, with a field for each line; any other value as its JSON. Receivers read every line end in it as a \
              newline. Such an object is bad if it has other members, a line end in event or id, or a retry that is not a \
              whole number. Any other record is the data of an event.\n\nEach event is sent at once. While no record comes, \
              comments keep proxies and browsers from closing the connection; receivers ignore them. They are bytes that \
              move, so --stall-timeout does not notice a silent source unless it is shorter than keep-alive=.",
    params: &[KEEP_ALIVE, BAD, REJECT],
    examples: &[
        Example {
            text: "read chat.sse | from-sse | redact email phone | to-sse | write public.sse",
            about: "an event stream without addresses and numbers",
        },
        Example {
            text: "read run.jsonl | lines | to-sse | write tcp://127.0.0.1:9000",
            about: "each line as an event",
        },
    ],
    build: Build::Transform(plan),
};

fn plan(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(ToSse {
        keep_alive: args.duration(KEEP_ALIVE.name).filter(|time| !time.is_zero()),
        policy: Policy::of(args),
        is_json: false,
        largest: 0,
    }))
}

struct ToSse {
    keep_alive: Option<Duration>,
    policy: Policy,
    is_json: bool,
    /// Bytes of the largest record, once that is known.
    largest: u64,
}

impl TransformPlan for ToSse {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        Box::new(OnThread(move |context: &Context| Writing {
            keep_alive: self.keep_alive,
            is_json: self.is_json,
            faults: Faults::new(self.policy, context),
            text: Vec::new(),
            gathered: Gathered::default(),
            offset: 0,
            last: Instant::now(),
        }))
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            // A text without its escapes.
            held: 1,
        })
    }

    fn settle_records(&mut self, input: Port, largest: u64) {
        self.is_json = input == Port::Json;
        self.largest = largest;
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }

    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        self.policy.side_file()
    }
}

impl MemoryUse for ToSse {
    fn state_bytes(&self) -> u64 {
        self.largest.saturating_add(self.policy.state_bytes())
    }
}

impl Conversion for ToSse {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_lines(input).map(|()| Port::Bytes)
    }
}

struct Writing {
    keep_alive: Option<Duration>,
    is_json: bool,
    faults: Faults,
    /// A text without its escapes.
    text: Vec<u8>,
    gathered: Gathered,
    /// Bytes of the records before.
    offset: u64,
    /// When the last event or comment was sent.
    last: Instant,
}

impl Transform for Writing {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let end = (length + 1).min(rest.len());
            let record = &rest[..length];
            let event = if self.is_json {
                SseEvent::of_json(record, &mut self.text)
            } else {
                Ok(SseEvent::of_line(record))
            };
            match event {
                Ok(event) => {
                    self.faults.count(1);
                    event.write(&mut self.text, |bytes| self.gathered.put(bytes, out))?;
                }
                Err(fault) => {
                    self.faults.bad(&fault, self.offset)?;
                    self.faults.keep(&rest[..end])?;
                }
            }
            self.offset += end as u64;
            rest = &rest[end..];
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        if !self.gathered.is_empty() {
            self.last = Instant::now();
        }
        Ok(self.gathered.send(out)?)
    }

    fn idle_after(&mut self) -> Option<Duration> {
        Some(self.keep_alive?.saturating_sub(self.last.elapsed()))
    }

    fn on_idle(&mut self, out: &mut Outlet) -> Outcome {
        self.gathered.put(COMMENT, out)?;
        self.starved(out)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        self.faults.finish()?;
        Ok(self.gathered.send(out)?)
    }
}
