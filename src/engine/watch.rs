//! A running pipeline, as seen from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::flow::{Link, Pool, StageMeter};
use crate::graph::{EdgeMap, Graph, Id, NodeId, NodeMap};
use crate::platform::{GroupUse, group_use};
use crate::stage::{Budget, ExternalFd, Findings, OutputSize, Outside, RateUnit};

use super::batch_sample::BatchSample;
use super::controls::Controls;
use super::direct::DirectPath;
use super::filling::LinkSample;
use super::observed::{Observed, ProgramReading, Reading, StageReading};
use super::progress::Need;
use super::snapshot::{Moment, Origin, RateLimit, RecordCounts, RunSample, Snapshot, StageSample};

/// What snapshots are made from.
#[derive(Debug)]
pub struct Watch {
    /// When the stages were started.
    pub(super) start: Instant,
    /// The current method of a direct path; `None` with links.
    pub(super) lane: Option<Arc<Mutex<DirectPath>>>,
    pub(super) graph: Arc<Graph>,
    pub(super) stages: NodeMap<WatchedStage>,
    /// Empty on the direct path.
    pub(super) links: EdgeMap<Arc<Link>>,
    pub(super) pool: Arc<Pool>,
    pub(super) budget: Arc<Budget>,
    /// The bytes that the source is expected to give.
    pub(super) expected: Option<u64>,
    /// Bytes of the source that an earlier run has read.
    pub(super) resumed: u64,
    /// Whether the links' marks are advisory.
    pub(super) is_unbounded: bool,
    /// Whether the source was told to end, so that what it has read is committed.
    pub(super) is_draining: Arc<AtomicBool>,
    pub(super) controls: Controls,
}

/// One stage of a running chain.
#[derive(Debug)]
pub(super) struct WatchedStage {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// The addresses that it listens on.
    pub(super) listening: Vec<String>,
    /// What it waits for outside of the pipeline.
    pub(super) outside: Option<Outside>,
    pub(super) meter: Arc<StageMeter>,
    pub(super) findings: Arc<Findings>,
    pub(super) external_fd: Arc<ExternalFd>,
    /// How many bytes it sends for those that it receives.
    pub(super) output_size: OutputSize,
    /// Whether it stands in a branch that may fail.
    pub(super) is_optional: bool,
    /// Whether it stands in a branch that has failed.
    pub(super) is_lost: AtomicBool,
}

impl WatchedStage {
    /// Whether the run depends on it.
    pub(super) fn need(&self) -> Need {
        match (self.is_lost.load(Ordering::Relaxed), self.is_optional) {
            (true, _) => Need::Lost,
            (false, true) => Need::Optional,
            (false, false) => Need::Required,
        }
    }
}

impl Watch {
    /// The controls of the pipeline.
    #[must_use]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Whether the source has sent its first bytes.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let mut sources = self.graph.sources();
        sources.any(|source| self.stages[source].meter.bytes_in() > 0)
    }

    /// `linked`, or the direct path's name.
    pub(super) fn lane_name(&self) -> &'static str {
        let lane = self
            .lane
            .as_ref()
            .map(|lane| *lane.lock().unwrap_or_else(PoisonError::into_inner));
        lane.map_or("linked", DirectPath::name)
    }

    /// The number of bytes that have moved anywhere in the pipeline so far, plus what peers have read since the last
    /// one was written: it only stands still if everything does.
    pub(super) fn motion(&self) -> u64 {
        let moved = |meter: &StageMeter| meter.bytes_in() + meter.bytes_out() + meter.settled();
        self.meters().map(moved).sum()
    }

    /// Whether some stage waits on purpose: a throttle, or a paused sink.
    pub(super) fn waits_on_purpose(&self) -> bool {
        self.controls.is_paused() || self.meters().any(StageMeter::is_throttling)
    }

    /// Bytes that the sink has taken which has taken least; `None` once each has taken the last one. Those of lost
    /// branches do not count.
    pub(super) fn taken(&self) -> Option<u64> {
        let sinks = self.graph.sinks().map(|sink| &self.stages[sink]);
        sinks
            .filter(|sink| sink.need() != Need::Lost && !sink.meter.is_committing())
            .map(|sink| sink.meter.bytes_out())
            .min()
    }

    /// Bytes that buffers and the state of stages hold now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let pool = self.pool.levels();
        pool.in_use + pool.free + self.budget.state()
    }

    /// Whether a stage has taken its last byte and makes its output final.
    #[must_use]
    pub fn is_finishing(&self, node: NodeId) -> bool {
        self.stages[node].meter.is_committing()
    }

    fn meters(&self) -> impl Iterator<Item = &StageMeter> {
        self.stages.values().iter().map(|stage| &*stage.meter)
    }

    /// How long all stages together have waited on purpose.
    pub(super) fn throttled(&self) -> Duration {
        self.meters().map(|meter| meter.times().throttling).sum()
    }
}

