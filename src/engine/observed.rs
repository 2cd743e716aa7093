//! What a sampler takes its snapshots from.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{LinkLevels, StageTimes};
use crate::graph::{EdgeMap, Graph, NodeId, NodeMap};
use crate::platform::KernelQueue;

use super::share::ratio;
use super::snapshot::{ChildSample, RecordCounts, Snapshot};

/// A pipeline whose counters can be read while it runs: one of our own, or one of other programs.
pub trait Observed: Debug + Send + Sync {
    /// How the stages and the links are joined, which never changes.
    fn graph(&self) -> &Arc<Graph>;

    /// Every counter now.
    fn read(&self) -> Reading;

    /// What the programs use that the stages run, or have run.
    fn programs(&self) -> Vec<(NodeId, ProgramReading)>;

    /// Names, texts and the numbers of the whole run. The [`Sampler`](super::Sampler) fills in what is in `now`, and
    /// what is relative to an earlier reading.
    fn describe(&self, now: &Reading) -> Snapshot;
}

/// All counters at one time.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Since the start.
    pub at: Duration,
    /// Those of the stages.
    pub stages: NodeMap<StageReading>,
    /// Those of the links; none on the direct path.
    pub links: EdgeMap<LinkLevels>,
    /// Whether the links' marks are advisory.
    pub is_unbounded: bool,
}

/// The counters of one stage. Sizes in bytes, since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageReading {
    /// How it has spent its time.
    pub times: StageTimes,
    /// What it has received.
    pub bytes_in: u64,
    /// What it has sent.
    pub bytes_out: u64,
    /// The records among them.
    pub records: RecordCounts,
    /// What waits in the kernel on its outer side.
    pub queue: Option<KernelQueue>,
    /// The program that it runs, when it was last measured. The [`Sampler`](super::Sampler) fills it in.
    pub program: Option<ProgramReading>,
}

/// What a program used at one time.
#[derive(Debug, Clone, Copy)]
pub struct ProgramReading {
    /// Since the start.
    pub at: Duration,
    /// Its process number.
    pub pid: u32,
    /// Resident memory in bytes; 0 once it has ended.
    pub rss: u64,
    /// Processor time since the start.
    pub cpu: Duration,
}

impl ProgramReading {
    /// Its sample for the time since an earlier reading, or since the start.
    pub(super) fn sample(self, before: Option<Self>) -> ChildSample {
        let (since, cpu) = before.map_or((Duration::ZERO, Duration::ZERO), |before| (before.at, before.cpu));
        let used = self.cpu.saturating_sub(cpu);
        ChildSample {
            pid: self.pid,
            rss: self.rss,
            cpu: self.cpu,
            cores: ratio(used.as_secs_f64(), self.at.saturating_sub(since).as_secs_f64()),
        }
    }
}

impl Reading {
    /// The counters at the start.
    pub(super) fn zero(graph: &Graph) -> Self {
        Self {
            at: Duration::ZERO,
            stages: graph.nodes().map(|_| StageReading::default()).collect(),
            links: graph.edges().map(|_| LinkLevels::default()).collect(),
            is_unbounded: false,
        }
    }
}
