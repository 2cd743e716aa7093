//! What Linux offers beyond the other Unixes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{
    AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, SeekFrom, Stat, StatxAttributes, StatxFlags, XattrFlags,
};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::pipe::SpliceFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::thread::CapabilitySet;

use super::files::Guards;

mod other_process;
mod processes;
mod room;
mod unix_peers;

pub use other_process::{
    ProcessFiles, ThreadFiles, child_processes, command_line, connections, file_position, held_descriptor,
    held_descriptors, network_namespace, owner, threads,
};
pub use processes::{
    cpu_time, group_use, has_running_thread, listeners, open_files, process_memory, processes, shares_network,
    stored_bytes,
};
pub use room::free_memory;
pub use unix_peers::unix_peers;

/// One eventfd.
#[derive(Debug)]
pub struct AlarmDescriptors(OwnedFd);

impl AlarmDescriptors {
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub fn ring(&self) {
        // A counter that is full is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub fn silence(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for AlarmDescriptors {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel's files about this process, kept open.
#[derive(Debug)]
pub struct MemoryFiles {
    statm: Option<File>,
    status: Option<File>,
}

impl MemoryFiles {
    pub fn open() -> Self {
        Self {
            statm: File::open("/proc/self/statm").ok(),
            status: File::open("/proc/self/status").ok(),
        }
    }

    /// The second number of statm, in pages: see proc(5).
    pub fn resident(&self) -> u64 {
        let pages = self.statm.as_ref().and_then(|file| {
            let mut text = [0; 128];
            let count = file.read_at(&mut text, 0).ok()?;
            std::str::from_utf8(&text[..count])
                .ok()?
                .split(' ')
                .nth(1)?
                .parse::<u64>()
                .ok()
        });
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }

    /// `VmHWM` of status, in KiB: see proc(5).
    pub fn peak(&self) -> u64 {
        let kib = self.status.as_ref().and_then(|file| {
            let mut text = [0; 4096];
            let count = file.read_at(&mut text, 0).ok()?;
            status_field(&text[..count], "VmHWM:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
        kib.unwrap_or(0) * 1024
    }
}

fn status_field(status: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(status);
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(|value| value.trim().to_owned())
}

/// An open file description of our own for an inherited pipe or terminal, so that making it non-blocking changes
/// nothing for the processes that share the old one.
pub fn reopen(fd: BorrowedFd<'_>, access: OFlags) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// Only GNU's C library has these settings; others have one heap, or no setting.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "sets numbers of the allocator's own")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // The library raises this by itself. Buffers of many sizes would then share the heap, which grows with the gaps
        // between them.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 10);
        // What is free at its end goes back to the system.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 32 << 10);
        libc::mallopt(libc::M_TOP_PAD, 16 << 10);
    }
}

/// Of GNU's C library as well.
#[cfg(feature = "nats")]
pub fn keep_large_buffers(kept: i32) {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "sets numbers of the allocator's own")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, kept);
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept);
    }
}

/// Whether it is /dev/null or a related device, which never blocks: major number 1, see null(4).
pub fn is_memory_device(stat: &Stat) -> bool {
    rustix::fs::major(stat.st_rdev) == 1
}

