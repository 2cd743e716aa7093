//! `batch`: runs a pipeline of its own for each part of the stream.

use std::ffi::OsStr;
use std::future::{Future, poll_fn};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use tokio::time::{Instant, sleep_until};

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Placed, Role, Topic};
use crate::error::{Failure, Problem, Stop, shown};
use crate::flow::{Chunk, Inlet, Position, Wait};
use crate::grammar::human_size;
use crate::graph::Port;
use crate::net::retry::Backoff;
use crate::platform::files;
use crate::stage::{
    BoxFuture, Context, Durable, Endpoint, Facts, Filling, Mismatch, OpenWriter, Outcome, RunLabel, Source,
};

mod attempts;
mod feed;
mod spool;

use attempts::attempts;
pub use feed::BatchInput;
use feed::Feed;

/// The definition of `batch`.
pub static BATCH: Definition = Definition {
    name: "batch",
    role: Role::Sink,
    topic: Topic::Split,
    summary: "run a pipeline for each part of the stream",
    details: "The pipeline in parentheses runs once for each batch, with the batch as its input, and ends in a sink. Each \
              run is complete and durable before the next one is, or is rolled back with its outputs; a failed one ends \
              the whole run, and those before it stay. One batch is filled while the one before it is being committed, \
              both inside `--memory`.\n\nA batch ends when it has size= bytes or records= records, or every= after its \
              first byte, whichever is first. Records are never divided, and arrive as lines; a record larger than size= \
              is a batch of its own. Behind a source that is told what is durable (state=), a batch ends where that has a \
              position, and may have more than size= or records= by what lies between two of them: a chunk. Nothing runs for an empty batch.\n\nThe name of a file or an object in the \
              pipeline is made for each batch: {position} is where in the stream the batch begins, {n} a number after the \
              largest that exists, and {time:%Y-%m-%d} when its first byte came, in UTC, as strftime takes it. Missing \
              folders of such a name are made. A name with {position} is replaced by the same batch if it comes again; \
              any other that exists is never replaced, and fails the run.\n\nWith retry= a \
              batch that fails is run again, after pauses that grow to 10s, from a file without a name in the folder \
              spool=, which needs room for two batches. It is run again if the reason may pass (a connection, a timeout, a \
              full disk) and nothing is left of it: not after a failed commit, and not where a part was sent that cannot \
              be taken back, as to `tcp://`. After the last attempt the run ends with that error, and nothing of the batch \
              is acknowledged.",
    params: &[
        Param {
            name: "size",
            kind: Kind::Size,
            place: Place::Positional,
            required: false,
            default: None,
            help: "the most bytes of a batch",
        },
        Param {
            name: "pipeline",
            kind: Kind::Pipeline,
            place: Place::Groups,
            required: true,
            default: None,
            help: "what runs for each batch; it ends in a sink",
        },
        Param {
            name: "records",
            kind: Kind::Integer { min: 1, max: i64::MAX },
            place: Place::Named,
            required: false,
            default: None,
            help: "the most records of a batch",
        },
        Param {
            name: "every",
            kind: Kind::Duration,
            place: Place::Named,
            required: false,
            default: None,
            help: "the longest time from a batch's first byte to its end",
        },
        Param::named(
            "retry",
            Kind::Integer { min: 1, max: i64::MAX },
            None,
            "how often to run a batch again that has failed for a reason that may pass; needs spool=",
        ),
        Param::named(
            "spool",
            Kind::Bytes,
            None,
            "the folder where a batch is kept until it is committed, for retry=",
        ),
    ],
    examples: &[
        Example {
            text: "read run.jsonl | lines | batch records=1000 (gzip | write part-{n}.gz)",
            about: "split lines into compressed files of a thousand each",
        },
        Example {
            text: "read big.iso | batch 1MiB (write pieces/{position})",
            about: "split a file into pieces, named by where they begin",
        },
    ],
    build: Build::Sink(plan),
};

