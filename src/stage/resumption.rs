//! What is needed to continue an earlier run.

use serde::{Deserialize, Serialize};

/// Identifies a run: only a run over the same source may continue what was written. The stages in between change no
/// byte, or the plan refuses to resume, so they may differ from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeKey {
    /// The pipeline that began it, normalised, for people who read the journal.
    pub pipeline: String,
    /// The file that is read.
    pub source: SourceIdentity,
}

/// Identifies a source file and its state. The device is not part of it: devices are numbered anew at every boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Its name for messages.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, in seconds since the epoch.
    pub modified_s: i64,
    /// The nanoseconds of that time.
    pub modified_ns: u64,
    /// Its inode number within its file system.
    pub inode: u64,
}

impl SourceIdentity {
    /// How `now` differs from `self`, in words; `None` if it does not.
    #[must_use]
    pub fn change(&self, now: &Self) -> Option<String> {
        if self.inode != now.inode {
            Some("it is another file".to_owned())
        } else if self.size != now.size {
            Some(format!("it had {} bytes and has {}", self.size, now.size))
        } else if (self.modified_s, self.modified_ns) != (now.modified_s, now.modified_ns) {
            Some("it was written to since".to_owned())
        } else {
            None
        }
    }
}
