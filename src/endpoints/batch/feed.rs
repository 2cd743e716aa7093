//! The input of one batch: chunks of the stream that the batch belongs to.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Failure, Kind, Stop};
use crate::flow::Chunk;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, Outcome, StreamReader};

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
    /// Whether the batch's run is over.
    is_closed: bool,
}

impl Feed {
    /// A feed, and the endpoint that a run reads it from.
    pub fn new() -> (Self, BatchInput) {
        let slot = Shared::default();
        let feed = Self {
            slot: slot.clone(),
            is_closed: false,
        };
        (feed, BatchInput(Some(slot)))
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
pub struct BatchInput(Option<Shared>);

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

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            match self.0 {
                Some(slot) => Ok(OpenReader::Stream(Box::new(Reader(slot)))),
                None => Err(Failure::because(Kind::Bug, "cannot read", "there is no batch")),
            }
        })
    }
}

struct Reader(Shared);

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        let mut slot = lock(&self.0);
        let count = slot.left.min(buffer.len());
        if let Some(chunk) = &mut slot.chunk
            && count > 0
        {
            buffer[..count].copy_from_slice(&chunk.as_slice()[..count]);
            chunk.advance(count);
            slot.left -= count;
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
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.is_cut = true;
        wake(slot);
    }
}
