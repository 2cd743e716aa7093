//! Small files that stages write beside the stream.

use std::fmt::Debug;

use super::{Cancel, Outcome};

/// Writes small files as atomically as the stream's own. The engine lends it; a transform knows no endpoint.
pub trait SideFiles: Debug + Send + Sync {
    /// Writes the whole file at `path`: what was there stays until all of it is on the disk.
    ///
    /// # Errors
    /// If it cannot be written, or the stage is told to stop.
    fn write(&self, path: &[u8], bytes: &[u8], cancel: &Cancel) -> Outcome;
}
