//! Other processes, from /proc and `pidfd_getfd(2)`. docs/ATTACH.md has the method with its sources.

use std::fs::{File, read, read_dir, read_link};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::super::other_process::{Activity, Connection, FilePosition, HeldDescriptor, Level, Target};
use super::super::process_tree::GroupUse;
use super::processes::{parse_use, socket_inode};
use super::{pipe_capacity, status_field, unsent_bytes};

/// The counters of a process, in files that stay open.
#[derive(Debug)]
pub struct ProcessFiles {
    pid: i32,
    io: Option<File>,
    stat: Option<File>,
    pidfd: Option<OwnedFd>,
}

impl ProcessFiles {
    /// Opens what may be opened.
    #[must_use]
    pub fn open(pid: i32) -> Self {
        let open = |name| File::open(format!("/proc/{pid}/{name}")).ok();
        let process = Pid::from_raw(pid);
        Self {
            pid,
            io: open("io"),
            stat: open("stat"),
            pidfd: process.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()),
        }
    }

    /// The bytes that its system calls have read and written so far; `None` if it has ended or may not be seen.
    #[must_use]
    pub fn transferred(&self) -> Option<(u64, u64)> {
        let mut buffer = [0; 512];
        let text = text_of(self.io.as_ref()?, &mut buffer)?;
        let field = |name| status_field(text, name)?.parse().ok();
        Some((field("rchar:")?, field("wchar:")?))
    }

    /// Its memory, and its processor time with that of the children that it has waited for; `None` if it is gone. That
    /// another process has its number by then makes no difference to an open file.
    #[must_use]
    pub fn used(&self) -> Option<GroupUse> {
        let mut buffer = [0; 1024];
        let text = text_of(self.stat.as_ref()?, &mut buffer)?;
        parse_use(&String::from_utf8_lossy(text)).map(|(_, used)| used)
    }

    /// What is in the pipe or the socket at one of its descriptors, and how much fits; `None` if that may not be seen.
    ///
    /// The descriptor is borrowed for the time of two system calls. Where that is not allowed, an anonymous pipe is
    /// opened for reading that long. A named pipe never is: that would let a writer begin which waits for its reader.
    #[must_use]
    pub fn level(&self, held: &HeldDescriptor) -> Option<Level> {
        let borrowed = self.borrow(held.fd);
        match held.target {
            Target::Pipe(_) => pipe_level(borrowed.or_else(|| self.reopen(held.fd))?.as_fd()),
            Target::Fifo(..) => pipe_level(borrowed?.as_fd()),
            Target::Socket(_) => Some(socket_level(borrowed?.as_fd(), held.writes && !held.reads)),
            Target::File(_) | Target::Terminal | Target::Other => None,
        }
    }

    /// Whether a write to a pipe or a socket at one of its descriptors would wait; `None` if that may not be seen.
    #[must_use]
    pub fn is_full(&self, fd: i32) -> Option<bool> {
        let borrowed = self.borrow(fd)?;
        let mut ready = [PollFd::new(&borrowed, PollFlags::OUT)];
        rustix::event::poll(&mut ready, Some(&Timespec::default())).ok()?;
        Some(ready[0].revents().is_empty())
    }

    fn borrow(&self, fd: i32) -> Option<OwnedFd> {
        rustix::process::pidfd_getfd(self.pidfd.as_ref()?, fd, PidfdGetfdFlags::empty()).ok()
    }

    fn reopen(&self, fd: i32) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{}/fd/{fd}", self.pid), flags, Mode::empty()).ok()
    }
}

fn pipe_level(fd: BorrowedFd<'_>) -> Option<Level> {
    Some(Level {
        bytes: rustix::io::ioctl_fionread(fd).ok()?,
        capacity: pipe_capacity(fd)?,
    })
}

