//! The synchronisation that the link is built on, and its stand-in when a test explores thread interleavings.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{Arc, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

/// Locks without a poisoning error: nothing in this folder can panic half way through a change of state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}
