//! Chunks in recycled buffers, links with hard bounds, and the meters that measure both.
//!
//! Data moves as [`Chunk`]s. A producer asks its [`Outlet`] for a [`Buffer`] *before* it reads, so that a backpressured
//! producer holds no data; it fills the buffer and sends it. The consumer takes chunks from its [`Inlet`]; dropping a
//! chunk gives its credit back to the link and its buffer back to the [`Pool`].
//!
//! Invariants, each held by a test in this folder:
//! - the buffers and the records that a link has granted never exceed its high-water marks, unless the marks are
//!   advisory;
//! - a block that several links share counts once in the pool and on each of the links, and is not written to;
//! - the buffers alive, in use or free, never exceed the pool's limit, which is the sum of the high-water marks; if
//!   those are advisory, it bounds only the free ones;
//! - bytes arrive in order, once, and every wait ends when the other side goes away;
//! - only [`Outlet::finish`] ends a stream: an outlet dropped without it aborts the stream.

mod block;
mod chunk;
mod link;
mod load;
mod memory;
mod meter;
mod park;
mod pool;
pub(crate) mod seconds;
mod sync;

pub use chunk::{Chunk, Position};
pub use link::{Buffer, Closed, Inlet, Link, LinkLevels, Marks, Outlet, RecordLevels, RecordMarks};
pub use load::Load;
pub use meter::{StageMeter, StageTimes, Wait, Waiting};
pub use park::{block_on, block_within};
pub use pool::{Lease, Pool, PoolLevels};
