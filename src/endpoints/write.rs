//! `write`: the sink for every kind of endpoint.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{self, Failure, Problem, Stop};
use crate::flow::{Inlet, Wait};
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken};
use crate::stage::{BoxFuture, Context, DirectSink, Facts, Outcome, Reach, Sink, SinkPlan, Undo, Work};

mod batch;

use batch::Batch;

use super::{Endpoint, Landing, Patience, Writing, connect_timeout, named};

/// The definition of `write`.
pub static WRITE: Definition = Definition {
    name: "write",
    role: Role::Sink,
    summary: "write a file, standard output or a connection",
    details: "A file is replaced atomically: the bytes go to a temporary file beside it, which takes its place when all \
              of them are on the disk. Whatever happens before, the old file stays as it was. Devices and FIFOs are \
              written in place. A chain whose last stage is no sink writes standard output, as `write -` does.",
    params: &[
        Param {
            name: "path",
            kind: Kind::Endpoint,
            place: Place::Positional,
            required: true,
            default: None,
            help: "where to write: a path, - or a URL",
        },
        Param {
            name: "append",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "write behind what the file has; cut back to that if the run fails",
        },
        Param {
            name: "clobber",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("true"),
            help: "whether a file that exists may be replaced",
        },
        Param {
            name: "sync",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("true"),
            help: "whether to wait until the disk has everything",
        },
        Param {
            name: "mode",
            kind: Kind::Text,
            place: Place::Named,
            required: false,
            default: None,
            help: "permissions in octal; else the old file's, or what the umask leaves",
        },
        connect_timeout(),
    ],
    examples: &[Example {
        text: "read big.iso | throttle 500MB/s | write copy.iso clobber=false",
        about: "copy at a gentle rate, never over a file that is there",
    }],
    build: Build::Sink(plan),
};

fn plan(args: &Args) -> Result<Box<dyn SinkPlan>, Problem> {
    let writing = Writing {
        append: args.flag("append"),
        clobber: args.flag("clobber"),
        sync: args.flag("sync"),
        mode: args.text("mode").map(|text| octal(text, args)).transpose()?,
    };
    if writing.append && !writing.clobber {
        let problem = Problem::at(
            args.span_of("append"),
            "append=true writes to a file that exists, clobber=false refuses it",
        );
        return Err(problem.help("leave one of them out"));
    }
    Ok(Box::new(Plan {
        endpoint: named(args.required_endpoint("path"), args)?,
        writing,
        patience: Patience::of(args),
        is_spelled_out: true,
    }))
}

fn octal(text: &str, args: &Args) -> Result<u32, Problem> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            Problem::at(args.span_of("mode"), format!("`{text}` is no file mode"))
                .help("write permissions in octal, for example mode=644")
        })
}

/// The sink of a chain that names none: standard output.
#[must_use]
pub fn standard_output() -> Box<dyn SinkPlan> {
    Box::new(Plan {
        endpoint: Box::new(super::stdio::Standard),
        writing: Writing {
            append: false,
            clobber: true,
            sync: true,
            mode: None,
        },
        patience: Patience::default(),
        is_spelled_out: false,
    })
}

struct Plan {
    endpoint: Box<dyn Endpoint>,
    writing: Writing,
    patience: Patience,
    is_spelled_out: bool,
}

impl SinkPlan for Plan {
    fn facts(&self) -> Result<Facts, Failure> {
        self.endpoint.sink_facts(self.writing)
    }

    fn reach(&self) -> Reach {
        self.endpoint.reach()
    }

    fn effect(&self) -> String {
        self.endpoint.effect(self.writing)
    }

    fn is_spelled_out(&self) -> bool {
        self.is_spelled_out
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.endpoint.bind()
    }

    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Sink>, Failure>> {
        Box::pin(async move {
            let outgoing = self.endpoint.open_sink(self.writing, self.patience).await?;
            let sink: Box<dyn Sink> = Box::new(WritingTo {
                undo: outgoing.landing.undo(),
                descriptor: Arc::new(outgoing.descriptor),
                landing: Some(outgoing.landing),
                reader_left: outgoing.reader_left,
            });
            Ok(sink)
        })
    }
}

/// The endpoint that is being written.
struct WritingTo {
    descriptor: Arc<Descriptor>,
    /// `Some` until all bytes are written.
    landing: Option<Box<dyn Landing>>,
    undo: Option<Arc<dyn Undo>>,
    /// Which error a peer that left is.
    reader_left: error::Kind,
}

impl Sink for WritingTo {
    fn undo(&self) -> Option<Arc<dyn Undo>> {
        self.undo.clone()
    }

    fn as_direct(&mut self) -> Option<&mut dyn DirectSink> {
        Some(self)
    }

    fn start(self: Box<Self>, input: Inlet, context: Context) -> Work {
        Work::Thread(Box::new(move || self.run(input, &context)))
    }
}

impl DirectSink for WritingTo {
    fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    fn is_new_file(&self) -> bool {
        self.landing.as_ref().is_some_and(|landing| landing.is_new_file())
    }

    fn land(&mut self, context: &Context) -> Outcome {
        let _outside = context.meter.wait(Wait::Outside);
        match self.landing.take() {
            Some(landing) => landing.land(&self.descriptor, context.cancel.alarm()?),
            None => Ok(()),
        }
    }

    fn failed(&self, error: io::Error, written: u64) -> Failure {
        let place = if Errno::from_io_error(&error) == Some(Errno::PIPE) {
            self.reader_left
        } else {
            error::Kind::Sink
        };
        Failure::io(place, "cannot write", error).after(written)
    }
}

impl WritingTo {
    fn run(mut self, mut input: Inlet, context: &Context) -> Outcome {
        context.outer_side.writes(&self.descriptor);
        let mut written = 0;
        let mut batch = Batch::new();
        while batch.fill(&mut input, &context.meter, &context.cancel)? {
            self.write_all(&mut batch, &mut written, context)?;
        }
        self.land(context)
    }

    fn write_all(&self, batch: &mut Batch, written: &mut u64, context: &Context) -> Outcome {
        let size = batch.len();
        while !batch.is_empty() {
            let result = {
                // A disk's wait cannot be told from its work: all of the call counts as one.
                let _outside = (self.descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
                batch.write_with(
                    |bytes| self.descriptor.write(bytes),
                    |slices| self.descriptor.write_vectored(slices),
                )
            };
            match result.map_err(|error| self.failed(error, *written))? {
                Transfer::Bytes(count) => {
                    *written += count as u64;
                    context.meter.add_out(count as u64);
                    batch.advance(count);
                }
                Transfer::NotReady => {
                    let _outside = context.meter.wait(Wait::Outside);
                    let woken = self.descriptor.wait(Interest::Write, context.cancel.alarm()?);
                    match woken.map_err(|error| self.failed(error, *written))? {
                        Woken::Alarm => return Err(Stop::Neighbour),
                        Woken::Ready | Woken::TimedOut => {}
                    }
                }
            }
        }
        batch.done(size);
        Ok(())
    }
}
