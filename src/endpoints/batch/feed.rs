//! The input of one batch: chunks of the stream that the batch belongs to.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Failure, Kind, Stop};
use crate::flow::Chunk;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, Outcome, StreamReader};

use super::spool::Spool;

/// What both ends share.
#[derive(Debug, Default)]
struct Slot {
    chunk: Option<Chunk>,
    /// How many bytes of it belong to the batch.
    left: usize,
    /// Whether the batch has all its bytes.
    is_whole: bool,
    /// Whether one of the ends is gone.
    is_cut: bool,
    waker: Option<Waker>,
}

type Shared = Arc<Mutex<Slot>>;

/// Where the batch is kept for another run of it. It blocks, so only readers on a thread of their own use it.
type Kept = Arc<Mutex<Spool>>;

fn lock(slot: &Shared) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(mut slot: MutexGuard<'_, Slot>) {
    let waker = slot.waker.take();
    drop(slot);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The end that is filled. If it is dropped before it has finished, the batch is rolled back.
#[derive(Debug)]
pub struct Feed {
    slot: Shared,
    kept: Option<Kept>,
    /// Whether the batch's run is over.
    is_closed: bool,
}

impl Feed {
    /// A feed, whose bytes are kept in a folder if they may be read again.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            slot: Shared::default(),
            kept: folder.map(|folder| Arc::new(Mutex::new(Spool::new(folder)))),
            is_closed: false,
        }
    }

    /// The endpoint that a run reads it from; each of several runs, one after the other, if it is kept.
    pub fn input(&self) -> BatchInput {
        BatchInput(Some((self.slot.clone(), self.kept.clone())))
    }

    /// Whether the batch's run is over: then what is given is dropped.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Notes that the batch's run is over.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Gives the first `count` bytes of a chunk, and returns the rest of it once they are taken. `run` is the batch's run,
    /// which may end without them: what it returns then is returned by its next poll.
    pub async fn give(
        &mut self,
        mut chunk: Chunk,
        count: usize,
        run: &mut BoxFuture<'static, Outcome>,
    ) -> Option<Chunk> {
        if self.is_closed {
            chunk.advance(count);
            return (!chunk.is_empty()).then_some(chunk);
        }
        {
            let mut slot = lock(&self.slot);
            (slot.chunk, slot.left) = (Some(chunk), count);
            wake(slot);
        }
        let mut ended = None;
        poll_fn(|context| {
            let mut slot = lock(&self.slot);
            if slot.left == 0 || slot.is_cut {
                return Poll::Ready(());
            }
            slot.waker = Some(context.waker().clone());
            drop(slot);
            if ended.is_none()
                && let Poll::Ready(outcome) = run.as_mut().poll(context)
            {
                ended = Some(outcome);
            }
            if ended.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if let Some(outcome) = ended {
            *run = Box::pin(std::future::ready(outcome));
        }
        let mut slot = lock(&self.slot);
        let left = std::mem::take(&mut slot.left);
        let mut chunk = slot.chunk.take()?;
        chunk.advance(left);
        (!chunk.is_empty()).then_some(chunk)
    }

    /// The batch has all its bytes.
    pub fn finish(&mut self) {
        let mut slot = lock(&self.slot);
        slot.is_whole = true;
        wake(slot);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        slot.is_cut = true;
        wake(slot);
    }
}

/// The input of a batch, named and not yet opened.
#[derive(Clone)]
pub struct BatchInput(Option<(Shared, Option<Kept>)>);

impl BatchInput {
    /// That of a run that is only planned.
    #[must_use]
    pub fn planned() -> Self {
        Self(None)
    }
}

impl Endpoint for BatchInput {
    fn shown(&self) -> String {
        "-".to_owned()
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::default())
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a batch, which is all or nothing")
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            match self.0 {
                Some((slot, kept)) => Ok(OpenReader::Stream(Box::new(Reader { slot, kept, offset: 0 }))),
                None => Err(Failure::because(Kind::Bug, "cannot read", "there is no batch")),
            }
        })
    }
}

struct Reader {
    slot: Shared,
    kept: Option<Kept>,
    /// How many bytes it has given.
    offset: u64,
}

impl Reader {
    /// What an earlier run of the batch has read already; 0 if that is all.
    fn read_kept(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let Some(kept) = &self.kept else { return Ok(0) };
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(buffer, self.offset)
    }

    /// Keeps what was copied from the slot, which has it still if that fails.
    fn keep(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(kept) = &self.kept else { return Ok(()) };
        kept.lock().unwrap_or_else(PoisonError::into_inner).append(bytes)
    }
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        let count = self.read_kept(buffer)?;
        if count > 0 {
            self.offset += count as u64;
            return Poll::Ready(Ok(count));
        }
        let mut slot = lock(&self.slot);
        let count = slot.left.min(buffer.len());
        if let Some(chunk) = &mut slot.chunk
            && count > 0
        {
            buffer[..count].copy_from_slice(&chunk.as_slice()[..count]);
            if self.kept.is_some() {
                // Not under the lock: the other end must not wait for the disk.
                drop(slot);
                self.keep(&buffer[..count])?;
                slot = lock(&self.slot);
            }
            self.offset += count as u64;
            if let Some(chunk) = &mut slot.chunk {
                chunk.advance(count);
            }
            slot.left = slot.left.saturating_sub(count);
            if slot.left == 0 {
                wake(slot);
            }
            return Poll::Ready(Ok(count));
        }
        if slot.is_whole {
            return Poll::Ready(Ok(0));
        }
        if slot.is_cut {
            let why = "the stream that it belongs to ended early";
            return Poll::Ready(Err(Failure::because(Kind::Other, "the batch is incomplete", why).into()));
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn blocks(&self) -> bool {
        self.kept.is_some()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.kept.is_some() {
            // Another run may read on; the batch is over when its last run is.
            return;
        }
        let mut slot = lock(&self.slot);
        slot.is_cut = true;
        wake(slot);
    }
}
