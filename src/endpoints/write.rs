//! `write`: the sink for every kind of endpoint.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{self, Failure, Problem, Stop};
use crate::flow::{Inlet, Wait};
use crate::platform::{Descriptor, FINDS_HOLES, Interest, Shape, Transfer, Woken};
use crate::stage::{
    BoxFuture, Context, DirectSink, Facts, Outcome, Phase, Reach, Rollback, Sink, SinkPlan, StreamWriter, Undertaking,
    Work,
};

mod account;
mod batch;
mod care;
mod sparse;
mod stream;
mod writeback;

use account::Account;
use batch::Batch;
use care::Care;
use sparse::Sparse;
use writeback::Writeback;

use super::patience::{CONNECTING, LINGER, RETRY, USER_TIMEOUT};
use super::{Commit, Endpoint, Existing, Holes, Knob, OpenWriter, Patience, Writing, named};

/// The definition of `write`.
pub static WRITE: Definition = Definition {
    name: "write",
    role: Role::Sink,
    summary: "write a file, standard output or a connection",
    details: "A file is replaced atomically: the bytes go to a temporary file beside it, which takes its place when all \
              of them are on the disk. Whatever happens before, the old file stays as it was. The new one gets its \
              permissions, its access control list, its extended attributes and, where the system allows it, its owner, \
              but nothing that was given to the old contents: setuid, setgid and sticky bits, capabilities. A file that was \
              not there gets what the system gives every new file. mode= sets exactly those permissions, without a list. \
              A file with several names becomes a file of its own, and the others keep the old contents, with a warning. \
              A file that you may not write to is not replaced.\n\n\
              in-place=true is for what cannot be replaced, such as a mount, a file in a folder that you may not write to, \
              or one of /proc or /sys, and for files with several names. It empties the file and writes to it where it is: \
              if the run fails, the old contents are gone, and the error says how much of the new ones there is. \
              append=true cuts its own bytes off again if the run fails. Where another process has written behind them, \
              they stay, and the error says how many they are.\n\n\
              sparse=auto keeps the holes of a source that is a file, if its bytes arrive unchanged. always leaves a hole \
              wherever a block is zeros, also behind a decoder; never leaves none. Standard output and other descriptors \
              get no holes, because others may write there as well.\n\n\
              Devices and FIFOs are written in place. A path that names a descriptor, such as /dev/fd/3 or /dev/stderr, means \
              what is open there, for `read` as well. Standard output that is a file is on the disk when the run ends well, \
              unless sync=false is given; making its name durable is up to whoever made it. A chain whose last stage is no \
              sink writes standard output, as `write -` does.\n\nA \
              connection is done when the peer's system has acknowledged everything; on a Unix socket, when the peer has \
              read it. `linger=` bounds that wait, which is otherwise as long as the peer takes, as for every write. A \
              peer that vanishes is noticed by TCP's own means within about a quarter of an hour; `user-timeout=` makes \
              that sooner, and gives up a peer that only stops reading, too.\n\n\
              verify=true reads the temporary file back before it takes its place, from the disk where the system can drop \
              what it has in memory, and compares sums: what differs is exit code 10.\n\n\
              resume=true is for large files. If the run ends early, whatever ends it, what was written stays in \
              .NAME.highwater-part beside the target, and .NAME.highwater-journal says how much of it is sure. Another \
              run of the same source into the same target checks that and goes on from there; its throttle, buffer, marks \
              and checkpoint may differ. It refuses where the source has changed (exit code 10). It takes one regular file as the source, and nothing but throttle and buffer in between.",
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
            help: "write behind what the file has; the run's own bytes are cut off if it fails",
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
            help: "permissions in octal; else the old file's, or what the system gives a new one",
        },
        Param {
            name: "in-place",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "empty a file that exists and write to it where it is, instead of replacing it",
        },
        Param {
            name: "sparse",
            kind: Kind::Choice(Sparse::WORDS),
            place: Place::Named,
            required: false,
            default: Some("auto"),
            help: "holes in the file: where the source has some, wherever blocks are zeros, or none",
        },
        CONNECTING,
        RETRY,
        USER_TIMEOUT,
        LINGER,
        Param {
            name: "verify",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "whether to read everything back and compare it before it takes its place",
        },
        Param {
            name: "resume",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "whether to keep what was written when the run ends early, and go on with it the next time",
        },
        Param {
            name: "checkpoint",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "with resume=true, after how many bytes the journal is brought up to date; 64MiB unless given",
        },
    ],
    examples: &[
        Example {
            text: "read big.iso | throttle 500MB/s | write copy.iso clobber=false",
            about: "copy at a gentle rate, never over a file that is there",
        },
        Example {
            text: "read big.iso | write copy.iso resume=true verify=true",
            about: "copy a large file, go on after a power cut, and check the copy on the disk",
        },
    ],
    build: Build::Sink(plan),
};

