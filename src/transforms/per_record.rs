//! The driver of stages that treat each record on its own.

use memchr::{memchr, memchr_iter, memrchr};

use crate::catalog::{Args, Kind as ParamKind, Param, Place};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Closed, Outlet};
use crate::grammar::human_size;
use crate::graph::Port;
use crate::records::{Record, Search};
use crate::stage::{
    Conversion, MemoryUse, Mismatch, OnThread, Outcome, RecordBound, RecordOutput, RecordRoom, Stage, Transform,
    TransformPlan, Want,
};

mod parallel;

use parallel::Parallel;

/// The parameter of those that can take longer than it takes to find the records.
pub const THREADS: Param = Param {
    name: "threads",
    kind: ParamKind::Integer { min: 1, max: 64 },
    place: Place::Named,
    required: false,
    default: Some("1"),
    help: "search on so many threads; each takes its own share of memory",
};

/// The given number of threads.
pub fn given_threads(args: &Args) -> usize {
    let threads = args.integer(THREADS.name).unwrap_or(1);
    usize::try_from(threads).unwrap_or(1)
}

/// A stage that treats each record on its own, and keeps nothing of it.
pub trait PerRecord: Clone + Send + 'static {
    /// Decides about one record, which comes without its newline. A record in its place is written to `made`, which is
    /// empty, without a newline, too.
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict;

    /// Bytes that it holds on each thread, besides records.
    fn state_bytes(&self) -> u64 {
        0
    }

    /// Sets what it receives, and how large a record is at most, in bytes with its newline.
    fn settle(&mut self, input: Port, limit: usize) {
        let _ = (input, limit);
    }

    /// A search that finds every record of a chunk that has to be decided about, faster than going through them, and what
    /// becomes of the others.
    fn search(&mut self) -> Option<(&mut Search, Verdict)> {
        None
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes as it is.
    Keep,
    /// It does not pass.
    Drop,
    /// What was made passes in its place.
    Replace,
}

/// The records that such a stage takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// JSON.
    Json,
    /// JSON or lines.
    Lines,
}

/// The plan of a stage that treats each record on its own.
pub struct PerRecordPlan<T> {
    stage: T,
    takes: Takes,
    /// How many records of the largest size it holds on one thread.
    held: u64,
    threads: usize,
    /// Bytes of the largest record, once that is known.
    largest: u64,
}

impl<T: PerRecord> PerRecordPlan<T> {
    /// The plan of a stage that holds `held` records while it decides about one.
    pub fn on_one_thread(stage: T, takes: Takes, held: u64) -> Box<dyn TransformPlan> {
        Self::on_threads(1, stage, takes, held)
    }

    /// The same on several threads, of which each holds so many.
    pub fn on_threads(threads: usize, stage: T, takes: Takes, held: u64) -> Box<dyn TransformPlan> {
        Box::new(Self {
            stage,
            takes,
            held,
            threads,
            largest: 0,
        })
    }

    /// How many records of the largest size it holds.
    fn held(&self) -> u64 {
        self.held * self.workers()
    }

    /// How often it holds what it holds: what workers have no room for is done behind them.
    fn workers(&self) -> u64 {
        match self.threads {
            1 => 1,
            threads => threads as u64 + 1,
        }
    }
}

impl<T: PerRecord> TransformPlan for PerRecordPlan<T> {
    fn keeps_positions(&self) -> bool {
        true
    }

    fn make(self: Box<Self>) -> Box<dyn Stage> {
        let limit = limit_of(self.largest);
        match self.threads {
            1 => Box::new(OnThread(move |_: &_| Running::new(self.stage, limit))),
            threads => Box::new(Parallel::new(self.stage, limit, threads)),
        }
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            held: self.held(),
        })
    }

    fn settle_records(&mut self, input: Port, largest: u64) {
        self.largest = largest;
        self.stage.settle(input, limit_of(largest));
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }
}

impl<T: PerRecord> MemoryUse for PerRecordPlan<T> {
    fn state_bytes(&self) -> u64 {
        let jobs = match self.threads {
            1 => 0,
            threads => Parallel::<T>::job_bytes(threads),
        };
        jobs.saturating_add(self.stage.state_bytes() * self.workers())
            .saturating_add(self.held() * self.largest)
    }
}

impl<T: PerRecord> Conversion for PerRecordPlan<T> {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        let accepted = match self.takes {
            Takes::Json => Mismatch::unless_json(input),
            Takes::Lines => Mismatch::unless_lines(input),
        };
        accepted.map(|()| input)
    }
}

fn limit_of(largest: u64) -> usize {
    usize::try_from(largest).unwrap_or(usize::MAX)
}

/// How far the records of a chunk are decided.
#[derive(Debug, Default)]
struct Progress {
    /// The offset behind the last record that is decided.
    at: usize,
    /// The records from here on are kept, and were not sent.
    run: usize,
    /// The number of those.
    kept: u64,
}

