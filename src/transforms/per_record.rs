//! The driver of stages that treat each record on its own.

use memchr::memchr;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Outlet};
use crate::grammar::human_size;
use crate::graph::Port;
use crate::records::Record;
use crate::stage::{
    Conversion, MemoryUse, Mismatch, OnThread, Outcome, RecordBound, RecordOutput, RecordRoom, Stage, Transform,
    TransformPlan, Want,
};

/// A stage that treats each record on its own, and keeps nothing of it.
pub trait PerRecord: Send + 'static {
    /// Decides about one record, which comes without its newline. A record in its place is written to `made`, which is
    /// empty, without a newline, too.
    fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict;
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
    /// Whether it writes records anew.
    rewrites: bool,
    /// Bytes of the largest record, once that is known.
    largest: u64,
}

impl<T: PerRecord> PerRecordPlan<T> {
    /// The plan of a stage that only drops records.
    pub fn filter(stage: T, takes: Takes) -> Box<dyn TransformPlan> {
        Box::new(Self {
            stage,
            takes,
            rewrites: false,
            largest: 0,
        })
    }

    /// The plan of a stage that writes records anew.
    pub fn rewrite(stage: T, takes: Takes) -> Box<dyn TransformPlan> {
        Box::new(Self {
            stage,
            takes,
            rewrites: true,
            largest: 0,
        })
    }
}

impl<T: PerRecord> TransformPlan for PerRecordPlan<T> {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        let limit = usize::try_from(self.largest).unwrap_or(usize::MAX);
        Box::new(OnThread(move |_: &_| Running::new(self.stage, limit)))
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            held: u64::from(self.rewrites),
        })
    }

    fn set_largest_record(&mut self, bytes: u64) {
        self.largest = bytes;
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }
}

impl<T: PerRecord> MemoryUse for PerRecordPlan<T> {
    fn state_bytes(&self) -> u64 {
        u64::from(self.rewrites) * self.largest
    }
}

impl<T: PerRecord> Conversion for PerRecordPlan<T> {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        match (self.takes, input) {
            (_, Port::Json) | (Takes::Lines, Port::Lines) => Ok(input),
            (Takes::Json, _) => Err(Mismatch {
                takes: Port::Json,
                through: &["from-json", "from-csv"],
            }),
            (Takes::Lines, _) => Err(Mismatch {
                takes: Port::Lines,
                through: &["lines", "from-json", "from-csv"],
            }),
        }
    }
}

/// A running stage.
pub struct Running<T> {
    stage: T,
    /// Bytes of the largest record, with its newline.
    limit: usize,
    made: Record,
    output: RecordOutput,
    /// Records so far.
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

    fn too_large(&self) -> Stop {
        let limit = human_size(self.limit as u64);
        let why = format!("it grows above {limit}, which max-record= can raise");
        Failure::because(Kind::Limit, format!("cannot change record {}", self.records), why).into()
    }
}

impl<T: PerRecord> Transform for Running<T> {
    fn transform(&mut self, chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        let (bytes, position) = (chunk.as_slice(), chunk.position());
        // The records from `run` on are kept, and not sent yet.
        let (mut at, mut run, mut kept) = (0, 0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let end = (at + length + 1).min(bytes.len());
            self.records += 1;
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
                        return Err(self.too_large());
                    }
                    self.output.push(self.made.as_slice(), 1, out)?;
                }
            }
            (at, run, kept) = (end, end, 0);
        }
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
