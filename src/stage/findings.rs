//! What stages found out about the stream. Stages record facts; views print them.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::flow::Position;

use super::BatchState;

/// What one stage found out so far.
#[derive(Debug, Default)]
pub struct Findings {
    hashes: Mutex<Vec<Hashed>>,
    child: Mutex<Option<ChildState>>,
    url: Mutex<Option<String>>,
    snapshot: Mutex<Option<Instant>>,
    batches: Mutex<Option<BatchState>>,
    acknowledged: Mutex<Option<Position>>,
    backlog: Mutex<Option<Arc<dyn Backlog>>>,
    queue: Mutex<Option<Arc<QueueState>>>,
}

impl Findings {
    /// Records a checksum, complete or not.
    pub fn say(&self, hashed: Hashed) {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).push(hashed);
    }

    /// The checksums recorded so far.
    #[must_use]
    pub fn hashes(&self) -> Vec<Hashed> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a URL that leads to the output. It may be a secret.
    pub fn set_url(&self, url: String) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Some(url);
    }

    /// The URL that leads to the output.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records since when a server keeps one version of the data for it.
    pub fn set_snapshot(&self, since: Option<Instant>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Since when a server keeps one version of the data for it.
    #[must_use]
    pub fn snapshot(&self) -> Option<Instant> {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how far the batches are that the stage makes.
    pub fn update_batches(&self, change: impl FnOnce(&mut BatchState)) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        change(batches.get_or_insert_default());
    }

    /// How far its batches are, if it makes some.
    #[must_use]
    pub fn batches(&self) -> Option<BatchState> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that everything up to a position is durable.
    pub fn set_acknowledged(&self, position: Position) {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// Up to which position everything is durable, as far as the source was told.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Position> {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what tells how far the source is behind what it reads.
    pub fn set_backlog(&self, backlog: Option<Arc<dyn Backlog>>) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    }

    /// How many bytes are there that the source has not read yet; `None` where that is not known.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        let backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner).clone();
        backlog?.bytes()
    }

    /// Records where the figures of its queue are.
    pub fn set_queue_state(&self, queue: Option<Arc<QueueState>>) {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue;
    }

    /// The figures of its queue.
    #[must_use]
    pub fn queue_state(&self) -> Option<Arc<QueueState>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the child process that it has, or had.
    pub fn set_child(&self, child: ChildState) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    }

    /// The child process that it has or had.
    #[must_use]
    pub fn child(&self) -> Option<ChildState> {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells how far a source is behind the writer of what it reads. It is asked when a snapshot is taken.
pub trait Backlog: Debug + Send + Sync {
    /// Bytes that are there and not read yet; `None` where that is not known.
    fn bytes(&self) -> Option<u64>;
}

/// What a source knows of the queue that it reads from.
#[derive(Debug, Default)]
pub struct QueueState {
    /// Messages that the server has not delivered to any reader, when the last one was delivered to this one.
    pub pending: AtomicU64,
    /// Messages that were delivered here and are not acknowledged.
    pub unacknowledged: AtomicU64,
    /// Messages that came here and had been delivered before, here or elsewhere.
    pub redelivered: AtomicU64,
}

/// The child process of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildState {
    /// Its process number.
    pub pid: u32,
    /// The processor time that it took, once its process group has ended.
    pub ended: Option<Duration>,
}

/// The checksum of a stream at one place of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// The algorithm, such as `sha256`.
    pub algo: Cow<'static, str>,
    /// The checksum in hexadecimal; `None` if a reader stopped before the whole stream had passed.
    pub hex: Option<String>,
    /// What the user calls the stream.
    pub label: String,
    /// How many bytes passed.
    pub bytes: u64,
}
