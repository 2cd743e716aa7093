//! The system calls that can move the bytes of a direct path.

use crate::platform::Shape;

/// The methods to move bytes between two descriptors, the fastest first. Each moves bytes or falls back to the next: an
/// error inside the kernel happens again when reading and writing, which shows the end that it belongs to. Only the
/// pending error of a connection is reported once, so it is used where it appears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DirectPath {
    /// From file to file inside the kernel.
    CopyFileRange,
    /// Pages are moved from a pipe to another descriptor, or from a socket to a pipe; no other process can change them.
    /// Pages of a file are moved only if the user allows it.
    Splice,
    /// Into a buffer and out of it. The pages of a file are normally copied: pages lent to a pipe or a socket would
    /// still change there when the file does.
    #[default]
    Copy,
}

impl DirectPath {
    /// The fastest method that two endpoints may support.
    #[must_use]
    pub fn best(source: Shape, sink: Shape, lends_pages: bool) -> Self {
        match (source, sink) {
            (Shape::File, Shape::File) => Self::CopyFileRange,
            (Shape::Pipe, _) | (Shape::Socket, Shape::Pipe) => Self::Splice,
            (Shape::File, Shape::Pipe | Shape::Socket) if lends_pages => Self::Splice,
            _ => Self::Copy,
        }
    }

    /// Its name in the stats object.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CopyFileRange => "copy_file_range",
            Self::Splice => "splice",
            Self::Copy => "copy",
        }
    }
}
