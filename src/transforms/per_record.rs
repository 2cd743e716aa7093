//! The driver of stages that treat each record on its own.

use memchr::{memchr, memchr_iter, memrchr};

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Outlet};
use crate::grammar::human_size;
use crate::graph::Port;
use crate::records::{Record, Search};
use crate::stage::{
    Conversion, MemoryUse, Mismatch, OnThread, Outcome, RecordBound, RecordOutput, RecordRoom, Stage, Transform,
    TransformPlan, Want,
};

/// A stage that treats each record on its own, and keeps nothing of it.
pub trait PerRecord: Send + 'static {
    /// Decides about one record, which comes without its newline. A record in its place is written to `made`, which is
    /// empty, without a newline, too.
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict;

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
    /// How many records of the largest size it holds.
    held: u64,
    /// Bytes of the largest record, once that is known.
    largest: u64,
}

impl<T: PerRecord> PerRecordPlan<T> {
    /// The plan of a stage that only drops records.
    pub fn filter(stage: T, takes: Takes) -> Box<dyn TransformPlan> {
        Box::new(Self {
            stage,
            takes,
            held: 0,
            largest: 0,
        })
    }

    /// The plan of a stage that writes records anew, and holds `held` of them while it does.
    pub fn rewrite(stage: T, takes: Takes, held: u64) -> Box<dyn TransformPlan> {
        Box::new(Self {
            stage,
            takes,
            held,
            largest: 0,
        })
    }
}

impl<T: PerRecord> TransformPlan for PerRecordPlan<T> {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        let limit = limit_of(self.largest);
        Box::new(OnThread(move |_: &_| Running::new(self.stage, limit)))
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            held: self.held,
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
        self.held * self.largest
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

/// A running stage.
pub struct Running<T> {
    stage: T,
    /// Bytes of the largest record, with its newline.
    limit: usize,
    made: Record,
    output: RecordOutput,
    /// Records of the chunks before.
    records: u64,
}

impl<T: PerRecord> Running<T> {
    /// A stage whose records have at most `limit` bytes each, with their newlines.
    pub fn new(stage: T, limit: usize) -> Self {
        Self {
            stage,
            limit,
            made: Record::new(limit),
            output: RecordOutput::default(),
            records: 0,
        }
    }

    /// The failure of the record with this number in its chunk.
    fn too_large(&self, number: u64) -> Stop {
        let limit = human_size(self.limit as u64);
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
        let (bytes, position) = (chunk.as_slice(), chunk.position());
        // The records from `run` on are kept, and not sent yet.
        let (mut at, mut run, mut kept) = (0, 0, 0);
        if let Some((search, _)) = self.stage.search() {
            search.begin();
        }
        while at < bytes.len() {
            if let Some((search, verdict)) = self.stage.search() {
                let start = match search.candidate(bytes, at) {
                    Some(candidate) => memrchr(b'\n', &bytes[at..candidate]).map_or(at, |newline| at + newline + 1),
                    None => bytes.len(),
                };
                if start > at && verdict == Verdict::Keep {
                    kept += memchr_iter(b'\n', &bytes[at..start]).count() as u64;
                } else if start > at {
                    self.output.push(&bytes[run..at], kept, out)?;
                    (run, kept) = (start, 0);
                }
                at = start;
                if at == bytes.len() {
                    break;
                }
            }
            let rest = &bytes[at..];
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let end = (at + length + 1).min(bytes.len());
            self.made.clear();
            match self.stage.apply(&rest[..length], &mut self.made) {
                Verdict::Keep => {
                    kept += 1;
                    at = end;
                    continue;
                }
                Verdict::Drop => self.output.push(&bytes[run..at], kept, out)?,
                Verdict::Replace => {
                    self.output.push(&bytes[run..at], kept, out)?;
                    self.made.push(b'\n');
                    if self.made.is_over() {
                        let before = memchr_iter(b'\n', &bytes[..at]).count() as u64;
                        return Err(self.too_large(before + 1));
                    }
                    self.output.push(self.made.as_slice(), 1, out)?;
                }
            }
            (at, run, kept) = (end, end, 0);
        }
        self.records += chunk.records();
        if run == 0 && kept == chunk.records() && kept > 0 {
            self.output.forward(chunk, kept, out)?;
            return Ok(Want::More);
        }
        self.output.push(&bytes[run..], kept, out)?;
        if let Some(position) = position {
            self.output.mark(position, out)?;
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.output.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        Ok(self.output.send(out)?)
    }
}
