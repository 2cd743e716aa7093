//! The places that bytes come from and go to: all that the engine knows of them.
//!
//! A place is *named* (nothing is touched yet), then *opened* for reading or writing. A new kind of place implements
//! [`Endpoint`], and [`StreamReader`](super::StreamReader) or [`StreamWriter`](super::StreamWriter) unless it is a
//! descriptor.

use crate::error::{Failure, Kind};
use crate::graph::Port;
use crate::platform::{FileId, FilePlace, Shape};

use super::{BoxFuture, Mismatch, OpenReader, OpenWriter, ResumeKey};

/// What can be known of a place without touching it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Which regular files it is or will be, so that a pipeline cannot read what it overwrites.
    pub files: Vec<FilePlace>,
    /// Which open stream of this process it is, if it is one: two sinks cannot share it.
    pub stream: Option<FileId>,
    /// Bytes that it will give, where that is known.
    pub size: Option<u64>,
    /// Whether people read or type there.
    pub is_terminal: bool,
    /// What descriptor it opens, where that is known; `None` as well for several of different kinds.
    pub shape: Option<Shape>,
    /// What a stage waits for there; `None` for several of different kinds.
    pub outside: Option<Outside>,
    /// Whether it takes less room than it has bytes: it has holes, which read as zeros.
    pub is_sparse: bool,
    /// Whether a file's own pages may go out: see [`Incoming::lends_pages`](super::Incoming::lends_pages).
    pub lends_pages: bool,
}

impl Facts {
    /// Of a place of which only its kind is known.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        Self {
            is_terminal: shape == Shape::Terminal,
            shape: Some(shape),
            outside: Some(shape.into()),
            ..Self::default()
        }
    }
}

/// What a stage waits for when it waits for the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// A file's disk.
    Disk,
    /// Whatever is at the other end of a pipe.
    Pipe,
    /// The other end of a connection.
    Peer,
    /// Someone who reads or types.
    Terminal,
    /// A device.
    Device,
    /// A child process.
    Child,
}

impl Outside {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Pipe => "pipe",
            Self::Peer => "peer",
            Self::Terminal => "terminal",
            Self::Device => "device",
            Self::Child => "child",
        }
    }
}

impl From<Shape> for Outside {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::File => Self::Disk,
            Shape::Pipe => Self::Pipe,
            Shape::Socket => Self::Peer,
            Shape::Terminal => Self::Terminal,
            Shape::Device => Self::Device,
        }
    }
}

/// When a place is opened. Within the order of the engine, nearer places come before farther ones for sources,
/// and after them for sinks, so that a failed connection leaves no file behind and reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Files, standard input and output.
    Near,
    /// Places behind a connection.
    Far,
}

/// A place, named and not yet opened. What a stage's call says of it, it knows already.
pub trait Endpoint: Send {
    /// Its name as people may see it: no credentials.
    fn shown(&self) -> String;
    /// When it is opened.
    fn reach(&self) -> Reach {
        Reach::Near
    }
    /// Whether it may be joined to another one without a link.
    ///
    /// # Errors
    /// Why not.
    fn direct(&self) -> Result<(), &'static str> {
        Err("an end is no descriptor")
    }
    /// Binds a listener; returns the address that peers may connect to.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Bytes of memory that it holds besides its link.
    fn state_bytes(&self) -> u64 {
        0
    }

    /// What is known of it as a source, without side effects.
    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }
    /// What it gives.
    fn gives(&self) -> Port {
        Port::Bytes
    }
    /// Whether it can be read from the middle, and known again in another run.
    ///
    /// # Errors
    /// What it is instead of a regular file, in a phrase.
    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a connection")
    }
    /// Opens it for reading.
    #[must_use]
    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        refused(Kind::Source, "cannot read", format!("{} is only written", self.shown()))
    }

    /// What is known of it as a sink, without side effects.
    fn sink_facts(&self) -> Result<Facts, Failure> {
        self.source_facts()
    }
    /// Whether it takes what reaches it.
    ///
    /// # Errors
    /// What it would take instead.
    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        Mismatch::unless_bytes(input)
    }
    /// Whether what is there now may be written to.
    fn permit(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// What writing there will do: `replaces out.gz`, for people who ask beforehand.
    fn effect(&self) -> String {
        format!("writes to {}", self.shown())
    }
    /// The source has holes, and its bytes arrive unchanged: holes may be left here as well.
    fn expect_holes(&mut self) {}
    /// Where it is put which run this is, if the place goes on where an earlier one ended; `None` where it does not.
    fn resume_key(&mut self) -> Option<&mut Option<ResumeKey>> {
        None
    }
    /// Opens it for writing, and makes the temporary file.
    #[must_use]
    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        refused(Kind::Sink, "cannot write", format!("{} is only read", self.shown()))
    }
}

fn refused<T: Send + 'static>(place: Kind, operation: &str, why: String) -> BoxFuture<'static, Result<T, Failure>> {
    let failure = Failure::because(place, operation, why);
    Box::pin(async move { Err(failure) })
}
