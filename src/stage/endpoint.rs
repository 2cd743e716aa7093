//! What the engine knows of endpoints, the places that bytes come from and go to.
//!
//! An endpoint is *named* without side effects, then *opened* for reading or writing. A new kind of endpoint implements
//! [`Endpoint`], and [`StreamReader`](super::StreamReader) or [`StreamWriter`](super::StreamWriter) unless it is a
//! descriptor.

use crate::error::{Failure, Kind};
use crate::graph::Port;
use crate::platform::{FileId, FilePlace, Shape};

use super::{BoxFuture, Mismatch, OpenReader, OpenWriter, RecordRoom, Resumption, SourceIdentity};

/// What can be known of an endpoint without side effects.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The regular files that it is or will be, so that a pipeline cannot read what it overwrites.
    pub files: Vec<FilePlace>,
    /// The open stream of this process that it is, if any: two sinks cannot share one.
    pub stream: Option<FileId>,
    /// Bytes that it gives, if known.
    pub size: Option<u64>,
    /// The same of a whole source, where it is not only what the user expects.
    pub measured: Option<u64>,
    /// Whether it is a terminal.
    pub is_terminal: bool,
    /// The kind of descriptor that it opens, if known; `None` also for several of different kinds.
    pub shape: Option<Shape>,
    /// What a stage waits for there; `None` for several of different kinds.
    pub outside: Option<Outside>,
    /// Whether it has holes, which read as zeros and use no room on the disk.
    pub is_sparse: bool,
    /// Whether the pages of a file may be sent without a copy: see
    /// [`Incoming::lends_pages`](super::Incoming::lends_pages).
    pub lends_pages: bool,
}

impl Facts {
    /// The facts of an endpoint of which only the kind is known.
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

/// What a stage waits for outside of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// The disk of a file.
    Disk,
    /// The process at the other end of a pipe.
    Pipe,
    /// The other end of a connection.
    Peer,
    /// A person who reads or types.
    Terminal,
    /// A device.
    Device,
    /// A child process.
    Child,
    /// A timer, a lock or another process, as far as can be seen from outside.
    Sleep,
}

impl Outside {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Pipe => "pipe",
            Self::Peer => "peer",
            Self::Terminal => "terminal",
            Self::Device => "device",
            Self::Child => "child",
            Self::Sleep => "sleep",
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

/// When an endpoint is opened. In the engine's order, near sources come before far ones and near sinks after far ones,
/// so that a failed connection leaves no file behind and reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Files, standard input and output.
    Near,
    /// Endpoints behind a connection.
    Far,
}

/// Why a source is told what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The parameter that asks for it.
    pub parameter: &'static str,
    /// Whether the source can be read without it.
    pub is_optional: bool,
}

/// An endpoint, named and not yet opened.
pub trait Endpoint: Send {
    /// Its name for messages, without credentials.
    fn shown(&self) -> String;
    /// When it is opened.
    fn reach(&self) -> Reach {
        Reach::Near
    }
    /// Whether it is standard input or output of this process.
    fn is_standard(&self) -> bool {
        false
    }
    /// Checks that it can be joined to another endpoint without a link.
    ///
    /// # Errors
    /// The reason why not.
    fn direct(&self) -> Result<(), &'static str> {
        Err("an end is not a descriptor")
    }
    /// Binds a listener; returns the address that peers may connect to.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Bytes of memory that it holds besides its link.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Has it hold less in memory, because the ceiling has no room: fewer buffers at once, or a file in their place. Returns
    /// false if it cannot.
    fn hold_less(&mut self) -> bool {
        false
    }
    /// The room that it needs for records, if it makes them or holds them.
    fn record_room(&self) -> Option<RecordRoom> {
        None
    }
    /// Called for an endpoint that has a [`RecordRoom`]: sets how large a record is at most, in bytes with its newline.
    fn settle_records(&mut self, largest: u64) {
        let _ = largest;
    }

    /// What is known of it as a source, without side effects. By default it is a peer that gives any number of bytes.
    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }
    /// Whether reading it never comes to an end by itself.
    fn is_endless(&self) -> bool {
        false
    }
    /// Whether its stream can be ended properly before its own end.
    fn can_stop(&self) -> bool {
        true
    }
    /// What reading it will do at a server, such as how many requests that takes; shown before a run.
    fn reading(&self) -> String {
        String::new()
    }
    /// What flows out of it. One that gives records opens as [`OpenReader::Records`], and is never one of several.
    fn gives(&self) -> Port {
        Port::Bytes
    }
    /// Checks that it can be read from the middle, and recognised in a later run.
    ///
    /// # Errors
    /// What it is instead of a regular file, in a phrase.
    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a connection")
    }
    /// What a later run recognises it by, as far as that is known before it is opened.
    fn identity(&self) -> Option<SourceIdentity> {
        None
    }
    /// Whether its reader can lend the pipe that its bytes come from: see [`Outlet::lend`](crate::flow::Outlet::lend).
    fn lends_pipe(&self) -> bool {
        false
    }
    /// Whether its reader is told how the run ended, and so must be the only one: see
    /// [`StreamReader::settle`](super::StreamReader::settle).
    fn settles(&self) -> bool {
        false
    }
    /// Why it is told what is durable while the run goes on, if it is: then the pipeline has to end in what makes it so.
    fn acknowledged(&self) -> Option<Acknowledged> {
        None
    }
    /// Opens it for reading.
    #[must_use]
    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        refused(Kind::Source, "cannot read", format!("{} is only written", self.shown()))
    }

    /// Whether it makes durable what it has while the run goes on, and tells the source, if it is the only sink.
    fn keeps_parts(&self) -> bool {
        false
    }
    /// What is known of it as a sink, without side effects.
    fn sink_facts(&self) -> Result<Facts, Failure> {
        self.source_facts()
    }
    /// Checks that it accepts `input`.
    ///
    /// # Errors
    /// What it would accept instead.
    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        Mismatch::unless_bytes(input)
    }
    /// Whether its writer accepts a pipe as its input: see [`Inlet::lent`](crate::flow::Inlet::lent).
    fn takes_pipe(&self) -> bool {
        self.direct().is_ok()
    }
    /// Whether writing there may succeed before the input has ended. Then everything before it is stopped.
    fn ends_early(&self) -> bool {
        false
    }
    /// Checks that what exists there may be written to.
    fn permit(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// What writing there will do, such as `replaces out.gz`; shown before a run.
    fn effect(&self) -> String {
        format!("writes to {}", self.shown())
    }
    /// Tells the endpoint that the source has holes and that its bytes arrive unchanged, so holes may be left here as
    /// well.
    fn expect_holes(&mut self) {}
    /// Tells the endpoint how many bytes it will be given, if the run succeeds.
    fn expect_size(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// What it knows of the pipeline, if it is to continue an earlier run; else `None`.
    fn resumption(&mut self) -> Option<&mut Resumption> {
        None
    }
    /// The parameter that lets it continue an earlier run, if it was given, and after how many bytes that are read or
    /// written it notes how far it has come.
    fn checkpoints(&self) -> Option<(&'static str, u64)> {
        None
    }
    /// Opens it for writing. What this makes is temporary until the commit.
    #[must_use]
    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        refused(Kind::Sink, "cannot write", format!("{} is only read", self.shown()))
    }
}

fn refused<T: Send + 'static>(place: Kind, operation: &str, why: String) -> BoxFuture<'static, Result<T, Failure>> {
    let failure = Failure::because(place, operation, why);
    Box::pin(async move { Err(failure) })
}
