//! What passes between the task that talks to the server and the reader: messages one way, what is durable the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::Failure;
use crate::stage::QueueState;

/// Bytes that are counted for each message besides its own.
const OVERHEAD: usize = 256;
/// After how many messages that were taken more are asked for.
const OFTEN: usize = 128;
/// The same for a message of so many bytes.
const LARGE: usize = 16 << 10;

/// A message for the reader.
pub struct Record {
    pub bytes: Bytes,
    pub position: u128,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Record>,
    /// Bytes of the queue, with those that are counted for each message.
    queued: usize,
    waker: Option<Waker>,
    /// Set once no more comes, and why if that is a failure.
    end: Option<Result<(), Failure>>,
    rejected: u64,
    /// The position up to which everything is durable.
    durable: u128,
    /// Whether the reader is gone.
    is_closed: bool,
    /// Whether the run is over.
    is_settled: bool,
    /// Whether everything that is durable was confirmed after that, or what has failed.
    done: Option<Result<(), Failure>>,
}

/// What the session and the reader share.
#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Tells the session that something of it has changed.
    changed: Notify,
    done: Notify,
    /// What is shown of the queue.
    pub queue: Arc<QueueState>,
}

/// The reader's side.
impl Shared {
    /// The next message, or the end; `None` if the reader has to wait.
    pub fn next(&self, waker: &Waker) -> Option<Result<Option<Record>, Failure>> {
        let mut state = self.lock();
        if let Some(record) = state.queue.pop_front() {
            state.queued -= record.bytes.len() + OVERHEAD;
            if state.queue.len().is_multiple_of(OFTEN) || record.bytes.len() > LARGE {
                self.changed.notify_one();
            }
            return Some(Ok(Some(record)));
        }
        match state.end.take() {
            Some(Ok(())) => {
                state.end = Some(Ok(()));
                Some(Ok(None))
            }
            Some(Err(failure)) => Some(Err(failure)),
            None => {
                state.waker = Some(waker.clone());
                None
            }
        }
    }

    /// How many messages were dropped since this was asked last.
    pub fn rejected(&self) -> u64 {
        std::mem::take(&mut self.lock().rejected)
    }

    /// The reader needs no more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Everything up to `position` is durable.
    pub fn acknowledge(&self, position: u128) {
        let mut state = self.lock();
        state.durable = position.max(state.durable);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until everything that is durable was confirmed, and gives back the rest.
    ///
    /// # Errors
    /// If it will not be.
    pub async fn settle(&self) -> Result<(), Failure> {
        self.lock().is_settled = true;
        self.changed.notify_one();
        loop {
            let done = self.done.notified();
            if let Some(done) = self.lock().done.take() {
                return done;
            }
            done.await;
        }
    }
}

/// The session's side.
impl Shared {
    /// Waits until the reader has changed something.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether the reader wants messages: it has no more than so many bytes of them.
    pub fn has_room(&self, bytes: usize) -> bool {
        let state = self.lock();
        !state.is_closed && !state.is_settled && state.queued <= bytes
    }

    pub fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    pub fn is_settled(&self) -> bool {
        self.lock().is_settled
    }

    /// The position up to which everything is durable.
    pub fn durable(&self) -> u128 {
        self.lock().durable
    }

    /// A message for the reader.
    pub fn push(&self, record: Record) {
        self.wake(|state| {
            state.queued += record.bytes.len() + OVERHEAD;
            state.queue.push_back(record);
        });
    }

    /// A message was dropped, which the reader counts at once.
    pub fn reject(&self) {
        self.wake(|state| state.rejected += 1);
    }

    /// No more comes.
    pub fn finish(&self, end: Result<(), Failure>) {
        self.wake(|state| state.end = Some(end));
    }

    /// Everything that is durable was confirmed, and the rest given back, unless something has failed.
    pub fn done(&self, fault: Option<Failure>) {
        self.lock().done = Some(fault.map_or(Ok(()), Err));
        self.done.notify_waiters();
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
