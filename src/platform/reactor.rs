//! What tasks wait in, and the signals that they wait for.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fault::{self, Operation};

/// A runtime on the calling thread.
///
/// # Errors
/// If no descriptor is left.
pub fn reactor() -> io::Result<Runtime> {
    fault::point(Operation::Reactor)?;
    Builder::new_current_thread().enable_all().build()
}

/// Starts to listen to a signal, which loses its default action.
///
/// # Errors
/// If it cannot be listened to.
pub fn listen_to(number: i32) -> io::Result<Signal> {
    fault::point(Operation::Signal)?;
    signal(SignalKind::from_raw(number))
}
