//! What a run that goes on where an earlier one ended has to know.

use serde::{Deserialize, Serialize};

/// Which run it is: only one over the same source may go on with what was written. What stands between them changes no
/// byte, or the plan refuses it, and may differ from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeKey {
    /// The chain that began it, normalised, for people who look into the journal.
    pub pipeline: String,
    /// The file that is read.
    pub source: SourceIdentity,
}

/// A source file, as it is told from another one and from what it was before. There is no device in it: those are
/// numbered anew at every start of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Its name, as people may see it.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, in seconds since the epoch.
    pub modified_s: i64,
    /// The nanoseconds that belong to it.
    pub modified_ns: u64,
    /// Its number within its file system.
    pub inode: u64,
}

impl SourceIdentity {
    /// How `now` differs from what it was, in words; `None` if it does not.
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
