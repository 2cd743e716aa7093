//! Panics, which are bugs: caught where they happen, and reported in one line like any other failure.

use std::any::Any;
use std::cell::RefCell;

use super::{Failure, Kind};

thread_local! {
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the place of a panic for [`bug`], instead of printing it at once. To be called once a process.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        PLACE.set(
            info.location()
                .map(|place| format!(" at {}:{}", place.file(), place.line())),
        );
    }));
}

/// The failure for a caught panic of this thread.
#[must_use]
pub fn bug(payload: &(dyn Any + Send)) -> Failure {
    let message = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = PLACE.take().unwrap_or_default();
    Failure::because(Kind::Bug, "a bug in highwater", format!("panicked{place}: {message}"))
}
