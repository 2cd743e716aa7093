//! Whether a program waits for room in the pipe that it writes.

use crate::platform::{Descriptor, Interest};

/// What was seen of a pipe since bytes were last taken out of it.
#[derive(Debug, Default)]
pub struct Fill {
    seen: Option<u64>,
}

/// A write of less than this may wait for room although some is left.
const LARGEST_GAP: u64 = 4 << 10;

impl Fill {
    /// Whether its writer waits for room, as far as can be told: the pipe is full, or it has stopped growing beyond the half of
    /// its size, because a write that does not fit into the rest of a page begins a new one.
    pub fn is_full(&mut self, pipe: &Descriptor) -> bool {
        let Some(queue) = pipe.kernel_queue(Interest::Read) else {
            return true;
        };
        let seen = self.seen.replace(queue.bytes);
        queue.capacity.is_none_or(|capacity| {
            let has_stopped = queue.bytes >= capacity / 2 && seen == Some(queue.bytes);
            has_stopped || queue.bytes + LARGEST_GAP > capacity
        })
    }
}
