//! The descriptor on the outer side of a source or a sink, for whoever looks at what waits there in the kernel.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::platform::{Descriptor, Interest, KernelQueue};

/// Where a source or a sink shows its descriptor. It is not kept open here: it stays the stage's own, and closes when the
/// stage closes it.
#[derive(Debug, Default)]
pub struct ExternalFd {
    shown: Mutex<Option<(Weak<Descriptor>, Interest)>>,
    /// Bytes that a pipe there may hold.
    pipe_room: u64,
}

impl ExternalFd {
    /// One whose pipe, where it is one, is enlarged to hold up to `pipe_room` bytes.
    #[must_use]
    pub fn new(pipe_room: u64) -> Self {
        Self {
            pipe_room,
            ..Self::default()
        }
    }

    /// The stage reads from `descriptor` from now on.
    pub fn reads(&self, descriptor: &Arc<Descriptor>) {
        self.show(descriptor, Interest::Read);
    }

    /// The stage writes to `descriptor` from now on.
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

    /// What waits there in the kernel; `None` where nothing can, or the stage has closed it.
    #[must_use]
    pub fn queue(&self) -> Option<KernelQueue> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (descriptor, side) = shown?;
        descriptor.upgrade()?.kernel_queue(side)
    }
}
