//! The phases of a check of a program, in steps of a tenth of a second: first its output is read slowly, then not at all
//! (held). A program that reads on although its output is held has no backpressure, whatever it makes of its input.

use std::time::Duration;

use super::series::Sample;
use super::verdict::{Certainty, Verdict};

/// Time between two samples.
pub const STEP: Duration = Duration::from_millis(100);
/// Steps without input after which a program has stopped: longer than common timers.
const STOPPED_AFTER: u32 = 30;
/// The same while a process of it runs: it may only be slow.
const STOPPED_AFTER_BUSY: u32 = 50;
/// Steps without input after which a program may have stopped.
const PAUSED_AFTER: u32 = 5;
/// An undecided check goes on for so many times its length.
const UNDECIDED_LENGTHS: u32 = 4;
/// How many lengths a program may take until it reads, asleep and busy.
const IDLE_START_LENGTHS: u32 = 2;
const BUSY_START_LENGTHS: u32 = 6;
/// The longest check, from the start of the program, in lengths.
const LIMIT: u32 = 12;
/// The output is held at once after this backlog.
const LARGE_BACKLOG: u64 = 256 << 20;
/// Steps between two verdicts.
const JUDGE_INTERVAL: u32 = 5;

/// What the check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The program has not read a byte yet.
    Starting,
    /// Its output is read slowly.
    Reading,
    /// Its output is not read at all.
    Held,
    /// The verdict is certain, or the time is up.
    Over,
}

/// Whether the program reads its input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Intake {
    /// It has read something a moment ago.
    Continues,
    /// It has read nothing for a while.
    #[default]
    Paused,
    /// It has read nothing for long.
    Stopped,
}

/// What a program did while its output was held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaction {
    /// Bytes that it read.
    pub taken: u64,
    /// Whether it goes on reading.
    pub intake: Intake,
    /// Whether a process of it runs.
    pub is_busy: bool,
    /// Whether output was waiting for all the time since it last read.
    pub is_output_full: bool,
}

/// The phase of a check, and what it depends on.
#[derive(Debug)]
pub struct Schedule {
    phase: Phase,
    /// Steps of this phase that are done.
    done: u32,
    /// Steps since the program was started, and since it read its first byte.
    total: u32,
    since_first: u32,
    length: u32,
    /// What it had read when its output began to be held.
    before: u64,
    previous: Option<Sample>,
    /// Steps since it last read.
    quiet: u32,
    /// Steps since it last read or ran.
    asleep: u32,
    /// The most steps without input after which it read on, while its output was held.
    longest_pause: u32,
    is_output_full: bool,
}

impl Schedule {
    /// A check of about `length`, counted from the first byte that the program reads.
    pub fn new(length: Duration) -> Self {
        Self {
            phase: Phase::Starting,
            done: 0,
            total: 0,
            since_first: 0,
            length: u32::try_from(length.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX / LIMIT),
            before: 0,
            previous: None,
            quiet: 0,
            asleep: 0,
            longest_pause: 0,
            is_output_full: false,
        }
    }

    /// What the check does now.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share of the length that is over, 0 to 1; below 1 until the check is over.
    pub fn progress(&self) -> f64 {
        match self.phase {
            Phase::Over => 1.0,
            _ => (f64::from(self.since_first) / f64::from(self.length)).min(0.99),
        }
    }

    /// Takes in a sample; returns the phase that follows.
    pub fn step(&mut self, sample: &Sample) -> Phase {
        self.done += 1;
        self.total += 1;
        self.since_first += u32::from(self.phase != Phase::Starting);
        match self.phase {
            Phase::Starting if sample.accepted > 0 => {
                self.asleep = 0;
                self.begin(Phase::Reading);
            }
            Phase::Starting => {
                self.asleep += u32::from(!sample.is_running);
                if self.asleep >= self.length * IDLE_START_LENGTHS || self.done >= self.length * BUSY_START_LENGTHS {
                    self.begin(Phase::Over);
                }
            }
            Phase::Reading if self.done >= self.length * 2 / 5 || sample.backlog() >= LARGE_BACKLOG => {
                self.before = sample.accepted;
                self.begin(Phase::Held);
            }
            Phase::Held => {
                self.observe(sample);
                if self.since_first >= self.length * UNDECIDED_LENGTHS {
                    self.begin(Phase::Over);
                }
            }
            Phase::Reading | Phase::Over => {}
        }
        if self.total >= self.length * LIMIT {
            self.begin(Phase::Over);
        }
        self.previous = Some(*sample);
        self.phase
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.done = 0;
    }

    fn observe(&mut self, sample: &Sample) {
        let is_quiet = self
            .previous
            .is_some_and(|previous| previous.accepted == sample.accepted);
        self.is_output_full = sample.waiting > 0 && (self.is_output_full || self.quiet == 0);
        if is_quiet {
            self.quiet += 1;
            self.asleep = if sample.is_running { 0 } else { self.asleep + 1 };
        } else {
            self.longest_pause = self.longest_pause.max(self.quiet);
            self.quiet = 0;
            self.asleep = 0;
        }
    }

    /// Whether a verdict on the samples may end the check now.
    pub fn is_judged_now(&self) -> bool {
        self.phase == Phase::Held && self.done > 0 && self.done.is_multiple_of(JUDGE_INTERVAL)
    }

