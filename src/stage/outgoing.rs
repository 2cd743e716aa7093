//! Open sinks that are descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context as Waking, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Position, StageMeter, Wait};
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken, wait_for_any};

use super::gathering::Gathering;
use super::holes;
use super::writeback::Writeback;
use super::{Cancel, Context, DescriptorWaker, Mover, Outcome, Phase, ResumePoint, Rollback};

/// How often the pipe in front is checked while it fills.
const LEVEL_PAUSE: Duration = Duration::from_millis(16);

/// How holes, which read as zeros and use no room, can be made in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// Not at all.
    None,
    /// By extending the file: no other process writes to it.
    Grow,
    /// By punching out zeros that were written: others may write to the same file, but not at this offset.
    Punch,
}

/// The end of a successful write.
pub trait Commit: Send {
    /// When the commit is granted; the default is a rename once all sinks are prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// Makes what was written safe without making it final: it can still be rolled back.
    fn prepare(&mut self, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        let _ = (descriptor, alarm);
        Ok(())
    }
    /// Makes what was written and prepared complete and durable.
    fn commit(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome;
    /// Sets the meter that counts what a peer acknowledges meanwhile, so that progress is visible.
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        let _ = meter;
    }
    /// How holes can be made in it.
    fn holes(&self) -> Holes {
        Holes::None
    }
    /// Reports that `count` more bytes were written.
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

/// Checks or records every byte that is written.
pub trait Verify: Send {
    /// How far an earlier run has come.
    fn resumes_at(&self) -> ResumePoint {
        ResumePoint::default()
    }
    /// Checks what an earlier run has written.
    fn begin(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome;
    /// How many of the bytes that come next are there already, and must not be written again.
    fn skip(&mut self, bytes: &[u8], descriptor: &Descriptor) -> Result<usize, Failure> {
        let _ = (bytes, descriptor);
        Ok(0)
    }
    /// Adds bytes that were written.
    fn add(&mut self, bytes: &[u8]);
    /// Told that all bytes up to a position of the source are among those that were added, and no others.
    fn reach(&mut self, position: Position) {
        let _ = position;
    }
    /// Called after a piece was written whole, or a position came without bytes.
    fn note(&mut self, descriptor: &Descriptor, context: &Context) -> Result<(), Failure>;
    /// Checks the whole output once it is written.
    fn verify(&mut self, descriptor: &Descriptor, context: &Context) -> Outcome;
}

/// An open descriptor to write to.
pub struct Outgoing {
    descriptor: Arc<Descriptor>,
    /// Makes the bytes complete and durable; `None` once that has begun.
    commit: Option<Box<dyn Commit>>,
    writeback: Writeback,
    /// Bytes that were written, including those of an earlier run.
    written: u64,
    /// The kind of error if the peer has closed its side.
    pub reader_left: Kind,
    /// Checks the written bytes, if that was asked for.
    pub verify: Option<Box<dyn Verify>>,
    /// The same for a source that is told what is durable while the run goes on, if parts of the output can be kept.
    pub kept_parts: Option<Box<dyn Verify>>,
    /// How zeros are left out when the bytes pass through a link.
    pub holes: Holes,
    /// Whether the direct path may be used, which copies the bytes without showing them to this process.
    pub is_direct: bool,
}

impl Outgoing {
    /// Creates one that may use the direct path.
    #[must_use]
    pub fn new(descriptor: Descriptor, commit: Box<dyn Commit>) -> Self {
        Self {
            descriptor: Arc::new(descriptor),
            writeback: Writeback::new(commit.is_durable()),
            commit: Some(commit),
            written: 0,
            reader_left: Kind::Sink,
            verify: None,
            kept_parts: None,
            holes: Holes::None,
            is_direct: true,
        }
    }

    /// What is written to.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// How holes could be made in it.
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

    /// How far an earlier run has come.
    #[must_use]
    pub fn resumes_at(&self) -> ResumePoint {
        self.verify
            .as_ref()
            .map_or_else(ResumePoint::default, |verify| verify.resumes_at())
    }

