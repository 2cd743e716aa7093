//! What a stage is, planned and running.
//!
//! A stage is *planned* from its checked parameters (nothing is touched yet), then *opened* (an endpoint) or made
//! (a transform), then *started* with its links. The engine drives these traits and knows no stage by name.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{Failure, Stop};
use crate::flow::{Closed, Inlet, Outlet, StageMeter};
use crate::graph::Port;
use crate::platform::{Descriptor, FileId, FilePlace, Shape};

mod budget;
mod cancel;
mod commit;
mod dial;
mod fan;
mod findings;
mod outer_side;
mod resumption;
mod rollback;
mod settlement;
mod side_file;
mod stream;
mod sub_pipeline;
mod transform;
mod transform_plan;

pub use budget::{Budget, Claim, LinkShare};
pub use cancel::Cancel;
pub use commit::{CommitTurn, Phase};
pub use dial::Dial;
pub use fan::Fan;
pub use findings::{Findings, Hashed};
pub use outer_side::OuterSide;
pub use resumption::{SourceIdentity, Undertaking};
pub use rollback::{AtOnce, Rollback};
pub use settlement::{Settle, Settled};
pub use side_file::SideFile;
pub use stream::{StreamReader, StreamWriter};
pub use sub_pipeline::SubPipeline;
pub use transform::{OnThread, Transform, Want, drive};
pub use transform_plan::{Content, Conversion, MemoryUse, Mismatch, OutputSize, PassThrough, Stage, TransformPlan};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a stage's work ends.
pub type Outcome = Result<(), Stop>;

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Neighbour
    }
}

/// What a stage is started as. Waiting runs on the reactor; disk I/O and CPU work get a thread of their own.
pub enum Work {
    /// Polled on the engine's runtime; must never block.
    Task(BoxFuture<'static, Outcome>),
    /// Given a named thread; may block, in waits that a cancel ends.
    Thread(Box<dyn FnOnce() -> Outcome + Send>),
}

/// What the engine lends a running stage.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the stage counts its bytes and waits.
    pub meter: Arc<StageMeter>,
    /// Trips when the stage is to stop.
    pub cancel: Arc<Cancel>,
    /// Where a stage claims memory that was not known when the chain was planned.
    pub budget: Arc<Budget>,
    /// Where the stage says what it found out about the stream.
    pub findings: Arc<Findings>,
    /// Where a source or a sink shows its descriptor.
    pub outer_side: Arc<OuterSide>,
    /// The small file that the stage leaves beside the stream, if it asked for one.
    pub side_file: Option<Arc<dyn SideFile>>,
    /// When a sink may commit.
    pub commit: Arc<CommitTurn>,
    /// The pipelines that the stage starts itself, in the order in which it owns them.
    pub sub_pipelines: Vec<Arc<dyn SubPipeline>>,
}

/// What can be known about an endpoint without touching it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Which regular files it is or will be, so that a chain cannot read what it overwrites.
    pub files: Vec<FilePlace>,
    /// Which open stream of this process it is, if it is one: two sinks cannot share it.
    pub stream: Option<FileId>,
    /// Bytes that it will give, where that is known.
    pub size: Option<u64>,
    /// Whether people read or type there.
    pub is_terminal: bool,
    /// What it is, where that is known; `None` as well for several of different kinds.
    pub shape: Option<Shape>,
    /// Whether it takes less room than it has bytes: it has holes, which read as zeros.
    pub is_sparse: bool,
    /// Whether a file's own pages may go out: see [`DirectSource::lends_pages`].
    pub lends_pages: bool,
}

impl Context {
    /// What a stage is lent that runs alone, without an engine: in a test or under a fuzzer.
    #[must_use]
    pub fn detached(meter: Arc<StageMeter>) -> Self {
        let (prepared, _) = tokio::sync::mpsc::unbounded_channel();
        let turn = CommitTurn::new(crate::graph::Graph::new().root(), prepared);
        turn.grant();
        Self {
            meter,
            cancel: Arc::default(),
            budget: Arc::new(Budget::new(0, 0, true)),
            findings: Arc::default(),
            outer_side: Arc::default(),
            side_file: None,
            commit: Arc::new(turn),
            sub_pipelines: Vec::new(),
        }
    }
}

