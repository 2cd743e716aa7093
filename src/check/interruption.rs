//! The signals that end a check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Failure, Kind};
use crate::platform::{TERMINATING, is_ignored};

/// Records which signal arrived. A signal that was ignored when the process started stays ignored.
pub struct Interruption {
    came: Vec<(i32, Arc<AtomicBool>)>,
}

impl Interruption {
    /// Starts to listen.
    pub fn listen() -> Result<Self, Failure> {
        let heeded = TERMINATING.into_iter().filter(|signal| !is_ignored(*signal));
        let came = heeded
            .map(|signal| {
                let flag = Arc::new(AtomicBool::new(false));
                signal_hook::flag::register(signal, flag.clone()).map(|_| (signal, flag))
            })
            .collect::<std::io::Result<_>>()
            .map_err(|error| Failure::io(Kind::Resources, "cannot listen to signals", error))?;
        Ok(Self { came })
    }

    /// Forgets earlier signals, so that only a further one is seen.
    pub fn forget(&self) {
        for (_, flag) in &self.came {
            flag.store(false, Ordering::Relaxed);
        }
    }

    /// The signal that arrived, if any.
    pub fn signal(&self) -> Option<i32> {
        let came = self.came.iter().find(|(_, flag)| flag.load(Ordering::Relaxed));
        came.map(|(signal, _)| *signal)
    }
}
