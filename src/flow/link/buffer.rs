//! Credit of a link, granted to a producer.

use super::{Link, Packet};
use crate::flow::block::Block;
use crate::flow::memory::Memory;
use crate::flow::sync::Arc;
use crate::flow::{Load, Pool, Position};

/// A chunk's share of its link: given back when the chunk is dropped.
#[derive(Debug)]
pub struct Credit(pub(super) Arc<Link>);

impl Credit {
    pub(in crate::flow) fn release(&self, load: Load) {
        self.0.release(load);
    }

    pub(in crate::flow) fn release_records(&self, records: u64) {
        self.0.release_records(records);
    }

    pub(in crate::flow) fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }
}

/// An empty buffer with credit of its link, to be filled and sent with [`super::Outlet::send`].
#[derive(Debug)]
pub struct Buffer {
    /// `Some` until it is sent.
    pub(super) bytes: Option<Block>,
    pub(super) filled: usize,
    /// The number of whole records in it.
    pub(super) records: u64,
    /// The number of records that it was granted credit for.
    pub(super) granted_records: u64,
    pub(super) position: Option<Position>,
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

    /// The number of records that it still has credit for.
    #[must_use]
    pub fn record_room(&self) -> u64 {
        self.granted_records - self.records
    }

    /// The part that is not filled yet. It is initialised, with old bytes.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        self.bytes.as_mut().map_or(&mut [], |bytes| &mut bytes[filled..])
    }

    /// Records that `count` bytes of the spare part were filled.
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

    /// Records that `count` records end in what was filled.
    ///
    /// # Panics
    /// If that is more than it has credit for.
    pub fn count_records(&mut self, count: u64) {
        assert!(count <= self.record_room(), "a buffer was given records without credit");
        self.records += count;
    }

    /// Sets the position up to which everything has been sent with these bytes.
    pub fn mark(&mut self, position: Position) {
        self.position = Some(position);
    }

    /// Copies as many of `bytes` as fit, and returns their number.
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = spare.len().min(bytes.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        count
    }

    /// The credit that was granted for it.
    pub(super) fn granted(&self) -> Load {
        Load {
            bytes: self.capacity() as u64,
            records: self.granted_records,
        }
    }

    /// Takes the memory out; its credit stays granted.
    pub(super) fn into_packet(mut self) -> Packet {
        Packet {
            memory: Memory::Own(self.bytes.take().unwrap_or_default()),
            start: 0,
            end: self.filled,
            records: self.records,
            position: self.position,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let granted = self.granted();
        if let Some(bytes) = self.bytes.take() {
            self.link.pool.give(bytes);
            self.link.ungrant(granted);
        }
    }
}
