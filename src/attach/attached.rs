//! The counters of a pipeline of other programs, as views read them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::{
    FileSample, Moment, Observed, Origin, ProgramReading, Reading, RunSample, Snapshot, StageReading, StageSample,
};
use crate::flow::{LinkLevels, StageTimes};
use crate::graph::{EdgeMap, Graph, NodeId, NodeMap};
use crate::stage::{OutputSize, Outside};

use super::activity::{Elsewhere, State};
use super::census::{command, name};

/// A pipeline of other programs.
#[derive(Debug)]
pub struct Attached {
    graph: Arc<Graph>,
    counters: Mutex<Counters>,
}

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// Since the first look.
    pub at: Duration,
    /// When bytes, memory and processor time were read.
    pub counted_at: Duration,
    pub stages: NodeMap<StageCounters>,
    pub links: EdgeMap<LinkCounters>,
    /// How much of the source's file is read, and how long the rest takes.
    pub progress: Option<f64>,
    pub remaining: Option<Duration>,
    /// The most that was seen at once.
    pub buffered_peak: u64,
    pub rss_peak: u64,
}

/// What was seen of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct StageCounters {
    pub name: String,
    pub text: String,
    pub pid: u32,
    pub rss: u64,
    /// Since the first look.
    pub cpu: Duration,
    pub times: StageTimes,
    /// The waits outside of the pipeline by what was waited for.
    waits: Vec<(Outside, Duration)>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub file: Option<FileSample>,
    /// The file that was seen first, and how far the stage was in it.
    pub first_file: Option<FileSample>,
}

/// What was seen of a link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkCounters {
    pub levels: LinkLevels,
    /// For how long its writer has been waiting.
    pause: Duration,
    /// What that had written by then.
    written: u64,
    /// Whether its reader was waiting at the last look.
    is_awaited: bool,
}

impl StageCounters {
    /// A stage of which nothing was seen yet.
    pub fn of(pid: i32) -> Self {
        Self {
            name: name(pid),
            text: command(pid),
            pid: pid.unsigned_abs(),
            ..Self::default()
        }
    }

    /// Notes how far it is in its file; returns how far it has come, if it is still the first one.
    pub fn note_file(&mut self, file: FileSample) -> Option<u64> {
        let first = self.first_file.get_or_insert_with(|| file.clone());
        let moved = file
            .offset
            .checked_sub(first.offset)
            .filter(|_| first.path == file.path);
        self.file = Some(file);
        moved
    }

    /// Adds that the stage spent this time in one state.
    pub fn spend(&mut self, time: Duration, state: State) {
        let outside = match state {
            State::Running => None,
            State::Disk => Some(Outside::Disk),
            State::Waiting(elsewhere) | State::Blocked(elsewhere) => Some(elsewhere.into()),
            State::Idle => {
                self.times.idle += time;
                None
            }
            State::Backpressured(_) => {
                self.times.backpressured += time;
                None
            }
        };
        let Some(outside) = outside else { return };
        self.times.outside += time;
        match self.waits.iter_mut().find(|(known, _)| *known == outside) {
            Some((_, sum)) => *sum += time,
            None => self.waits.push((outside, time)),
        }
    }

    /// What it has waited for longest.
    fn outside(&self) -> Option<Outside> {
        let longest = self.waits.iter().max_by_key(|(_, time)| *time);
        longest.map(|(outside, _)| *outside)
    }
}

impl LinkCounters {
    /// Adds what its writer has written, if that waited for it during this time, and whether its reader did.
    pub fn observe(&mut self, time: Duration, waiting_with: Option<u64>, is_awaited: bool) {
        let levels = &mut self.levels;
        // A writer that waits at every look may have gone on in between.
        if !self.pause.is_zero() && waiting_with != Some(self.written) {
            levels.drains += 1;
            self.pause = Duration::ZERO;
        }
        if let Some(written) = waiting_with {
            levels.times_full += u64::from(self.pause.is_zero());
            self.pause += time;
            self.written = written;
            levels.longest_pause = levels.longest_pause.max(self.pause);
        }
        levels.times_empty += u64::from(is_awaited && !self.is_awaited);
        self.is_awaited = is_awaited;
    }
}

impl Attached {
    pub(super) fn new(graph: Graph, counters: Counters) -> Self {
        Self {
            graph: Arc::new(graph),
            counters: Mutex::new(counters),
        }
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed for Attached {
    fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    fn read(&self) -> Reading {
        let counters = self.counters();
        Reading {
            at: counters.at,
            stages: counters.stages.map(|_, stage| StageReading {
                times: StageTimes {
                    at: counters.at,
                    ..stage.times
                },
                bytes_in: stage.bytes_in,
                bytes_out: stage.bytes_out,
                ..StageReading::default()
            }),
            links: counters.links.map(|_, link| link.levels),
            is_unbounded: false,
        }
    }

    fn programs(&self) -> Vec<(NodeId, ProgramReading)> {
        let counters = self.counters();
        let programs = counters.stages.iter().map(|(node, stage)| {
            let program = ProgramReading {
                at: counters.counted_at,
                pid: stage.pid,
                rss: stage.rss,
                cpu: stage.cpu,
            };
            (node, program)
        });
        programs.collect()
    }

    fn describe(&self, now: &Reading) -> Snapshot {
        let counters = self.counters();
        let sum = |value: fn(&LinkLevels) -> u64| now.links.values().iter().map(value).sum();
        Snapshot {
            moment: Moment::Running,
            origin: Origin::Processes,
            run: RunSample {
                rss: counters.stages.values().iter().map(|stage| stage.rss).sum(),
                rss_peak: counters.rss_peak,
                buffered: sum(|levels| levels.buffered),
                buffered_peak: counters.buffered_peak,
                limit: sum(|levels| levels.high),
                progress: counters.progress,
                remaining: counters.remaining,
                ..RunSample::default()
            },
            graph: self.graph.clone(),
            bottleneck: None,
            stages: counters.stages.map(|_, stage| StageSample {
                name: stage.name.clone().into(),
                text: stage.text.clone(),
                outside: stage.outside(),
                output_size: OutputSize::Changed,
                file: stage.file.clone(),
                ..StageSample::default()
            }),
            links: EdgeMap::default(),
            lane: "linked",
            hashes: Vec::new(),
            urls: Vec::new(),
        }
    }
}

impl From<Elsewhere> for Outside {
    fn from(elsewhere: Elsewhere) -> Self {
        match elsewhere {
            Elsewhere::Child => Self::Child,
            Elsewhere::Sleep => Self::Sleep,
            Elsewhere::Terminal => Self::Terminal,
            Elsewhere::Pipe => Self::Pipe,
            Elsewhere::Peer => Self::Peer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn time_is_counted_by_state() {
        let mut stage = StageCounters::default();
        stage.spend(TICK, State::Idle);
        stage.spend(TICK * 2, State::Waiting(Elsewhere::Sleep));
        stage.spend(TICK * 3, State::Disk);
        stage.spend(TICK * 4, State::Running);
        assert_eq!((stage.times.idle, stage.times.outside), (TICK, TICK * 5));
        assert_eq!(stage.outside(), Some(Outside::Disk));
    }

    #[test]
    fn pauses_of_a_writer_are_counted() {
        let mut link = LinkCounters::default();
        for written in [Some(0), Some(0), None, None, Some(1), Some(2), Some(2)] {
            link.observe(TICK, written, written.is_none());
        }
        let levels = link.levels;
        assert_eq!((levels.times_full, levels.drains, levels.times_empty), (3, 2, 1));
        assert_eq!(levels.longest_pause, TICK * 2);
    }
}
