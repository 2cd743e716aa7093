//! What stages found out about the stream, for whoever wants to show it. Stages say facts; they print nothing.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What one stage found out so far.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<Hashed>>);

impl Findings {
    /// Says a sum, whole or not.
    pub fn say(&self, hashed: Hashed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(hashed);
    }

    /// The sums so far.
    #[must_use]
    pub fn hashes(&self) -> Vec<Hashed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The sum of a stream as it passed one place of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Which sum: `sha256`.
    pub algo: Cow<'static, str>,
    /// The sum in hexadecimal; `None` where the stream did not pass whole, because a reader wanted no more of it.
    pub hex: Option<String>,
    /// What the user calls the stream.
    pub label: String,
    /// How many bytes passed.
    pub bytes: u64,
}
