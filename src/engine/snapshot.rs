//! Every number of a run at one moment, and its key in the stats object.
//!
//! To add a number, add a field to [`RunSample`], [`StageSample`] or [`LinkSample`], with its key as serde's name for
//! it, and let the [`Sampler`](super::Sampler) fill it. It then appears in the stats object and is read back from a
//! recording. A test fails until the table of `view::metrics` assigns a metric to it. A number that older recordings
//! lack needs a default.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::seconds;
use crate::grammar::Throughput;
use crate::graph::{EdgeMap, Graph, NodeId, NodeMap};
use crate::stage::{Hashed, OutputSize, Outside, QueueState};

use super::batch_sample::BatchSample;
use super::filling::LinkSample;
use super::progress::{Need, Progress};
use super::share::{Share, Spent, optional};

/// A run at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// During or after the run.
    pub moment: Moment,
    /// What is observed.
    pub origin: Origin,
    /// The numbers of the whole run.
    pub run: RunSample,
    /// How the stages and the links are joined.
    pub graph: Arc<Graph>,
    /// The stage that all others wait for.
    pub bottleneck: Option<NodeId>,
    /// The stages.
    pub stages: NodeMap<StageSample>,
    /// The links; none on the direct path.
    pub links: EdgeMap<LinkSample>,
    /// How the bytes move: `linked`, or the name of the direct path's method.
    pub lane: &'static str,
    /// The checksums so far, in the order of the stages.
    pub hashes: Vec<Hashed>,
    /// The URLs of committed outputs, where one was asked for. They are printed, and are not part of the stats object.
    pub urls: Vec<String>,
}

/// When a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While the pipeline ran: shares are those of the last interval.
    Running,
    /// After it: shares are those of the whole run.
    Ended,
}

/// What a snapshot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A run of this process.
    Run,
    /// A pipeline of other processes, whose stages are programs.
    Processes,
}

/// The whole run at one moment. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSample {
    /// Since the stages were started.
    #[serde(rename = "elapsed_s", with = "seconds")]
    pub elapsed: Duration,
    /// Resident memory of the process.
    #[serde(rename = "rss_bytes")]
    pub rss: u64,
    /// The most that was resident.
    #[serde(rename = "rss_peak_bytes")]
    pub rss_peak: u64,
    /// Buffers that chunks hold.
    #[serde(rename = "buffered_bytes")]
    pub buffered: u64,
    /// The most that was held.
    #[serde(rename = "buffered_peak_bytes")]
    pub buffered_peak: u64,
    /// Buffers that are kept for reuse.
    #[serde(rename = "pool_free_bytes", default)]
    pub pool_free: u64,
    /// What stages hold besides links.
    #[serde(rename = "state_bytes")]
    pub state: u64,
    /// The most that they held besides links.
    #[serde(skip)]
    pub state_peak: u64,
    /// The ceiling over buffers and state.
    #[serde(rename = "memory_limit_bytes")]
    pub limit: u64,
    /// Whether the marks are advisory: then links may hold more than the ceiling.
    #[serde(rename = "unbounded", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unbounded: bool,
    /// The bytes that the source is expected to give.
    #[serde(rename = "expected_bytes")]
    pub expected: Option<u64>,
    /// Bytes of the source that an earlier run has read, which this one continues.
    #[serde(rename = "resumed_bytes", default, skip_serializing_if = "is_zero")]
    pub resumed: u64,
    /// The share of the expected bytes that has reached the sinks, with those of an earlier run; see
    /// [`Progress`](super::Progress).
    #[serde(default)]
    pub progress: Option<f64>,
    /// How long the rest takes, if known.
    #[serde(rename = "remaining_s", with = "seconds::optional", default)]
    pub remaining: Option<Duration>,
    /// Whether the sink is paused.
    #[serde(default)]
    pub paused: bool,
    /// Whether a signal has ended the source, and what it has read is being committed.
    #[serde(rename = "draining", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_draining: bool,
}

