//! Room in a link that a producer was granted.

use super::{Link, Packet};
use crate::flow::block::Block;
use crate::flow::sync::Arc;

/// A chunk's share of its link: given back when the chunk is dropped.
#[derive(Debug)]
pub struct Credit(pub(super) Arc<Link>);

impl Credit {
    pub fn release(&self, capacity: usize) {
        self.0.release(capacity);
    }

    pub fn recycle(&self, buffer: Block) {
        self.0.pool.give(buffer);
    }
}

/// An empty buffer in the producer's hand, with credit of its link; filled, it is sent with [`super::Outlet::send`].
#[derive(Debug)]
pub struct Buffer {
    /// `Some` until it is sent.
    pub(super) bytes: Option<Block>,
    pub(super) filled: usize,
    pub(super) link: Arc<Link>,
}

impl Buffer {
    /// How many bytes were put into it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was put into it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How many bytes it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// Whether nothing more can be put into it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.capacity()
    }

    /// The part that is not filled yet. It is initialised, with old bytes.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        self.bytes.as_mut().map_or(&mut [], |bytes| &mut bytes[filled..])
    }

    /// Says that `count` bytes of the spare part were filled.
    ///
    /// # Panics
    /// If the spare part is smaller.
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.capacity() - self.filled,
            "a buffer was filled beyond its end"
        );
        self.filled += count;
    }

    /// Copies as many of `bytes` as fit, and answers how many that were.
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = spare.len().min(bytes.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        count
    }

    /// Takes the memory out; its credit stays granted.
    pub(super) fn into_packet(mut self) -> Packet {
        Packet {
            bytes: self.bytes.take().unwrap_or_default(),
            start: 0,
            end: self.filled,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            let capacity = bytes.len();
            self.link.pool.give(bytes);
            self.link.ungrant(capacity);
        }
    }
}
