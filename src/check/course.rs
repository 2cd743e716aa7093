//! The course of a check of a program, in steps of a tenth of a second: first its output is read slowly, then not at
//! all. What takes input although its output is not read has no backpressure, whatever it makes of its input.

use std::time::Duration;

use super::series::Sample;
use super::verdict::{Certainty, Verdict};

/// Between two samples.
pub const STEP: Duration = Duration::from_millis(100);
/// Steps in which a program must take nothing to have stopped: longer than a timer of a second or two sleeps.
const STILL: u32 = 30;
/// As long as something of it runs, it may only be slow.
const STILL_BUT_BUSY: u32 = 50;
/// One that took nothing in so many steps may have stopped.
const READING: u32 = 5;
/// What is undecided is looked at for up to so many times as long.
const PATIENCE: u32 = 4;
/// A program that sleeps before it reads is waited for so many times as long, one that is busy longer.
const START_ASLEEP: u32 = 2;
const START_BUSY: u32 = 6;
/// The whole check, from the start of the program, in lengths.
const LIMIT: u32 = 12;
/// Kept bytes after which reading slowly shows nothing more.
const MUCH: u64 = 256 << 20;
/// The verdict is looked for once in so many steps.
const LOOK: u32 = 5;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not taken a byte yet.
    Starting,
    /// Its output is read slowly.
    Reading,
    /// Its output is not read at all.
    Held,
    /// There is nothing more to find out, or no more time.
    Over,
}

/// Whether it takes input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Intake {
    /// It took something a moment ago.
    GoesOn,
    /// It has taken nothing for a while, which may be a pause.
    #[default]
    Rests,
    /// It has taken nothing for long.
    Stopped,
}

/// What it did while its output was held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stillness {
    /// Bytes that it took in that time.
    pub taken: u64,
    /// Whether it goes on taking.
    pub intake: Intake,
    /// Whether something of it runs all the same.
    pub is_busy: bool,
    /// Whether it had given output that was not taken, all the while that it held still.
    pub is_output_full: bool,
}

/// Where a check stands.
#[derive(Debug)]
pub struct Course {
    phase: Phase,
    /// Steps of this phase that are done.
    done: u32,
    /// Steps since the program was started, and since it took its first byte.
    total: u32,
    since_first: u32,
    length: u32,
    /// What it had taken when its output began to be held.
    before: u64,
    previous: Option<Sample>,
    /// Samples in a row in which it took nothing.
    quiet: u32,
    /// Those of them in which nothing ran either.
    asleep: u32,
    /// The longest time for which it took nothing while its output was held, before it went on.
    longest_pause: u32,
    is_output_full: bool,
}

impl Course {
    /// A check of about `length`; the time before the first byte is taken does not count.
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

    /// What is being done.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share that is done, 0 to 1; a check that goes on beyond its length stays close to 1.
    pub fn progress(&self) -> f64 {
        match self.phase {
            Phase::Over => 1.0,
            _ => (f64::from(self.since_first) / f64::from(self.length)).min(0.99),
        }
    }

    /// Takes in a sample; returns what is to be done next.
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
                if self.asleep >= self.length * START_ASLEEP || self.done >= self.length * START_BUSY {
                    self.begin(Phase::Over);
                }
            }
            Phase::Reading if self.done >= self.length * 2 / 5 || sample.backlog() >= MUCH => {
                self.before = sample.accepted;
                self.begin(Phase::Held);
            }
            Phase::Held => {
                self.look(sample);
                if self.since_first >= self.length * PATIENCE {
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

    fn look(&mut self, sample: &Sample) {
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

    /// Whether it is time to judge what has been seen.
    pub fn is_telling(&self) -> bool {
        self.phase == Phase::Held && self.done > 0 && self.done.is_multiple_of(LOOK)
    }

    /// Ends the course where this verdict needs no more evidence.
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

    /// What it did while its output was held; `None` where it never was.
    pub fn stillness(&self) -> Option<Stillness> {
        let last = self.previous.filter(|last| last.is_held)?;
        // One that went on after a pause is waited for longer than that pause.
        let pause = self.longest_pause * 2;
        let has_stopped = self.asleep >= STILL.max(pause) || self.quiet >= STILL_BUT_BUSY.max(pause);
        Some(Stillness {
            taken: last.accepted.saturating_sub(self.before),
            intake: match self.quiet {
                quiet if quiet < READING.max(self.longest_pause + 1) => Intake::GoesOn,
                _ if has_stopped => Intake::Stopped,
                _ => Intake::Rests,
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

    /// Brings a course to where the output is held.
    fn held() -> Course {
        let mut course = Course::new(LENGTH);
        assert_eq!(course.step(&sample(1, 1, false)), Phase::Reading);
        while course.step(&sample(100, 1, false)) == Phase::Reading {}
        assert_eq!(course.phase(), Phase::Held);
        course
    }

    /// Steps until a program is still that takes what `taken` says; `None` where it never is.
    fn steps_until_still(is_running: bool, taken: impl Fn(u32) -> u64) -> Option<u32> {
        let mut course = held();
        (1..).find_map(|step| {
            let look = Sample {
                is_running,
                ..sample(100 + taken(step), 1, true)
            };
            let phase = course.step(&look);
            let is_still = course
                .stillness()
                .is_some_and(|stillness| stillness.intake == Intake::Stopped);
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
            Some(3 + STILL)
        );
    }

    #[test]
    fn a_settled_course_remembers_its_stillness() {
        let mut course = held();
        for _ in 0..STILL {
            course.step(&sample(100, 1, true));
        }
        assert_eq!(
            course.settle(&Verdict::honours(String::new(), Certainty::Final)),
            Phase::Over
        );
        assert!(
            course
                .stillness()
                .is_some_and(|stillness| stillness.intake == Intake::Stopped)
        );
    }

    #[test]
    fn a_busy_program_is_given_more_time() {
        assert_eq!(steps_until_still(true, |_| 0), Some(STILL_BUT_BUSY));
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
        let mut course = held();
        let steps = (1..1000_u32).find(|step| course.step(&sample(100 + u64::from(*step), 1, true)) == Phase::Over);
        assert_eq!(steps, Some(200 - 20));
    }

    #[test]
    fn a_program_that_never_reads_is_waited_for() {
        let mut course = Course::new(LENGTH);
        let steps = (1..1000).find(|_| course.step(&sample(0, 0, false)) == Phase::Over);
        assert_eq!((steps, course.stillness()), (Some(100), None));
        let busy = Sample {
            is_running: true,
            ..sample(0, 0, false)
        };
        let mut course = Course::new(LENGTH);
        let steps = (1..1000).find(|_| course.step(&busy) == Phase::Over);
        assert_eq!(steps, Some(300));
    }

    #[test]
    fn a_large_backlog_ends_the_slow_reading() {
        let mut course = Course::new(LENGTH);
        course.step(&sample(1, 0, false));
        assert_eq!(course.step(&sample(MUCH, 0, false)), Phase::Held);
    }

    #[test]
    fn a_still_program_without_output_is_told_apart() {
        let mut course = Course::new(LENGTH);
        course.step(&sample(1, 0, false));
        while course.step(&sample(5, 0, false)) == Phase::Reading {}
        for _ in 0..STILL {
            course.step(&sample(5, 0, true));
        }
        assert!(
            course
                .stillness()
                .is_some_and(|stillness| stillness.intake == Intake::Stopped && !stillness.is_output_full)
        );
    }
}
