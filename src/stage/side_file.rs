//! A small file that a stage writes beside the stream.

use std::fmt::Debug;

use super::{Cancel, Outcome};

/// The engine opens it before the first byte moves and passes it to its stage. It replaces an existing file when the
/// sink commits, and never if the run fails.
pub trait SideFile: Debug + Send + Sync {
    /// Writes the whole content once and waits until the disk has it; an existing file stays for now.
    fn write(&self, bytes: &[u8], cancel: &Cancel) -> Outcome;
}
