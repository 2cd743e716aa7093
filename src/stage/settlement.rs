//! Telling a source what became of what it gave.

use std::sync::Arc;

use super::BoxFuture;

/// How a run was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Every required output is complete and durable.
    Committed,
    /// Every output was rolled back that could be.
    RolledBack,
}

/// What an open source does once it is known how the run ended: answer an upload, acknowledge a message, close a cursor.
/// The engine calls it once, after the outputs were committed or rolled back, and gives it a bounded time.
pub trait Settle: Send + Sync {
    /// Takes note of how it ended.
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, ()>;
}
