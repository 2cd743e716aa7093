//! What a writer knows of the bytes that it wrote: their sum, how far the disk has them, and whether it has them right.

use std::sync::Arc;

use crate::error::{Failure, Kind, Stop};
use crate::flow::Wait;
use crate::platform::{Descriptor, files};
use crate::stage::{Context, Outcome, Verify};

use super::super::revocable::Revocable;
use super::journal::{Checkpoint, Journal};
use super::partial::Partial;

/// The sum of all bytes up to where the file has come to.
pub struct Verifier {
    hasher: blake3::Hasher,
    bytes: u64,
    /// Whether everything is read back in the end.
    reads_back: bool,
    resumed: Option<Resumed>,
    /// Where the last checkpoint is.
    noted: u64,
}

/// What is known of a file that another run may resume.
pub struct Resumed {
    pub journal: Journal,
    /// How many bytes lie between two checkpoints.
    pub every: u64,
    /// What is removed if it proves wrong.
    pub partial: Arc<Revocable<Partial>>,
}

impl Verifier {
    /// Bytes of memory for reading back.
    pub const STATE: u64 = BUFFER as u64;

    /// Of a file that is empty, or goes on where its journal says.
    pub fn new(reads_back: bool, resumed: Option<Resumed>) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            bytes: 0,
            reads_back,
            noted: resumed.as_ref().map_or(0, |resumed| resumed.journal.start().bytes),
            resumed,
        }
    }

    /// Reads everything back from the disk, and compares.
    fn read_back(&self, descriptor: &Descriptor, context: &Context) -> Outcome {
        files::fsync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        files::drop_cached(descriptor);
        let mut hasher = blake3::Hasher::new();
        let mut count = 0;
        read(descriptor, u64::MAX, context, |bytes| {
            hasher.update(bytes);
            count += bytes.len() as u64;
        })?;
        let (wrote, found) = (self.hasher.finalize(), hasher.finalize());
        if wrote == found {
            return Ok(());
        }
        if let Some(resumed) = &self.resumed
            && let Err(more) = resumed.partial.roll_back_now().and_then(|()| resumed.partial.reject())
        {
            tracing::error!("{more}");
        }
        let why = format!(
            "{count} bytes with the BLAKE3 sum {} instead of {} with {}",
            found.to_hex(),
            self.bytes,
            wrote.to_hex()
        );
        Err(Failure::because(Kind::Integrity, "what was read back is not what was written", why).into())
    }
}

impl Verify for Verifier {
    fn resumes_at(&self) -> u64 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.journal.start().bytes)
    }

    /// Also cuts off what no checkpoint speaks of.
    fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        let Some(resumed) = &self.resumed else { return Ok(()) };
        let start = resumed.journal.start();
        self.bytes = start.bytes;
        read(descriptor, start.bytes, context, |bytes| {
            self.hasher.update(bytes);
        })?;
        let found = self.hasher.finalize().to_hex();
        if found.as_str() != start.blake3 {
            let why = format!(
                "its first {} bytes have the sum {found}, and the journal says {}; remove both to start over",
                start.bytes, start.blake3
            );
            return Err(Failure::because(Kind::Integrity, "cannot go on with the part", why).into());
        }
        let cut = files::ftruncate(descriptor, start.bytes)
            .and_then(|()| files::seek(descriptor, rustix::fs::SeekFrom::Start(start.bytes)));
        cut.map_err(|error| Failure::io(Kind::Sink, "cannot go on with the part", error))?;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Notes how far the write has come, if it has come far enough: first the disk has the bytes, then the journal says so.
    fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure> {
        let Some(resumed) = &mut self.resumed else {
            return Ok(());
        };
        if self.bytes - self.noted < resumed.every {
            return Ok(());
        }
        let _outside = context.meter.wait(Wait::Outside);
        files::fdatasync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        let checkpoint = Checkpoint {
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
        };
        let noted = resumed.journal.note(&checkpoint);
        noted.map_err(|error| Failure::io(Kind::Sink, "cannot write the journal", error))?;
        self.noted = self.bytes;
        Ok(())
    }

    fn verify(&self, descriptor: &Descriptor, context: &Context) -> Outcome {
        if self.reads_back {
            self.read_back(descriptor, context)?;
        }
        Ok(())
    }
}

/// Enough for a disk to be read at its speed.
const BUFFER: usize = 128 << 10;

/// Shows the first `length` bytes of a file, or as many as it has, from beginning to end.
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

    /// A file of three and a half buffers, and an verifier of it.
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
    fn all_of_it_is_read_back_and_counts_as_motion() {
        let (descriptor, verifier) = written();
        let context = context();
        verifier.verify(&descriptor, &context).expect("the same");
        assert_eq!(context.meter.settled(), BUFFER as u64 * 7 / 2);
    }

    #[test]
    fn a_byte_more_or_less_or_another_one_is_found() {
        let (descriptor, verifier) = written();
        let size = verifier.bytes;
        let last = u8::try_from((size - 1) % 251).expect("below 251");
        let differs = || match verifier.verify(&descriptor, &context()) {
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
    fn reading_back_ends_when_the_stage_is_told_to_stop() {
        let (descriptor, verifier) = written();
        let context = context();
        context.cancel.trip();
        assert!(matches!(verifier.verify(&descriptor, &context), Err(Stop::PeerClosed)));
        assert_eq!(context.meter.settled(), 0);
    }
}
