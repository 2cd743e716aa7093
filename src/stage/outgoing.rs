//! Open places to write to that are descriptors.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, StageMeter, Wait};
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken};

use super::batch::Batch;
use super::holes;
use super::writeback::Writeback;
use super::{Cancel, Context, Outcome, Phase, Rollback};

/// How a place can have holes, which read as zeros and take no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// Not at all.
    None,
    /// By making the file longer: nobody else writes to it.
    Grow,
    /// By giving back the room of zeros that were written: others may write to the same file, but not at its offset.
    Punch,
}

/// The end of a successful write.
pub trait Commit: Send {
    /// Whether something is left to commit once all is prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// Makes what was written safe where it is, short of what can still be rolled back.
    fn prepare(&mut self, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        let _ = (descriptor, alarm);
        Ok(())
    }
    /// Makes what was written and prepared complete and durable.
    fn commit(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome;
    /// Where to count what a peer takes meanwhile, so that it is seen to move.
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        let _ = meter;
    }
    /// How holes can be left in it.
    fn holes(&self) -> Holes {
        Holes::None
    }
    /// So many more bytes were written.
    fn wrote(&self, count: u64) {
        let _ = count;
    }
    /// Whether the commit waits until the disk has everything.
    fn is_durable(&self) -> bool {
        false
    }
    /// How to roll back what was done.
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        None
    }
}

/// What has to be known of every byte that is written.
pub trait Verify: Send {
    /// How many bytes an earlier run has written.
    fn resumes_at(&self) -> u64 {
        0
    }
    /// Checks what an earlier run has written.
    fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome;
    /// Takes in what was written.
    fn add(&mut self, bytes: &[u8]);
    /// A piece was written whole.
    fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure>;
    /// All is written: checks it.
    fn verify(&self, descriptor: &Descriptor, context: &Context) -> Outcome;
}

/// An open descriptor to write to.
pub struct Outgoing {
    descriptor: Arc<Descriptor>,
    /// What makes the bytes complete and durable there; `None` once that has begun.
    commit: Option<Box<dyn Commit>>,
    writeback: Writeback,
    /// Bytes that were written, those of an earlier run included.
    written: u64,
    /// Which error a peer that left is.
    pub reader_left: Kind,
    /// What is to be known of the bytes.
    pub verify: Option<Box<dyn Verify>>,
    /// How zeros are left out where the bytes pass through a link.
    pub holes: Holes,
    /// Whether the bytes need not be seen here.
    pub is_direct: bool,
}

impl Outgoing {
    /// One whose bytes need not be seen.
    #[must_use]
    pub fn new(descriptor: Descriptor, commit: Box<dyn Commit>) -> Self {
        Self {
            descriptor: Arc::new(descriptor),
            writeback: Writeback::new(commit.is_durable()),
            commit: Some(commit),
            written: 0,
            reader_left: Kind::Sink,
            verify: None,
            holes: Holes::None,
            is_direct: true,
        }
    }

    /// What is written to.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// How holes could be left in it.
    #[must_use]
    pub fn possible_holes(&self) -> Holes {
        self.commit.as_ref().map_or(Holes::None, |commit| commit.holes())
    }