    /// Writes with `write` as much as there is room for, and counts it.
    pub fn write(
        &mut self,
        context: &Context,
        write: impl FnOnce(&Descriptor) -> io::Result<Transfer>,
    ) -> Result<Transfer, Failure> {
        let transfer = {
            // The kernel does not tell the wait for a disk from the copy: the whole call counts as one.
            let _outside = (self.descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
            write(&self.descriptor)
        };
        let transfer = transfer.map_err(|error| self.failed(error))?;
        if let Transfer::Bytes(count) = transfer {
            self.took(count as u64, context);
        }
        Ok(transfer)
    }

    /// Counts bytes that were accepted.
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

    /// Makes the written bytes complete and durable, once the commit is granted.
    pub fn commit(&mut self, context: &Context) -> Outcome {
        context.meter.begin_commit();
        let _outside = context.meter.wait(Wait::Outside);
        if let Some(commit) = &mut self.commit {
            commit.count_with(context.meter.clone());
        }
        self.commit_when(&context.cancel, || context.commit.wait_blocking(&context.cancel))
    }

    /// Makes the written bytes complete and durable without waiting for a turn.
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

    /// The failure of a write.
    pub fn failed(&self, error: impl Into<io::Error>) -> Failure {
        let error = error.into();
        let place = if Errno::from_io_error(&error) == Some(Errno::PIPE) {
            self.reader_left
        } else {
            Kind::Sink
        };
        Failure::io(place, "cannot write", error).after(self.written)
    }

    /// Writes everything that arrives, and commits it.
    pub(super) fn run(mut self, mut input: Inlet, context: &Context) -> Outcome {
        context.external_fd.writes(&self.descriptor);
        if context.durable.is_some() && self.kept_parts.is_some() {
            self.verify = self.kept_parts.take();
        }
        self.written = self.resumes_at().written;
        if let Some(verify) = &mut self.verify {
            verify.begin(&self.descriptor, context)?;
        }
        let mut gathering = Gathering::new();
        if input.is_joined() && self.move_pipe(&mut input, &mut gathering, context)? {
            return self.commit(context);
        }
        self.write_gathered(&mut gathering, context)?;
        while gathering.fill(&mut input, &context.meter, &context.cancel)? {
            self.write_gathered(&mut gathering, context)?;
            if let (Some(position), Some(verify)) = (gathering.take_passed(), &mut self.verify) {
                verify.reach(position);
                verify.note(&self.descriptor, context)?;
            }
        }
        if let Some(verify) = &mut self.verify {
            verify.verify(&self.descriptor, context)?;
        }
        self.commit(context)
    }

    /// Moves a pipe that the producer lends, to its end; returns false if the producer goes on with chunks, the first of which is
    /// in `gathering` then.
    fn move_pipe(&mut self, input: &mut Inlet, gathering: &mut Gathering, context: &Context) -> Result<bool, Stop> {
        let waker = DescriptorWaker::new().map_err(|error| Failure::io(Kind::Resources, "cannot start", error))?;
        let waker = Arc::new(waker);
        let task_waker = Waker::from(waker.clone());
        let mut waking = Waking::from_waker(&task_waker);
        let mut mover = Mover::default();
        if !self.is_direct {
            // The bytes have to be seen.
            input.give_back(false);
        }
        loop {
            waker.clear();
            match input.poll_next(&mut waking) {
                Poll::Ready(Ok(Some(chunk))) => {
                    gathering.push(chunk);
                    return Ok(false);
                }
                Poll::Ready(Ok(None)) => return Ok(true),
                Poll::Ready(Err(closed)) => return Err(closed.into()),
                Poll::Pending => mover.take(input, None),
            }
            self.write(context, |descriptor| mover.advance(input, descriptor))?;
            self.wait_to_move(&mut mover, input, &waker, context)?;
        }
    }

    /// Waits until there may be something to move and room for it, or something has become of the link.
    fn wait_to_move(&self, mover: &mut Mover, input: &Inlet, waker: &DescriptorWaker, context: &Context) -> Outcome {
        let limit = mover.rest().or(mover.look_in_front(input).then_some(LEVEL_PAUSE));
        let (kind, fd, events) = match mover.awaits_bytes() {
            Some(pipe) => (Wait::Idle, pipe.as_fd(), PollFlags::IN),
            None if mover.awaits_room() => (Wait::Outside, self.descriptor.as_fd(), PollFlags::OUT),
            None => (mover.kind_of_wait(), waker.descriptor(), PollFlags::IN),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(fd, events),
            PollFd::from_borrowed_fd(waker.descriptor(), PollFlags::IN),
            PollFd::from_borrowed_fd(context.cancel.alarm()?, PollFlags::IN),
        ];
        {
            let _waiting = context.meter.wait(kind);
            wait_for_any(&mut fds, limit).map_err(|error| Failure::io(Kind::Resources, "cannot wait", error))?;
        }
        if context.cancel.is_tripped() {
            return Err(Stop::PeerClosed);
        }
        Ok(())
    }

    /// Passes what is there already; returns whether there was something.
    fn skip(&mut self, gathering: &mut Gathering, context: &Context) -> Result<bool, Stop> {
        let Some(verify) = &mut self.verify else {
            return Ok(false);
        };
        let count = verify.skip(gathering.first_chunk(), &self.descriptor)?;
        if count > 0 {
            context.meter.add_out(count as u64);
            self.verify_next(gathering, count, context)?;
            gathering.advance(count);
        }
        Ok(count > 0)
    }

    /// Shows the next bytes to what checks them.
    fn verify_next(&mut self, gathering: &Gathering, count: usize, context: &Context) -> Outcome {
        let Some(verify) = &mut self.verify else { return Ok(()) };
        gathering.first_chunks(count, |bytes, position| {
            verify.add(bytes);
            if let Some(position) = position {
                verify.reach(position);
            }
        });
        Ok(verify.note(&self.descriptor, context)?)
    }

    fn write_gathered(&mut self, gathering: &mut Gathering, context: &Context) -> Outcome {
        let size = gathering.len();
        if size == 0 {
            return Ok(());
        }
        while !gathering.is_empty() {
            if self.skip(gathering, context)? {
                continue;
            }
            let (kind, written) = (self.holes, self.written);
            let transfer = self.write(context, |descriptor| match kind {
                Holes::None => gathering.with_slices(|slices| match slices {
                    [one] => descriptor.write(one),
                    slices => descriptor.write_vectored(slices),
                }),
                kind => holes::write(descriptor, gathering.first_chunk(), written, kind),
            })?;
            match transfer {
                Transfer::Bytes(count) => {
                    self.verify_next(gathering, count, context)?;
                    gathering.advance(count);
                }
                Transfer::NotReady => self.wait(context)?,
            }
        }
        gathering.done(size);
        Ok(())
    }
}
