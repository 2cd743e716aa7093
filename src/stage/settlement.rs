//! Tells a source whether its data was committed.

use std::sync::Arc;

use super::BoxFuture;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Every required output is complete and durable.
    Committed,
    /// Every output that can be rolled back was rolled back.
    RolledBack,
}

/// What an open source does once the end of the run is known: answer an upload, acknowledge a message, close a cursor.
/// The engine calls it once, after the outputs were committed or rolled back, within a bounded time.
pub trait Settle: Send + Sync {
    /// Reacts to how the run ended.
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, ()>;
}
