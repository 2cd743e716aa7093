//! Recycled buffers; their total size never exceeds the limit.

use std::ops::{Deref, DerefMut};

use super::block::Block;
use super::sync::{Arc, Mutex, lock};

/// The buffers of one chain. Buffers that come back are kept for reuse as long as no more are held than were in use at
/// once.
///
/// The callers' credit (see [`super::Link`]) bounds the bytes in use by `limit`; the pool ensures that free buffers
/// never push the total above it.
#[derive(Debug)]
pub struct Pool {
    limit: u64,
    /// For advisory marks: about how many bytes may be in use, whatever the limit.
    most: Option<u64>,
    state: Mutex<State>,
}

/// What a pool holds at one moment, in bytes. In use and free together never exceed its limit, unless that is advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLevels {
    /// Of all buffers in use.
    pub in_use: u64,
    /// The most that were in use at once.
    pub peak: u64,
    /// Of the buffers that are kept for reuse.
    pub free: u64,
}

#[derive(Debug, Default)]
struct State {
    in_use: u64,
    peak: u64,
    free_bytes: u64,
    is_exhausted: bool,
    /// The most recently used last: its pages are likeliest to be cached.
    free: Vec<Block>,
}

impl Pool {
    /// A pool whose buffers, in use and free together, take at most `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            most: None,
            state: Mutex::new(State::default()),
        }
    }

    /// A pool for links with advisory marks: it keeps no more than `limit` bytes for reuse, but allocates whatever is
    /// requested, until about `most` bytes are in use. Then [`Pool::is_exhausted`] is true, and the run has to be
    /// ended.
    #[must_use]
    pub fn advisory(limit: u64, most: u64) -> Self {
        Self {
            most: Some(most),
            ..Self::new(limit)
        }
    }

    /// Whether `size` more bytes may be in use. Several links may ask before one of them allocates, so each may have
    /// one buffer too many.
    pub(super) fn has_room_for(&self, size: u64) -> bool {
        let mut state = lock(&self.state);
        let has_room = state.in_use + size <= self.most.unwrap_or(self.limit);
        state.is_exhausted |= !has_room;
        has_room
    }

    /// Whether more was requested than may be in use.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        lock(&self.state).is_exhausted
    }

    /// A buffer of exactly `capacity` bytes, with the contents of its last use.
    ///
    /// # Panics
    /// If more is in use than a hard limit allows: a buffer was taken without credit.
    pub(super) fn take(&self, capacity: usize) -> Block {
        let evicted: Vec<Block>;
        {
            let mut state = lock(&self.state);
            let in_use = state.in_use + capacity as u64;
            let has_credit = in_use <= self.limit || self.most.is_some();
            assert!(has_credit, "a buffer was taken without credit");
            state.in_use = in_use;
            state.peak = state.peak.max(state.in_use);
            if let Some(at) = state.free.iter().rposition(|free| free.len() == capacity) {
                state.free_bytes -= capacity as u64;
                return state.free.remove(at);
            }
            evicted = state.evict(self.limit);
        }
        drop(evicted);
        Block::zeroed(capacity)
    }

    /// Takes a buffer back for reuse; above an advisory limit it is freed instead.
    pub(super) fn give(&self, buffer: Block) {
        let mut state = lock(&self.state);
        let capacity = buffer.len() as u64;
        state.in_use -= capacity;
        if capacity > 0 && state.in_use + state.free_bytes + capacity <= self.limit.min(state.peak) {
            state.free_bytes += capacity;
            state.free.push(buffer);
        }
    }

    /// A buffer for moving bytes without a link.
    ///
    /// # Panics
    /// If that is more than the limit allows.
    #[must_use]
    pub fn lease(self: &Arc<Self>, capacity: usize) -> Lease {
        Lease {
            buffer: self.take(capacity),
            pool: self.clone(),
        }
    }

    /// What it holds now, and the most it held.
    #[must_use]
    pub fn levels(&self) -> PoolLevels {
        let state = lock(&self.state);
        PoolLevels {
            in_use: state.in_use,
            peak: state.peak,
            free: state.free_bytes,
        }
    }

    /// Bytes that all buffers together may take.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// A buffer taken from the pool without a link, given back when this is dropped.
#[derive(Debug)]
pub struct Lease {
    buffer: Block,
    pool: Arc<Pool>,
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

impl State {
    /// Removes the least recently used free buffers until the rest fits under `limit` and the peak; the caller frees
    /// them outside the lock.
    fn evict(&mut self, limit: u64) -> Vec<Block> {
        let mut excess = (self.in_use + self.free_bytes).saturating_sub(limit.min(self.peak));
        let mut count = 0;
        for buffer in &self.free {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(buffer.len() as u64);
            self.free_bytes -= buffer.len() as u64;
            count += 1;
        }
        self.free.drain(..count).collect()
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn returned_buffer_is_reused() {
        let pool = Pool::new(100);
        let mut first = pool.take(60);
        first[0] = 7;
        pool.give(first);
        assert_eq!((pool.levels().in_use, pool.levels().free), (0, 60));
        assert_eq!(pool.take(60)[0], 7, "the same buffer");
        assert_eq!((pool.levels().in_use, pool.levels().free), (60, 0));
    }

    #[test]
    fn free_buffers_make_room_for_others() {
        let pool = Pool::new(100);
        let (a, b) = (pool.take(60), pool.take(40));
        pool.give(a);
        pool.give(b);
        assert_eq!(pool.levels().free, 100, "all that fits is kept");
        let c = pool.take(50);
        assert_eq!((pool.levels().in_use, pool.levels().free), (50, 40));
        pool.give(c);
        assert_eq!(pool.levels().peak, 100);
    }

    #[test]
    fn no_more_is_held_than_was_in_use() {
        let pool = Pool::new(100);
        let (a, b) = (pool.take(30), pool.take(10));
        pool.give(a);
        pool.give(b);
        let c = pool.take(20);
        assert_eq!((pool.levels().in_use, pool.levels().free), (20, 10), "of 40 at once");
        pool.give(c);
        assert_eq!(pool.levels().free, 30);
    }

    #[test]
    fn last_returned_buffer_is_reused_first() {
        let pool = Pool::new(100);
        let mut buffers = [pool.take(30), pool.take(30)];
        for (buffer, mark) in buffers.iter_mut().zip(1..) {
            buffer[0] = mark;
        }
        for buffer in buffers {
            pool.give(buffer);
        }
        assert_eq!([pool.take(30)[0], pool.take(30)[0]], [2, 1]);
    }

    #[test]
    fn a_lease_gives_its_buffer_back() {
        let pool = Arc::new(Pool::new(100));
        let lease = pool.lease(60);
        assert_eq!((lease.len(), pool.levels().in_use), (60, 60));
        drop(lease);
        assert_eq!((pool.levels().in_use, pool.levels().free), (0, 60));
    }

    #[test]
    fn overdrawn_pool_stays_exhausted() {
        let pool = Pool::advisory(10, 100);
        assert!(pool.has_room_for(100) && !pool.is_exhausted());
        assert!(!pool.has_room_for(101) && pool.is_exhausted());
        assert!(pool.has_room_for(1) && pool.is_exhausted());
    }

    #[test]
    #[should_panic(expected = "without credit")]
    fn more_than_the_limit_is_a_bug() {
        let pool = Pool::new(100);
        let _held = pool.take(60);
        let _ = pool.take(41);
    }
}
