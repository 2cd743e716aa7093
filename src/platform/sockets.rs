//! Sockets that wait for nothing and are inherited by nobody.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

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
