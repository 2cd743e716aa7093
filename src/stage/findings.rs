//! What stages found out about the stream. Stages record facts; views print them.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What one stage found out so far.
#[derive(Debug, Default)]
pub struct Findings {
    hashes: Mutex<Vec<Hashed>>,
    /// The number of its child process; 0 while there is none.
    child: AtomicU32,
}

impl Findings {
    /// Records a checksum, complete or not.
    pub fn say(&self, hashed: Hashed) {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).push(hashed);
    }

    /// The checksums recorded so far.
    #[must_use]
    pub fn hashes(&self) -> Vec<Hashed> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which child process it has now, if it has one.
    pub fn set_child(&self, pid: Option<u32>) {
        self.child.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    /// The child process that it has now.
    #[must_use]
    pub fn child(&self) -> Option<u32> {
        Some(self.child.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// The checksum of a stream at one place of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// The algorithm, such as `sha256`.
    pub algo: Cow<'static, str>,
    /// The checksum in hexadecimal; `None` if a reader stopped before the whole stream had passed.
    pub hex: Option<String>,
    /// What the user calls the stream.
    pub label: String,
    /// How many bytes passed.
    pub bytes: u64,
}
