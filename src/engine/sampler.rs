//! Turning a running chain's counters into pictures of one moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::StageTimes;
use crate::platform::ResidentMemory;
use crate::stage::Hashed;

use super::bottleneck::bottleneck;
use super::direct::Lane;
use super::filling::LinkSample;
use super::watch::Watch;

/// How a stage spent its time: parts of 1. `busy`, `idle` and `backpressured` add up to 1; the other two are parts of
/// `busy`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Neither of the next two.
    pub busy: f64,
    /// Waiting for the input link, or ended.
    pub idle: f64,
    /// Waiting for room in the output link.
    pub backpressured: f64,
    /// Busy waiting for a disk, a peer or a terminal.
    pub outside: f64,
    /// Busy waiting for a throttle's tokens.
    pub throttling: f64,
}

/// One stage at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSample {
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its call, normalised and safe to print.
    pub text: String,
    /// The addresses that it listens on.
    pub listening: Vec<String>,
    /// Bytes since the start.
    pub bytes_in: u64,
    /// Bytes since the start.
    pub bytes_out: u64,
    /// Shares of the interval, or of the whole run at the end.
    pub share: Share,
    /// Bytes per second that it gave out over the last seconds, or over the whole run at the end.
    pub rate: f64,
    /// Whether it has nothing left to do.
    pub ended: bool,
}

/// When a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While the chain ran: shares are those of the last interval.
    Running,
    /// After it: shares are those of the whole run.
    Ended,
}

/// A chain at one moment. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// While or after.
    pub moment: Moment,
    /// How the bytes moved: `linked`, or the direct lane's name.
    pub lane: &'static str,
    /// Since the stages were started.
    pub elapsed: Duration,
    /// Resident memory of the process.
    pub rss: u64,
    /// The most that was ever resident.
    pub rss_peak: u64,
    /// Buffers that chunks pin.
    pub buffered: u64,
    /// The most that was ever pinned.
    pub buffered_peak: u64,
    /// Buffers that wait for reuse.
    pub pool_free: u64,
    /// What stages hold besides.
    pub state: u64,
    /// The ceiling over the last three.
    pub limit: u64,
    /// What the source is expected to give.
    pub expected: Option<u64>,
    /// The index of the stage that everything waits for.
    pub bottleneck: Option<usize>,
    /// The stages in the order of the chain.
    pub stages: Vec<StageSample>,
    /// The links in the order of the chain.
    pub links: Vec<LinkSample>,
    /// The sums that stages have said so far, in the order of the chain.
    pub hashes: Vec<Hashed>,
}

impl Snapshot {
    /// Whether the stages' shares are known: not where one system call reads and writes.
    #[must_use]
    pub fn has_shares(&self) -> bool {
        self.lane == "linked" || self.lane == Lane::Copy.name()
    }
}

/// Takes snapshots, and remembers what shares and rates are relative to.
#[derive(Debug)]
pub struct Sampler {
    watch: Arc<Watch>,
    memory: ResidentMemory,
    /// What the counters said at the end of the last interval that was reported.
    reported: Reading,
    /// Readings of the last seconds, the oldest first.
    recent: VecDeque<Reading>,
    /// The bottleneck by the shares of the last seconds.
    named: Option<usize>,
    /// For how long each stage was the bottleneck.
    blamed: Vec<Duration>,
}

/// All counters of the stages at one time.
#[derive(Debug, Clone)]
struct Reading {
    at: Duration,
    times: Vec<StageTimes>,
    bytes_out: Vec<u64>,
    /// The levels of the links.
    levels: Vec<u64>,
}

/// Over this time shares are smoothed to name the bottleneck, and rates are taken.
const RECENT: Duration = Duration::from_secs(5);

impl Sampler {
    /// A sampler whose first interval begins at the start of the run.
    #[must_use]
    pub fn new(watch: Arc<Watch>) -> Self {
        let stages = watch.stages.len();
        let zero = Reading {
            at: Duration::ZERO,
            times: vec![StageTimes::default(); stages],
            bytes_out: vec![0; stages],
            levels: vec![0; watch.links.len()],
        };
        Self {
            watch,
            memory: ResidentMemory::open(),
            reported: zero.clone(),
            recent: VecDeque::from([zero]),
            named: None,
            blamed: vec![Duration::ZERO; stages],
        }
    }

    /// Looks, so that the bottleneck and the rates rest on more than two readings. To be called ten times a second.
    pub fn glance(&mut self) {
        let reading = self.read();
        let since = self.recent.back().map_or(Duration::ZERO, |last| last.at);
        self.recent.push_back(reading);
        while self.recent.len() > 2 && self.recent[1].at + RECENT <= self.recent[self.recent.len() - 1].at {
            self.recent.pop_front();
        }
        self.named = self.bottleneck();
        if let Some(stage) = self.named {
            let now = self.recent.back().map_or(since, |last| last.at);
            self.blamed[stage] += now.saturating_sub(since);
        }
    }

    /// A snapshot whose shares are those since the last one.
    pub fn sample(&mut self) -> Snapshot {
        self.glance();
        let now = self.recent.back().cloned().unwrap_or_else(|| self.reported.clone());
        let before = std::mem::replace(&mut self.reported, now.clone());
        let recent = self.recent.front().cloned().unwrap_or_else(|| before.clone());
        self.snapshot(Moment::Running, &before, &now, &recent, self.named)
    }

    /// A snapshot whose shares are those of the last seconds, as its rates and its bottleneck are.
    pub fn recent(&mut self) -> Snapshot {
        self.glance();
        let now = self.recent.back().cloned().unwrap_or_else(|| self.reported.clone());
        let recent = self.recent.front().cloned().unwrap_or_else(|| now.clone());
        self.snapshot(Moment::Running, &recent, &now, &recent, self.named)
    }

