//! Taking back what a sink did.

use std::sync::Arc;

use crate::error::Failure;

use super::{BoxFuture, Undo};

/// Takes back what a sink did, where the run fails; does nothing once the sink has committed. The engine calls it, also
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

/// A rollback on this machine, which takes no time worth waiting for.
pub struct AtOnce(pub Arc<dyn Undo>);

impl Rollback for AtOnce {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move { self.0.undo() })
    }

    fn is_committed(&self) -> bool {
        self.0.has_landed()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}