fn plan(args: &Args) -> Placed {
    let limits = Limits {
        size: args.size("size"),
        records: args.integer("records").and_then(|records| u64::try_from(records).ok()),
        every: args.duration("every"),
    };
    if args.pipelines() > 1 {
        let problem = Problem::at(args.span(), "`batch` takes one pipeline");
        return Err(problem.help("to write each batch to several places use `tee` in it"));
    }
    if limits.size.is_none() && limits.records.is_none() && limits.every.is_none() {
        let problem = Problem::at(args.span(), "`batch` is not told when a batch ends");
        return Err(problem.help("give at least one of size=, records= and every=, as in size=64MiB every=1m"));
    }
    for (name, is_zero) in [
        ("size", limits.size == Some(0)),
        ("every", limits.every.is_some_and(|time| time.is_zero())),
    ] {
        if is_zero {
            return Err(Problem::at(args.span_of(name), "every batch would be empty").help("give more than 0"));
        }
    }
    let folder = args
        .words("spool")
        .first()
        .map(|folder| PathBuf::from(OsStr::from_bytes(folder)));
    let retry = match (args.integer("retry"), folder) {
        (Some(times), Some(folder)) => Some(Retry {
            times: times.unsigned_abs(),
            folder,
        }),
        (None, None) => None,
        (Some(_), None) => {
            let problem = Problem::at(args.span_of("retry"), "`retry` needs `spool`");
            return Err(
                problem.help("a batch is run again from a folder where it is kept, as in retry=5 spool=/var/tmp")
            );
        }
        (None, Some(_)) => {
            let problem = Problem::at(args.span_of("spool"), "`spool` is for `retry`");
            return Err(problem.help("give retry= as well, or leave it out"));
        }
    };
    Ok(Box::new(Batch { limits, retry }))
}

/// When a batch ends.
#[derive(Debug, Clone, Copy)]
struct Limits {
    size: Option<u64>,
    records: Option<u64>,
    every: Option<Duration>,
}

/// How often a batch is run again, and where it is kept.
#[derive(Debug, Clone)]
struct Retry {
    times: u64,
    folder: PathBuf,
}

struct Batch {
    limits: Limits,
    retry: Option<Retry>,
}

impl Endpoint for Batch {
    fn shown(&self) -> String {
        "batches".to_owned()
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        if let Some(Retry { folder, .. }) = &self.retry {
            let shown = shown(folder.as_os_str().as_bytes());
            let failed = |error| {
                Failure::io(
                    crate::error::Kind::Usage,
                    format!("cannot keep batches in {shown}"),
                    error,
                )
            };
            let found = files::stat(folder).map_err(failed)?;
            if !FileType::from_raw_mode(found.st_mode).is_dir() {
                return Err(failed(rustix::io::Errno::NOTDIR));
            }
        }
        Ok(Facts::default())
    }

    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        match input {
            Port::Bytes if self.limits.records.is_some() => Mismatch::unless_records(input),
            Port::Bytes | Port::Lines | Port::Json => Ok(()),
            Port::Messages => Mismatch::unless_bytes(input),
        }
    }

    fn effect(&self) -> String {
        let Limits { size, records, every } = self.limits;
        let limits = [
            size.map(|size| format!("{} are there", human_size(size))),
            records.map(|records| format!("{records} records are there")),
            every.map(|time| format!("{} have passed", humantime::format_duration(time))),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        let retry = self.retry.as_ref().map_or_else(String::new, |Retry { times, folder }| {
            let folder = shown(folder.as_os_str().as_bytes());
            format!("\n    one that fails is run again from {folder}, up to {times} times")
        });
        format!(
            "runs its pipeline for each batch, which ends when {};\n    one is filled while the one before it is committed{retry}",
            limits.join(" or ")
        )
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        let Self { limits, retry } = *self;
        let run = move |input, context| -> BoxFuture<'static, Outcome> {
            Box::pin(async move {
                let mut batches = Batches::new(input, limits, retry, context);
                let outcome = batches.run().await;
                batches.end(outcome).await
            })
        };
        Box::pin(async move { Ok(OpenWriter::Task(Box::new(run))) })
    }
}