    /// The snapshot of a run that is over: shares and rates of all of it, and the stage that was the bottleneck longest.
    pub fn end(&mut self) -> Snapshot {
        let now = self.read();
        let zero = Reading {
            at: Duration::ZERO,
            times: vec![StageTimes::default(); now.times.len()],
            bytes_out: vec![0; now.bytes_out.len()],
            levels: vec![0; now.levels.len()],
        };
        self.snapshot(Moment::Ended, &zero, &now, &zero, self.longest_bottleneck(&now))
    }

    fn read(&self) -> Reading {
        let meters = self.watch.stages.iter().map(|stage| &stage.meter);
        Reading {
            at: self.watch.start.elapsed(),
            times: meters.clone().map(|meter| meter.times()).collect(),
            bytes_out: meters.map(|meter| meter.bytes_out()).collect(),
            levels: self.watch.links.iter().map(|link| link.levels().buffered).collect(),
        }
    }

    fn bottleneck(&self) -> Option<usize> {
        let (before, now) = (self.recent.front()?, self.recent.back()?);
        let shares = now
            .times
            .iter()
            .zip(&before.times)
            .map(|(times, earlier)| times.ended_at.is_none().then(|| share(earlier, times).busy));
        bottleneck(&shares.collect::<Vec<_>>(), self.named)
    }

    /// The stage that was the bottleneck for the longest time. A run too short to be looked at is judged by how long each
    /// stage was busy in it.
    fn longest_bottleneck(&self, now: &Reading) -> Option<usize> {
        let longest = (0..self.blamed.len()).max_by_key(|at| (self.blamed[*at], std::cmp::Reverse(*at)))?;
        if self.blamed[longest] > Duration::ZERO {
            return Some(longest);
        }
        let shares = now
            .times
            .iter()
            .map(|times| Some(share(&StageTimes::default(), times).busy));
        bottleneck(&shares.collect::<Vec<_>>(), None)
    }

    fn snapshot(
        &self,
        moment: Moment,
        before: &Reading,
        now: &Reading,
        recent: &Reading,
        bottleneck: Option<usize>,
    ) -> Snapshot {
        let stages = self.watch.stages.iter().enumerate().map(|(at, stage)| StageSample {
            name: stage.name,
            text: stage.text.clone(),
            listening: stage.listening.clone(),
            bytes_in: stage.meter.bytes_in(),
            bytes_out: stage.meter.bytes_out(),
            share: share(&before.times[at], &now.times[at]),
            rate: per_second(
                now.bytes_out[at] - recent.bytes_out[at],
                now.at.saturating_sub(recent.at),
            ),
            ended: now.times[at].ended_at.is_some(),
        });
        let time = now.at.saturating_sub(recent.at);
        let links = self.watch.links.iter().zip(&recent.levels);
        let links = links.map(|(link, before)| LinkSample::new(&link.levels(), *before, time));
        let stages_seen = self.watch.stages.iter();
        // The state is read before the limit, which only rises.
        let state = self.watch.budget.state();
        Snapshot {
            moment,
            lane: self.watch.lane_name(),
            elapsed: now.at,
            rss: self.memory.now(),
            rss_peak: self.memory.peak(),
            buffered: self.watch.pool.in_use(),
            buffered_peak: self.watch.pool.peak(),
            pool_free: self.watch.pool.free_bytes(),
            state,
            limit: self.watch.budget.limit(),
            expected: self.watch.expected,
            bottleneck,
            stages: stages.collect(),
            links: links.collect(),
            hashes: stages_seen.flat_map(|stage| stage.findings.hashes()).collect(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    ratio(bytes as f64, time.as_secs_f64())
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The shares of the time between two readings of a stage. From its end on, a stage is idle.
fn share(before: &StageTimes, now: &StageTimes) -> Share {
    let whole = now.at.saturating_sub(before.at).as_secs_f64();
    let part = |now: Duration, before: Duration| ratio(now.saturating_sub(before).as_secs_f64(), whole).clamp(0.0, 1.0);
    let ended = now.ended_at.map_or(0.0, |end| part(now.at, end.max(before.at)));
    let idle = (part(now.idle, before.idle) + ended).min(1.0);
    let backpressured = part(now.backpressured, before.backpressured).min(1.0 - idle);
    let busy = 1.0 - idle - backpressured;
    Share {
        busy,
        idle,
        backpressured,
        outside: part(now.outside, before.outside).min(busy),
        throttling: part(now.throttling, before.throttling).min(busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn shares_add_up_and_an_ended_stage_is_idle() {
        let before = StageTimes::default();
        let now = StageTimes {
            at: millis(1000),
            idle: millis(100),
            backpressured: millis(300),
            outside: millis(50),
            throttling: millis(0),
            ended_at: Some(millis(600)),
        };
        let share = share(&before, &now);
        let rounded = [share.busy, share.idle, share.backpressured, share.outside].map(|part| format!("{part:.2}"));
        assert_eq!(rounded, ["0.20", "0.50", "0.30", "0.05"]);
    }

    #[test]
    fn nothing_lasts_longer_than_the_interval() {
        let now = StageTimes {
            at: millis(1000),
            backpressured: millis(1001),
            ..StageTimes::default()
        };
        let share = share(&StageTimes::default(), &now);
        assert!((share.backpressured - 1.0).abs() < f64::EPSILON && share.busy.abs() < f64::EPSILON);
    }
}
