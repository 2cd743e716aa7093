//! All system-specific code.
//!
//! Everything above this module is the same on every Unix. What differs is in two files with the same functions:
//! `linux`, and `portable` for all other systems (the feature `portable-platform` selects it on Linux for tests).

use std::io;
use std::thread::{Builder, JoinHandle};

use fault::Operation;

mod alarm;
mod children;
mod descriptor;
pub mod fault;
pub mod files;
mod folder_watch;
mod identity;
mod inherited;
mod kernel_queue;
mod keyboard;
mod memory;
pub mod other_process;
mod process_tree;
mod reactor;
mod signals;
pub mod sockets;
mod standard_error;

#[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
use linux as system;

#[cfg(any(not(target_os = "linux"), feature = "portable-platform"))]
mod portable;
#[cfg(any(not(target_os = "linux"), feature = "portable-platform"))]
use portable as system;

pub use alarm::{Alarm, await_alarm, sharpen_timers};
pub use children::{ChildExit, find_program, has_terminal, pipe_from_child, pipe_to_child, spawn_child, wait_for_any};
pub use descriptor::{Descriptor, Interest, Shape, Transfer, Woken};
pub use folder_watch::FolderWatch;
pub use identity::{FileId, FilePlace, FileStamp, folder_of, is_sparse};
pub use inherited::{duplicate_inherited, named_descriptor};
pub use kernel_queue::{KernelQueue, Queued};
pub use keyboard::{Keyboard, release_keyboard};
#[cfg(feature = "nats")]
pub use memory::{KEPT_BY_HEAP, keep_large_buffers};
pub use memory::{ResidentMemory, free_disk, free_memory, share_one_heap};
pub use process_tree::{
    GroupUse, Listed, Listeners, Tree, TreeUse, TreeWatch, Written, adopt_orphans, adopts_orphans, die_with_parent,
    has_group_ended, kill_descendants, lead_group, listens, shrink_pipe,
};
pub use reactor::{REPEATED, Signals, reactor};
pub use signals::{TERMINATING, end_as, interrupt_this_process, is_ignored, pending_signal, prepare_signals};
pub use standard_error::{is_in_foreground, terminal_size, write_patiently, write_within};
pub use system::{
    FINDS_HOLES, HAS_USER_TIMEOUT, JOINS_PIPES, block_device_size, cpu_time, group_use, process_name, processes,
    unsent_bytes,
};

/// Starts a thread with a name and a stack size in bytes.
///
/// # Errors
/// If the system has none left.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    fault::point(Operation::Thread)?;
    Builder::new().name(name.into()).stack_size(stack).spawn(work)
}