    /// Ends the check where this verdict needs no more evidence.
    pub fn settle(&mut self, verdict: &Verdict) -> Phase {
        let is_enough = match verdict.certainty {
            Certainty::Final => true,
            Certainty::Enough => self.since_first >= self.length,
            Certainty::Open => false,
        };
        if is_enough {
            self.begin(Phase::Over);
        }
        self.phase
    }

    /// What the program did while its output was held; `None` where it never was.
    pub fn reaction(&self) -> Option<Reaction> {
        let last = self.previous.filter(|last| last.is_held)?;
        // A program that read on after a pause may pause as long again.
        let pause = self.longest_pause * 2;
        let has_stopped = self.asleep >= STOPPED_AFTER.max(pause) || self.quiet >= STOPPED_AFTER_BUSY.max(pause);
        Some(Reaction {
            taken: last.accepted.saturating_sub(self.before),
            intake: match self.quiet {
                quiet if quiet < PAUSED_AFTER.max(self.longest_pause + 1) => Intake::Continues,
                _ if has_stopped => Intake::Stopped,
                _ => Intake::Paused,
            },
            is_busy: self.asleep == 0,
            is_output_full: self.is_output_full,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    fn sample(accepted: u64, waiting: u64, is_held: bool) -> Sample {
        Sample {
            accepted,
            waiting,
            is_held,
            ..Sample::default()
        }
    }

    /// A schedule whose output is held.
    fn held() -> Schedule {
        let mut schedule = Schedule::new(LENGTH);
        assert_eq!(schedule.step(&sample(1, 1, false)), Phase::Reading);
        while schedule.step(&sample(100, 1, false)) == Phase::Reading {}
        assert_eq!(schedule.phase(), Phase::Held);
        schedule
    }

    /// Steps until a program is still that takes what `taken` says; `None` where it never is.
    fn steps_until_still(is_running: bool, taken: impl Fn(u32) -> u64) -> Option<u32> {
        let mut schedule = held();
        (1..).find_map(|step| {
            let look = Sample {
                is_running,
                ..sample(100 + taken(step), 1, true)
            };
            let phase = schedule.step(&look);
            let is_still = schedule
                .reaction()
                .is_some_and(|reaction| reaction.intake == Intake::Stopped);
            match phase {
                Phase::Over => Some(None),
                _ if is_still => Some(Some(step)),
                _ => None,
            }
        })?
    }

    #[test]
    fn a_program_that_blocks_is_still_after_three_seconds() {
        assert_eq!(
            steps_until_still(false, |step| 10 * u64::from(step.min(3))),
            Some(3 + STOPPED_AFTER)
        );
    }

    #[test]
    fn a_settled_schedule_remembers_its_stillness() {
        let mut schedule = held();
        for _ in 0..STOPPED_AFTER {
            schedule.step(&sample(100, 1, true));
        }
        assert_eq!(
            schedule.settle(&Verdict::honours(String::new(), Certainty::Final)),
            Phase::Over
        );
        assert!(
            schedule
                .reaction()
                .is_some_and(|reaction| reaction.intake == Intake::Stopped)
        );
    }

    #[test]
    fn a_busy_program_is_given_more_time() {
        assert_eq!(steps_until_still(true, |_| 0), Some(STOPPED_AFTER_BUSY));
    }

    #[test]
    fn a_timer_is_not_mistaken_for_stillness() {
        // A mebibyte a second, and another one every 2.9 seconds.
        assert_eq!(steps_until_still(false, |step| u64::from(step / 10) << 20), None);
        assert_eq!(steps_until_still(false, |step| u64::from(step / 29) << 20), None);
    }

    #[test]
    fn a_pause_makes_the_wait_longer() {
        // It goes on once, after 2.5 seconds.
        assert_eq!(steps_until_still(false, |step| u64::from(step > 25)), Some(26 + 50));
    }

    #[test]
    fn an_undecided_check_ends_at_four_lengths() {
        let mut schedule = held();
        let steps = (1..1000_u32).find(|step| schedule.step(&sample(100 + u64::from(*step), 1, true)) == Phase::Over);
        assert_eq!(steps, Some(200 - 20));
    }

    #[test]
    fn a_program_that_never_reads_is_waited_for() {
        let mut schedule = Schedule::new(LENGTH);
        let steps = (1..1000).find(|_| schedule.step(&sample(0, 0, false)) == Phase::Over);
        assert_eq!((steps, schedule.reaction()), (Some(100), None));
        let busy = Sample {
            is_running: true,
            ..sample(0, 0, false)
        };
        let mut schedule = Schedule::new(LENGTH);
        let steps = (1..1000).find(|_| schedule.step(&busy) == Phase::Over);
        assert_eq!(steps, Some(300));
    }

    #[test]
    fn a_large_backlog_ends_the_slow_reading() {
        let mut schedule = Schedule::new(LENGTH);
        schedule.step(&sample(1, 0, false));
        assert_eq!(schedule.step(&sample(LARGE_BACKLOG, 0, false)), Phase::Held);
    }

    #[test]
    fn a_still_program_without_output_is_told_apart() {
        let mut schedule = Schedule::new(LENGTH);
        schedule.step(&sample(1, 0, false));
        while schedule.step(&sample(5, 0, false)) == Phase::Reading {}
        for _ in 0..STOPPED_AFTER {
            schedule.step(&sample(5, 0, true));
        }
        assert!(
            schedule
                .reaction()
                .is_some_and(|reaction| reaction.intake == Intake::Stopped && !reaction.is_output_full)
        );
    }
}