/// One side of a connection: what it has not read, or what its peer's kernel has not acknowledged. A Unix socket has one
/// queue, which the reader sees and the writer's buffer bounds.
fn socket_level(fd: BorrowedFd<'_>, is_writer: bool) -> Level {
    let is_unix = rustix::net::sockopt::socket_domain(fd) == Ok(AddressFamily::UNIX);
    let (bytes, size) = if is_writer {
        let bytes = if is_unix { None } else { unsent_bytes(fd) };
        (bytes, rustix::net::sockopt::socket_send_buffer_size(fd))
    } else {
        let size = if is_unix {
            Ok(0)
        } else {
            rustix::net::sockopt::socket_recv_buffer_size(fd)
        };
        (rustix::io::ioctl_fionread(fd).ok(), size)
    };
    Level {
        bytes: bytes.unwrap_or(0),
        capacity: size.map_or(0, |size| size as u64),
    }
}

/// What a thread does, from files that stay open.
#[derive(Debug)]
pub struct ThreadFiles {
    /// Names the system call and its arguments. It needs the rights of a debugger.
    syscall: Option<File>,
    /// Names the kernel function in which the thread waits.
    wchan: Option<File>,
    stat: File,
}

impl ThreadFiles {
    /// Opens the files of a thread.
    pub fn open(pid: i32, thread: i32) -> io::Result<Self> {
        let open = |name| File::open(format!("/proc/{pid}/task/{thread}/{name}"));
        Ok(Self {
            syscall: open("syscall").ok(),
            wchan: open("wchan").ok(),
            stat: open("stat")?,
        })
    }

    /// What the thread does now; `None` if it has ended.
    pub fn activity(&mut self) -> Option<Activity> {
        let mut buffer = [0; 256];
        if let Some(file) = &self.syscall {
            match file.read_at(&mut buffer, 0) {
                Ok(length) if length > 0 => return self.by_call(buffer.get(..length)?),
                // The thread has ended.
                Ok(_) => return None,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => return None,
                // Not allowed: it will not be later.
                Err(_) => self.syscall = None,
            }
        }
        let state = self.state()?;
        if state != b'S' {
            return by_state(state);
        }
        let mut buffer = [0; 64];
        let function = self.wchan.as_ref().and_then(|file| text_of(file, &mut buffer));
        Some(function.map_or(Activity::Polling, by_function))
    }

    /// `running`, or the call's number and arguments, or -1 outside of a call. The stack pointer of a thread that has
    /// ended is 0.
    fn by_call(&self, line: &[u8]) -> Option<Activity> {
        let line = std::str::from_utf8(line).ok()?;
        let mut fields = line.split_whitespace();
        let number = fields.next()?;
        if number == "running" {
            return Some(Activity::Running);
        }
        let mut arguments = [0; 6];
        for (argument, value) in arguments.iter_mut().zip(fields.filter_map(hexadecimal)) {
            *argument = value;
        }
        match number.parse().ok()? {
            -1 if arguments[0] == 0 => None,
            -1 => by_state(self.state()?),
            number => waiting_in(number, &arguments).or_else(|| by_state(self.state()?)),
        }
    }

