//! A small file that a stage leaves beside the stream.

use std::fmt::Debug;

use super::{Cancel, Outcome};

/// The engine opens it before the first byte moves and lends it to its stage; what the stage wrote takes its place when
/// the sink is committed, and never does where the run fails. A transform knows no endpoint.
pub trait SideFile: Debug + Send + Sync {
    /// Writes all of it, once, and waits until the disk has it; what was there before stays.
    ///
    /// # Errors
    /// If it cannot be written, or the stage is told to stop.
    fn write(&self, bytes: &[u8], cancel: &Cancel) -> Outcome;
}
