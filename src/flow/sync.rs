//! The synchronisation types of the link, and their replacement when a test explores thread interleavings.

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

/// Locks without a poisoning error: no code in this folder panics in the middle of a state change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}
