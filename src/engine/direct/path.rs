//! Which system call moves the bytes of a direct path.

use crate::platform::Shape;

/// The ways to move bytes between two descriptors, the fastest first. Each moves bytes or passes on to the next: what a
/// call inside the kernel stumbles over, reading and writing meets as well, and can say on which side it is. Only what
/// becomes of a connection is said once, and counts where it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DirectPath {
    /// From file to file inside the kernel.
    CopyFileRange,
    /// Pages change from a pipe to something else, or from a socket to a pipe: they are nobody else's. Those of a file
    /// only where the user lends them.
    Splice,
    /// Into a buffer and out of it. A file's pages are always copied: those that were only lent to a pipe or a socket
    /// would still change there when the file does.
    #[default]
    Copy,
}

impl DirectPath {
    /// The fastest way that two places may have.
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