impl Facts {
    /// Of a place of which only its kind is known.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        Self {
            shape: Some(shape),
            ..Self::default()
        }
    }
}

/// When an endpoint is opened. Within the order of the engine, nearer places come before farther ones for sources,
/// and after them for sinks, so that a failed connection leaves no file behind and reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Files, standard input and output.
    Near,
    /// Places behind a connection.
    Far,
}

/// A source whose parameters are right; nothing is opened yet.
pub trait SourcePlan: Send {
    /// Looks without side effects.
    ///
    /// # Errors
    /// Where it is already clear that opening must fail.
    fn facts(&self) -> Result<Facts, Failure>;
    /// When it is opened.
    fn reach(&self) -> Reach;
    /// Binds listeners; answers the addresses that peers may connect to.
    ///
    /// # Errors
    /// Where an address cannot be bound.
    fn bind(&mut self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
    /// Whether it can be read from the middle, and known again in another run.
    ///
    /// # Errors
    /// What it is instead of one regular file, as in "this is a connection".
    fn can_resume(&self) -> Result<(), &'static str> {
        Err("no file")
    }
    /// What it gives.
    fn port(&self) -> Port {
        Port::Bytes
    }
    /// Opens, connects or accepts.
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Source>, Failure>>;
}

/// A sink whose parameters are right; nothing is opened yet.
pub trait SinkPlan: Send {
    /// Looks without side effects.
    ///
    /// # Errors
    /// Where it is already clear that opening must fail.
    fn facts(&self) -> Result<Facts, Failure>;
    /// Whether what is there now may be written to.
    ///
    /// # Errors
    /// If the user wants it spared.
    fn permit(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// When it is opened.
    fn reach(&self) -> Reach;
    /// What opening will do to what is there: `replaces out.gz`, for people who ask beforehand.
    fn effect(&self) -> String;
    /// Whether the user named standard output, or it is only where the chain happens to end.
    fn is_spelled_out(&self) -> bool {
        true
    }
    /// Binds a listener; answers the address that peers may connect to.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Bytes of memory that it holds besides its link.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Whether it looks at the bytes that it writes, so that they must pass through a link.
    fn looks_at_bytes(&self) -> bool {
        false
    }
    /// The source has holes, and its bytes arrive unchanged: the sink may leave holes as well.
    fn expect_holes(&mut self) {}
    /// Whether it goes on where an earlier run ended. Then [`SinkPlan::undertake`] comes before it is opened.
    fn resumes(&self) -> bool {
        false
    }
    /// Says which run this is.
    fn undertake(&mut self, undertaking: Undertaking) {
        let _ = undertaking;
    }
    /// Whether it takes what reaches it.
    ///
    /// # Errors
    /// What it would take instead.
    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        Mismatch::unless_bytes(input)
    }
    /// Opens, connects or accepts, and makes the temporary file.
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Sink>, Failure>>;
}

/// An opened source.
pub trait Source: Send {
    /// Moves `bytes` ahead without reading them where it can; answers how many it skipped.
    ///
    /// # Errors
    /// If the seek fails.
    fn skip(&mut self, bytes: u64) -> Result<u64, Failure> {
        let _ = bytes;
        Ok(0)
    }
    /// Sets how many bytes it reads at most from where it is now. Then it stops without finishing its outlet, because it
    /// cannot know whether there is more.
    fn read_at_most(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// Which file it is, if it is one.
    ///
    /// # Errors
    /// If the system does not say.
    fn identity(&self) -> Result<Option<SourceIdentity>, Failure> {
        Ok(None)
    }
    /// The source as descriptors that are read one after the other, if that is all it is.
    fn as_direct(&mut self) -> Option<&mut dyn DirectSource> {
        None
    }
    /// Who is to be told how the run was settled, if anybody is.
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        None
    }
    /// Starts the stage.
    fn start(self: Box<Self>, out: Outlet, context: Context) -> Work;
}

