//! Turns the counters of a running pipeline into snapshots.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{Link, LinkLevels, StageTimes};
use crate::graph::{EdgeMap, Id, NodeId, NodeMap};
use crate::platform::{GroupUse, KernelQueue, ResidentMemory, group_use};

use super::bottleneck::bottleneck;
use super::direct::DirectPath;
use super::filling::LinkSample;
use super::share::{Spent, ratio, share};
use super::snapshot::{ChildSample, Moment, RateLimit, RunSample, Snapshot, StageSample};
use super::watch::Watch;

/// Takes snapshots, and keeps the readings that shares and rates are relative to.
#[derive(Debug)]
pub struct Sampler {
    watch: Arc<Watch>,
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
    /// For how long it was the bottleneck.
    blamed: Duration,
    /// The most that was seen in the kernel queue of its outer side.
    queue_peak: u64,
    /// How it had spent its time at the last reading.
    spent: Spent,
    /// Its program when it was last measured: whenever a snapshot is taken.
    program: Option<ProgramReading>,
}

/// All counters of the stages at one time.
#[derive(Debug, Clone)]
struct Reading {
    at: Duration,
    stages: NodeMap<StageReading>,
    /// The levels of the links.
    levels: EdgeMap<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct StageReading {
    times: StageTimes,
    spent: Spent,
    bytes_in: u64,
    bytes_out: u64,
    /// What waits in the kernel on its outer side.
    queue: Option<KernelQueue>,
    /// The program that it runs, when it was last measured.
    program: Option<ProgramReading>,
}

/// What a program used at one time.
#[derive(Debug, Clone, Copy)]
struct ProgramReading {
    at: Duration,
    pid: u32,
    rss: u64,
    cpu: Duration,
}

impl ProgramReading {
    /// Its sample for the time since an earlier reading, or since the start.
    fn sample(self, before: Option<Self>) -> ChildSample {
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
    fn zero(watch: &Watch) -> Self {
        Self {
            at: Duration::ZERO,
            stages: watch.stages.map(|_, _| StageReading::default()),
            levels: watch.links.map(|_, _| 0),
        }
    }
}

/// The period over which shares are smoothed to name the bottleneck, and rates are taken.
const RECENT: Duration = Duration::from_secs(5);

impl Sampler {
    /// A sampler whose first interval begins at the start of the run.
    #[must_use]
    pub fn new(watch: Arc<Watch>) -> Self {
        let zero = Reading::zero(&watch);
        Self {
            past: watch.stages.map(|_, _| Past::default()),
            watch,
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
        let since = self.recent.back().map_or(Duration::ZERO, |last| last.at);
        self.recent.push_back(reading);
        while self.recent.len() > 2 && self.recent[1].at + RECENT <= self.recent[self.recent.len() - 1].at {
            self.recent.pop_front();
        }
        self.named = self.bottleneck();
        if let Some(stage) = self.named {
            let now = self.recent.back().map_or(since, |last| last.at);
            self.past[stage].blamed += now.saturating_sub(since);
        }
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

    /// The snapshot of a run that is over: shares and rates of all of it, and the stage that was the bottleneck
    /// longest.
    pub fn end(&mut self) -> Snapshot {
        self.measure_programs();
        let now = self.read();
        let zero = Reading::zero(&self.watch);
        self.snapshot(Moment::Ended, &zero, &now, &zero, self.longest_bottleneck(&now))
    }

    /// Reads every counter. The last stage is read first, and its sent bytes before its received ones, so no stage is
    /// ever seen to have received more than the one before it has sent.
    fn read(&mut self) -> Reading {
        let mut stages = self.watch.stages.map(|_, _| StageReading::default());
        for (node, stage) in self.watch.stages.iter().rev() {
            let reading = &mut stages[node];
            reading.bytes_out = stage.meter.bytes_out();
            reading.bytes_in = stage.meter.bytes_in();
        }
        for (node, stage) in self.watch.stages.iter() {
            let (reading, past) = (&mut stages[node], &mut self.past[node]);
            reading.times = stage.meter.times();
            reading.queue = stage.external_fd.queue();
            past.spent.advance_to(&reading.times);
            past.queue_peak = reading.queue.map_or(0, |queue| queue.bytes).max(past.queue_peak);
            reading.spent = past.spent;
            reading.program = past.program;
        }
        Reading {
            at: self.watch.start.elapsed(),
            stages,
            levels: self.watch.links.map(|_, link| link.levels().buffered),
        }
    }

    /// The bottleneck by the shares of the last seconds.
    fn bottleneck(&self) -> Option<NodeId> {
        let (before, now) = (self.recent.front()?, self.recent.back()?);
        if let Some(overwhelmed) = self.overwhelmed(|levels| levels.buffered) {
            return Some(overwhelmed);
        }
        let busy = now.stages.map(|node, stage| {
            let is_running = stage.times.ended_at.is_none();
            is_running.then(|| share(&before.stages[node].times, &stage.times).busy)
        });
        bottleneck(&self.watch.graph, &busy, &self.fullness(), self.named)
    }

    /// How full each link is, as a part of its high-water mark.
    #[allow(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
    fn fullness(&self) -> EdgeMap<f64> {
        self.watch.links.map(|_, link| {
            let levels = link.levels();
            ratio(levels.buffered as f64, levels.high as f64)
        })
    }

    /// With advisory marks no stage is backpressured; the slowest stage is then the one with the most data in front of
    /// it.
    fn overwhelmed(&self, level: fn(&LinkLevels) -> u64) -> Option<NodeId> {
        let is_past = |link: &Link| {
            let levels = link.levels();
            level(&levels) > levels.high
        };
        let mut past = self.watch.links.iter().rev().filter(|(_, link)| is_past(link));
        let past = past.next().filter(|_| self.watch.is_unbounded);
        past.map(|(edge, _)| self.watch.graph.edge(edge).to)
    }

    /// The stage that was the bottleneck for the longest time. A run too short for a reading is judged by how long each
    /// stage was busy in it.
    fn longest_bottleneck(&self, now: &Reading) -> Option<NodeId> {
        let longest = self.past.iter().rev().max_by_key(|(_, past)| past.blamed)?;
        if longest.1.blamed > Duration::ZERO {
            return Some(longest.0);
        }
        if let Some(overwhelmed) = self.overwhelmed(|levels| levels.peak) {
            return Some(overwhelmed);
        }
        let busy = now
            .stages
            .map(|_, stage| Some(share(&StageTimes::default(), &stage.times).busy));
        bottleneck(&self.watch.graph, &busy, &self.fullness(), None)
    }

    /// Measures the programs that the stages run, or have run.
    fn measure_programs(&mut self) {
        let at = self.watch.start.elapsed();
        let stages = self.watch.stages.iter();
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
        for (node, child) in &children {
            let running = used.iter().find(|(of, _)| of == node).map(|(_, used)| *used);
            let used = running.unwrap_or_else(|| GroupUse {
                rss: 0,
                cpu: child.ended.unwrap_or_default(),
            });
            let past = &mut self.past[*node];
            past.program = Some(ProgramReading {
                at,
                pid: child.pid,
                rss: used.rss,
                // A member whose parent has ended is waited for by this process, and its time is lost to the group.
                cpu: used.cpu.max(past.program.map_or(Duration::ZERO, |program| program.cpu)),
            });
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
        let lane = self.watch.lane_name();
        // If one call reads and writes, the time cannot be attributed to either side.
        let has_shares = lane == "linked" || lane == DirectPath::Copy.name();
        let stages = self.watch.stages.map(|node, stage| {
            let (reading, past) = (&now.stages[node], &self.past[node]);
            let limit = self.watch.controls.rate_of(node.number());
            StageSample {
                name: stage.name.into(),
                text: stage.text.clone(),
                output_size: stage.output_size,
                need: stage.need(),
                listening: stage.listening.clone(),
                children: reading
                    .program
                    .map(|program| program.sample(before.stages[node].program))
                    .into_iter()
                    .collect(),
                outside: stage.outside,
                bytes_in: reading.bytes_in,
                bytes_out: reading.bytes_out,
                share: has_shares.then(|| share(&before.stages[node].times, &reading.times)),
                spent: reading.spent,
                rate: per_second(reading.bytes_out - recent.stages[node].bytes_out, time),
                limit: limit.map(|(now, initial)| RateLimit { now, initial }),
                ended: reading.times.ended_at.is_some(),
                kernel_queue: reading.queue.map(|queue| queue.bytes),
                kernel_queue_capacity: reading.queue.and_then(|queue| queue.capacity),
                kernel_queue_peak: past.queue_peak,
            }
        });
        let links = self
            .watch
            .links
            .map(|edge, link| LinkSample::new(link.levels(), recent.levels[edge], time));
        let is_sink_running = |node| now.stages[node].times.ended_at.is_none();
        let pool = self.watch.pool.levels();
        // The state is read before the limit, which only rises.
        let state = self.watch.budget.state();
        let mut snapshot = Snapshot {
            moment,
            run: RunSample {
                elapsed: now.at,
                rss: self.memory.now(),
                rss_peak: self.memory.peak(),
                buffered: pool.in_use,
                buffered_peak: pool.peak,
                pool_free: pool.free,
                state,
                state_peak: self.watch.budget.state_peak(),
                limit: self.watch.budget.limit(),
                is_unbounded: self.watch.is_unbounded,
                expected: self.watch.expected,
                progress: None,
                remaining: None,
                // A sink that has finished cannot be paused.
                paused: self.watch.controls.is_paused() && self.watch.graph.sinks().any(is_sink_running),
            },
            graph: self.watch.graph.clone(),
            bottleneck,
            stages,
            links,
            lane,
            hashes: self
                .watch
                .stages
                .values()
                .iter()
                .flat_map(|stage| stage.findings.hashes())
                .collect(),
        };
        snapshot.measure_progress();
        snapshot
    }
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    ratio(bytes as f64, time.as_secs_f64())
}

#[cfg(test)]
mod tests;
