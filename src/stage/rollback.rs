//! Rolling back what a sink did.

use std::sync::Arc;

use crate::error::Failure;

use super::BoxFuture;

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
