//! Checks written bytes: their checksum, how many of them the disk has, and whether it has them right.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Position, Wait};
use crate::platform::{Descriptor, files};
use crate::stage::{Context, Outcome, ResumePoint, SavedStates, Verify};

use super::super::journal::Journal;
use super::super::revocable::Revocable;
use super::noter::Noter;
use super::partial::Partial;

/// The checksum of all bytes written so far.
pub struct Verifier {
    hasher: Hasher,
    bytes: u64,
    /// Whether the whole file is read back at the end.
    reads_back: bool,
    resumed: Option<Resumed>,
}

/// The number of leading bytes that are on the disk, with their checksum, and where the stages were then. It pairs a
/// position in the source with one in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of bytes.
    pub bytes: u64,
    /// Their XXH3 checksum of 128 bits, in hexadecimal: it finds accidents, and costs next to nothing.
    pub xxh3: String,
    /// The number of bytes of the source that they stand for.
    pub source: u64,
    /// The states of the stages that have one, from the first to the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Vec<u8>>,
}

impl Checkpoint {
    /// That of an empty file.
    pub fn none() -> Self {
        Self {
            bytes: 0,
            xxh3: hex(&Hasher::new()),
            source: 0,
            states: Vec::new(),
        }
    }

    /// How far it is.
    pub fn point(&self) -> ResumePoint {
        ResumePoint {
            read: self.source,
            written: self.bytes,
        }
    }
}

/// The state of a file that a later run may resume.
pub struct Resumed {
    /// Until the first checkpoint is noted.
    pub journal: Option<Journal<Checkpoint>>,
    /// Notes checkpoints, from the first on.
    pub noter: Option<Noter>,
    /// The checkpoint at which this run begins.
    pub start: Checkpoint,
    /// How far the last checkpoint is that is noted, or is being noted.
    pub last: ResumePoint,
    /// The most bytes that are read or written behind the last checkpoint that is noted.
    pub every: u64,
    /// The states of the stages.
    pub states: Vec<Arc<SavedStates>>,
    /// The checkpoint that is noted next.
    pub due: Option<Checkpoint>,
    /// Removed if the file proves wrong.
    pub partial: Arc<Revocable<Partial>>,
}

impl Verifier {
    /// The memory for reading back, in bytes.
    pub const STATE: u64 = BUFFER as u64;

    /// Starts with an empty file, or where the journal ends.
    pub fn new(reads_back: bool, resumed: Option<Resumed>) -> Self {
        Self {
            hasher: Hasher::new(),
            bytes: 0,
            reads_back,
            resumed,
        }
    }

    /// Reads the whole file back from the disk, and compares.
    fn read_back(&self, descriptor: &Descriptor, context: &Context) -> Outcome {
        files::fsync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        files::drop_cached(descriptor);
        let mut hasher = Hasher::new();
        let mut count = 0;
        read(descriptor, u64::MAX, context, |bytes| {
            hasher.write(bytes);
            count += bytes.len() as u64;
        })?;
        let (wrote, found) = (hex(&self.hasher), hex(&hasher));
        if wrote == found {
            return Ok(());
        }
        if let Some(resumed) = &self.resumed
            && let Err(more) = resumed.partial.roll_back_now().and_then(|()| resumed.partial.reject())
        {
            tracing::error!("{more}");
        }
        let why = format!(
            "{count} bytes with the XXH3 sum {found} instead of {} with {wrote}",
            self.bytes,
        );
        Err(Failure::because(Kind::Integrity, "what was read back is not what was written", why).into())
    }
}

impl Verify for Verifier {
    fn resumes_at(&self) -> ResumePoint {
        self.resumed
            .as_ref()
            .map_or_else(ResumePoint::default, |resumed| resumed.last)
    }

