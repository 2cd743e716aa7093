//! Open places that the reactor waits for: anything that is not a descriptor of its own, such as a TLS or HTTP connection,
//! a database cursor, or another pipeline.
//!
//! A place that *is* a descriptor is read and written on a thread, and may take the direct path; see the endpoints.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Failure;
use crate::flow::Position;

use super::{BoxFuture, Phase, Rollback, Settle};

/// An open place to read from.
pub trait StreamReader: Send {
    /// Reads what there is into `buffer`, and returns how many bytes that were: 0 at an honest end, and nowhere else.
    /// While it is pending it keeps nothing in `buffer`: the next call may lend it another one.
    ///
    /// # Errors
    /// If it cannot be read, or ends before its end.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Failure>>;
    /// Up to where in its input everything has been read; `None` where it cannot be told to go on from there.
    fn position(&self) -> Option<Position> {
        None
    }
    /// Who is to be told how the run was settled.
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        None
    }
}

/// An open place to write to.
pub trait StreamWriter: Send {
    /// Writes some of the slices, and returns how many bytes it took: at least 1.
    ///
    /// # Errors
    /// If it cannot be written.
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Failure>>;
    /// When it commits, once it is prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// All bytes are written: makes them safe where they are, short of what can still be rolled back.
    ///
    /// # Errors
    /// If that fails.
    fn prepare(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
    /// Makes what was prepared complete and durable.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
    /// How to roll back what was done.
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        None
    }
}
