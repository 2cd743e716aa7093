//! Parses and formats sizes, rates and durations, and suggests the nearest right spelling for those that are wrong.
//!
//! Sizes are GNU's: a bare number is bytes; `K M G T` and `KiB MiB GiB TiB` are powers of 1024; `kB MB GB TB` (and
//! `KB`) are powers of 1000. Decimals are exact: `1.5MiB` is 1572864 bytes; fractions of a byte are cut off, but never
//! down to zero.

mod duration;
mod number;
mod rate;
mod size;
mod spelling;

use std::fmt;

pub use duration::parse_duration;
pub use rate::{Throughput, format_rate, parse_rate, parse_throughput, readable_rate};
pub use size::parse_size;
pub use spelling::{format_size, human_count, human_size};

/// Why a quantity cannot be read. Does not repeat the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong with it.
    pub message: String,
    /// The nearest right spelling, where there is one.
    pub suggestion: Option<String>,
}

impl Misread {
    /// A reason without a suggestion.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            suggestion: None,
        }
    }

    /// Adds the nearest right spelling.
    #[must_use]
    pub fn suggest(mut self, spelling: impl Into<String>) -> Self {
        self.suggestion = Some(spelling.into());
        self
    }

    /// Follows the suggestion until `read` accepts it (`1 mb`, `1mb`, `1MB`), or drops it.
    fn settled<T>(mut self, read: impl Fn(&str) -> Result<T, Self>) -> Self {
        // No spelling has more mistakes at once; the bound stops a suggestion that leads back to itself.
        for _ in 0..4 {
            let Some(text) = &self.suggestion else {
                return self;
            };
            match read(text) {
                Ok(_) => return self,
                Err(next) => self.suggestion = next.suggestion,
            }
        }
        self.suggestion = None;
        self
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Misread {}
