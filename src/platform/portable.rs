//! What every Unix offers. Tested on Linux only.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;
use rustix::process::Pid;

use super::files::Guards;
use super::other_process::{Activity, Connection, FilePosition, HeldDescriptor, Level};
use super::process_tree::{GroupUse, Listed, Listeners, OpenFile, ProcessMemory};

/// A pipe: its read end is polled, a byte in it rings the alarm.
#[derive(Debug)]
pub struct AlarmDescriptors {
    read: OwnedFd,
    write: OwnedFd,
}

impl AlarmDescriptors {
    pub fn new() -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe()?;
        for fd in [&read, &write] {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(Self { read, write })
    }

    pub fn ring(&self) {
        // A pipe that is full is readable already.
        let _ = rustix::io::write(&self.write, &[1]);
    }

    pub fn silence(&self) {
        while matches!(rustix::io::read(&self.read, &mut [0; 64]), Ok(64)) {}
    }
}

impl AsFd for AlarmDescriptors {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// No files.
#[derive(Debug)]
pub struct MemoryFiles;

impl MemoryFiles {
    pub fn open() -> Self {
        Self
    }

    /// The peak in place of the current value, which cannot be read portably.
    pub fn resident(&self) -> u64 {
        self.peak()
    }

    #[allow(clippy::unused_self, reason = "the Linux one has files to look into")]
    pub fn peak(&self) -> u64 {
        #[allow(unsafe_code, reason = "getrusage fills a struct of plain numbers")]
        let usage = unsafe {
            let mut usage = std::mem::zeroed::<libc::rusage>();
            if libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) != 0 {
                return 0;
            }
            usage
        };
        // macOS counts bytes, other systems KiB.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit
    }
}

/// There is no portable way to read it.
pub fn free_memory() -> Option<u64> {
    None
}

/// There is no portable setting.
pub fn share_one_heap() {}

/// There is no portable setting.
#[cfg(feature = "nats")]
pub fn keep_large_buffers(_kept: i32) {}

/// Device numbers differ between systems.
pub fn is_memory_device(_stat: &Stat) -> bool {
    false
}

/// Only /dev/fd is known everywhere.
pub fn lists_own_descriptors(_folder: &Path) -> bool {
    false
}

/// Unknown: the standard library has opened /dev/null in its place.
pub fn was_closed(_fd: i32) -> bool {
    false
}

/// There is no portable way to reopen a descriptor: the caller polls instead.
pub fn reopen(_fd: BorrowedFd<'_>, _access: OFlags) -> Option<OwnedFd> {
    None
}

/// Pipes keep their size.
pub fn enlarge_pipe(_fd: BorrowedFd<'_>, _room: u64) -> Option<usize> {
    None
}