impl Progress {
    /// Sends the records that are kept.
    fn flush(&mut self, bytes: &[u8], target: &mut impl Target) -> Result<(), Cut> {
        target.put(&bytes[self.run..self.at], self.kept)?;
        (self.run, self.kept) = (self.at, 0);
        Ok(())
    }
}

/// Where records go.
trait Target {
    /// Takes whole records, all of them or none.
    fn put(&mut self, bytes: &[u8], records: u64) -> Result<(), Cut>;
}

/// Why the next record was not sent.
enum Cut {
    /// The consumer has closed its side.
    Closed,
    /// There is no room for it.
    Full,
    /// It became too large.
    TooLarge,
}

/// A stage, and the record that it makes.
struct Worker<T> {
    stage: T,
    made: Record,
}

impl<T: PerRecord> Worker<T> {
    fn new(stage: T, limit: usize) -> Self {
        let made = Record::new(limit);
        Self { stage, made }
    }

    /// Decides about the rest of the records in `bytes`.
    fn apply(&mut self, bytes: &[u8], progress: &mut Progress, target: &mut impl Target) -> Result<(), Cut> {
        if let Some((search, _)) = self.stage.search() {
            search.begin();
        }
        while progress.at < bytes.len() {
            let at = progress.at;
            if let Some((search, verdict)) = self.stage.search() {
                let start = match search.candidate(bytes, at) {
                    Some(candidate) => memrchr(b'\n', &bytes[at..candidate]).map_or(at, |newline| at + newline + 1),
                    None => bytes.len(),
                };
                if start > at {
                    if verdict == Verdict::Keep {
                        progress.kept += memchr_iter(b'\n', &bytes[at..start]).count() as u64;
                    } else {
                        progress.flush(bytes, target)?;
                        progress.run = start;
                    }
                    progress.at = start;
                    continue;
                }
            }
            let rest = &bytes[at..];
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let end = (at + length + 1).min(bytes.len());
            self.made.clear();
            match self.stage.apply(&rest[..length], &mut self.made) {
                Verdict::Keep => {
                    (progress.at, progress.kept) = (end, progress.kept + 1);
                    continue;
                }
                Verdict::Drop => progress.flush(bytes, target)?,
                Verdict::Replace => {
                    progress.flush(bytes, target)?;
                    self.made.push(b'\n');
                    if self.made.is_over() {
                        return Err(Cut::TooLarge);
                    }
                    target.put(self.made.as_slice(), 1)?;
                }
            }
            (progress.at, progress.run) = (end, end);
        }
        Ok(())
    }
}

/// A running stage.
struct Running<T> {
    worker: Worker<T>,
    output: RecordOutput,
    /// Records of the chunks before.
    records: u64,
}

/// The link behind a stage.
struct Behind<'a> {
    output: &'a mut RecordOutput,
    out: &'a mut Outlet,
}

impl Target for Behind<'_> {
    fn put(&mut self, bytes: &[u8], records: u64) -> Result<(), Cut> {
        self.output.push(bytes, records, self.out).map_err(|Closed| Cut::Closed)
    }
}

impl<T: PerRecord> Running<T> {
    /// A stage whose records have at most `limit` bytes each, with their newlines.
    fn new(stage: T, limit: usize) -> Self {
        Self {
            worker: Worker::new(stage, limit),
            output: RecordOutput::default(),
            records: 0,
        }
    }

    /// Decides about the rest of a chunk's records, and sends what was not sent.
    fn complete(&mut self, chunk: Chunk, mut progress: Progress, out: &mut Outlet) -> Outcome {
        let (bytes, records) = (chunk.as_slice(), chunk.records());
        let mut behind = Behind {
            output: &mut self.output,
            out,
        };
        let applied = self.worker.apply(bytes, &mut progress, &mut behind);
        if applied.is_ok() && progress.run == 0 && progress.kept == records && records > 0 {
            self.records += records;
            return Ok(self.output.forward(chunk, records, out)?);
        }
        match applied.and_then(|()| progress.flush(bytes, &mut behind)) {
            Ok(()) => {}
            Err(Cut::Closed | Cut::Full) => return Err(Closed.into()),
            Err(Cut::TooLarge) => {
                let before = memchr_iter(b'\n', &bytes[..progress.at]).count() as u64;
                return Err(self.too_large(before + 1));
            }
        }
        self.records += records;
        match chunk.position() {
            Some(position) => Ok(self.output.mark(position, out)?),
            None => Ok(()),
        }
    }

    /// The failure of the record with this number in its chunk.
    fn too_large(&self, number: u64) -> Stop {
        let limit = human_size(self.worker.made.limit() as u64);
        let why = format!("it grows above {limit}, which max-record= can raise");
        Failure::because(
            Kind::Limit,
            format!("cannot change record {}", self.records + number),
            why,
        )
        .into()
    }
}

impl<T: PerRecord> Transform for Running<T> {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        self.complete(chunk, Progress::default(), out)?;
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.output.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        Ok(self.output.send(out)?)
    }
}