    /// Also cuts off what is behind the last checkpoint.
    fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        let Some(resumed) = &self.resumed else { return Ok(()) };
        let start = &resumed.start;
        self.bytes = start.bytes;
        read(descriptor, start.bytes, context, |bytes| {
            self.hasher.write(bytes);
        })?;
        let found = hex(&self.hasher);
        if found != start.xxh3 {
            let why = format!(
                "its first {} bytes have the sum {found}, and the journal says {}; remove both to start over",
                start.bytes, start.xxh3
            );
            return Err(Failure::because(Kind::Integrity, "cannot go on with the part", why).into());
        }
        let cut = files::ftruncate(descriptor, start.bytes)
            .and_then(|()| files::seek(descriptor, rustix::fs::SeekFrom::Start(start.bytes)));
        cut.map_err(|error| Failure::io(Kind::Sink, "cannot go on with the part", error))?;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.write(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// A checkpoint is due once enough was read or written, and the state of every stage is known.
    fn reach(&mut self, position: Position) {
        let Some(resumed) = &mut self.resumed else { return };
        // All of them are asked, so that each drops what is not needed any more.
        let states: Vec<_> = resumed.states.iter().map(|saved| saved.at(position)).collect();
        let source = u64::try_from(position.0).unwrap_or(u64::MAX);
        let last = resumed.last;
        // While one checkpoint is noted, as much is written as leads to the next.
        let step = resumed.every.div_ceil(2);
        if self.bytes - last.written < step && source.saturating_sub(last.read) < step {
            return;
        }
        if let Some(states) = states.into_iter().collect() {
            resumed.due = Some(Checkpoint {
                bytes: self.bytes,
                xxh3: hex(&self.hasher),
                source,
                states,
            });
        }
    }

    /// Lets the checkpoint that is due be noted, once the one before it is.
    fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure> {
        let Some(resumed) = &mut self.resumed else {
            return Ok(());
        };
        let Some(checkpoint) = resumed.due.take() else {
            return Ok(());
        };
        if let Some(journal) = resumed.journal.take() {
            let file = files::duplicate(descriptor);
            let file = file.map_err(|error| Failure::io(Kind::Resources, "cannot keep a journal", error))?;
            resumed.noter = Some(Noter::start(file, journal)?);
        }
        if let Some(noter) = &mut resumed.noter {
            let _outside = context.meter.wait(Wait::Outside);
            noter.wait()?;
            resumed.last = checkpoint.point();
            noter.submit(checkpoint);
        }
        Ok(())
    }

    fn verify(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        if let Some(noter) = self.resumed.as_mut().and_then(|resumed| resumed.noter.as_mut()) {
            let _outside = context.meter.wait(Wait::Outside);
            noter.wait()?;
        }
        if self.reads_back {
            self.read_back(descriptor, context)?;
        }
        Ok(())
    }
}

/// The checksum, in hexadecimal.
fn hex(hasher: &Hasher) -> String {
    format!("{:032x}", hasher.finish_128())
}

/// Large enough to read a disk at its full rate.
const BUFFER: usize = 128 << 10;

/// Passes the first `length` bytes of a file, or as many as it has, to `look`.
fn read(descriptor: &Descriptor, length: u64, context: &Context, mut look: impl FnMut(&[u8])) -> Outcome {
    let mut buffer = vec![0; BUFFER];
    let mut offset = 0;
    while offset < length {
        if context.cancel.is_tripped() {
            return Err(Stop::PeerClosed);
        }
        let wanted = usize::try_from(length - offset).map_or(BUFFER, |left| left.min(BUFFER));
        let count = {
            let _outside = context.meter.wait(Wait::Outside);
            files::pread(descriptor, &mut buffer[..wanted], offset)
                .map_err(|error| Failure::io(Kind::Sink, "cannot read it back", error))?
        };
        if count == 0 {
            break;
        }
        look(&buffer[..count]);
        context.meter.add_settled(count as u64);
        offset += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::flow::StageMeter;
    use crate::stage::Budget;

    fn context() -> Context {
        Context {
            budget: Arc::new(Budget::new(1 << 20, 0, true)),
            ..Context::detached(Arc::new(StageMeter::new(Instant::now())))
        }
    }

    /// A file of three and a half buffers, and a verifier of it.
    fn written() -> (Descriptor, Verifier) {
        let bytes: Vec<u8> = (0..=250).cycle().take(BUFFER * 7 / 2).collect();
        let descriptor = Descriptor::own(tempfile::tempfile().expect("a file")).expect("own");
        let mut verifier = Verifier::new(true, None);
        for piece in bytes.chunks(100_000) {
            descriptor.write(piece).expect("written");
            verifier.add(piece);
        }
        (descriptor, verifier)
    }

    #[test]
    fn reading_back_counts_as_motion() {
        let (descriptor, mut verifier) = written();
        let context = context();
        verifier.verify(&descriptor, &context).expect("the same");
        assert_eq!(context.meter.settled(), BUFFER as u64 * 7 / 2);
    }

    #[test]
    fn any_differing_byte_is_found() {
        let (descriptor, mut verifier) = written();
        let size = verifier.bytes;
        let last = u8::try_from((size - 1) % 251).expect("below 251");
        let mut differs = || match verifier.verify(&descriptor, &context()) {
            Err(Stop::Failed(failure)) => failure.kind() == Kind::Integrity,
            _ => false,
        };
        assert!(!differs());
        rustix::fs::ftruncate(&descriptor, size - 1).expect("cut");
        assert!(differs());
        rustix::io::pwrite(&descriptor, &[last], size - 1).expect("mended");
        assert!(!differs());
        rustix::io::pwrite(&descriptor, b"+", size).expect("longer");
        assert!(differs());
        rustix::fs::ftruncate(&descriptor, size).expect("mended");
        rustix::io::pwrite(&descriptor, b"?", BUFFER as u64).expect("changed");
        assert!(differs());
    }

    #[test]
    fn cancel_ends_reading_back() {
        let (descriptor, mut verifier) = written();
        let context = context();
        context.cancel.trip();
        assert!(matches!(verifier.verify(&descriptor, &context), Err(Stop::PeerClosed)));
        assert_eq!(context.meter.settled(), 0);
    }
}
