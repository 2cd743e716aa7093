//! The signals that end a check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Failure, Kind};
use crate::platform::{REPEATED, TERMINATING, is_ignored};

/// Records which signal arrived. A signal that was ignored when the process started stays ignored.
pub struct Interruption {
    came: Vec<(i32, Arc<AtomicBool>)>,
}

/// What was forgotten when the end began.
pub struct Forgotten {
    signal: Option<i32>,
    at: Instant,
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

    /// Forgets earlier signals; says when, and which there was.
    pub fn forget(&self) -> Forgotten {
        let signal = self.signal();
        for (_, flag) in &self.came {
            flag.store(false, Ordering::Relaxed);
        }
        Forgotten {
            signal,
            at: Instant::now(),
        }
    }

    /// Whether a further signal came, which is not a repetition of the one that was forgotten.
    pub fn came_again(&self, forgotten: &Forgotten) -> bool {
        self.came.iter().any(|(signal, flag)| {
            if forgotten.signal == Some(*signal) && forgotten.at.elapsed() < REPEATED {
                flag.store(false, Ordering::Relaxed);
            }
            flag.load(Ordering::Relaxed)
        })
    }

    /// The signal that arrived, if any.
    pub fn signal(&self) -> Option<i32> {
        let came = self.came.iter().find(|(_, flag)| flag.load(Ordering::Relaxed));
        came.map(|(signal, _)| *signal)
    }
}
