//! Rolling back what a sink did.

use std::sync::Arc;

use crate::error::Failure;

use super::BoxFuture;

/// Rolls back what a sink did, where the run fails; does nothing once the sink has committed. The engine calls it, also
/// when the sink's own work hangs or has panicked, and bounds its time.
pub trait Rollback: Send + Sync {
    /// Takes it back. A second time changes nothing.
    ///
    /// # Errors
    /// Where that fails; the message names what is left behind.
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>>;
    /// Whether it is too late for that: the output is in its place, and may only have to become durable.
    fn is_committed(&self) -> bool {
        false
    }
    /// What would be left behind: a temporary file's path, an upload's id.
    fn name(&self) -> String;
}