impl Observed for Watch {
    fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The last stage is read first, and its sent bytes before its received ones, so no stage is ever seen to have
    /// received more than the one before it has sent.
    fn read(&self) -> Reading {
        let mut stages = self.stages.map(|_, _| StageReading::default());
        for (node, stage) in self.stages.iter().rev() {
            let reading = &mut stages[node];
            reading.bytes_out = stage.meter.bytes_out();
            reading.bytes_in = stage.meter.bytes_in();
            reading.records = RecordCounts {
                sent: stage.meter.records_out(),
                received: stage.meter.records_in(),
                rejected: stage.meter.rejected(),
                dropped: stage.meter.dropped(),
            };
        }
        for (node, stage) in self.stages.iter() {
            let reading = &mut stages[node];
            reading.times = stage.meter.times();
            reading.queue = stage.external_fd.queue();
        }
        Reading {
            at: self.start.elapsed(),
            stages,
            links: self.links.map(|_, link| link.levels()),
            is_unbounded: self.is_unbounded,
        }
    }

    fn programs(&self) -> Vec<(NodeId, ProgramReading)> {
        let at = self.start.elapsed();
        let stages = self.stages.iter();
        let children: Vec<_> = stages
            .filter_map(|(node, stage)| Some((node, stage.findings.child()?)))
            .collect();
        let running = || children.iter().filter(|(_, child)| child.ended.is_none());
        let leaders: Vec<i32> = running().map(|(_, child)| child.pid.cast_signed()).collect();
        // To look at all processes of the system takes time.
        let used = if leaders.is_empty() {
            Vec::new()
        } else {
            group_use(&leaders)
        };
        let used = running().map(|(node, _)| *node).zip(used).collect::<Vec<_>>();
        let programs = children.iter().map(|(node, child)| {
            let running = used.iter().find(|(of, _)| of == node).map(|(_, used)| *used);
            let used = running.unwrap_or_else(|| GroupUse {
                rss: 0,
                cpu: child.ended.unwrap_or_default(),
            });
            let program = ProgramReading {
                at,
                pid: child.pid,
                rss: used.rss,
                cpu: used.cpu,
            };
            (*node, program)
        });
        programs.collect()
    }

    fn describe(&self, now: &Reading) -> Snapshot {
        let lane = self.lane_name();
        let stages = self.stages.map(|node, stage| {
            let control = self.controls.rate_of(node.number());
            let limit = |unit| {
                let control = control.filter(|control| control.unit() == unit)?;
                Some(RateLimit {
                    now: control.rate(),
                    initial: control.initial(),
                })
            };
            StageSample {
                name: stage.name.into(),
                text: stage.text.clone(),
                output_size: stage.output_size,
                need: stage.need(),
                listening: stage.listening.clone(),
                outside: stage.outside,
                snapshot_age: (stage.findings.snapshot())
                    .filter(|_| now.stages[node].times.ended_at.is_none())
                    .map(|since| since.elapsed()),
                batches: stage.findings.batches().map(BatchSample::from),
                acknowledged: (stage.findings.acknowledged())
                    .map(|position| u64::try_from(position.0).unwrap_or(u64::MAX)),
                backlog: (stage.findings.backlog()).filter(|_| now.stages[node].times.ended_at.is_none()),
                queue: stage.findings.queue_state().map(|queue| (&*queue).into()),
                limit: limit(RateUnit::Bytes),
                record_limit: limit(RateUnit::Records),
                ..StageSample::default()
            }
        });
        let is_sink_running = |node| now.stages[node].times.ended_at.is_none();
        let pool = self.pool.levels();
        // The state is read before the limit, which only rises.
        let state = self.budget.state();
        Snapshot {
            moment: Moment::Running,
            origin: Origin::Run,
            run: RunSample {
                buffered: pool.in_use,
                buffered_peak: pool.peak,
                pool_free: pool.free,
                state,
                state_peak: self.budget.state_peak(),
                limit: self.budget.limit(),
                is_unbounded: self.is_unbounded,
                expected: self.expected,
                resumed: self.resumed,
                is_draining: self.is_draining.load(Ordering::Acquire),
                // A sink that has finished cannot be paused.
                paused: self.controls.is_paused() && self.graph.sinks().any(is_sink_running),
                ..RunSample::default()
            },
            graph: self.graph.clone(),
            bottleneck: None,
            stages,
            links: EdgeMap::<LinkSample>::default(),
            lane,
            hashes: self
                .stages
                .values()
                .iter()
                .flat_map(|stage| stage.findings.hashes())
                .collect(),
            urls: self
                .stages
                .values()
                .iter()
                .filter_map(|stage| stage.findings.url())
                .collect(),
        }
    }
}

#[cfg(test)]
impl Watch {
    /// A chain of which only the meters and a pause point in front of the sink are there: for trying out what looks at them.
    pub(super) fn detached(stages: usize) -> Self {
        let start = Instant::now();
        let stage = |_| WatchedStage {
            name: "fake",
            text: "fake".to_owned(),
            listening: Vec::new(),
            outside: None,
            meter: Arc::new(StageMeter::new(start)),
            findings: Arc::default(),
            external_fd: Arc::default(),
            output_size: OutputSize::Same,
            is_optional: false,
            is_lost: AtomicBool::new(false),
        };
        Self {
            start,
            lane: None,
            stages: (0..stages).map(stage).collect(),
            graph: Arc::new(Graph::chain(stages)),
            links: EdgeMap::default(),
            pool: Arc::new(Pool::new(0)),
            budget: Arc::new(Budget::new(0, 0, true)),
            expected: None,
            resumed: 0,
            is_unbounded: false,
            is_draining: Arc::default(),
            controls: Controls::detached(&[]),
        }
    }
}
