//! The checkpoints of a file that a later run may continue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Failure, Kind};
use crate::flow::{Position, Wait};
use crate::platform::{Descriptor, files};
use crate::stage::{Context, ResumePoint, Rollback, SavedStates};

use super::super::journal::Journal;
use super::super::revocable::Revocable;
use super::noter::Noter;
use super::partial::Partial;

/// The number of leading bytes that are on the disk, with their checksum, and where the stages were then. It pairs a
/// position in the source with one in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of bytes.
    pub bytes: u64,
    /// Their CRC-32C: it finds accidents, and costs little beside a copy.
    pub crc32c: u32,
    /// The number of bytes of the source that they stand for.
    pub source: u64,
    /// The states of the stages that have one, from the first to the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Vec<u8>>,
}

impl Checkpoint {
    /// How far it is.
    pub fn point(&self) -> ResumePoint {
        ResumePoint {
            read: self.source,
            written: self.bytes,
        }
    }
}

/// The longest time between two checkpoints while bytes are written.
const INTERVAL: Duration = Duration::from_secs(5);

/// Tells when the next checkpoint is due.
struct Pace {
    /// How far the last checkpoint is that is noted, or is being noted.
    last: ResumePoint,
    /// When that was.
    since: Instant,
    /// How many bytes are read or written between two checkpoints.
    step: u64,
}

impl Pace {
    /// Whether so much was read or written since the last one, or so long ago was it, that `point` is due.
    fn is_due(&self, point: ResumePoint, now: Instant) -> bool {
        let is_far = |now: u64, last: u64| now.saturating_sub(last) >= self.step;
        is_far(point.written, self.last.written)
            || is_far(point.read, self.last.read)
            || now.saturating_duration_since(self.since) >= INTERVAL
    }
}

/// What is written of a file that a later run may continue.
pub struct Resumed {
    /// The checkpoint at which this run begins.
    pub start: Checkpoint,
    /// Removed if the file proves wrong.
    pub partial: Arc<Revocable<Partial>>,
    /// The number of bytes so far, and their checksum.
    bytes: u64,
    crc32c: u32,
    /// Until the first checkpoint is noted.
    journal: Option<Journal<Checkpoint>>,
    /// Notes checkpoints, from the first on.
    noter: Option<Noter>,
    pace: Pace,
    /// The checkpoint that is noted next.
    due: Option<Checkpoint>,
    /// The states of the stages.
    states: Vec<Arc<SavedStates>>,
}

impl Resumed {
    /// Starts behind a checkpoint. At most `every` bytes are read or written behind the last one that is noted.
    pub fn new(
        start: Checkpoint,
        journal: Journal<Checkpoint>,
        every: u64,
        states: Vec<Arc<SavedStates>>,
        partial: Arc<Revocable<Partial>>,
    ) -> Self {
        Self {
            pace: Pace {
                last: start.point(),
                since: Instant::now(),
                // While one checkpoint is noted, as much is written as leads to the next.
                step: every.div_ceil(2),
            },
            start,
            partial,
            bytes: 0,
            crc32c: 0,
            journal: Some(journal),
            noter: None,
            due: None,
            states,
        }
    }

    /// Adds bytes that were written, now or by an earlier run.
    pub fn add(&mut self, bytes: &[u8]) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Checks that the bytes so far are those of the first checkpoint.
    ///
    /// # Errors
    /// If they are not.
    pub fn check_start(&self) -> Result<(), Failure> {
        let Checkpoint { bytes, crc32c, .. } = self.start;
        if (self.bytes, self.crc32c) == (bytes, crc32c) {
            return Ok(());
        }
        let why = format!(
            "its first {bytes} bytes have the sum {:08x}, and the journal says {crc32c:08x}; remove {} to start over",
            self.crc32c,
            self.partial.name()
        );
        Err(Failure::because(Kind::Integrity, "cannot go on with the part", why))
    }

    /// Told that all bytes up to a position of the source were added, and no others. A checkpoint is due once enough was
    /// read or written or enough time has passed, and the state of every stage is known.
    pub fn reach(&mut self, position: Position) {
        // All of them are asked, so that each drops what is not needed any more.
        let states: Vec<_> = self.states.iter().map(|saved| saved.at(position)).collect();
        let source = u64::try_from(position.0).unwrap_or(u64::MAX);
        let point = ResumePoint {
            read: source,
            written: self.bytes,
        };
        if !self.pace.is_due(point, Instant::now()) {
            return;
        }
        if let Some(states) = states.into_iter().collect() {
            self.due = Some(Checkpoint {
                bytes: self.bytes,
                crc32c: self.crc32c,
                source,
                states,
            });
        }
    }

    /// Lets the checkpoint that is due be noted, once the one before it is.
    ///
    /// # Errors
    /// If that one could not be noted.
    pub fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure> {
        let Some(checkpoint) = self.due.take() else {
            return Ok(());
        };
        if let Some(journal) = self.journal.take() {
            let file = files::duplicate(descriptor);
            let file = file.map_err(|error| Failure::io(Kind::Resources, "cannot keep a journal", error))?;
            self.noter = Some(Noter::start(file, journal)?);
        }
        self.wait(context)?;
        if let Some(noter) = &mut self.noter {
            (self.pace.last, self.pace.since) = (checkpoint.point(), Instant::now());
            noter.submit(checkpoint);
        }
        Ok(())
    }

    /// Waits until the last checkpoint is noted.
    ///
    /// # Errors
    /// If it could not be.
    pub fn wait(&mut self, context: &Context) -> Result<(), Failure> {
        let _outside = context.meter.wait(Wait::Outside);
        self.noter.as_mut().map_or(Ok(()), Noter::wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_is_due_by_bytes_or_time() {
        let point = |read, written| ResumePoint { read, written };
        let since = Instant::now();
        let pace = Pace {
            last: point(100, 50),
            since,
            step: 10,
        };
        let just_before = since + INTERVAL.saturating_sub(Duration::from_nanos(1));
        assert!(!pace.is_due(point(109, 59), just_before));
        assert!(pace.is_due(point(110, 59), since));
        assert!(pace.is_due(point(109, 60), since));
        assert!(pace.is_due(point(101, 51), since + INTERVAL));
    }
}
