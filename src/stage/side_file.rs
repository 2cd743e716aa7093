//! A small file that a stage writes beside the stream.

use std::fmt::Debug;

use super::{Cancel, Outcome};

/// The engine opens it before the first byte moves and passes it to its stage. It replaces an existing file when the
/// sink commits, and never if the run fails.
pub trait SideFile: Debug + Send + Sync {
    /// Appends bytes; an existing file stays for now.
    fn append(&self, bytes: &[u8], cancel: &Cancel) -> Outcome;
    /// Ends the file, which may be empty, and waits until the disk has it.
    fn finish(&self) -> Outcome;
}