/// One stage at one moment. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSample {
    /// Its name in the catalog.
    pub name: Cow<'static, str>,
    /// Its call, normalised and safe to print; of another program its command.
    pub text: String,
    /// The addresses that it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<String>,
    /// The programs that it runs, or has run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildSample>,
    /// How long the server has kept the snapshot of its query; `None` of other stages, and once it has ended.
    #[serde(
        rename = "snapshot_age_s",
        with = "seconds::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub snapshot_age: Option<Duration>,
    /// The batches that it makes.
    #[serde(flatten)]
    pub batches: Option<BatchSample>,
    /// The position up to which everything is durable, if the source is told.
    #[serde(rename = "acknowledged_position", default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// Bytes that are there and that it has not read yet, where that is known of a source; `None` once it has ended.
    #[serde(rename = "backlog_bytes", default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u64>,
    /// The queue that it reads from.
    #[serde(flatten)]
    pub queue: Option<QueueSample>,
    /// What it waits for outside of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// The file at its outer side, if it is another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSample>,
    /// Bytes since the start.
    pub bytes_in: u64,
    /// Bytes since the start.
    pub bytes_out: u64,
    /// The same in records, where it receives or sends some.
    #[serde(flatten)]
    pub records: Option<RecordCounts>,
    /// How many bytes it sends for those that it receives.
    #[serde(skip)]
    pub output_size: OutputSize,
    /// Whether the run depends on it.
    #[serde(skip)]
    pub need: Need,
    /// Shares of the interval, or of the whole run at the end; `None` where one system call reads and writes.
    #[serde(flatten, with = "optional")]
    pub share: Option<Share>,
    /// The times that the shares are computed from, since the start. They never decrease.
    #[serde(skip)]
    pub spent: Spent,
    /// Bytes per second that it sent over the last seconds, or over the whole run at the end.
    #[serde(skip)]
    pub rate: f64,
    /// Records per second over the same time: those that it sent, or received where it sends none.
    #[serde(skip)]
    pub record_rate: f64,
    /// The rate in bytes that it keeps, if any.
    #[serde(rename = "limit_bytes_per_s")]
    pub limit: Option<RateLimit>,
    /// The rate in records that it keeps, if any.
    #[serde(rename = "limit_records_per_s", default, skip_serializing_if = "Option::is_none")]
    pub record_limit: Option<RateLimit>,
    /// What waits in the kernel on its outer side; `None` except for a source or a sink with an open pipe or socket.
    #[serde(rename = "kernel_queue_bytes")]
    pub kernel_queue: Option<u64>,
    /// How much can wait there, if known.
    #[serde(rename = "kernel_queue_capacity_bytes")]
    pub kernel_queue_capacity: Option<u64>,
    /// The most that was seen there so far.
    #[serde(skip)]
    pub kernel_queue_peak: u64,
    /// Whether it has nothing left to do.
    pub ended: bool,
}

/// The records of one stage since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Those that it received.
    #[serde(rename = "records_in")]
    pub received: u64,
    /// Those that it sent.
    #[serde(rename = "records_out")]
    pub sent: u64,
    /// Those that it dropped because they are bad or too long.
    pub rejected: u64,
    /// Those that it dropped because a link was full.
    #[serde(default)]
    pub dropped: u64,
}

/// The queue that a source reads from, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSample {
    /// Those that wait at the server.
    pub pending: u64,
    /// Those that came and are not acknowledged.
    pub unacknowledged: u64,
    /// Those that came and had been delivered before, since the start.
    pub redelivered: u64,
}

impl From<&QueueState> for QueueSample {
    fn from(queue: &QueueState) -> Self {
        Self {
            pending: queue.pending.load(Ordering::Relaxed),
            unacknowledged: queue.unacknowledged.load(Ordering::Relaxed),
            redelivered: queue.redelivered.load(Ordering::Relaxed),
        }
    }
}

/// A program at one moment. What it uses is that of its process group, and 0 where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChildSample {
    /// Its process number.
    pub pid: u32,
    /// Bytes that are resident; 0 once it has ended.
    pub rss: u64,
    /// Processor time since its start.
    #[serde(rename = "cpu_s", with = "seconds", default)]
    pub cpu: Duration,
    /// Processor time by the time that passed: 2.0 if it kept two processors busy. Of the interval, or of the whole run
    /// at the end.
    #[serde(default)]
    pub cores: f64,
}

