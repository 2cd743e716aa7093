//! Starts threads.

use std::io;
use std::thread::{Builder, JoinHandle};

use super::fault::{self, Operation};

/// Starts a thread with a name and a stack size in bytes.
///
/// # Errors
/// If the system has none left.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    fault::point(Operation::Thread)?;
    Builder::new().name(name.into()).stack_size(stack).spawn(work)
}
