//! Checks written bytes: whether the disk has them right, and how many of them a later run can count on.

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Position, Wait};
use crate::platform::{Descriptor, files};
use crate::stage::{Context, Outcome, ResumePoint, Verify};

use super::resumed::Resumed;

/// The checks of one file.
pub struct Verifier {
    /// The checksum of all bytes, if the whole file is read back at the end.
    hasher: Option<blake3::Hasher>,
    bytes: u64,
    resumed: Option<Resumed>,
}

impl Verifier {
    /// The memory for reading back, in bytes.
    pub const STATE: u64 = BUFFER as u64;

    /// Starts with an empty file, or where the journal ends.
    pub fn new(reads_back: bool, resumed: Option<Resumed>) -> Self {
        Self {
            hasher: reads_back.then(blake3::Hasher::new),
            bytes: 0,
            resumed,
        }
    }

    /// Reads the whole file back from the disk, and compares it with what was written.
    fn read_back(&self, wrote: blake3::Hash, descriptor: &Descriptor, context: &Context) -> Outcome {
        files::fsync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        files::drop_cached(descriptor);
        let mut hasher = blake3::Hasher::new();
        let mut count = 0;
        read(descriptor, u64::MAX, context, |bytes| {
            hasher.update(bytes);
            count += bytes.len() as u64;
        })?;
        let found = hasher.finalize();
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
    fn resumes_at(&self) -> ResumePoint {
        self.resumed
            .as_ref()
            .map_or_else(ResumePoint::default, |resumed| resumed.start.point())
    }

    /// Also cuts off what is behind the last checkpoint.
    fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        let length = self.resumes_at().written;
        read(descriptor, length, context, |bytes| self.add(bytes))?;
        let Some(resumed) = &self.resumed else { return Ok(()) };
        resumed.check_start()?;
        let cut = files::ftruncate(descriptor, length)
            .and_then(|()| files::seek(descriptor, rustix::fs::SeekFrom::Start(length)));
        cut.map_err(|error| Failure::io(Kind::Sink, "cannot go on with the part", error))?;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some(resumed) = &mut self.resumed {
            resumed.add(bytes);
        }
        self.bytes += bytes.len() as u64;
    }

    fn reach(&mut self, position: Position) {
        if let Some(resumed) = &mut self.resumed {
            resumed.reach(position);
        }
    }

    fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure> {
        self.resumed
            .as_mut()
            .map_or(Ok(()), |resumed| resumed.note(descriptor, context))
    }

    fn verify(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        if let Some(resumed) = &mut self.resumed {
            resumed.wait(context)?;
        }
        if let Some(hasher) = &self.hasher {
            self.read_back(hasher.finalize(), descriptor, context)?;
        }
        Ok(())
    }
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
