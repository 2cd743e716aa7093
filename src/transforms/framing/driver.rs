//! Runs a framer on chunks.

use memchr::memchr;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Outlet, Position};
use crate::records::{Framer, Record, Step};
use crate::stage::{Context, Outcome, RecordOutput, Transform, Want};

use super::faults::{Faults, Policy};

/// Finds records in chunks. A chunk that only has whole records passes on without a copy.
pub struct Framing<F> {
    framer: F,
    /// Bytes of the largest record, with its newline.
    limit: usize,
    faults: Faults,
    /// The beginning of a record that its chunk has cut; never more than `limit` bytes.
    cut: Vec<u8>,
    /// Whether a dropped record goes on.
    is_dropping: bool,
    made: Record,
    output: RecordOutput,
    /// The offset in the stream of the next byte that belongs to no record yet.
    offset: u64,
    /// The last position that came, if the records up to it were not all sent.
    position: Option<Position>,
}

/// How far the records of a slice were found.
struct Found {
    /// The bytes that belong to records, or to none.
    used: usize,
    /// The records from `run` to `used`, which were not sent: they stand there as they have to be.
    run: usize,
    records: u64,
}

impl<F: Framer> Framing<F> {
    /// A driver for records of at most `limit` bytes.
    pub fn new(framer: F, limit: usize, policy: Policy, context: &Context) -> Self {
        Self {
            framer,
            limit,
            faults: Faults::new(policy, context),
            cut: Vec::new(),
            is_dropping: false,
            made: Record::new(limit),
            output: RecordOutput::default(),
            offset: 0,
            position: None,
        }
    }

    /// Finds records in `bytes` until they are used up, or `stops` says so for the number of bytes that are left.
    fn find(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        stops: impl Fn(usize) -> bool,
        out: &mut Outlet,
    ) -> Result<Found, Stop> {
        let mut found = Found {
            used: 0,
            run: 0,
            records: 0,
        };
        while found.used < bytes.len() && !stops(bytes.len() - found.used) {
            let rest = &bytes[found.used..];
            self.made.clear();
            let used = match self.framer.step(rest, is_last, &mut self.made) {
                Step::Kept { end, records } if records > 1 || end <= self.limit => {
                    self.faults.count(records);
                    found.used += end;
                    found.records += records;
                    self.offset += end as u64;
                    continue;
                }
                Step::Made { end } if !self.made.is_over() => {
                    self.send_run(bytes, &found, out)?;
                    self.faults.count(1);
                    self.output.push(self.made.as_slice(), 1, out)?;
                    end
                }
                Step::Skipped { end } => {
                    self.send_run(bytes, &found, out)?;
                    end
                }
                Step::Incomplete if rest.len() < self.limit => break,
                step => {
                    self.send_run(bytes, &found, out)?;
                    self.refuse(&step, rest)?
                }
            };
            found.used += used;
            found.run = found.used;
            found.records = 0;
            self.offset += used as u64;
        }
        Ok(found)
    }

    fn send_run(&mut self, bytes: &[u8], found: &Found, out: &mut Outlet) -> Outcome {
        let run = &bytes[found.run..found.used];
        Ok(self.output.push(run, found.records, out)?)
    }

    /// Drops the record that begins `rest`; returns the number of bytes that it has there.
    fn refuse(&mut self, step: &Step, rest: &[u8]) -> Result<usize, Stop> {
        match step {
            Step::Bad(fault) => self.faults.bad(fault, self.offset)?,
            _ => self.faults.long(self.limit, self.offset)?,
        }
        self.framer.restart();
        self.drop_to_end(rest)
    }

    fn drop_to_end(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let end = self.framer.skip(bytes);
        self.is_dropping = end.is_none();
        let used = end.unwrap_or(bytes.len());
        self.faults.keep(&bytes[..used])?;
        Ok(used)
    }

    /// Drops what `bytes` have of a dropped record; returns their number.
    fn drop_rest(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        if !self.is_dropping {
            return Ok(0);
        }
        let used = self.drop_to_end(bytes)?;
        self.offset += used as u64;
        Ok(used)
    }

    /// Completes the record that was cut with the beginning of `bytes`; returns the number of bytes that it took.
    fn complete(&mut self, bytes: &[u8], out: &mut Outlet) -> Result<usize, Stop> {
        let mut used = self.drop_rest(bytes)?;
        while !self.cut.is_empty() && used < bytes.len() {
            let rest = &bytes[used..];
            let line = memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
            let added = line.min(self.limit - self.cut.len());
            self.hold(&rest[..added]);
            used += added;
            let held = std::mem::take(&mut self.cut);
            // Records that begin in `bytes` are found there.
            let found = self.find(&held, false, |left| left <= added, out);
            let sent = found.and_then(|found| {
                self.send_run(&held, &found, out)?;
                Ok(found.used)
            });
            self.cut = held;
            let taken = sent?;
            let left = self.cut.len() - taken;
            if taken > 0 && left <= added {
                self.cut.clear();
                used -= left;
            } else {
                self.cut.drain(..taken);
            }
            used += self.drop_rest(&bytes[used..])?;
        }
        Ok(used)
    }

    /// Holds bytes of a record that is not complete, in no more memory than the largest record needs.
    fn hold(&mut self, bytes: &[u8]) {
        let needed = self.cut.len() + bytes.len();
        if needed > self.cut.capacity() {
            let capacity = needed.next_power_of_two().min(self.limit).max(needed);
            self.cut.reserve_exact(capacity - self.cut.len());
        }
        self.cut.extend_from_slice(bytes);
    }
}

impl<F: Framer> Transform for Framing<F> {
    fn transform(&mut self, mut chunk: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        self.position = chunk.position().or(self.position);
        let completed = self.complete(chunk.as_slice(), out)?;
        let bytes = &chunk.as_slice()[completed..];
        let found = self.find(bytes, false, |_| false, out)?;
        self.hold(&bytes[found.used..]);
        if found.run == 0 && found.records > 0 {
            let end = completed + found.used;
            chunk.truncate(end);
            chunk.advance(completed);
            self.position.take_if(|_| chunk.position().is_some());
            self.output.forward(chunk, found.records, out)?;
        } else {
            self.send_run(bytes, &found, out)?;
        }
        if self.cut.is_empty()
            && !self.is_dropping
            && let Some(position) = self.position.take()
        {
            self.output.mark(position, out)?;
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.output.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        let rest = std::mem::take(&mut self.cut);
        let found = self.find(&rest, true, |_| false, out)?;
        self.send_run(&rest, &found, out)?;
        if let Err(why) = self.framer.finish() {
            let why = format!("{why} (at byte {})", self.offset);
            return Err(Failure::because(Kind::Corrupt, "cannot read the input", why).into());
        }
        if let Some(position) = self.position.take() {
            self.output.mark(position, out)?;
        }
        self.faults.finish()?;
        Ok(self.output.send(out)?)
    }
}