/// How far a program is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSample {
    /// Its path, safe to print.
    pub path: String,
    /// Where the next read or write begins.
    #[serde(rename = "offset_bytes")]
    pub offset: u64,
    /// Its size.
    #[serde(rename = "size_bytes")]
    pub size: u64,
}

/// A rate that a stage keeps, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct RateLimit {
    /// The current rate.
    pub now: u64,
    /// The rate that the pipeline's text sets.
    pub initial: u64,
}

impl From<u64> for RateLimit {
    fn from(now: u64) -> Self {
        Self { now, initial: now }
    }
}

impl From<RateLimit> for u64 {
    fn from(limit: RateLimit) -> Self {
        limit.now
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl RunSample {
    /// The share of the whole source, where `share` of what was left of it is done.
    #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn with_resumed(&self, share: f64) -> f64 {
        match self.expected {
            Some(left) if self.resumed > 0 => {
                let (resumed, left) = (self.resumed as f64, left as f64);
                (resumed + share * left) / (resumed + left)
            }
            _ => share,
        }
    }

    /// How much is done, in whole percent; below 100 while the run is not over.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is between 0 and 1"
    )]
    pub fn percent(&self, moment: Moment) -> Option<u8> {
        let most = if moment == Moment::Ended { 100 } else { 99 };
        // A share of 0.29 is 29 %, although its nearest float is below.
        self.progress.map(|share| ((share * 100.0 + 1e-9) as u8).min(most))
    }
}

impl Snapshot {
    /// Fills in the progress of a run with an expected size.
    pub fn measure_progress(&mut self) {
        let progress = Progress::of(&self.graph, &self.stages, self.run.expected);
        self.run.progress = progress.map(|progress| self.run.with_resumed(progress.share));
        let is_running = self.moment == Moment::Running;
        self.run.remaining = progress.and_then(|progress| progress.remaining).filter(|_| is_running);
    }

    /// The bytes that the source has read; `None` for another program that has read nothing: it makes what it writes.
    #[must_use]
    pub fn bytes_read(&self) -> Option<u64> {
        let bytes = self.source().bytes_in;
        (self.origin == Origin::Run || bytes > 0).then_some(bytes)
    }

    /// The stage without an input.
    #[must_use]
    pub fn source(&self) -> &StageSample {
        &self.stages[self.graph.root()]
    }

    /// Of the sinks that the run depends on the one that is farthest behind, and its place. Where no size is known it is the
    /// one that has taken least.
    #[must_use]
    pub fn slowest_sink(&self) -> (NodeId, &StageSample) {
        let farthest = Progress::of(&self.graph, &self.stages, self.run.expected).map(|progress| progress.sink);
        let sinks = || Progress::sinks(&self.graph, &self.stages);
        let least = || sinks().min_by_key(|sink| self.stages[*sink].bytes_out);
        let sink = farthest.or_else(least).unwrap_or(self.graph.root());
        (sink, &self.stages[sink])
    }

    /// Of the stages from the source to `sink`, the last one that receives records, and their number.
    #[must_use]
    pub fn last_with_records(&self, sink: NodeId) -> Option<(&StageSample, u64)> {
        let mut path = std::iter::once(sink).chain(self.graph.before(sink));
        path.find_map(|node| Some((&self.stages[node], self.stages[node].records?.received)))
    }

    /// Whether the stages' shares are known: not if one system call reads and writes.
    #[must_use]
    pub fn has_shares(&self) -> bool {
        self.source().share.is_some()
    }
}

impl StageSample {
    /// How many processors its programs keep busy; `None` if it has none, or the system does not tell.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        let measured = self.children.iter().filter(|child| child.cpu > Duration::ZERO);
        measured.map(|child| child.cores).reduce(|one, other| one + other)
    }

    /// Its call with the current rate: `throttle 1MB/s`, or `throttle at 5MB/s` once its rate was changed.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        let bytes = self.limit.map(|limit| (limit, Throughput::Bytes(limit.now)));
        let records = self.record_limit.map(|limit| (limit, Throughput::Records(limit.now)));
        match bytes.or(records) {
            Some((limit, now)) if limit.now != limit.initial => Cow::Owned(format!("{} at {now}", self.name)),
            _ => Cow::Borrowed(&self.text),
        }
    }
}
