//! Sockets that wait for nothing, are inherited by nobody, and notice when their peer is gone.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

use super::system;

/// A Unix stream socket without a name. Its flags are set by calls of their own, which every system has.
///
/// # Errors
/// As socket(2).
pub fn unix_stream_socket() -> Result<OwnedFd, Errno> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Has the system ask a silent TCP peer whether it is still there, and sets the user timeout where one is given.
///
/// A peer that only stops reading answers, and is left alone however long that takes. The user timeout does end such a
/// connection, too: since Linux 5.11 it counts a window that stays closed even where every probe is answered. That is
/// why there is none by default.
///
/// # Errors
/// As setsockopt(2).
pub fn keep_alive(fd: BorrowedFd<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    rustix::net::sockopt::set_socket_keepalive(fd, true)?;
    system::tune_keepalive(fd, user_timeout)?;
    Ok(())
}