fn plan(args: &Args) -> Result<Box<dyn SinkPlan>, Problem> {
    let writing = Writing {
        existing: if args.flag("append") {
            Existing::Append
        } else if args.flag("in-place") {
            Existing::Empty
        } else {
            Existing::Replace
        },
        clobber: args.flag("clobber"),
        sync: args.flag("sync"),
        mode: args.text("mode").map(|text| octal(text, args)).transpose()?,
    };
    if writing.existing == Existing::Append && !writing.clobber {
        let problem = Problem::at(
            args.span_of("append"),
            "append=true writes to a file that exists, clobber=false refuses it",
        );
        return Err(problem.help("leave one of them out"));
    }
    let endpoint = named(args.required_endpoint("path"), args)?;
    for knob in [Knob::Retry, Knob::UserTimeout, Knob::Linger] {
        knob.check(args, [&*endpoint])?;
    }
    let care = Care::of(args, &*endpoint, writing)?;
    Ok(Box::new(Plan {
        endpoint,
        writing,
        care,
        sparse: Sparse::of(args),
        expects_holes: false,
        undertaking: None,
        patience: Patience::of(args).lingering(args),
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
        is_spelled_out: false,
        ..Plan::to(Box::new(super::stdio::Inherited::standard()))
    })
}

/// Writes to a place as it is usually written to.
#[must_use]
pub fn to(endpoint: Box<dyn Endpoint>) -> Box<dyn SinkPlan> {
    Box::new(Plan::to(endpoint))
}

struct Plan {
    endpoint: Box<dyn Endpoint>,
    writing: Writing,
    care: Care,
    sparse: Sparse,
    /// Whether the source has holes, and its bytes arrive unchanged.
    expects_holes: bool,
    /// Which run this is, where another one may go on with it.
    undertaking: Option<Undertaking>,
    patience: Patience,
    is_spelled_out: bool,
}

impl Plan {
    fn to(endpoint: Box<dyn Endpoint>) -> Self {
        Self {
            endpoint,
            writing: Writing::default(),
            care: Care::default(),
            sparse: Sparse::default(),
            expects_holes: false,
            undertaking: None,
            patience: Patience::default(),
            is_spelled_out: true,
        }
    }
}

impl SinkPlan for Plan {
    fn facts(&self) -> Result<Facts, Failure> {
        let mut facts = self.endpoint.sink_facts()?;
        if self.care.resume.is_some() {
            facts.files.extend(self.endpoint.companions(self.writing)?);
        }
        Ok(facts)
    }

    fn permit(&self) -> Result<(), Failure> {
        self.endpoint.permit(self.writing)
    }

    fn reach(&self) -> Reach {
        self.endpoint.reach()
    }

    fn effect(&self) -> String {
        let mut effect = self.endpoint.effect(self.writing);
        if self.care.resume.is_some() {
            effect += ", and keeps what it has if the run ends early";
        }
        if self.care.verify {
            effect += ", once it was read back and compared";
        }
        effect
    }

    fn state_bytes(&self) -> u64 {
        if self.care.is_none() { 0 } else { Account::STATE }
    }

    fn looks_at_bytes(&self) -> bool {
        let is_file = || self.endpoint.regular_file().is_ok();
        !self.care.is_none() || self.sparse != Sparse::Auto && is_file()
    }

    fn expect_holes(&mut self) {
        self.expects_holes = true;
    }

    fn resumes(&self) -> bool {
        self.care.resume.is_some()
    }

    fn undertake(&mut self, undertaking: Undertaking) {
        self.undertaking = Some(undertaking);
    }

    fn is_spelled_out(&self) -> bool {
        self.is_spelled_out
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.endpoint.bind()
    }

    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Sink>, Failure>> {
        Box::pin(async move {
            let opening = match self.undertaking {
                Some(undertaking) => {
                    let opening = self.endpoint.open_resumable(self.writing, undertaking);
                    Box::pin(async move { opening.await.map(OpenWriter::Descriptor) })
                }
                None => self.endpoint.open_writer(self.writing, self.patience),
            };
            let mut outgoing = match opening.await? {
                OpenWriter::Descriptor(outgoing) => outgoing,
                OpenWriter::Stream(writer) => return Ok(Box::new(StreamingTo(writer)) as Box<dyn Sink>),
            };
            if !self.care.is_none()
                && let Err(failure) = can_be_read_back(&outgoing.descriptor)
            {
                if let Some(rollback) = outgoing.commit.rollback() {
                    rollback.roll_back().await?;
                }
                return Err(failure);
            }
            let account = self.care.account(outgoing.journal.take());
            let holes = match (self.sparse, self.expects_holes) {
                (Sparse::Always, _) | (Sparse::Auto, true) => outgoing.commit.holes(),
                (Sparse::Auto, false) | (Sparse::Never, _) => Holes::None,
            };
            // The kernel keeps a source's holes, and finds no others.
            let sees_bytes = match self.sparse {
                Sparse::Always => holes != Holes::None,
                Sparse::Never => outgoing.commit.holes() != Holes::None,
                Sparse::Auto => holes == Holes::Punch || holes == Holes::Grow && !FINDS_HOLES,
            };
            let sink: Box<dyn Sink> = Box::new(WritingTo {
                rollback: outgoing.commit.rollback(),
                writeback: Writeback::new(outgoing.commit.is_durable()),
                descriptor: Arc::new(outgoing.descriptor),
                commit: Some(outgoing.commit),
                reader_left: outgoing.reader_left,
                is_direct: account.is_none() && !sees_bytes,
                holes,
                account,
            });
            Ok(sink)
        })
    }
}

/// It was a regular file, or was not there, when the chain was planned.
fn can_be_read_back(descriptor: &Descriptor) -> Result<(), Failure> {
    let operation = "cannot be read back";
    match descriptor.file_id() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            let why = "it is no regular file any more";
            Err(Failure::because(error::Kind::Usage, operation, why))
        }
        Err(error) => Err(Failure::io(error::Kind::Sink, operation, error)),
    }
}

