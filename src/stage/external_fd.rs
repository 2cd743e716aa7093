//! The descriptor of a source or a sink, shared so that its kernel queue can be measured.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::platform::{Descriptor, Interest, KernelQueue};

/// Where a source or a sink publishes its descriptor. This holds no strong reference: the stage alone decides when it
/// closes.
#[derive(Debug, Default)]
pub struct ExternalFd {
    shown: Mutex<Option<(Weak<Descriptor>, Interest)>>,
    /// The capacity in bytes that a pipe there is enlarged to.
    pipe_room: u64,
}

impl ExternalFd {
    /// If the descriptor is a pipe, it is enlarged to hold up to `pipe_room` bytes.
    #[must_use]
    pub fn new(pipe_room: u64) -> Self {
        Self {
            pipe_room,
            ..Self::default()
        }
    }

    /// Records that the stage reads from `descriptor` from now on.
    pub fn reads(&self, descriptor: &Arc<Descriptor>) {
        self.show(descriptor, Interest::Read);
    }

    /// Records that the stage writes to `descriptor` from now on.
    pub fn writes(&self, descriptor: &Arc<Descriptor>) {
        self.show(descriptor, Interest::Write);
    }

    /// Enlarges a pipe that is not shown: both of a stage between two others.
    pub fn enlarge(&self, descriptor: &Descriptor) {
        descriptor.enlarge_pipe(self.pipe_room);
    }

    fn show(&self, descriptor: &Arc<Descriptor>, side: Interest) {
        self.enlarge(descriptor);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::downgrade(descriptor), side));
    }

    /// What waits there in the kernel; `None` if nothing can, or the stage has closed the descriptor.
    #[must_use]
    pub fn queue(&self) -> Option<KernelQueue> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (descriptor, side) = shown?;
        descriptor.upgrade()?.kernel_queue(side)
    }
}
