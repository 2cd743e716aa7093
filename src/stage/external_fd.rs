//! The descriptor of a source or a sink, shared so that its kernel queue can be measured.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::platform::{Descriptor, Interest, KernelQueue, Queued};

/// Where a source or a sink publishes its descriptor. This holds no strong reference: the stage alone decides when it
/// closes.
#[derive(Debug, Default)]
pub struct ExternalFd {
    shown: Mutex<Option<(Weak<dyn Queued>, Interest)>>,
    /// The capacity in bytes that a pipe there is enlarged to.
    pipe_room: u64,
    /// How many bytes a connection there keeps in the system besides those that are on their way.
    most_unsent: u32,
}

impl ExternalFd {
    /// If the descriptor is a pipe, it is enlarged to hold up to `pipe_room` bytes; a connection keeps at most
    /// `most_unsent` in the system.
    #[must_use]
    pub fn new(pipe_room: u64, most_unsent: u32) -> Self {
        Self {
            pipe_room,
            most_unsent,
            ..Self::default()
        }
    }

    /// Records that the stage reads from `descriptor` from now on.
    pub fn reads(&self, descriptor: &Arc<Descriptor>) {
        self.enlarge(descriptor);
        let descriptor: Weak<Descriptor> = Arc::downgrade(descriptor);
        self.show(descriptor, Interest::Read);
    }

    /// Records that the stage writes to `descriptor` from now on.
    pub fn writes(&self, descriptor: &Arc<Descriptor>) {
        self.enlarge(descriptor);
        let descriptor: Weak<Descriptor> = Arc::downgrade(descriptor);
        self.show(descriptor, Interest::Write);
    }

    /// How many bytes a connection that is written to may keep in the system besides those that are on their way.
    #[must_use]
    pub fn most_unsent(&self) -> u32 {
        self.most_unsent
    }

    /// Enlarges a pipe that is not shown: both of a stage between two others.
    pub fn enlarge(&self, descriptor: &Descriptor) {
        descriptor.enlarge_pipe(self.pipe_room);
    }

    /// Records what the stage reads from or writes to from now on.
    pub fn show(&self, queued: Weak<dyn Queued>, side: Interest) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((queued, side));
    }

    /// What waits there in the kernel; `None` if nothing can, or the stage has closed the descriptor.
    #[must_use]
    pub fn queue(&self) -> Option<KernelQueue> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (queued, side) = shown?;
        queued.upgrade()?.kernel_queue(side)
    }
}
