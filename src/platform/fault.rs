//! The points at which a run depends on the system, where tests can inject faults.
//!
//! Every call that may fail passes a point of its [`Operation`] first. With the feature `fault-injection` a test can
//! make the Nth of them fail, be short, be interrupted or be slow, and count them; see `RULES` and `LOG`. Without the
//! feature a point is an inlined no-op.
//!
//! Calls that neither the data nor the exit code depends on pass no point. These are the kernel's statistics, which are
//! only shown: files like /proc/self/statm and /proc/meminfo, the queue of a pipe or a socket, the identity of a peer
//! process. They are also the terminal's display and keyboard, without which a run only shows less or has no keys; and
//! calls that cannot fail, or whose failure changes nothing: reading numbers of this process, ringing an alarm that is
//! full, preparing a signal that then keeps its default action. Processes of other programs, which `check` measures,
//! are not part of a run.

#[cfg(feature = "fault-injection")]
mod injection;
#[cfg(feature = "fault-injection")]
mod rule;

#[cfg(feature = "fault-injection")]
pub use injection::{LOG, RULES, aside, point, share};

/// The operations that a run asks of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// accept(2), with its registration in the reactor
    Accept,
    /// fadvise64(2)
    Advise,
    /// A waiter for the alarms of threads: eventfd(2) or pipe(2).
    Alarm,
    /// llistxattr(2), lgetxattr(2), fsetxattr(2)
    Attribute,
    /// bind(2), listen(2) and getsockname(2)
    Bind,
    /// close(2), if its result matters
    Close,
    /// connect(2), with its registration in the reactor
    Connect,
    /// `copy_file_range(2)`
    CopyFileRange,
    /// fcntl(2) with `F_DUPFD_CLOEXEC`
    Duplicate,
    /// flock(2)
    Lock,
    /// fchmod(2), chmod(2), and the access control list's fsetxattr(2) and fremovexattr(2)
    Mode,
    /// open(2), openat(2), mkdir(2), opendir(3)
    Open,
    /// fchown(2)
    Owner,
    /// fcntl(2) with `F_SETPIPE_SZ`
    PipeSize,
    /// poll(2)
    Poll,
    /// fallocate(2)
    Punch,
    /// getrandom(2)
    Random,
    /// The reactor of tasks: epoll(7) or kqueue(2).
    Reactor,
    /// read(2), pread(2), recv(2)
    Read,
    /// readlink(2)
    ReadLink,
    /// rename(2)
    Rename,
    /// getaddrinfo(3)
    Resolve,
    /// poll(2) and write(2) to standard error
    Say,
    /// lseek(2)
    Seek,
    /// sendfile(2)
    SendFile,
    /// shutdown(2)
    Shutdown,
    /// sigaction(2)
    Signal,
    /// socket(2)
    Socket,
    /// setsockopt(2), getsockopt(2)
    SocketOption,
    /// pipe(2), fork(2) and execve(2) of a child
    Spawn,
    /// splice(2)
    Splice,
    /// stat(2) and related calls, faccessat(2)
    Stat,
    /// fsync(2)
    Sync,
    /// clone(2)
    Thread,
    /// ftruncate(2)
    Truncate,
    /// unlink(2), unlinkat(2)
    Unlink,
    /// write(2), writev(2), send(2), sendmsg(2)
    Write,
    /// `sync_file_range(2)`
    Writeback,
}

#[cfg(not(feature = "fault-injection"))]
mod none {
    use super::Operation;

    /// Does nothing.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it stands in front of every system call")]
    pub const fn point(_: Operation) -> rustix::io::Result<()> {
        Ok(())
    }

    /// Does the work.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "there is nothing to it")]
    pub fn aside<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    /// The number of bytes that the call may move: all of them.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it stands in front of every transfer")]
    pub const fn share(_: Operation, length: usize) -> rustix::io::Result<usize> {
        Ok(length)
    }
}

#[cfg(not(feature = "fault-injection"))]
pub use none::{aside, point, share};
