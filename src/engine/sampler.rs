//! Turns the counters of a running pipeline into snapshots.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{LinkLevels, StageTimes};
use crate::graph::{EdgeId, EdgeMap, NodeId, NodeMap};
use crate::platform::ResidentMemory;

use super::bottleneck::bottleneck;
use super::direct::DirectPath;
use super::filling::LinkSample;
use super::observed::{Observed, ProgramReading, Reading};
use super::share::{Spent, ratio, share};
use super::snapshot::{Moment, Origin, RecordCounts, Snapshot};

/// Takes snapshots, and keeps the readings that shares and rates are relative to.
#[derive(Debug)]
pub struct Sampler {
    observed: Arc<dyn Observed>,
    memory: ResidentMemory,
    /// The counters at the end of the last interval that was reported.
    reported: Reading,
    /// Readings of the last seconds, the oldest first.
    recent: VecDeque<Reading>,
    /// The bottleneck by the shares of the last seconds.
    named: Option<NodeId>,
    /// What is kept of each stage.
    past: NodeMap<Past>,
}

/// What is kept of a stage.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    /// The most that was seen in the kernel queue of its outer side.
    queue_peak: u64,
    /// How it had spent its time at the last reading.
    spent: Spent,
    /// Its program when it was last measured: whenever a snapshot is taken.
    program: Option<ProgramReading>,
}

/// The period over which shares are smoothed to name the bottleneck, and rates are taken.
const RECENT: Duration = Duration::from_secs(5);

impl Sampler {
    /// A sampler whose first interval begins at the start of the run.
    #[must_use]
    pub fn new(observed: Arc<dyn Observed>) -> Self {
        let zero = Reading::zero(observed.graph());
        Self {
            past: zero.stages.map(|_, _| Past::default()),
            observed,
            memory: ResidentMemory::open(),
            reported: zero.clone(),
            recent: VecDeque::from([zero]),
            named: None,
        }
    }

    /// Takes a reading, so that the bottleneck and the rates are based on more than two. To be called ten times a
    /// second.
    pub fn observe(&mut self) {
        let reading = self.read();
        self.recent.push_back(reading);
        while self.recent.len() > 2 && self.recent[1].at + RECENT <= self.recent[self.recent.len() - 1].at {
            self.recent.pop_front();
        }
        self.named = self.bottleneck();
    }

    /// A snapshot whose shares are those since the last one.
    pub fn sample(&mut self) -> Snapshot {
        self.measure_programs();
        self.observe();
        let now = self.recent.back().cloned().unwrap_or_else(|| self.reported.clone());
        let before = std::mem::replace(&mut self.reported, now.clone());
        let recent = self.recent.front().cloned().unwrap_or_else(|| before.clone());
        self.snapshot(Moment::Running, &before, &now, &recent, self.named)
    }

    /// A snapshot whose shares are those of the last seconds, as its rates and its bottleneck are.
    pub fn recent(&mut self) -> Snapshot {
        self.measure_programs();
        self.observe();
        let now = self.recent.back().cloned().unwrap_or_else(|| self.reported.clone());
        let recent = self.recent.front().cloned().unwrap_or_else(|| now.clone());
        self.snapshot(Moment::Running, &recent, &now, &recent, self.named)
    }

    /// A snapshot whose shares are those of the last seconds, for callers that look at times of their own: it does not
    /// end an interval.
    pub fn look(&mut self) -> Snapshot {
        self.measure_programs();
        let now = self.read();
        let recent = self.recent.front().cloned().unwrap_or_else(|| now.clone());
        self.snapshot(Moment::Running, &recent, &now, &recent, self.named)
    }

    /// The snapshot of a run that is over: shares, rates and the bottleneck of all of it.
    pub fn end(&mut self) -> Snapshot {
        self.measure_programs();
        let now = self.read();
        let zero = Reading::zero(self.observed.graph());
        self.snapshot(Moment::Ended, &zero, &now, &zero, self.whole_bottleneck(&now))
    }

    /// How to count the records that a stage passes on: those that it sends, or receives where it sends none. `None` if
    /// it does neither.
    fn records_of(&self, node: NodeId) -> Option<fn(&RecordCounts) -> u64> {
        let graph = self.observed.graph();
        let has_records = |edge: &EdgeId| graph.edge(*edge).port.has_records();
        if graph.outputs(node).iter().any(has_records) {
            return Some(|records| records.sent);
        }
        graph.input(node).filter(has_records)?;
        Some(|records| records.received)
    }

