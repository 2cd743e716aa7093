//! Turning a running chain's counters into pictures of one moment.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{Link, LinkLevels, StageTimes};
use crate::grammar::readable_rate;
use crate::platform::{KernelQueue, ResidentMemory};
use crate::stage::Hashed;

use super::bottleneck::bottleneck;
use super::direct::Lane;
use super::filling::LinkSample;
use super::share::{Share, Spent, ratio, share};
use super::watch::{Watch, WatchedStage};

/// A rate that a stage keeps, in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// What holds now.
    pub now: u64,
    /// What the pipeline's text says.
    pub initial: u64,
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
    /// What they are parts of, since the start. Never less than it was in an earlier snapshot.
    pub spent: Spent,
    /// Bytes per second that it gave out over the last seconds, or over the whole run at the end.
    pub rate: f64,
    /// The rate that it keeps, if it keeps one.
    pub limit: Option<RateLimit>,
    /// Whether it has nothing left to do.
    pub ended: bool,
    /// What waits in the kernel on its outer side; `None` but for a source or a sink that has a pipe or a socket open.
    pub kernel_queue: Option<KernelQueue>,
    /// The most that was seen there so far, in bytes.
    pub kernel_queue_peak: u64,
}

impl StageSample {
    /// Its call, as it holds now: `throttle 1MB/s`, or `throttle at 5MB/s` once its rate was changed.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self.limit {
            Some(limit) if limit.now != limit.initial => {
                Cow::Owned(format!("{} at {}", self.name, readable_rate(limit.now)))
            }
            _ => Cow::Borrowed(&self.text),
        }
    }
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
    /// The most that they ever held besides.
    pub state_peak: u64,
    /// The ceiling over buffers and state.
    pub limit: u64,
    /// Whether the marks are only advice: then links may hold more than the ceiling.
    pub is_unbounded: bool,
    /// What the source is expected to give.
    pub expected: Option<u64>,
    /// Whether the sink is paused.
    pub paused: bool,
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
    /// The most that was seen in the kernel on each stage's outer side.
    queue_peaks: Vec<u64>,
    /// How each stage had spent its time when it was last looked at.
    spent: Vec<Spent>,
}

/// All counters of the stages at one time.
#[derive(Debug, Clone)]
struct Reading {
    at: Duration,
    times: Vec<StageTimes>,
    spent: Vec<Spent>,
    bytes_in: Vec<u64>,
    bytes_out: Vec<u64>,
    /// The levels of the links.
    levels: Vec<u64>,
    /// What waits in the kernel on each stage's outer side.
    queues: Vec<Option<KernelQueue>>,
}

impl Reading {
    /// What the counters said at the start.
    fn zero(stages: usize, links: usize) -> Self {
        Self {
            at: Duration::ZERO,
            times: vec![StageTimes::default(); stages],
            spent: vec![Spent::default(); stages],
            bytes_in: vec![0; stages],
            bytes_out: vec![0; stages],
            levels: vec![0; links],
            queues: vec![None; stages],
        }
    }
}

/// Over this time shares are smoothed to name the bottleneck, and rates are taken.
const RECENT: Duration = Duration::from_secs(5);

