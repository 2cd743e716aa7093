//! Changes in a folder, as far as the system announces them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;

use super::system;

/// Watches the folder of a file. Network file systems announce nothing that happens elsewhere.
#[derive(Debug)]
pub struct FolderWatch(AsyncFd<OwnedFd>);

impl FolderWatch {
    /// Watches the folder of `path`, on the reactor of this thread; `None` where that is not possible.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let events = system::watch_folder(folder.unwrap_or(Path::new(".")))?;
        #[allow(
            unsafe_code,
            reason = "the descriptor is owned, and closed after it is no longer registered"
        )]
        let events = unsafe { AsyncFd::register(events) };
        events.ok().map(Self)
    }

    /// Waits for a change since the last call.
    pub fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut has_changed = false;
        loop {
            let Poll::Ready(ready) = self.0.poll_read_ready(context) else {
                return if has_changed { Poll::Ready(()) } else { Poll::Pending };
            };
            let Ok(mut ready) = ready else { return Poll::Pending };
            let mut events = [0; 4096];
            let read = ready.try_io(|events_fd| rustix::io::read(events_fd, &mut events).map_err(io::Error::from));
            has_changed |= matches!(read, Ok(Ok(1..)));
            if matches!(read, Ok(Err(_))) {
                return Poll::Pending;
            }
        }
    }
}