/// A source that can be read without a link.
pub trait DirectSource {
    /// What to read now.
    fn descriptor(&self) -> &Arc<Descriptor>;
    /// Whether the pages of a file may go out as they are, so that a later change of the file still shows in them.
    fn lends_pages(&self) -> bool {
        false
    }
    /// It has given `total` bytes and its end: says whether that was all of it.
    ///
    /// # Errors
    /// If it was not.
    fn ended(&self, total: u64) -> Outcome;
    /// Goes on to the next descriptor; answers whether there is one.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn advance(&mut self, context: &Context) -> Result<bool, Stop>;
    /// What a failed read is, after `total` bytes of this descriptor.
    fn failed(&self, error: io::Error, total: u64) -> Failure;
}

/// An opened sink.
pub trait Sink: Send {
    /// How to take back what opening and writing did.
    fn rollback(&self) -> Option<Arc<dyn Rollback>>;
    /// When it commits. One that has something to commit waits for [`Context::commit`] between its last byte and that.
    fn phase(&self) -> Phase;
    /// Where in the stream it goes on: how many bytes an earlier run has written.
    fn resumes_at(&self) -> u64 {
        0
    }
    /// The sink as a descriptor, if that is all it is.
    fn as_direct(&mut self) -> Option<&mut dyn DirectSink> {
        None
    }
    /// Starts the stage.
    fn start(self: Box<Self>, input: Inlet, context: Context) -> Work;
}

/// A sink that can be written without a link.
pub trait DirectSink {
    /// What to write to.
    fn descriptor(&self) -> &Arc<Descriptor>;
    /// Whether the sink is a file of its own, in which holes can be left.
    fn is_new_file(&self) -> bool;
    /// So many more bytes were written.
    fn wrote(&mut self, count: u64);
    /// All bytes are written: makes them complete and durable.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn land(&mut self, context: &Context) -> Outcome;
    /// What a failed write is, after `written` bytes.
    fn failed(&self, error: io::Error, written: u64) -> Failure;
}

/// Takes back what a sink did, where the run fails; does nothing once the sink has landed. The engine calls it, also
/// when the sink's own thread hangs or has panicked.
pub trait Undo: Send + Sync {
    /// Takes it back.
    ///
    /// # Errors
    /// Where that fails; the message names what is left behind.
    fn undo(&self) -> Result<(), Failure>;
    /// Whether it is too late for that: the sink's work is in its place, and may only have to become durable.
    fn has_landed(&self) -> bool {
        false
    }
    /// What would be left behind: a temporary file's path.
    fn name(&self) -> String;
}

/// What becomes of a pipeline when one of a fork's branches fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branches {
    /// How many of the outputs lead into branches. One more leads to what follows.
    pub count: usize,
    /// Whether the others go on, so that only the output of the failed one is rolled back.
    pub go_on: bool,
    /// Whether the run is good without the failed one.
    pub are_optional: bool,
}

/// A stage with several outputs whose parameters are right.
pub trait BranchPlan: Send {
    /// What becomes of the pipeline when a branch fails; without this the whole run fails.
    fn branches(&self) -> Branches {
        Branches::default()
    }
    /// Bytes of memory that it holds besides its links.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Makes the stage.
    fn make(self: Box<Self>) -> Box<dyn Branch>;
}

/// A stage with several outputs. An output whose outlet is closed wants no more; the others go on.
pub trait Branch: Send {
    /// Starts the stage; `out` has an outlet for each output, in the order of its branches.
    fn start(self: Box<Self>, input: Inlet, out: Vec<Outlet>, context: Context) -> Work;
}
