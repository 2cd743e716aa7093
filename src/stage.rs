//! Planned and running stages.
//!
//! A stage is *planned* from its checked parameters without side effects, then *opened* (a source or a sink, which is
//! an endpoint) or made (a transform), then *started* with its links. The engine uses these traits and knows no stage
//! by name.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use crate::error::{Problem, Stop};
use crate::flow::{Closed, Inlet, Outlet, Position, StageMeter};
use crate::graph::Port;

mod batch_state;
mod budget;
mod cancel;
mod commit;
mod descriptor_waker;
mod durability;
mod endpoint;
mod external_fd;
mod fan;
mod fill;
mod findings;
mod gathering;
mod holes;
mod incoming;
mod mover;
mod notice;
mod outgoing;
mod rate_control;
mod record_output;
mod resumption;
mod saved_states;
mod settlement;
mod sink;
mod source;
mod stream;
mod transform;
mod transform_plan;
mod writeback;

pub use batch_state::{BatchState, Filling};
pub use budget::{Budget, Claim, LinkShare};
pub use cancel::Cancel;
pub use commit::{CommitTurn, Phase};
pub use descriptor_waker::DescriptorWaker;
pub use durability::{Durability, Durable};
pub use endpoint::{Acknowledged, Endpoint, Facts, Outside, Reach};
pub use external_fd::ExternalFd;
pub use fan::Fan;
pub use fill::Fill;
pub use findings::{Backlog, ChildState, Findings, Hashed, QueueState};
pub use incoming::Incoming;
pub use mover::Mover;
pub use notice::{Notice, Notices};
pub use outgoing::{Commit, Holes, Outgoing, Verify};
pub use rate_control::{RateControl, RateUnit};
pub use record_output::RecordOutput;
pub use resumption::{FileIdentity, RemoteIdentity, Resume, ResumeKey, ResumePoint, Resumption, SourceIdentity};
pub use saved_states::SavedStates;
pub use settlement::{Rollback, Settle, Settled, SinkEnd};
pub use sink::OpenWriter;
pub use source::{OpenReader, OpenSource, Source};
pub use stream::{RecordReader, StreamReader, StreamWriter};
pub use transform::{OnThread, Transform, Want, drive};
pub use transform_plan::{
    Content, Conversion, MemoryUse, Mismatch, OutputSize, PassThrough, RecordBound, RecordRoom, Stage, TransformPlan,
};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a stage's work ends.
pub type Outcome = Result<(), Stop>;

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::PeerClosed
    }
}

/// A place that fills or empties its link itself, on a thread.
pub type Driver<L> = Box<dyn FnOnce(L, &Context) -> Outcome + Send>;

/// The form in which a stage is started. Waiting runs on the reactor; disk I/O and CPU work get a thread of their own.
pub enum Work {
    /// Polled on the engine's runtime; must never block.
    Task(BoxFuture<'static, Outcome>),
    /// Run on a named thread; may block, but only in waits that a cancel ends.
    Thread(Box<dyn FnOnce() -> Outcome + Send>),
}

/// What the engine passes to a running stage.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the stage counts its bytes and waits.
    pub meter: Arc<StageMeter>,
    /// Trips when the stage has to stop.
    pub cancel: Arc<Cancel>,
    /// Where a stage claims memory that was not known when the chain was planned.
    pub budget: Arc<Budget>,
    /// Where the stage reports what it found out about the stream.
    pub findings: Arc<Findings>,
    /// Where a source or a sink shows its descriptor.
    pub external_fd: Arc<ExternalFd>,
    /// The small file that the stage leaves beside the stream, if it asked for one.
    pub side_file: Option<Arc<dyn SideFile>>,
    /// When a sink may commit.
    pub commit: Arc<CommitTurn>,
    /// Set before a source is told to stop because what it has read is to be committed: it then ends its stream properly.
    pub is_draining: Arc<AtomicBool>,
    /// Where a sink reports what it has made durable; `None` if the source does not ask for it.
    pub durable: Option<Durable>,
    /// Where the stage reports what happened to a branch.
    pub notices: Notices,
    /// The pipelines that the stage starts itself, in the order in which it owns them.
    pub sub_pipelines: Vec<Arc<dyn SubPipeline>>,
}

