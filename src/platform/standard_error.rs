//! Standard error, which must never block a run.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::fault::{self, Operation};

/// Writes to standard error for at most `patience`; a reader that has stopped (a terminal after Ctrl-S, a full pipe)
/// misses the rest. Returns whether everything was written.
#[must_use]
pub fn write_patiently(bytes: &[u8], patience: Duration) -> bool {
    write_within(bytes, patience) == bytes.len()
}

/// Writes to standard error for at most `patience`; returns the number of bytes written.
#[must_use]
pub fn write_within(bytes: &[u8], patience: Duration) -> usize {
    let stderr = descriptor();
    let deadline = Instant::now() + patience;
    let mut rest = bytes;
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&limit)) {
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        // As much as a writable pipe accepts without waiting.
        let write = |room| rustix::io::write(stderr, &rest[..room]);
        match fault::share(Operation::Say, rest.len().min(libc::PIPE_BUF)).and_then(write) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            // A terminal may be ready and still accept nothing, for a moment or for good.
            Err(Errno::AGAIN) if Instant::now() < deadline => {}
            Err(_) => break,
        }
    }
    bytes.len() - rest.len()
}

/// A terminal's columns and rows; `None` if the descriptor is not a terminal.
#[must_use]
pub fn terminal_size(of: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether this process may draw there: not in the background, where the shell has the terminal.
#[must_use]
pub fn is_in_foreground() -> bool {
    let owner = rustix::termios::tcgetpgrp(rustix::stdio::stderr());
    owner.map_or(true, |owner| owner == rustix::process::getpgrp())
}

/// Standard error, or the same terminal through a non-blocking open file description of our own: a terminal reports
/// that it is ready when it has room for one byte, and then blocks a writer of more.
fn descriptor() -> BorrowedFd<'static> {
    static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let name = rustix::termios::ttyname(rustix::stdio::stderr(), Vec::new()).ok()?;
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        open(name, flags, Mode::empty()).ok()
    });
    own.as_ref().map_or_else(rustix::stdio::stderr, AsFd::as_fd)
}
