//! What a writer knows of the bytes that it wrote: their sum, how far the disk has them, and whether it has them right.

use crate::error::{Failure, Kind, Stop};
use crate::flow::Wait;
use crate::platform::{Descriptor, files};
use crate::stage::{Context, Outcome};

use super::super::journal::{Checkpoint, Journal};

/// The sum of all bytes up to where the file has come to.
pub struct Account {
    hasher: blake3::Hasher,
    bytes: u64,
    /// Whether everything is read back in the end.
    verify: bool,
    journal: Option<Journal>,
    /// How many bytes lie between two checkpoints.
    every: u64,
    /// Where the last checkpoint is.
    noted: u64,
}

impl Account {
    /// Bytes of memory for reading back.
    pub const STATE: u64 = BUFFER as u64;

    /// An account of a file that is empty, or goes on where its journal says.
    pub fn new(verify: bool, journal: Option<Journal>, every: u64) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            bytes: 0,
            verify,
            noted: journal.as_ref().map_or(0, |journal| journal.start().bytes),
            journal,
            every,
        }
    }

    /// How many bytes an earlier run has written.
    pub fn resumes_at(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.start().bytes)
    }

    /// Checks what an earlier run has written, and cuts off what no checkpoint speaks of.
    ///
    /// # Errors
    /// If it is not what the journal says.
    pub fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome {
        let Some(journal) = &self.journal else { return Ok(()) };
        let start = journal.start();
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

    /// Takes in what was written.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Notes how far the write has come, if it has come far enough: first the disk has the bytes, then the journal says so.
    ///
    /// # Errors
    /// If either cannot be written.
    pub fn note_if_due(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        if self.bytes - self.noted < self.every {
            return Ok(());
        }
        let _outside = context.meter.wait(Wait::Outside);
        files::fdatasync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        let checkpoint = Checkpoint {
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
        };
        journal
            .note(&checkpoint)
            .map_err(|error| Failure::io(Kind::Sink, "cannot write the journal", error))?;
        self.noted = self.bytes;
        Ok(())
    }

    /// Reads everything back from the disk, where that is wanted.
    ///
    /// # Errors
    /// [`Stop::Failed`] with [`Kind::Integrity`] if it is not what was written.
    pub fn verify(&self, descriptor: &Descriptor, context: &Context) -> Outcome {
        if !self.verify {
            return Ok(());
        }
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
        let why = format!(
            "{count} bytes with the BLAKE3 sum {} instead of {} with {}",
            found.to_hex(),
            self.bytes,
            wrote.to_hex()
        );
        Err(Failure::because(Kind::Integrity, "what was read back is not what was written", why).into())
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
            return Err(Stop::Neighbour);
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

    /// A file of three and a half buffers, and an account of it.
    fn written() -> (Descriptor, Account) {
        let bytes: Vec<u8> = (0..=250).cycle().take(BUFFER * 7 / 2).collect();
        let descriptor = Descriptor::own(tempfile::tempfile().expect("a file")).expect("own");
        let mut account = Account::new(true, None, u64::MAX);
        for piece in bytes.chunks(100_000) {
            descriptor.write(piece).expect("written");
            account.add(piece);
        }
        (descriptor, account)
    }

    #[test]
    fn all_of_it_is_read_back_and_counts_as_motion() {
        let (descriptor, account) = written();
        let context = context();
        account.verify(&descriptor, &context).expect("the same");
        assert_eq!(context.meter.settled(), BUFFER as u64 * 7 / 2);
    }

    #[test]
    fn a_byte_more_or_less_or_another_one_is_found() {
        let (descriptor, account) = written();
        let size = account.bytes;
        let last = u8::try_from((size - 1) % 251).expect("below 251");
        let differs = || match account.verify(&descriptor, &context()) {
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
        let (descriptor, account) = written();
        let context = context();
        context.cancel.trip();
        assert!(matches!(account.verify(&descriptor, &context), Err(Stop::Neighbour)));
        assert_eq!(context.meter.settled(), 0);
    }
}