impl Context {
    /// A context for a stage that runs alone, without an engine: in a test or under a fuzzer.
    #[must_use]
    pub fn detached(meter: Arc<StageMeter>) -> Self {
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        let notices = Notices::new(crate::graph::Graph::new().root(), sender);
        let turn = CommitTurn::new(notices.clone());
        turn.grant();
        Self {
            meter,
            cancel: Arc::default(),
            budget: Arc::new(Budget::new(0, 0, true)),
            findings: Arc::default(),
            external_fd: Arc::default(),
            side_file: None,
            commit: Arc::new(turn),
            is_draining: Arc::default(),
            durable: None,
            notices,
            sub_pipelines: Vec::new(),
        }
    }
}

/// A small file that a stage writes beside the stream. The engine opens it before the first byte moves and passes it to
/// its stage. It replaces an existing file when the sink commits, and never if the run fails.
pub trait SideFile: Debug + Send + Sync {
    /// Appends bytes; an existing file stays for now.
    fn append(&self, bytes: &[u8], cancel: &Cancel) -> Outcome;
    /// Ends the file, which may be empty, and waits until the disk has it.
    fn finish(&self) -> Outcome;
}

/// A planned pipeline that belongs to a stage. Each run opens its sinks, has one first error, and commits or rolls
/// back; it ends when the stage is told to stop. All runs together stay within the share of the ceiling that the plan
/// gave the stage.
pub trait SubPipeline: Send + Sync + Debug {
    /// Whether one run may be filled while the one before it is committed: they have no output in common.
    fn overlaps(&self) -> bool;
    /// The most memory that one run uses, in bytes.
    fn memory(&self) -> u64;
    /// Runs it once, with `source` as its input. Succeeds when every output is committed.
    ///
    /// # Errors
    /// The first error of the run.
    fn run(&self, source: Source, label: RunLabel) -> BoxFuture<'static, Outcome>;
}

/// What distinguishes one run of a sub-pipeline from the others: the names of its outputs may hold these.
#[derive(Debug, Clone, Copy)]
pub struct RunLabel {
    /// Where in the stream its input begins.
    pub position: Position,
    /// When its first byte came.
    pub begun: SystemTime,
}

impl RunLabel {
    /// That of a run that is only planned.
    pub const PLANNED: Self = Self {
        position: Position(0),
        begun: SystemTime::UNIX_EPOCH,
    };
}

/// What happens to a pipeline when one of a fork's branches fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branches {
    /// The number of outputs that lead into branches. One more leads to the stage that follows.
    pub count: usize,
    /// Whether the others continue, so that only the output of the failed one is rolled back.
    pub go_on: bool,
    /// Whether the run can succeed without the failed one.
    pub are_optional: bool,
    /// How long a branch may accept nothing before it is detached, which is a failure of that branch alone.
    pub detach: Option<Duration>,
}

/// A stage with several outputs and checked parameters.
pub trait BranchPlan: Send {
    /// What happens to the pipeline when a branch fails; by default the whole run fails.
    fn branches(&self) -> Branches {
        Branches::default()
    }
    /// Bytes of memory that the stage holds besides its links.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Checks what it receives; by default it accepts everything.
    ///
    /// # Errors
    /// The problem, which points at the parameter that needs something else.
    fn takes(&self, input: Port) -> Result<(), Problem> {
        let _ = input;
        Ok(())
    }
    /// Makes the stage.
    fn make(self: Box<Self>) -> Box<dyn Branch>;
}

/// A stage with several outputs. When an outlet is closed, the stage continues with the others.
pub trait Branch: Send {
    /// Starts the stage; `out` has an outlet for each output, in the order of its branches.
    fn start(self: Box<Self>, input: Inlet, out: Vec<Outlet>, context: Context) -> Work;
}
