//! The only home of system-specific code.
//!
//! Everything above this module is the same on every Unix. What differs stands in two files with the same functions:
//! `linux`, and `portable` for the rest (the feature `portable-platform` forces it, so that it can be tried on Linux).

mod alarm;
mod descriptor;
mod identity;
mod kernel_queue;
mod memory;
mod permissions;
mod signals;
mod sockets;
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
pub use descriptor::{Descriptor, Interest, Shape, Transfer, Woken};
pub use identity::{FileId, FileStamp};
pub use kernel_queue::KernelQueue;
pub use memory::{ResidentMemory, forget_start_up, share_one_heap};
pub use permissions::creation_mask;
pub use signals::{TERMINATING, end_as, is_ignored, prepare_signals};
pub use sockets::{keep_alive, unix_stream_socket};
pub use standard_error::{is_in_foreground, terminal_size, write_patiently, write_within};
pub use system::{HAS_USER_TIMEOUT, drop_cached, unsent_bytes};