    /// Whether its commit waits until the disk has everything.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.commit.as_ref().is_some_and(|commit| commit.is_durable())
    }

    /// When it commits.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.commit.as_ref().map_or(Phase::Drained, |commit| commit.phase())
    }

    /// How to roll back what was done, until the commit begins.
    #[must_use]
    pub fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        self.commit.as_ref()?.rollback()
    }

    /// Where in the stream it goes on: how many bytes an earlier run has written.
    #[must_use]
    pub fn resumes_at(&self) -> u64 {
        self.verify.as_ref().map_or(0, |verify| verify.resumes_at())
    }

    /// Writes as much as there is room for with `write`, and counts it.
    pub fn write(
        &mut self,
        context: &Context,
        write: impl FnOnce(&Descriptor) -> io::Result<Transfer>,
    ) -> Result<Transfer, Failure> {
        let transfer = {
            // A disk's wait cannot be told from its work: all of the call counts as one.
            let _outside = (self.descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
            write(&self.descriptor)
        };
        let transfer = transfer.map_err(|error| self.failed(error))?;
        if let Transfer::Bytes(count) = transfer {
            self.took(count as u64, context);
        }
        Ok(transfer)
    }

    /// Counts what it took.
    pub fn took(&mut self, count: u64, context: &Context) {
        self.written += count;
        context.meter.add_out(count);
        self.writeback.wrote(&self.descriptor, count);
        if let Some(commit) = &self.commit {
            commit.wrote(count);
        }
    }

    /// Waits until there is room.
    pub fn wait(&self, context: &Context) -> Outcome {
        let _outside = context.meter.wait(Wait::Outside);
        let woken = self.descriptor.wait(Interest::Write, context.cancel.alarm()?);
        match woken.map_err(|error| self.failed(error))? {
            Woken::Alarm => Err(Stop::PeerClosed),
            Woken::Ready | Woken::TimedOut => Ok(()),
        }
    }

    /// All bytes are written: makes them complete and durable, when it is its turn.
    pub fn commit(&mut self, context: &Context) -> Outcome {
        context.meter.begin_commit();
        let _outside = context.meter.wait(Wait::Outside);
        if let Some(commit) = &mut self.commit {
            commit.count_with(context.meter.clone());
        }
        self.commit_when(&context.cancel, || context.commit.wait_blocking(&context.cancel))
    }

    /// Makes what was written complete and durable, without a turn.
    pub fn commit_at_once(&mut self, cancel: &Cancel) -> Outcome {
        self.commit_when(cancel, || Ok(()))
    }

    fn commit_when(&mut self, cancel: &Cancel, its_turn: impl FnOnce() -> Outcome) -> Outcome {
        let Some(mut commit) = self.commit.take() else {
            return Ok(());
        };
        commit.prepare(&self.descriptor, cancel.alarm()?)?;
        if commit.phase() != Phase::Drained {
            its_turn()?;
        }
        commit.commit(&self.descriptor, cancel.alarm()?)
    }

    /// What a failed write is.
    pub fn failed(&self, error: impl Into<io::Error>) -> Failure {
        let error = error.into();
        let place = if Errno::from_io_error(&error) == Some(Errno::PIPE) {
            self.reader_left
        } else {
            Kind::Sink
        };
        Failure::io(place, "cannot write", error).after(self.written)
    }

    /// Writes all that comes, and commits it.
    pub(super) fn run(mut self, mut input: Inlet, context: &Context) -> Outcome {
        context.external_fd.writes(&self.descriptor);
        self.written = self.resumes_at();
        if let Some(verify) = &mut self.verify {
            verify.begin(&self.descriptor, context)?;
        }
        let mut batch = Batch::new();
        while batch.fill(&mut input, &context.meter, &context.cancel)? {
            self.write_batch(&mut batch, context)?;
        }
        if let Some(verify) = &self.verify {
            verify.verify(&self.descriptor, context)?;
        }
        self.commit(context)
    }

    fn write_batch(&mut self, batch: &mut Batch, context: &Context) -> Outcome {
        let size = batch.len();
        while !batch.is_empty() {
            let (kind, written) = (self.holes, self.written);
            let transfer = self.write(context, |descriptor| match kind {
                Holes::None => batch.with_slices(|slices| match slices {
                    [one] => descriptor.write(one),
                    slices => descriptor.write_vectored(slices),
                }),
                kind => holes::write(descriptor, batch.first_chunk(), written, kind),
            })?;
            match transfer {
                Transfer::Bytes(count) => {
                    if let Some(verify) = &mut self.verify {
                        batch.first_bytes(count, |bytes| verify.add(bytes));
                        verify.note(&self.descriptor, context)?;
                    }
                    batch.advance(count);
                }
                Transfer::NotReady => self.wait(context)?,
            }
        }
        batch.done(size);
        Ok(())
    }
}