/// Bits of the standard descriptors that were closed when the process started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Runs before `main`, because the standard library opens /dev/null in their place.
extern "C" fn look_at_standard_descriptors() {
    for fd in 0..3 {
        #[allow(unsafe_code, reason = "asks for the flags of a number that may be no descriptor")]
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags < 0 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

#[used]
#[allow(unsafe_code, reason = "the loader calls the functions of this section before main")]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look_at_standard_descriptors;

/// Whether a folder is the kernel's list of this process's descriptors, by any of its names: see proc(5).
pub fn lists_own_descriptors(folder: &Path) -> bool {
    let Ok(folder) = std::fs::canonicalize(folder) else {
        return false;
    };
    let Ok(own) = std::fs::canonicalize("/proc/self") else {
        return false;
    };
    let Ok(inside) = folder.strip_prefix(own) else {
        return false;
    };
    let inside: Vec<_> = inside.iter().collect();
    matches!(inside.as_slice(), [last] | [_, _, last] if *last == "fd")
}

/// Whether a standard descriptor was closed when the process started.
pub fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Enlarges a pipe of the default size to the power of two that `room` bytes allow, at most 1 MiB, or to less if that
/// is refused; returns its previous size. A pipe of any other size was set by another program, or the user's quota is
/// used up.
pub fn enlarge_pipe(fd: BorrowedFd<'_>, room: u64) -> Option<usize> {
    /// Larger pipes gain little.
    const LARGEST: u64 = 1 << 20;
    let default = DEFAULT_PIPE_PAGES * rustix::param::page_size();
    let mut size = usize::try_from(room.min(LARGEST))
        .ok()?
        .checked_ilog2()
        .map_or(0, |log| 1 << log);
    if size <= default || rustix::pipe::fcntl_getpipe_size(fd) != Ok(default) {
        return None;
    }
    size = size.min(most_of_a_pipe()?);
    while size > default {
        if rustix::pipe::fcntl_setpipe_size(fd, size).is_ok() {
            return Some(default);
        }
        size /= 2;
    }
    None
}

/// See pipe(7).
const DEFAULT_PIPE_PAGES: usize = 16;

/// The largest size of a pipe by the settings of the system.
fn most_of_a_pipe() -> Option<usize> {
    let setting = |name| -> Option<usize> { std::fs::read_to_string(name).ok()?.trim_end().parse().ok() };
    let largest = setting("/proc/sys/fs/pipe-max-size")?;
    let pages = setting("/proc/sys/fs/pipe-user-pages-soft")?;
    Some(share_of_pipes(largest, pages * rustix::param::page_size()))
}

/// The largest power of two within the limit of one pipe, which does not bind root otherwise, and a small share of the
/// limit for all pipes of one user, where 0 stands for no limit. Once that is used up, every new pipe of the user has
/// two pages, in all programs.
fn share_of_pipes(largest: usize, quota: usize) -> usize {
    const SHARE: usize = 64;
    let most = if quota == 0 {
        largest
    } else {
        largest.min(quota / SHARE)
    };
    most.checked_ilog2().map_or(0, |log| 1 << log)
}

/// If it holds more than that it keeps its size.
pub fn restore_pipe(fd: BorrowedFd<'_>, size: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, size);
}

/// The capacity of a pipe with every page full.
pub fn pipe_capacity(fd: BorrowedFd<'_>) -> Option<u64> {
    rustix::pipe::fcntl_getpipe_size(fd)
        .ok()
        .and_then(|size| u64::try_from(size).ok())
}

/// What the reader of a pipe has not read yet: on Linux the writing end tells it, too.
pub fn unread_in_pipe(fd: BorrowedFd<'_>) -> Option<u64> {
    rustix::io::ioctl_fionread(fd).ok()
}

/// The default slack is 50 µs, in which a fast stream moves 256 KiB.
pub fn sharpen_timers() {
    // If it is refused, waits are as inexact as before.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Copies between two files at their offsets.
pub fn copy_file_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> rustix::io::Result<usize> {
    rustix::fs::copy_file_range(from, None, to, None, length)
}

/// For the whole file: ranges that are being written back already are skipped. See `sync_file_range(2)`.
pub fn start_writeback(fd: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    // A hint: if it is refused, the disk begins at the end.
    #[allow(unsafe_code, reason = "takes numbers, and a descriptor that is open")]
    unsafe {
        libc::sync_file_range(fd.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
    }
}

/// See fallocate(2).
pub fn punch_hole(fd: BorrowedFd<'_>, start: u64, length: u64) {
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = rustix::fs::fallocate(fd, mode, start, length);
}

/// Moves a file's pages to a socket; waits if the socket does.
pub fn send_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> rustix::io::Result<usize> {
    rustix::fs::sendfile(to, from, None, length)
}

/// Whether bytes can be moved from pipe to pipe without a copy.
pub const JOINS_PIPES: bool = true;

/// Moves pages from or to a pipe; never waits for a pipe.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> rustix::io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    rustix::pipe::splice(from, None, to, None, length, flags)
}

/// Whether the system tells where the holes of a file are.
pub const FINDS_HOLES: bool = true;

/// The data behind `offset` up to the next hole; moves the file's offset. Empty if only a hole is left.
pub fn next_data(fd: BorrowedFd<'_>, offset: u64) -> Option<Range<u64>> {
    let size = u64::try_from(rustix::fs::fstat(fd).ok()?.st_size).ok()?;
    match rustix::fs::seek(fd, SeekFrom::Data(offset)) {
        Ok(start) => Some(start..rustix::fs::seek(fd, SeekFrom::Hole(start)).ok()?),
        Err(Errno::NXIO) => Some(size.max(offset)..size.max(offset)),
        Err(_) => None,
    }
}

/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`: the kernel's own limits.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// The attribute that holds a file's access control list: see acl(5) and xattr(7).
const ACCESS_LIST: &str = "system.posix_acl_access";

/// A file's access control list in the kernel's format; `None` if it has only a mode.
pub fn access_list(path: &Path) -> Option<Vec<u8>> {
    let mut list = Vec::with_capacity(LARGEST_ATTRIBUTE);
    rustix::fs::lgetxattr(path, ACCESS_LIST, rustix::buffer::spare_capacity(&mut list)).ok()?;
    Some(list)
}

/// Sets a file's access control list.
pub fn set_access_list(fd: BorrowedFd<'_>, list: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::fsetxattr(fd, ACCESS_LIST, list, XattrFlags::empty())
}

/// Removes that list.
pub fn remove_access_list(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::fs::fremovexattr(fd, ACCESS_LIST)
}

/// The names of a file's extended attributes: see xattr(7).
pub fn attributes(path: &Path) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::with_capacity(LARGEST_ATTRIBUTE);
    rustix::fs::llistxattr(path, rustix::buffer::spare_capacity(&mut names))?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

/// Copies an extended attribute.
pub fn copy_attribute(from: &Path, to: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    let mut value = Vec::with_capacity(LARGEST_ATTRIBUTE);
    rustix::fs::lgetxattr(from, name, rustix::buffer::spare_capacity(&mut value))?;
    rustix::fs::fsetxattr(to, name, &value, XattrFlags::empty())
}

/// What prevents a name from being replaced: see statx(2).
pub fn guards(folder: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<Guards> {
    let seen = rustix::fs::statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
    let has = |attribute| seen.stx_attributes.contains(attribute);
    Ok(Guards {
        is_immutable: has(StatxAttributes::IMMUTABLE),
        is_append_only: has(StatxAttributes::APPEND),
        is_mount_point: has(StatxAttributes::MOUNT_ROOT),
    })
}

/// `CAP_FOWNER`: see capabilities(7).
pub fn acts_for_owners() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::FOWNER))
}

/// Renames a file without replacing one.
pub fn rename_new(
    from: BorrowedFd<'_>,
    old_name: &Path,
    to: BorrowedFd<'_>,
    new_name: &Path,
) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(from, old_name, to, new_name, RenameFlags::NOREPLACE)
}

/// `SO_PEERCRED`: the user that connected or listens, as recorded by the kernel at that time.
pub fn peer_user(socket: BorrowedFd<'_>) -> Option<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(socket).ok()?;
    Some(credentials.uid.as_raw())
}

/// The name of a process, at most 15 bytes; `None` if unknown.
#[must_use]
pub fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The size of a block device, which `stat` does not tell.
#[must_use]
pub fn block_device_size(stat: &Stat) -> Option<u64> {
    /// The unit whatever the device's own blocks are: see the kernel's `Documentation/ABI/stable/sysfs-block`.
    const SECTOR: u64 = 512;
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let sectors = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/size")).ok()?;
    sectors.trim_end().parse::<u64>().ok()?.checked_mul(SECTOR)
}

/// `POSIX_FADV_DONTNEED` for the whole file: see `posix_fadvise(2)`.
pub fn drop_cached(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::DontNeed)
}

/// Bytes in a socket's send queue that the peer's kernel has not acknowledged yet; `None` if unknown.
#[must_use]
pub fn unsent_bytes(fd: BorrowedFd<'_>) -> Option<u64> {
    /// `SIOCOUTQ`, the same number as `TIOCOUTQ`: see tcp(7).
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    #[allow(unsafe_code, reason = "the kernel's documented getter of one int")]
    let queued = unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Getter::<SIOCOUTQ, i32>::new()) };
    queued.ok().and_then(|bytes| u64::try_from(bytes).ok())
}

/// Orphans become children of the nearest ancestor that is a subreaper instead of the first process: see prctl(2).
pub fn adopt_orphans(does: bool) {
    // If it is refused, an orphan is not counted; nothing else depends on it.
    let _ = rustix::process::set_child_subreaper(does.then(rustix::process::getpid));
}

/// Whether they do now.
pub fn adopts_orphans() -> bool {
    matches!(rustix::process::child_subreaper(), Ok(Some(_)))
}

/// Makes the kernel kill the child when the thread that starts it ends: see `PR_SET_PDEATHSIG` in prctl(2).
#[allow(
    unsafe_code,
    reason = "makes two system calls between fork and exec, and allocates nothing"
)]
pub fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that ended before that call sends no signal any more.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(Errno::SRCH.into())
            }
        });
    }
}

/// A pidfd: see `pidfd_open(2)`.
pub fn exit_descriptor(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The kernel rounds it up to a page.
pub fn shrink_pipe(fd: BorrowedFd<'_>) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, 1);
}

/// Whether TCP connections have a user timeout.
pub const HAS_USER_TIMEOUT: bool = true;

/// Probes a silent peer once a minute, which also keeps network address translators from dropping the connection, and
/// gives up after 15 probes. That is as long as the kernel waits for a missing acknowledgement (`tcp_retries2`, about a
/// quarter of an hour: see tcp(7)), so an outage that a busy connection survives ends no silent one. A user timeout
/// shortens the interval of the probes, too.
pub fn tune_keepalive(fd: BorrowedFd<'_>, user_timeout: Option<Duration>) -> rustix::io::Result<()> {
    const PAUSE: Duration = Duration::from_secs(60);
    const QUESTIONS: u32 = 15;
    let pause = user_timeout.map_or(PAUSE, |limit| limit.clamp(Duration::from_secs(1), PAUSE));
    sockopt::set_tcp_keepidle(fd, pause)?;
    sockopt::set_tcp_keepintvl(fd, pause)?;
    sockopt::set_tcp_keepcnt(fd, QUESTIONS)?;
    let Some(limit) = user_timeout else { return Ok(()) };
    // The kernel counts milliseconds in an int; 0 stands for its default.
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
    sockopt::set_tcp_user_timeout(fd, milliseconds.unsigned_abs())
}

/// Makes a TCP connection not ready to be written once so many bytes of it are still to be sent; what is on its way to
/// the peer does not count. Without a limit the queue grows to megabytes: see tcp(7) on `TCP_NOTSENT_LOWAT` and
/// `tcp_wmem`.
pub fn limit_unsent(fd: BorrowedFd<'_>, bytes: u32) -> rustix::io::Result<()> {
    const LENGTH: libc::socklen_t = 4;
    let value = (&raw const bytes).cast();
    #[allow(unsafe_code, reason = "setsockopt(2) reads one int that lives until it returns")]
    let result = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&fd),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            value,
            LENGTH,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_raw_os_error(
            std::io::Error::last_os_error().raw_os_error().unwrap_or_default(),
        ))
    }
}

/// Announces what happens in a folder as long as it is open; `None` if the system cannot.
pub fn watch_folder(folder: &std::path::Path) -> Option<OwnedFd> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
    add_watch(&events, folder, changes).ok()?;
    Some(events)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::sockets::keep_alive;
    use super::*;

    fn stream() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens")
    }

    /// Idle time, interval, count and user timeout.
    fn times(stream: &TcpStream) -> (Duration, Duration, u32, u32) {
        assert!(sockopt::socket_keepalive(stream).expect("an option"));
        let option = "an option";
        (
            sockopt::tcp_keepidle(stream).expect(option),
            sockopt::tcp_keepintvl(stream).expect(option),
            sockopt::tcp_keepcnt(stream).expect(option),
            sockopt::tcp_user_timeout(stream).expect(option),
        )
    }

    #[test]
    fn a_block_device_has_a_size() {
        let devices = std::fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
        for device in devices {
            let Ok(stat) = rustix::fs::stat(Path::new("/dev").join(device.file_name())) else {
                continue;
            };
            let sectors = std::fs::read_to_string(device.path().join("size")).expect("a number");
            let sectors: u64 = sectors.trim_end().parse().expect("a number");
            assert_eq!(block_device_size(&stat), Some(sectors * 512), "{device:?}");
        }
        let stat = rustix::fs::stat("/dev/null").expect("a device");
        assert_eq!(block_device_size(&stat), None);
    }

    #[test]
    fn keepalive_never_drops_a_responding_peer() {
        let stream = stream();
        keep_alive(stream.as_fd(), None).expect("set");
        let minute = Duration::from_secs(60);
        assert_eq!(times(&stream), (minute, minute, 15, 0));
    }

    #[test]
    fn user_timeout_sets_the_probe_interval() {
        let second = Duration::from_secs(1);
        for (limit, pause, milliseconds) in [
            (second * 5, second * 5, 5000),
            (Duration::from_micros(1), second, 1),
            (Duration::from_secs(u64::MAX), second * 60, 0x7FFF_FFFF),
        ] {
            let stream = stream();
            keep_alive(stream.as_fd(), Some(limit)).expect("set");
            assert_eq!(times(&stream), (pause, pause, 15, milliseconds));
        }
    }

    #[test]
    fn pipes_take_a_share_of_the_quota() {
        const MIB: usize = 1 << 20;
        for (largest, quota, share) in [
            (MIB, 64 * MIB, MIB),
            (MIB, 0, MIB),
            (MIB, 16 * MIB, MIB / 4),
            (MIB, 63 * MIB, MIB / 2),
            (300 << 10, 64 * MIB, MIB / 4),
            (MIB, 1, 0),
        ] {
            assert_eq!(share_of_pipes(largest, quota), share, "{largest} {quota}");
        }
    }
}