    /// A name may contain blanks and brackets, so the state is what follows the last bracket.
    fn state(&self) -> Option<u8> {
        let mut buffer = [0; 128];
        let text = text_of(&self.stat, &mut buffer)?;
        let end = text.iter().rposition(|byte| *byte == b')')?;
        text.get(end + 2).copied()
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The states of `proc_pid_stat(5)`.
fn by_state(state: u8) -> Option<Activity> {
    match state {
        b'R' => Some(Activity::Running),
        b'D' => Some(Activity::Disk),
        b'Z' | b'X' => None,
        _ => Some(Activity::Sleeping),
    }
}

/// What a thread that waits in this call waits for; `None` if the call does not tell.
fn waiting_in(number: i64, arguments: &[u64]) -> Option<Activity> {
    let descriptor = |at: usize| {
        let argument = arguments.get(at)? & 0xFFFF_FFFF;
        i32::try_from(argument).ok()
    };
    match number {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_pread64
        | libc::SYS_preadv
        | libc::SYS_preadv2
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_accept4 => Some(Activity::Reading(descriptor(0))),
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_pwrite64
        | libc::SYS_pwritev
        | libc::SYS_pwritev2
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_vmsplice
        // Its input is a file.
        | libc::SYS_sendfile => Some(Activity::Writing(descriptor(0))),
        libc::SYS_splice => Some(Activity::Moving {
            from: descriptor(0)?,
            to: descriptor(2)?,
        }),
        libc::SYS_tee => Some(Activity::Moving {
            from: descriptor(0)?,
            to: descriptor(1)?,
        }),
        libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync_file_range | libc::SYS_msync | libc::SYS_copy_file_range => {
            Some(Activity::Disk)
        }
        // What is waited for in a ring is not visible.
        libc::SYS_ppoll
        | libc::SYS_pselect6
        | libc::SYS_epoll_pwait
        | libc::SYS_epoll_pwait2
        | libc::SYS_io_uring_enter => Some(polling(number, arguments)),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll | libc::SYS_select | libc::SYS_epoll_wait => Some(polling(number, arguments)),
        libc::SYS_wait4 | libc::SYS_waitid => Some(Activity::AwaitingChild),
        libc::SYS_futex
        | libc::SYS_nanosleep
        | libc::SYS_clock_nanosleep
        | libc::SYS_rt_sigtimedwait
        | libc::SYS_rt_sigsuspend => Some(Activity::Sleeping),
        _ => None,
    }
}

/// A call that is given no descriptors is a timer.
fn polling(number: i64, arguments: &[u64]) -> Activity {
    let count = match number {
        libc::SYS_pselect6 => arguments.first(),
        libc::SYS_ppoll => arguments.get(1),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => arguments.first(),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => arguments.get(1),
        _ => None,
    };
    match count {
        Some(0) => Activity::Sleeping,
        _ => Activity::Polling,
    }
}

/// What a thread waits for in a function of the kernel. Its name is `0` where it may not be seen.
fn by_function(name: &[u8]) -> Activity {
    let name = String::from_utf8_lossy(name);
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&[
        "pipe_read",
        "pipe_wait_readable",
        "stream_read",
        "stream_data_wait",
        "recvmsg",
        "sk_wait_data",
        "tty_read",
    ]) {
        Activity::Reading(None)
    } else if has(&[
        "pipe_write",
        "pipe_wait_writable",
        "alloc_send_pskb",
        "stream_wait_memory",
        "wait_for_wmem",
        "sendmsg",
    ]) {
        Activity::Writing(None)
    } else if has(&["do_wait"]) {
        Activity::AwaitingChild
    } else if has(&["nanosleep", "futex", "sigsuspend", "sigtimedwait"]) {
        Activity::Sleeping
    } else if has(&["io_schedule", "folio_wait", "wait_on_page", "jbd2", "blk_"]) {
        Activity::Disk
    } else {
        Activity::Polling
    }
}

/// The bytes of a file of /proc; `None` if its process has ended.
fn text_of<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = file.read_at(buffer, 0).ok()?;
    buffer.get(..length).filter(|text| !text.is_empty())
}