/// A place that the reactor waits for.
struct StreamingTo(Box<dyn StreamWriter>);

impl Sink for StreamingTo {
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        self.0.rollback()
    }

    fn phase(&self) -> Phase {
        self.0.phase()
    }

    fn start(self: Box<Self>, input: Inlet, context: Context) -> Work {
        Work::Task(Box::pin(stream::write_all(self.0, input, context)))
    }
}

/// The endpoint that is being written.
struct WritingTo {
    descriptor: Arc<Descriptor>,
    /// `Some` until all bytes are written.
    commit: Option<Box<dyn Commit>>,
    rollback: Option<Arc<dyn Rollback>>,
    writeback: Writeback,
    /// Which error a peer that left is.
    reader_left: error::Kind,
    /// What is known of the bytes, where somebody wants to know it.
    account: Option<Account>,
    /// How zeros are left out.
    holes: Holes,
    /// Whether the bytes need not be seen here.
    is_direct: bool,
}

impl Sink for WritingTo {
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        self.rollback.clone()
    }

    fn phase(&self) -> Phase {
        self.commit.as_ref().map_or(Phase::Drained, |commit| commit.phase())
    }

    fn resumes_at(&self) -> u64 {
        self.account.as_ref().map_or(0, Account::resumes_at)
    }

    fn as_direct(&mut self) -> Option<&mut dyn DirectSink> {
        // A lane inside the kernel shows nobody the bytes.
        self.is_direct.then_some(self as &mut dyn DirectSink)
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
        (self.commit.as_ref()).is_some_and(|commit| commit.holes() == Holes::Grow)
    }

    fn wrote(&mut self, count: u64) {
        self.writeback.wrote(&self.descriptor, count);
        if let Some(commit) = &self.commit {
            commit.wrote(count);
        }
    }

    fn commit(&mut self, context: &Context) -> Outcome {
        context.meter.begin_commit();
        let _outside = context.meter.wait(Wait::Outside);
        match self.commit.take() {
            Some(mut commit) => {
                commit.count_with(context.meter.clone());
                commit.prepare(&self.descriptor, context.cancel.alarm()?)?;
                if commit.phase() != Phase::Drained {
                    context.commit.wait_blocking(&context.cancel)?;
                }
                commit.commit(&self.descriptor, context.cancel.alarm()?)
            }
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
        let mut written = self.resumes_at();
        if let Some(account) = &mut self.account {
            account.begin(&self.descriptor, context)?;
        }
        let mut batch = Batch::new();
        while batch.fill(&mut input, &context.meter, &context.cancel)? {
            self.write_all(&mut batch, &mut written, context)?;
        }
        self.verify(context)?;
        self.commit(context)
    }

    /// Reads it back, where that is wanted; nobody may go on with what proves wrong.
    fn verify(&self, context: &Context) -> Outcome {
        let Some(account) = &self.account else { return Ok(()) };
        let verified = account.verify(&self.descriptor, context);
        if let (Err(Stop::Failed(failure)), Some(commit)) = (&verified, &self.commit)
            && failure.kind() == error::Kind::Integrity
            && let Err(more) = commit.reject()
        {
            tracing::error!("{more}");
        }
        verified
    }

    fn write_all(&mut self, batch: &mut Batch, written: &mut u64, context: &Context) -> Outcome {
        let size = batch.len();
        while !batch.is_empty() {
            let result = {
                // A disk's wait cannot be told from its work: all of the call counts as one.
                let _outside = (self.descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
                if self.holes == Holes::None {
                    batch.with_slices(|slices| match slices {
                        [one] => self.descriptor.write(one),
                        slices => self.descriptor.write_vectored(slices),
                    })
                } else {
                    sparse::write(&self.descriptor, batch.first_chunk(), *written, self.holes)
                }
            };
            match result.map_err(|error| self.failed(error, *written))? {
                Transfer::Bytes(count) => {
                    *written += count as u64;
                    context.meter.add_out(count as u64);
                    if let Some(account) = &mut self.account {
                        batch.first_bytes(count, |bytes| account.add(bytes));
                        account.note_if_due(&self.descriptor, context)?;
                    }
                    batch.advance(count);
                    self.wrote(count as u64);
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
