//! Sockets that wait for nothing and are inherited by nobody.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

/// The user at the other end of a connected Unix socket; `None` where the system does not say.
#[must_use]
pub fn peer_user(socket: impl AsFd) -> Option<u32> {
    super::system::peer_user(socket.as_fd())
}

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
