//! What is needed to continue an earlier run.

use std::sync::Arc;

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::platform::FileStamp;

use super::SavedStates;

/// A transform that can start in the middle of the stream.
pub trait Resume {
    /// What must be the same in every run that writes to one output, such as `gzip level=6`; `None` for a stage that
    /// changes no byte and keeps nothing of earlier ones.
    fn effect(&self) -> Option<String>;
    /// Tells it that the pipeline can be resumed. Returns where it saves its state, if it has one. From then on it sends
    /// a position only where another run can start.
    fn prepare(&mut self) -> Option<Arc<SavedStates>> {
        None
    }
    /// The most bytes of input that it has taken in, besides those of its links, and not sent with a position.
    fn held_back(&self) -> u64 {
        0
    }
}

/// What a sink knows of the pipeline that it may continue.
#[derive(Debug, Default)]
pub struct Resumption {
    /// The pipeline, normalised.
    pub pipeline: String,
    /// The effects of its stages, from the first to the last.
    pub effects: Vec<String>,
    /// Where its stages save their states, from the first to the last.
    pub states: Vec<Arc<SavedStates>>,
    /// Input that stages hold back besides their links, in bytes.
    pub held_back: u64,
    /// What is read; for certain once that is open.
    pub source: Option<SourceIdentity>,
}

impl Resumption {
    /// The key of this run, once its source is open.
    #[must_use]
    pub fn key(&self) -> Option<ResumeKey> {
        Some(ResumeKey {
            pipeline: self.pipeline.clone(),
            effects: self.effects.clone(),
            source: self.source.clone()?,
        })
    }
}

/// How far an earlier run has come. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// Where the source continues.
    pub read: u64,
    /// Where the sink continues.
    pub written: u64,
}

/// Identifies a run: only a run that does the same to the same source may continue what was written. Stages that change
/// no byte may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeKey {
    /// The pipeline that began it, normalised, for people who read the journal.
    pub pipeline: String,
    /// What its stages do to the bytes, from the first to the last.
    pub effects: Vec<String>,
    /// What is read.
    pub source: SourceIdentity,
}

impl ResumeKey {
    /// Why `now` cannot continue this run; `None` if it can, as far as its source is known.
    #[must_use]
    pub fn difference(&self, now: &Resumption) -> Option<(Kind, String)> {
        if let Some(source) = &now.source
            && let Some(change) = self.source.change(source)
        {
            return Some(if self.source.name() == source.name() {
                (Kind::Integrity, format!("the source has changed: {change}"))
            } else {
                let why = format!("it belongs to another source, `{}`", self.source.name());
                (Kind::Usage, why)
            });
        }
        let why = || format!("another pipeline began it, `{}`", self.pipeline);
        (self.effects != now.effects).then(|| (Kind::Usage, why()))
    }
}

/// Identifies a source and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourceIdentity {
    /// A file.
    File(FileIdentity),
    /// A resource of a server.
    Remote(RemoteIdentity),
}

/// Identifies a source file and its state. The device is not part of it: devices are numbered anew at every boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
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

/// Identifies a version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteIdentity {
    /// Its URL.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// What no other version of it has.
    pub validator: String,
}

impl FileIdentity {
    /// That of a file of this name; `None` if it is not a regular one.
    #[must_use]
    pub fn of(path: String, stat: &Stat) -> Option<Self> {
        let FileStamp {
            size,
            modified_s,
            modified_ns,
            inode,
            ..
        } = FileStamp::of(stat);
        let identity = Self {
            path,
            size,
            modified_s,
            modified_ns,
            inode,
        };
        FileType::from_raw_mode(stat.st_mode).is_file().then_some(identity)
    }
}

impl SourceIdentity {
    /// Its name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::File(file) => &file.path,
            Self::Remote(remote) => &remote.url,
        }
    }

    /// How `now` differs from `self`, in words; `None` if it does not.
    #[must_use]
    pub fn change(&self, now: &Self) -> Option<String> {
        let resized = |was: u64, is: u64| (was != is).then(|| format!("it had {was} bytes and has {is}"));
        match (self, now) {
            (Self::File(was), Self::File(is)) => {
                if was.inode != is.inode {
                    return Some("it is another file".to_owned());
                }
                let is_older = (was.modified_s, was.modified_ns) != (is.modified_s, is.modified_ns);
                resized(was.size, is.size).or_else(|| is_older.then(|| "it was written to since".to_owned()))
            }
            (Self::Remote(was), Self::Remote(is)) if was.url == is.url => {
                let is_other = was.validator != is.validator;
                resized(was.size, is.size).or_else(|| is_other.then(|| "the server has another version".to_owned()))
            }
            _ => Some("it is another source".to_owned()),
        }
    }
}