/// The threads of a process.
#[must_use]
pub fn threads(pid: i32) -> Vec<i32> {
    let entries = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of a process; none if the system is built without such a list.
#[must_use]
pub fn child_processes(pid: i32) -> Vec<i32> {
    let lists = threads(pid)
        .into_iter()
        .filter_map(|thread| read(format!("/proc/{pid}/task/{thread}/children")).ok());
    let mut children = Vec::new();
    for list in lists {
        let list = String::from_utf8_lossy(&list).into_owned();
        children.extend(list.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
    }
    children
}

/// The descriptors of a process.
///
/// # Errors
/// `PermissionDenied` for a process of another user.
pub fn held_descriptors(pid: i32) -> io::Result<Vec<HeldDescriptor>> {
    let entries = read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter_map(|fd| held_descriptor(pid, fd)).collect())
}

/// One descriptor of a process; `None` if it is closed. The link's own permissions show how it is open.
#[must_use]
pub fn held_descriptor(pid: i32, fd: i32) -> Option<HeldDescriptor> {
    let link = format!("/proc/{pid}/fd/{fd}");
    let path = read_link(&link).ok()?;
    let mode = rustix::fs::lstat(&link).ok()?.st_mode;
    Some(HeldDescriptor {
        fd,
        target: target(&link, path),
        reads: mode & 0o400 != 0,
        writes: mode & 0o200 != 0,
    })
}

fn target(link: &str, path: PathBuf) -> Target {
    let name = path.as_os_str().as_bytes();
    if let Some(inode) = bracketed(name, b"pipe:[") {
        return Target::Pipe(inode);
    }
    if let Some(inode) = path.to_str().and_then(socket_inode) {
        return Target::Socket(inode);
    }
    if name.starts_with(b"/dev/pts/") || name == b"/dev/tty" || name == b"/dev/console" {
        return Target::Terminal;
    }
    if !path.is_absolute() {
        return Target::Other;
    }
    // A server that does not respond must not block this.
    let flags = AtFlags::STATX_DONT_SYNC;
    let Ok(stat) = rustix::fs::statx(CWD, link, flags, StatxFlags::TYPE | StatxFlags::INO) else {
        return Target::Other;
    };
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => Target::File(path),
        FileType::Fifo => Target::Fifo(
            u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            stat.stx_ino,
        ),
        _ => Target::Other,
    }
}

