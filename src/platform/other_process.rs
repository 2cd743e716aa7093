//! What can be seen of another process without stopping it: its descriptors, its counters, and what each of its threads
//! waits for.

use std::net::SocketAddr;
use std::path::PathBuf;

pub use super::system::{
    ProcessFiles, ThreadFiles, child_processes, command_line, connections, file_position, held_descriptor,
    held_descriptors, network_namespace, owner, threads, unix_peers,
};

/// What a descriptor refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An anonymous pipe, by its inode.
    Pipe(u64),
    /// A named pipe, by its device and inode.
    Fifo(u64, u64),
    /// A socket, by its inode.
    Socket(u64),
    /// A regular file, by its path.
    File(PathBuf),
    /// A terminal.
    Terminal,
    /// Anything else.
    Other,
}

/// A descriptor that a process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDescriptor {
    /// Its number there.
    pub fd: i32,
    /// What it refers to.
    pub target: Target,
    /// Whether it is open for reading.
    pub reads: bool,
    /// Whether it is open for writing.
    pub writes: bool,
}

/// What a thread does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It runs, or could if a processor were free.
    Running,
    /// It waits for a disk.
    Disk,
    /// It waits in a call that reads from a descriptor, if it is known from which.
    Reading(Option<i32>),
    /// It waits in a call that writes to a descriptor, if it is known to which.
    Writing(Option<i32>),
    /// It waits in a call that moves bytes between two descriptors.
    Moving {
        /// Where they come from.
        from: i32,
        /// Where they go.
        to: i32,
    },
    /// It waits for any of several descriptors.
    Polling,
    /// It waits for a child process to end.
    AwaitingChild,
    /// It waits for something else: a timer, a lock.
    Sleeping,
}

/// A TCP connection in the table of a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The inode of its socket.
    pub inode: u64,
    /// The address of this side.
    pub local: SocketAddr,
    /// The address of the other side.
    pub remote: SocketAddr,
}

/// How far a process is in a regular file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePosition {
    /// The offset of the next read or write.
    pub offset: u64,
    /// The size of the file now.
    pub size: u64,
}

/// The contents and the capacity of a pipe or a socket, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// What was written to it and not read from it.
    pub bytes: u64,
    /// How much fits in it; 0 if that is not known.
    pub capacity: u64,
}

impl Level {
    /// Whether a writer would wait, as far as the bytes tell: a pipe has room once a page is free.
    #[must_use]
    pub fn looks_full(&self) -> bool {
        /// The page size of pipes nearly everywhere.
        const PAGE: u64 = 4096;
        self.capacity > 0 && self.bytes + PAGE > self.capacity
    }
}
