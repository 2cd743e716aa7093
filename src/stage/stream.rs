//! Open endpoints that are not descriptors of their own, such as a TLS or HTTP connection, a database cursor, or
//! another pipeline.
//!
//! The reactor waits for them; those that block get a thread of their own.

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::error::{Failure, Stop};
use crate::flow::{Position, StageMeter};
use crate::platform::Queued;

use super::{Backlog, BoxFuture, Outcome, Phase, QueueState, RemoteIdentity, ResumePoint, Rollback, Settle};

/// An open endpoint to read from.
pub trait StreamReader: Send {
    /// Reads what is available into `buffer`, and returns the number of bytes: 0 only at the proper end of the stream.
    /// While it is pending it keeps nothing in `buffer`: the next call may pass another one.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>>;
    /// Whether its calls block instead of being pending.
    fn blocks(&self) -> bool {
        false
    }
    /// Whether each read ends where a record does, unless that is larger than the buffer: then no second one is added to a
    /// buffer.
    fn gives_records(&self) -> bool {
        false
    }
    /// Whether what it gave last ends within a record.
    fn is_within_record(&self) -> bool {
        false
    }
    /// How many bytes it gives in all, if that is known.
    fn size(&self) -> Option<u64> {
        None
    }
    /// Which version of what it is, if it can begin in the middle of the same one in a later run.
    ///
    /// # Errors
    /// Why it cannot.
    fn identity(&self) -> Result<Option<RemoteIdentity>, Failure> {
        Ok(None)
    }
    /// Moves `bytes` ahead, which are no more than its size, before anything was read; returns whether it can.
    fn skip(&mut self, bytes: u64) -> bool {
        let _ = bytes;
        false
    }
    /// What its kernel queue can be seen through, if it has one; asked for whenever it is pending.
    fn queue(&self) -> Option<Weak<dyn Queued>> {
        None
    }
    /// The position behind what it gave last; `None` if a later run cannot go on from there.
    fn position(&self) -> Option<Position> {
        None
    }
    /// When it may not be held open any longer, whatever it waits for, and the failure then.
    fn expires(&self) -> Option<(Instant, Failure)> {
        None
    }
    /// Since when its server keeps one version of the data for it, such as the snapshot of a query.
    fn snapshot(&self) -> Option<std::time::Instant> {
        None
    }
    /// Tells how many bytes are there that it has not read yet, if that can be known.
    fn backlog(&self) -> Option<Arc<dyn Backlog>> {
        None
    }
    /// The object that is told how the run ended.
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        None
    }
}

/// An open endpoint to read records from.
pub trait RecordReader: Send {
    /// Gets the next record, which [`RecordReader::record`] then returns; false at the proper end of the stream.
    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Stop>>;
    /// The record that came last, without a newline in it or at its end.
    fn record(&self) -> &[u8];
    /// What its kernel queue can be seen through, if it has one; asked for whenever it is pending.
    fn queue(&self) -> Option<Weak<dyn Queued>> {
        None
    }
    /// The positions before and behind that record; `None` of a source that is not told what is durable.
    fn positions(&self) -> Option<[Position; 2]> {
        None
    }
    /// How many records it has dropped because they are bad, since it was asked last.
    fn rejected(&mut self) -> u64 {
        0
    }
    /// The object that is told how the run ended.
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        None
    }
    /// What is known of the queue that it reads from.
    fn queue_state(&self) -> Option<Arc<QueueState>> {
        None
    }
}

/// An open endpoint to write to.
pub trait StreamWriter: Send {
    /// Writes some of the slices, and returns the number of bytes: at least 1.
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>>;
    /// Called while there is nothing to write: does what is to be done in the background, and returns why the endpoint
    /// has failed, if it has.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        let _ = context;
        Poll::Pending
    }
    /// Whether its calls block instead of being pending.
    fn blocks(&self) -> bool {
        false
    }
    /// What its kernel queue can be seen through, if it has one; asked for whenever it is pending.
    fn queue(&self) -> Option<Weak<dyn Queued>> {
        None
    }
    /// How far an earlier run has come that this one continues; `None` if it is not told of positions, and may be given
    /// several slices at once.
    fn resumes_at(&self) -> Option<ResumePoint> {
        None
    }
    /// Told that all bytes up to a position of the source were written, and no others.
    fn reach(&mut self, position: Position) {
        let _ = position;
    }
    /// The last position that it was told of and all of which is durable by now, while more is written.
    fn durable(&self) -> Option<Position> {
        None
    }
    /// When it commits, once it is prepared. With [`Phase::Drained`], the default, that is at once; with another phase,
    /// when every other output of the pipeline is prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// Told before the first write how many bytes a connection may keep in the system besides those that are on their
    /// way.
    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        let _ = bytes;
        Ok(())
    }
    /// Sets the meter that counts what a peer acknowledges while the output is prepared and committed, so that progress
    /// is visible.
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        let _ = meter;
    }
    /// Makes the written bytes safe without making them final: they can still be rolled back.
    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(()) })
    }
    /// Makes the prepared output complete and durable.
    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(()) })
    }
    /// A URL that leads to the output once it is committed, if one was asked for.
    fn url(&self) -> Option<String> {
        None
    }
    /// How to roll back what was done; `None` where nothing of it can be. It is asked for before the first byte is
    /// written, and shares with the writer whether that has committed.
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        None
    }
}
