//! What a sink and a source do once it is known how the run ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Failure, Kind};

use crate::flow::Position;

use super::{BoxFuture, Outcome};

/// Rolls back what a sink did if the run fails; does nothing once the sink has committed. The engine calls it even when
/// the sink's own work hangs or has panicked, and bounds its time.
pub trait Rollback: Send + Sync {
    /// Rolls back. A second call changes nothing.
    ///
    /// # Errors
    /// If that fails; the message names what is left behind.
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>>;
    /// Whether it is too late: the output is in its place, and may only have to become durable.
    fn is_committed(&self) -> bool {
        false
    }
    /// What would be left behind: the path of a temporary file, the id of an upload.
    fn name(&self) -> String;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Every required output is complete and durable.
    Committed,
    /// Every output that can be rolled back was rolled back, because of a failure of that kind; `None` for a signal.
    RolledBack(Option<Kind>),
}

/// The end of a file that a sink appends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkEnd {
    /// Of the file: its device and its inode.
    pub device: u64,
    /// See there.
    pub inode: u64,
    /// The offset behind the last byte.
    pub length: u64,
}

/// What an open source does once the end of the run is known: answer an upload, acknowledge a message, close a cursor.
/// The engine calls it once, after the outputs were committed or rolled back, within a bounded time.
pub trait Settle: Send + Sync {
    /// Whether it is told of what is durable while the run goes on.
    fn is_acknowledged(&self) -> bool {
        false
    }
    /// Everything up to `position` is durable in every sink. Called from any thread, while the run goes on, with positions
    /// that only grow; never waits.
    fn acknowledge(&self, position: Position) {
        let _ = position;
    }
    /// The same where the only sink appends to a file, which ended there then.
    fn acknowledge_with(&self, position: Position, end: SinkEnd) {
        let _ = end;
        self.acknowledge(position);
    }
    /// Notes where that file ends before anything is added to it; waits until that is certain.
    ///
    /// # Errors
    /// If it cannot be noted.
    fn begin_at(&self, end: SinkEnd) -> Outcome {
        let _ = end;
        Ok(())
    }
    /// Where the file ended with the position that this run goes on from, if an earlier run has noted that.
    fn earlier_end(&self) -> Option<SinkEnd> {
        None
    }
    /// Notes when the part of the stream was begun that lies behind what is durable.
    fn begin_part(&self, begun: SystemTime) {
        let _ = begun;
    }
    /// The position that this run goes on from, and when the part behind it was begun, if an earlier run has noted that.
    fn earlier_part(&self) -> Option<(Position, SystemTime)> {
        None
    }
    /// Waits until everything that it was told is noted for the next run, where there is such a note.
    fn noted(&self) -> BoxFuture<'static, Outcome> {
        Box::pin(async { Ok(()) })
    }
    /// How long it may take to react, cancelled or not.
    fn limit(&self) -> Duration {
        Duration::from_secs(2)
    }
    /// Reacts to how the run ended.
    ///
    /// # Errors
    /// If what a later run has to know could not be noted.
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, Result<(), Failure>>;
}
