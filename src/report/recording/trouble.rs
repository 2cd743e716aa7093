//! Why a recording cannot be drawn, and where.

use std::fmt;
use std::io;

use crate::error::{Failure, Kind};

/// A file that cannot be read or is not a recording.
#[derive(Debug)]
pub struct Trouble {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// The problem, and what is expected.
    pub what: String,
    /// Distinguishes a failed read from wrong contents.
    pub kind: Kind,
}

impl Trouble {
    /// A file that cannot be opened or read.
    #[must_use]
    pub fn unreadable(file: &str, line: Option<usize>, error: io::Error) -> Self {
        let failure = Failure::io(Kind::Source, "cannot read", error);
        Self {
            file: file.to_owned(),
            line,
            what: failure.to_string(),
            kind: failure.kind(),
        }
    }

    /// A file that is not a recording.
    pub fn wrong(file: &str, line: Option<usize>, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
            kind: Kind::Corrupt,
        }
    }
}

/// `run.jsonl:7: …`
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}
