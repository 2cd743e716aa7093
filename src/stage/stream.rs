//! Open places that are no descriptors of their own, such as a TLS or HTTP connection, a database cursor, or another
//! pipeline.
//!
//! The reactor waits for them, unless they block: then they get a thread of their own.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Stop;
use crate::flow::Position;

use super::{BoxFuture, Outcome, Phase, Rollback, Settle};

/// An open place to read from.
pub trait StreamReader: Send {
    /// Reads what there is into `buffer`, and returns how many bytes that were: 0 at an honest end, and nowhere else.
    /// While it is pending it keeps nothing in `buffer`: the next call may lend it another one.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>>;
    /// Whether its calls block instead of being pending.
    fn blocks(&self) -> bool {
        false
    }
    /// Up to where in its input everything has been read; `None` where it cannot be told to go on from there.
    fn position(&self) -> Option<Position> {
        None
    }
    /// What is to be told how the run was settled.
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        None
    }
}

/// An open place to write to.
pub trait StreamWriter: Send {
    /// Writes some of the slices, and returns how many bytes it took: at least 1.
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>>;
    /// Whether its calls block instead of being pending.
    fn blocks(&self) -> bool {
        false
    }
    /// When it commits, once it is prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// All bytes are written: makes them safe where they are, short of what can still be rolled back.
    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(()) })
    }
    /// Makes what was prepared complete and durable.
    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(()) })
    }
    /// How to roll back what was done.
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        None
    }
}