    fn read(&mut self) -> Reading {
        let mut reading = self.observed.read();
        for (node, stage) in reading.stages.iter_mut() {
            let past = &mut self.past[node];
            past.spent.advance_to(&stage.times);
            past.queue_peak = stage.queue.map_or(0, |queue| queue.bytes).max(past.queue_peak);
            stage.program = past.program;
        }
        reading
    }

    /// The bottleneck by the shares of the last seconds.
    fn bottleneck(&self) -> Option<NodeId> {
        let (before, now) = (self.recent.front()?, self.recent.back()?);
        if let Some(overwhelmed) = self.overwhelmed(now, |levels| levels.buffered) {
            return Some(overwhelmed);
        }
        let busy = now.stages.map(|node, stage| {
            let is_running = stage.times.ended_at.is_none();
            is_running.then(|| share(&before.stages[node].times, &stage.times).busy)
        });
        bottleneck(self.observed.graph(), &busy, &fullness(now), self.named)
    }

    /// With advisory marks no stage is backpressured; the slowest stage is then the one with the most data in front of
    /// it.
    fn overwhelmed(&self, now: &Reading, level: fn(&LinkLevels) -> u64) -> Option<NodeId> {
        let is_past = |levels: &LinkLevels| level(levels) > levels.high;
        let mut past = now.links.iter().rev().filter(|(_, levels)| is_past(levels));
        let past = past.next().filter(|_| now.is_unbounded);
        past.map(|(edge, _)| self.observed.graph().edge(edge).to)
    }

    /// The bottleneck by the shares of all of the run.
    fn whole_bottleneck(&self, now: &Reading) -> Option<NodeId> {
        if let Some(overwhelmed) = self.overwhelmed(now, |levels| levels.peak) {
            return Some(overwhelmed);
        }
        let busy = now
            .stages
            .map(|_, stage| Some(share(&StageTimes::default(), &stage.times).busy));
        bottleneck(self.observed.graph(), &busy, &fullness(now), None)
    }

    /// Measures the programs that the stages run, or have run.
    fn measure_programs(&mut self) {
        for (node, program) in self.observed.programs() {
            let past = &mut self.past[node].program;
            // A member whose parent has ended is waited for by this process, and its time is lost to the group.
            let cpu = past.map_or(program.cpu, |past| past.cpu.max(program.cpu));
            *past = Some(ProgramReading { cpu, ..program });
        }
    }

    fn snapshot(
        &self,
        moment: Moment,
        before: &Reading,
        now: &Reading,
        recent: &Reading,
        bottleneck: Option<NodeId>,
    ) -> Snapshot {
        let time = now.at.saturating_sub(recent.at);
        let mut snapshot = self.observed.describe(now);
        // If one call reads and writes, the time cannot be attributed to either side.
        let has_shares = snapshot.lane == "linked" || snapshot.lane == DirectPath::Copy.name();
        for (node, stage) in snapshot.stages.iter_mut() {
            let (reading, past) = (&now.stages[node], &self.past[node]);
            let counted = self.records_of(node);
            let passed = |reading: &Reading| counted.map_or(0, |count| count(&reading.stages[node].records));
            stage.records = counted.map(|_| reading.records);
            stage.record_rate = per_second(passed(now).saturating_sub(passed(recent)), time);
            stage.bytes_in = reading.bytes_in;
            stage.bytes_out = reading.bytes_out;
            stage.share = has_shares.then(|| share(&before.stages[node].times, &reading.times));
            stage.spent = past.spent;
            stage.rate = per_second(reading.bytes_out.saturating_sub(recent.stages[node].bytes_out), time);
            stage.ended = reading.times.ended_at.is_some();
            stage.kernel_queue = reading.queue.map(|queue| queue.bytes);
            stage.kernel_queue_capacity = reading.queue.and_then(|queue| queue.capacity);
            stage.kernel_queue_peak = past.queue_peak;
            let program = reading
                .program
                .map(|program| program.sample(before.stages[node].program));
            stage.children = program.into_iter().collect();
        }
        snapshot.links = now
            .links
            .map(|edge, levels| LinkSample::new(*levels, recent.links[edge].load(), time));
        snapshot.moment = moment;
        snapshot.bottleneck = bottleneck;
        snapshot.run.elapsed = now.at;
        if snapshot.origin == Origin::Run {
            (snapshot.run.rss, snapshot.run.rss_peak) = (self.memory.now(), self.memory.peak());
            snapshot.measure_progress();
        }
        snapshot
    }
}

/// How full each link is, as a part of the high-water mark that is nearer.
fn fullness(now: &Reading) -> EdgeMap<f64> {
    now.links.map(|_, levels| levels.fullness())
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    ratio(bytes as f64, time.as_secs_f64())
}

#[cfg(test)]
mod tests;
