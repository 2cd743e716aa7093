//! The reactor of tasks, and signals as tasks await them.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fault::{self, Operation};

/// A runtime on the calling thread.
pub fn reactor() -> io::Result<Runtime> {
    fault::point(Operation::Reactor)?;
    check_descriptors()?;
    Builder::new_current_thread().enable_all().build()
}

/// Checks that enough descriptors are left for a runtime, which panics if there are none for its signals.
fn check_descriptors() -> io::Result<()> {
    /// Its epoll twice, its waker, a pair for signals and one end of that again.
    const TAKEN: usize = 6;
    let (first, second) = UnixStream::pair()?;
    let others = (2..TAKEN).map(|_| first.try_clone());
    let others = others.collect::<io::Result<Vec<_>>>()?;
    drop((first, second, others));
    Ok(())
}

/// Starts to listen for a signal, which loses its default action.
///
/// # Errors
/// If that fails.
pub fn listen_to(number: i32) -> io::Result<Signal> {
    fault::point(Operation::Signal)?;
    signal(SignalKind::from_raw(number))
}