/// A run that has begun, and what has reached it.
struct Run {
    feed: Feed,
    outcome: BoxFuture<'static, Outcome>,
    bytes: u64,
    records: u64,
    /// When its first byte came.
    begun: SystemTime,
    ends: Option<Instant>,
    /// Whether it ends as soon as the position behind it is known.
    is_due: bool,
}

/// The batches of a stream.
struct Batches {
    input: Inlet,
    limits: Limits,
    retry: Option<Retry>,
    context: Context,
    /// What has come and belongs to no batch yet.
    rest: Option<Chunk>,
    /// Where the next byte is in the stream; where the source is told what is durable, the last position that it gave.
    position: Position,
    /// Whether nothing has come since that.
    is_at_position: bool,
    /// The batch that is being filled.
    filling: Option<Run>,
    /// The batch before it, and the position behind it.
    committing: Option<(BoxFuture<'static, Outcome>, Position)>,
}

/// What a batch waits for.
enum Event {
    Chunk(Option<Chunk>),
    /// The time of the batch that is being filled is up.
    Time,
    /// The run of the batch that is being filled is over, although it could take more.
    Ended(Outcome),
}

impl Batches {
    fn new(input: Inlet, limits: Limits, retry: Option<Retry>, context: Context) -> Self {
        context.findings.update_batches(|_| ());
        Self {
            input,
            limits,
            retry,
            context,
            rest: None,
            position: Position(0),
            is_at_position: true,
            filling: None,
            committing: None,
        }
    }

    async fn run(&mut self) -> Outcome {
        loop {
            match self.next().await? {
                Event::Chunk(Some(chunk)) => self.take(chunk).await?,
                Event::Chunk(None) => break,
                Event::Time => self.close_if_known().await?,
                // Its pipeline wants no more of this batch.
                Event::Ended(outcome) => outcome?,
            }
        }
        self.close().await?;
        self.committed().await?;
        // Nothing of what came behind the last batch was kept.
        if self.is_at_position {
            acknowledge(&self.context, self.position);
        }
        Ok(())
    }

    /// The next event; the batch before is committed meanwhile.
    async fn next(&mut self) -> Result<Event, Stop> {
        if let Some(rest) = self.rest.take() {
            return Ok(Event::Chunk(Some(rest)));
        }
        let ends = self.filling.as_ref().and_then(|run| run.ends);
        let mut time = pin!(async {
            match ends {
                Some(ends) => sleep_until(ends).await,
                None => std::future::pending().await,
            }
        });
        let Self {
            input,
            filling,
            committing,
            context,
            position: reached,
            is_at_position,
            ..
        } = self;
        let mut chunk = pin!(input.receive());
        poll_fn(|polled| {
            if let Some((outcome, position)) = committing
                && let Poll::Ready(outcome) = outcome.as_mut().poll(polled)
            {
                let position = *position;
                *committing = None;
                committed(context, &outcome);
                if let Err(stop) = outcome {
                    return Poll::Ready(Err(stop));
                }
                let is_all = filling.is_none() && *is_at_position;
                acknowledge(context, if is_all { *reached } else { position });
            }
            if let Some(run) = filling
                && !run.feed.is_closed()
                && let Poll::Ready(outcome) = run.outcome.as_mut().poll(polled)
            {
                run.feed.close();
                context.findings.update_batches(|batches| batches.count(&outcome));
                return Poll::Ready(Ok(Event::Ended(outcome)));
            }
            if time.as_mut().poll(polled).is_ready() {
                return Poll::Ready(Ok(Event::Time));
            }
            chunk.as_mut().poll(polled).map(|chunk| Ok(Event::Chunk(chunk?)))
        })
        .await
    }