fn bracketed(name: &[u8], prefix: &[u8]) -> Option<u64> {
    let number = name.strip_prefix(prefix)?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// How far a process is in the file at one of its descriptors. A folder has none: its position is no number of bytes.
#[must_use]
pub fn file_position(pid: i32, fd: i32) -> Option<FilePosition> {
    let text = read(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let link = format!("/proc/{pid}/fd/{fd}");
    let wanted = StatxFlags::TYPE | StatxFlags::SIZE;
    let stat = rustix::fs::statx(CWD, link, AtFlags::STATX_DONT_SYNC, wanted).ok()?;
    if FileType::from_raw_mode(stat.stx_mode.into()).is_dir() {
        return None;
    }
    Some(FilePosition {
        offset: status_field(&text, "pos:")?.parse().ok()?,
        size: stat.stx_size,
    })
}

/// The words of a process's command line; empty for a kernel thread, and for one that has ended. Behind a title that a
/// program has written over them, the rest of their room is zero.
#[must_use]
pub fn command_line(pid: i32) -> Vec<Vec<u8>> {
    let text = read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Some(last) = text.iter().rposition(|byte| *byte != 0) else {
        return Vec::new();
    };
    text[..=last].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// The user of a process.
#[must_use]
pub fn owner(pid: i32) -> Option<u32> {
    rustix::fs::stat(format!("/proc/{pid}")).ok().map(|stat| stat.st_uid)
}

/// The network namespace of a process.
#[must_use]
pub fn network_namespace(pid: i32) -> Option<u64> {
    let name = read_link(format!("/proc/{pid}/ns/net")).ok()?;
    bracketed(name.as_os_str().as_bytes(), b"net:[")
}

/// The TCP connections of a process's network namespace.
#[must_use]
pub fn connections(pid: i32) -> Vec<Connection> {
    let tables = ["tcp", "tcp6"].map(|name| read(format!("/proc/{pid}/net/{name}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.split(|byte| *byte == b'\n'));
    lines
        .filter_map(|line| connection(std::str::from_utf8(line).ok()?))
        .collect()
}

/// Fields are the number, the local and the remote address; the inode is the tenth.
fn connection(line: &str) -> Option<Connection> {
    let mut fields = line.split_whitespace();
    let (local, remote) = (address(fields.nth(1)?)?, address(fields.next()?)?);
    let inode = fields.nth(6)?.parse().ok()?;
    (remote.port() != 0 && inode != 0).then_some(Connection { inode, local, remote })
}

/// `0100007F:1F90`: words of four bytes in the byte order of the machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words: Vec<u32> = host
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let host = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_tell_what_is_waited_for() {
        let waiting = |number, arguments: &[u64]| waiting_in(number, arguments);
        assert_eq!(waiting(libc::SYS_read, &[3, 0, 0]), Some(Activity::Reading(Some(3))));
        assert_eq!(waiting(libc::SYS_write, &[1, 0, 0]), Some(Activity::Writing(Some(1))));
        assert_eq!(
            waiting(libc::SYS_splice, &[3, 0, 4, 0]),
            Some(Activity::Moving { from: 3, to: 4 })
        );
        assert_eq!(waiting(libc::SYS_ppoll, &[0x7fff, 2]), Some(Activity::Polling));
        assert_eq!(waiting(libc::SYS_ppoll, &[0, 0]), Some(Activity::Sleeping));
        assert_eq!(waiting(libc::SYS_openat, &[0, 0]), None);
    }

    #[test]
    fn kernel_functions_tell_what_is_waited_for() {
        let named = |name: &str| by_function(name.as_bytes());
        assert_eq!(named("anon_pipe_read"), Activity::Reading(None));
        assert_eq!(named("anon_pipe_write"), Activity::Writing(None));
        assert_eq!(named("hrtimer_nanosleep"), Activity::Sleeping);
        assert_eq!(named("do_wait"), Activity::AwaitingChild);
        assert_eq!(named("do_sys_poll"), Activity::Polling);
        assert_eq!(named("0"), Activity::Polling, "it may not be seen");
    }

    #[test]
    fn only_what_has_bytes_has_a_position() {
        use std::io::{Seek, SeekFrom};
        use std::os::fd::AsRawFd;
        let own = i32::try_from(std::process::id()).expect("small");
        let mut file = tempfile::tempfile().expect("a file");
        file.set_len(9).expect("set");
        file.seek(SeekFrom::Start(4)).expect("moved");
        let position = file_position(own, file.as_raw_fd()).expect("a file");
        assert_eq!((position.offset, position.size), (4, 9));
        let folder = std::fs::File::open("/").expect("a folder");
        assert!(file_position(own, folder.as_raw_fd()).is_none());
    }

    #[test]
    fn a_blocked_thread_is_reading() {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let number = std::os::fd::AsRawFd::as_raw_fd(&read);
        let (told, tid) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            told.send(rustix::thread::gettid()).expect("somebody listens");
            rustix::io::read(&read, &mut [0; 1])
        });
        let tid = tid.recv().expect("a number").as_raw_nonzero().get();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mut files = ThreadFiles::open(own, tid).expect("our own");
        // Until it has come to the call, it runs.
        while files.activity() == Some(Activity::Running) {}
        assert_eq!(files.activity(), Some(Activity::Reading(Some(number))));
        files.syscall = None;
        assert_eq!(
            files.activity(),
            Some(Activity::Reading(None)),
            "by the kernel's function"
        );
        drop(write);
        assert_eq!(reader.join().expect("no panic"), Ok(0));
        assert_eq!(files.activity(), None);
    }

    #[test]
    fn a_pipe_has_a_level() {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        rustix::io::write(&write, &[7; 4321]).expect("room");
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let files = ProcessFiles::open(own);
        let held = held_descriptor(own, std::os::fd::AsRawFd::as_raw_fd(&read)).expect("open");
        assert!(held.reads && !held.writes && matches!(held.target, Target::Pipe(_)));
        let level = files.level(&held).expect("our own");
        assert_eq!(level.bytes, 4321);
        let reopened = ProcessFiles { pidfd: None, ..files };
        assert_eq!(reopened.level(&held), Some(level));
    }

    #[test]
    fn connections_are_read() {
        let line = "   3: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let read = connection(line).expect("a connection");
        assert_eq!(
            (read.inode, read.local.to_string()),
            (4711, "127.0.0.1:8080".to_owned())
        );
        assert_eq!(read.remote.to_string(), "127.0.0.1:49153");
        let mapped = line
            .replace("0100007F:1F90", "0000000000000000FFFF00000100007F:1F90")
            .replace("0100007F:C001", "0000000000000000FFFF00000100007F:C001");
        assert_eq!(connection(&mapped), Some(read));
        assert_eq!(connection("  sl  local_address rem_address   st"), None);
    }
}