impl Sampler {
    /// A sampler whose first interval begins at the start of the run.
    #[must_use]
    pub fn new(watch: Arc<Watch>) -> Self {
        let stages = watch.stages.len();
        let zero = Reading::zero(stages, watch.links.len());
        Self {
            watch,
            memory: ResidentMemory::open(),
            reported: zero.clone(),
            recent: VecDeque::from([zero]),
            named: None,
            blamed: vec![Duration::ZERO; stages],
            queue_peaks: vec![0; stages],
            spent: vec![Spent::default(); stages],
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

    /// A snapshot whose shares are those of the last seconds, for whoever looks at times of their own: nothing becomes relative to it.
    pub fn look(&mut self) -> Snapshot {
        let now = self.read();
        let recent = self.recent.front().cloned().unwrap_or_else(|| now.clone());
        self.snapshot(Moment::Running, &recent, &now, &recent, self.named)
    }

    /// The snapshot of a run that is over: shares and rates of all of it, and the stage that was the bottleneck longest.
    pub fn end(&mut self) -> Snapshot {
        let now = self.read();
        let zero = Reading::zero(now.times.len(), now.levels.len());
        self.snapshot(Moment::Ended, &zero, &now, &zero, self.longest_bottleneck(&now))
    }

    fn read(&mut self) -> Reading {
        let stages = &self.watch.stages;
        let times: Vec<StageTimes> = stages.iter().map(|stage| stage.meter.times()).collect();
        for (spent, times) in self.spent.iter_mut().zip(&times) {
            spent.advance_to(times);
        }
        let queues: Vec<Option<KernelQueue>> = stages.iter().map(|stage| stage.outer_side.queue()).collect();
        for (peak, queue) in self.queue_peaks.iter_mut().zip(&queues) {
            *peak = queue.map_or(*peak, |queue| queue.bytes.max(*peak));
        }
        let (bytes_in, bytes_out) = bytes(stages);
        Reading {
            at: self.watch.start.elapsed(),
            times,
            spent: self.spent.clone(),
            bytes_in,
            bytes_out,
            levels: self.watch.links.iter().map(|link| link.levels().buffered).collect(),
            queues,
        }
    }

    /// The bottleneck by the shares of the last seconds.
    fn bottleneck(&self) -> Option<usize> {
        let (before, now) = (self.recent.front()?, self.recent.back()?);
        if let Some(overwhelmed) = self.overwhelmed(|levels| levels.buffered) {
            return Some(overwhelmed);
        }
        let shares = now
            .times
            .iter()
            .zip(&before.times)
            .map(|(times, earlier)| times.ended_at.is_none().then(|| share(earlier, times).busy));
        bottleneck(&shares.collect::<Vec<_>>(), self.named)
    }

    /// Where nobody is backpressured because nobody heeds a mark, who is too slow is seen by what has gathered in front
    /// of it.
    fn overwhelmed(&self, level: fn(&LinkLevels) -> u64) -> Option<usize> {
        let is_past = |link: &Arc<Link>| {
            let levels = link.levels();
            level(&levels) > levels.high
        };
        let past = self.watch.links.iter().rposition(is_past);
        past.filter(|_| self.watch.is_unbounded).map(|link| link + 1)
    }

    /// The stage that was the bottleneck for the longest time. A run too short to be looked at is judged by how long each
    /// stage was busy in it.
    fn longest_bottleneck(&self, now: &Reading) -> Option<usize> {
        let longest = (0..self.blamed.len()).max_by_key(|at| (self.blamed[*at], std::cmp::Reverse(*at)))?;
        if self.blamed[longest] > Duration::ZERO {
            return Some(longest);
        }
        if let Some(overwhelmed) = self.overwhelmed(|levels| levels.peak) {
            return Some(overwhelmed);
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
            bytes_in: now.bytes_in[at],
            bytes_out: now.bytes_out[at],
            share: share(&before.times[at], &now.times[at]),
            spent: now.spent[at],
            rate: per_second(
                now.bytes_out[at] - recent.bytes_out[at],
                now.at.saturating_sub(recent.at),
            ),
            limit: (self.watch.controls.rate_of(at)).map(|(now, initial)| RateLimit { now, initial }),
            ended: now.times[at].ended_at.is_some(),
            kernel_queue: now.queues[at],
            kernel_queue_peak: self.queue_peaks[at],
        });
        let time = now.at.saturating_sub(recent.at);
        let links = self.watch.links.iter().zip(&recent.levels);
        let links = links.map(|(link, before)| LinkSample::new(&link.levels(), *before, time));
        let stages_seen = self.watch.stages.iter();
        let pool = self.watch.pool.levels();
        // The state is read before the limit, which only rises.
        let state = self.watch.budget.state();
        Snapshot {
            moment,
            lane: self.watch.lane_name(),
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
            // Nobody can keep a sink waiting that is through.
            paused: self.watch.controls.is_paused() && now.times.last().is_some_and(|sink| sink.ended_at.is_none()),
            bottleneck,
            stages: stages.collect(),
            links: links.collect(),
            hashes: stages_seen.flat_map(|stage| stage.findings.hashes()).collect(),
        }
    }
}

/// What each stage has received and sent. The last one is asked first, and what it sent before what it received: however
/// they run meanwhile, none is seen to have received more than the one before it has sent.
fn bytes(stages: &[WatchedStage]) -> (Vec<u64>, Vec<u64>) {
    let from_the_end = stages.iter().rev().map(|stage| {
        let out = stage.meter.bytes_out();
        (stage.meter.bytes_in(), out)
    });
    let (mut bytes_in, mut bytes_out): (Vec<u64>, Vec<u64>) = from_the_end.unzip();
    bytes_in.reverse();
    bytes_out.reverse();
    (bytes_in, bytes_out)
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    ratio(bytes as f64, time.as_secs_f64())
}

#[cfg(test)]
mod tests;