/// No pipe was enlarged.
pub fn restore_pipe(_fd: BorrowedFd<'_>, _size: usize) {}

/// Unknown.
pub fn pipe_capacity(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// Elsewhere only the reading end can tell.
pub fn unread_in_pipe(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// There is no portable setting.
pub fn sharpen_timers() {}

/// Bytes are read and written instead.
pub fn copy_file_range(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _length: usize) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

/// Bytes are read and written instead.
pub const JOINS_PIPES: bool = false;

/// Bytes are read and written instead.
pub fn splice(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _length: usize) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

/// There is no portable way.
pub fn punch_hole(_fd: BorrowedFd<'_>, _start: u64, _length: u64) {}

/// There is no portable way.
pub fn start_writeback(_fd: BorrowedFd<'_>) {}

/// Bytes are read and written instead.
pub fn send_file(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _length: usize) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

/// Whether the system tells where a file's holes are.
pub const FINDS_HOLES: bool = false;

/// Unknown.
pub fn next_data(_fd: BorrowedFd<'_>, _offset: u64) -> Option<Range<u64>> {
    None
}

/// There is no portable way: a read may come from memory.
pub fn drop_cached(_fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    Ok(())
}

/// Unknown.
#[must_use]
pub fn unsent_bytes(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// There is no portable way.
pub fn access_list(_path: &Path) -> Option<Vec<u8>> {
    None
}

/// There is no portable way.
pub fn set_access_list(_fd: BorrowedFd<'_>, _list: &[u8]) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// Without lists there is none to remove.
pub fn remove_access_list(_fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    Ok(())
}

/// There is no portable way.
pub fn attributes(_path: &Path) -> rustix::io::Result<Vec<OsString>> {
    Err(Errno::OPNOTSUPP)
}

/// There is no portable way.
pub fn copy_attribute(_from: &Path, _to: BorrowedFd<'_>, _name: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// There is no portable way.
pub fn guards(_folder: BorrowedFd<'_>, _name: &Path) -> rustix::io::Result<Guards> {
    Err(Errno::OPNOTSUPP)
}

/// Only root, on every system.
pub fn acts_for_owners() -> bool {
    rustix::process::geteuid().is_root()
}

/// There is no portable way.
pub fn rename_new(
    _from: BorrowedFd<'_>,
    _old_name: &Path,
    _to: BorrowedFd<'_>,
    _new_name: &Path,
) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// Unknown: a socket is protected by the mode of its folder and its own.
pub fn peer_user(_socket: BorrowedFd<'_>) -> Option<u32> {
    None
}

/// There is no portable way.
#[must_use]
pub fn process_name(_pid: u32) -> Option<String> {
    None
}

/// There is no portable way.
#[must_use]
pub fn block_device_size(_stat: &Stat) -> Option<u64> {
    None
}

/// There is no portable list.
#[must_use]
pub fn group_use(leaders: &[i32]) -> Vec<GroupUse> {
    vec![GroupUse::default(); leaders.len()]
}

/// Unknown.
#[must_use]
pub fn cpu_time(_pid: i32) -> Duration {
    Duration::ZERO
}

/// There is no portable list.
pub fn processes() -> io::Result<Vec<Listed>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not list its processes with their memory as Linux does",
    ))
}

/// The counters of another process: there are no portable ones.
#[derive(Debug)]
pub struct ProcessFiles;

impl ProcessFiles {
    /// There is none.
    #[must_use]
    pub fn open(_pid: i32) -> Self {
        Self
    }

    /// Unknown.
    #[must_use]
    pub fn transferred(&self) -> Option<(u64, u64)> {
        None
    }

    /// Unknown.
    #[must_use]
    pub fn used(&self) -> Option<GroupUse> {
        None
    }

    /// Unknown.
    #[must_use]
    pub fn level(&self, _held: &HeldDescriptor) -> Option<Level> {
        None
    }

    /// Unknown.
    #[must_use]
    pub fn is_full(&self, _fd: i32) -> Option<bool> {
        None
    }
}

/// What a thread of another process does: there is no portable way to see it.
#[derive(Debug)]
pub struct ThreadFiles;

impl ThreadFiles {
    /// There is none.
    pub fn open(_pid: i32, _thread: i32) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Unknown.
    pub fn activity(&mut self) -> Option<Activity> {
        None
    }
}

/// Unknown.
#[must_use]
pub fn threads(_pid: i32) -> Vec<i32> {
    Vec::new()
}

/// There is no portable list.
#[must_use]
pub fn child_processes(_pid: i32) -> Vec<i32> {
    Vec::new()
}

/// There is no portable list.
pub fn held_descriptors(_pid: i32) -> io::Result<Vec<HeldDescriptor>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown.
#[must_use]
pub fn held_descriptor(_pid: i32, _fd: i32) -> Option<HeldDescriptor> {
    None
}

/// Unknown.
#[must_use]
pub fn file_position(_pid: i32, _fd: i32) -> Option<FilePosition> {
    None
}

/// Unknown.
#[must_use]
pub fn command_line(_pid: i32) -> Vec<Vec<u8>> {
    Vec::new()
}

/// Unknown.
#[must_use]
pub fn owner(_pid: i32) -> Option<u32> {
    None
}

/// Unknown.
#[must_use]
pub fn network_namespace(_pid: i32) -> Option<u64> {
    None
}

/// There is no portable list.
#[must_use]
pub fn connections(_pid: i32) -> Vec<Connection> {
    Vec::new()
}

/// There is no portable list.
#[must_use]
pub fn unix_peers() -> Vec<(u64, u64)> {
    Vec::new()
}

/// Unknown.
pub fn has_running_thread(_pid: i32) -> bool {
    false
}

/// Unknown.
pub fn process_memory(_pid: i32) -> Option<ProcessMemory> {
    None
}

/// Unknown.
pub fn open_files(_pid: i32) -> Vec<OpenFile> {
    Vec::new()
}

/// Unknown.
pub fn listeners(_of: Option<i32>, _port: Option<u16>) -> Listeners {
    Listeners::default()
}

/// All are assumed to be in one namespace.
pub fn shares_network(_pid: i32) -> bool {
    true
}

/// Unknown.
pub fn stored_bytes(_pid: i32) -> u64 {
    0
}

/// Orphans become children of the first process.
pub fn adopt_orphans(_does: bool) {}

/// They never become children of this process.
pub fn adopts_orphans() -> bool {
    false
}

/// There is no portable way.
pub fn die_with_parent(_command: &mut Command) {}

/// There is no portable way: the caller polls.
pub fn exit_descriptor(_pid: Pid) -> Option<OwnedFd> {
    None
}

/// Pipes keep their size.
pub fn shrink_pipe(_fd: BorrowedFd<'_>) {}

/// There is no user timeout.
pub const HAS_USER_TIMEOUT: bool = false;

/// The system probes at its own interval, by default every two hours.
pub fn tune_keepalive(_fd: BorrowedFd<'_>, _user_timeout: Option<Duration>) -> rustix::io::Result<()> {
    Ok(())
}

/// Left to the system.
pub fn limit_unsent(_fd: BorrowedFd<'_>, _bytes: u32) -> rustix::io::Result<()> {
    Ok(())
}
/// Announces what happens in a folder as long as it is open: not here.
pub fn watch_folder(_: &std::path::Path) -> Option<OwnedFd> {
    None
}