    /// Gives a chunk to the batch that is being filled, or to a new one; what does not fit waits in `rest`.
    async fn take(&mut self, chunk: Chunk) -> Outcome {
        let behind = chunk.position();
        if chunk.is_empty() {
            self.pass(0, behind);
            if self.filling.is_none() && self.committing.is_none() {
                acknowledge(&self.context, self.position);
            }
            let is_due = self.filling.as_ref().is_some_and(|run| run.is_due);
            return if is_due { self.close_if_known().await } else { Ok(()) };
        }
        let (bytes, records) = self.filling.as_ref().map_or((0, 0), |run| (run.bytes, run.records));
        let count = self.fitting(&chunk, bytes, records);
        if count == 0 {
            self.rest = Some(chunk);
            return self.close().await;
        }
        if self.filling.is_none() {
            if !self.context.sub_pipelines[0].overlaps() {
                self.committed().await?;
            }
            self.begin();
        }
        let Some(run) = &mut self.filling else { return Ok(()) };
        let (all, counted) = (chunk.len(), chunk.records());
        let rest = run.feed.give(chunk, count, &mut run.outcome).await;
        let left = rest.as_ref().map_or(0, Chunk::records);
        run.bytes += count as u64;
        run.records += counted - left;
        let (bytes, records) = (run.bytes, run.records);
        self.context.findings.update_batches(|batches| {
            if let Some(filling) = &mut batches.filling {
                (filling.bytes, filling.records) = (bytes, records);
            }
        });
        self.context.meter.add_out(count as u64);
        let is_full = run.is_due
            || self.limits.size.is_some_and(|size| run.bytes >= size)
            || self.limits.records.is_some_and(|records| run.records >= records);
        self.pass(count, behind.filter(|_| count == all));
        self.rest = rest;
        if is_full { self.close_if_known().await } else { Ok(()) }
    }

    /// Notes that so many bytes have come, and the position behind them if it is known. It is never computed where the
    /// source is told what is durable: the stages between may have changed the bytes.
    fn pass(&mut self, bytes: usize, behind: Option<Position>) {
        if let Some(position) = behind {
            self.position = position;
            self.is_at_position = true;
        } else if self.context.durable.is_some() {
            self.is_at_position &= bytes == 0;
        } else {
            self.position.0 += bytes as u128;
        }
    }

    /// How many bytes of a chunk belong to the batch that has so many bytes and records already; 0 if it is full without
    /// them.
    fn fitting(&self, chunk: &Chunk, bytes: u64, records: u64) -> usize {
        let size = self.limits.size.map_or(u64::MAX, |size| size.saturating_sub(bytes));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // A source that is told what is durable knows where a chunk ends, and not what lies in it.
        if self.context.durable.is_some() {
            let is_within = self.limits.records.is_none_or(|most| records + chunk.records() <= most);
            let fits = chunk.len() <= size && is_within;
            return if fits || bytes == 0 || !self.is_at_position {
                chunk.len()
            } else {
                0
            };
        }
        let mut count = chunk.whole_records_within(size);
        if let Some(most) = self.limits.records {
            count = count.min(chunk.length_of_records(most - records));
        }
        if count > size && bytes > 0 { 0 } else { count }
    }

