//! A running chain, as it can be looked at from another thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::flow::{Link, Pool, StageMeter};
use crate::graph::{EdgeMap, Graph, NodeMap};
use crate::stage::{Budget, ExternalFd, Findings, OutputSize, Outside};

use super::controls::Controls;
use super::direct::DirectPath;

/// Everything that the picture of a run is made from.
#[derive(Debug)]
pub struct Watch {
    /// When the stages were started.
    pub(super) start: Instant,
    /// How the bytes move now, if not through links.
    pub(super) lane: Option<Arc<Mutex<DirectPath>>>,
    pub(super) graph: Arc<Graph>,
    pub(super) stages: NodeMap<WatchedStage>,
    /// None where the bytes move without links.
    pub(super) links: EdgeMap<Arc<Link>>,
    pub(super) pool: Arc<Pool>,
    pub(super) budget: Arc<Budget>,
    /// Bytes that the source is expected to give.
    pub(super) expected: Option<u64>,
    /// Whether the links' marks are only advice.
    pub(super) is_unbounded: bool,
    pub(super) controls: Controls,
}

/// One stage of a running chain.
#[derive(Debug)]
pub(super) struct WatchedStage {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// The addresses that it listens on.
    pub(super) listening: Vec<String>,
    /// What it waits for when it waits for the outside.
    pub(super) outside: Option<Outside>,
    pub(super) meter: Arc<StageMeter>,
    pub(super) findings: Arc<Findings>,
    pub(super) external_fd: Arc<ExternalFd>,
    /// How many bytes it gives for those that come to it.
    pub(super) output_size: OutputSize,
}

impl Watch {
    /// What steers the chain.
    #[must_use]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Whether the source has given its first bytes.
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

    /// Bytes that have moved anywhere in the chain so far, and what peers took since the last one was written: a number that
    /// only stands still if everything does.
    pub(super) fn motion(&self) -> u64 {
        let moved = |meter: &StageMeter| meter.bytes_in() + meter.bytes_out() + meter.settled();
        self.meters().map(moved).sum()
    }

    /// Whether some stage waits on purpose: a throttle, or a sink that was paused.
    pub(super) fn waits_on_purpose(&self) -> bool {
        self.controls.is_paused() || self.meters().any(StageMeter::is_throttling)
    }

    /// Bytes that the sink has taken which has taken least; `None` once each has taken the last one.
    pub(super) fn taken(&self) -> Option<u64> {
        let sinks = self.graph.sinks().map(|sink| &self.stages[sink].meter);
        sinks
            .filter(|sink| !sink.is_committing())
            .map(|sink| sink.bytes_out())
            .min()
    }

    fn meters(&self) -> impl Iterator<Item = &StageMeter> {
        self.stages.values().iter().map(|stage| &*stage.meter)
    }

    /// How long stages have waited on purpose, all of them together.
    pub(super) fn throttled(&self) -> Duration {
        self.meters().map(|meter| meter.times().throttling).sum()
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
            is_unbounded: false,
            controls: Controls::detached(&[]),
        }
    }
}
