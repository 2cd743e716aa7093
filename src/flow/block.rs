//! The memory of one buffer, where the processor copies fastest.

use std::ops::{Deref, DerefMut};

/// Zeroed memory that starts at a multiple of a cache line. Large allocations start 16 bytes into a page, and there the
/// kernel's copy into user memory was measured to take a quarter longer.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Up to a cache line more than what is used. Untouched pages cost nothing.
    memory: Box<[u8]>,
    start: usize,
    capacity: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

impl Block {
    pub(super) fn zeroed(capacity: usize) -> Self {
        // What is smaller than a page is not copied long enough to tell.
        let spare = if capacity < 4096 { 0 } else { LINE - 1 };
        let memory = vec![0; capacity + spare].into_boxed_slice();
        let start = if spare == 0 {
            0
        } else {
            memory.as_ptr().align_offset(LINE).min(spare)
        };
        Self {
            memory,
            start,
            capacity,
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.capacity]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.capacity]
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_start_at_a_cache_line_and_have_their_size() {
        for capacity in [1, 4095, 4096, 65_536, 262_144, 1_000_001] {
            let block = Block::zeroed(capacity);
            assert_eq!(block.len(), capacity);
            assert!(capacity < 4096 || block.as_ptr().addr().is_multiple_of(LINE));
        }
    }
}