    fn begin(&mut self) {
        let feed = Feed::new(self.retry.as_ref().map(|retry| retry.folder.clone()));
        // One that comes again has the names that it had.
        let earlier = self.context.durable.as_ref().and_then(Durable::earlier_part);
        let earlier = earlier.filter(|(position, _)| *position == self.position);
        let begun = earlier.map_or_else(SystemTime::now, |(_, begun)| begun);
        let label = RunLabel {
            position: self.position,
            begun,
        };
        let (sub, input) = (self.context.sub_pipelines[0].clone(), feed.input());
        let run = move || sub.run(Source::of(Box::new(input.clone())), label);
        let outcome = match &self.retry {
            None => run(),
            Some(retry) => {
                let (findings, cancel) = (self.context.findings.clone(), self.context.cancel.clone());
                // A task of its own: another batch may be filled meanwhile.
                let task = tokio::spawn(attempts(run, retry.times, Backoff::default(), findings, cancel));
                Box::pin(async move { task.await.unwrap_or(Err(Stop::PeerClosed)) })
            }
        };
        self.context.findings.update_batches(|batches| {
            batches.filling = Some(Filling {
                bytes: 0,
                records: 0,
                since: std::time::Instant::now(),
            });
        });
        self.filling = Some(Run {
            feed,
            outcome,
            bytes: 0,
            records: 0,
            begun,
            ends: self.limits.every.map(|time| Instant::now() + time),
            is_due: false,
        });
    }

    /// Ends the batch that is being filled, or lets it end with the next position: what it has could not be told otherwise.
    async fn close_if_known(&mut self) -> Outcome {
        if self.is_at_position {
            return self.close().await;
        }
        if let Some(run) = &mut self.filling {
            run.is_due = true;
            run.ends = None;
        }
        Ok(())
    }

    /// Ends the batch that is being filled, once the one before it is committed: a later one is never there without it.
    async fn close(&mut self) -> Outcome {
        let Some(Run { begun, .. }) = self.filling else {
            return Ok(());
        };
        self.committed().await?;
        self.noted(begun).await?;
        if let Some(Run { mut feed, outcome, .. }) = self.filling.take() {
            self.context.findings.update_batches(|batches| {
                batches.filling = None;
                batches.is_committing = !feed.is_closed();
            });
            if feed.is_closed() {
                acknowledge(&self.context, self.position);
            } else {
                feed.finish();
                self.committing = Some((outcome, self.position));
            }
        }
        Ok(())
    }

    /// Waits until the source has noted that the batch before is durable, and when this one was begun: otherwise what comes
    /// again after a crash would be divided in another way, or get other names.
    async fn noted(&mut self, begun: SystemTime) -> Outcome {
        let Some(durable) = &self.context.durable else {
            return Ok(());
        };
        durable.begin_part(begun);
        let _outside = self.context.meter.wait(Wait::Outside);
        tokio::select! {
            biased;
            () = self.context.cancel.tripped() => Err(Stop::PeerClosed),
            noted = durable.noted() => noted,
        }
    }

    /// Waits until the batch before is committed.
    async fn committed(&mut self) -> Outcome {
        if let Some((outcome, position)) = self.committing.take() {
            let _outside = self.context.meter.wait(Wait::Outside);
            let outcome = outcome.await;
            committed(&self.context, &outcome);
            outcome?;
            acknowledge(&self.context, position);
        }
        Ok(())
    }

    /// Waits for what still runs: after a failure the batch that is being filled is rolled back, and one that was complete
    /// is committed unless the whole run is stopped.
    async fn end(mut self, outcome: Outcome) -> Outcome {
        if outcome.is_err() {
            if let Some((committing, position)) = self.committing.take() {
                let outcome = committing.await;
                committed(&self.context, &outcome);
                if outcome.is_ok() {
                    acknowledge(&self.context, position);
                }
            }
            if let Some(Run { feed, outcome, .. }) = self.filling.take() {
                self.context.findings.update_batches(|batches| batches.filling = None);
                let is_over = feed.is_closed();
                drop(feed);
                if !is_over {
                    let _ = outcome.await;
                }
            }
        }
        outcome
    }
}

/// Notes how the batch ended that was being committed.
fn committed(context: &Context, outcome: &Outcome) {
    context.findings.update_batches(|batches| {
        batches.is_committing = false;
        batches.count(outcome);
    });
}

fn acknowledge(context: &Context, position: Position) {
    if let Some(durable) = &context.durable {
        durable.report(position);
    }
}
