//! The course of a check of a program, in steps of a tenth of a second: first its output is read slowly, then not at
//! all. What takes input although nobody takes its output has no backpressure, whatever it makes of its input.

use std::time::Duration;

use super::series::Sample;

/// Between two samples.
pub const STEP: Duration = Duration::from_millis(100);
/// The shortest check, in steps: less says nothing.
pub const LEAST_STEPS: u32 = 20;
/// The output is held for a quarter of the steps, and for so many.
const HELD: std::ops::RangeInclusive<u32> = 10..=50;
/// Bytes that show in anybody's memory, if they are kept; until then it is held for up to so many times as long.
const TELLING: u64 = 8 << 20;
const LONGEST_HELD: u32 = 10;
/// So many samples without a byte moving or a process running, and the program is blocked for good.
const STILL: u32 = 5;

/// One that is busy all the while, and yet takes nothing, gets so many times as long to start.
const MOST_STARTS: u32 = 10;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not taken a byte yet.
    Starting,
    /// Its output is read slowly.
    Reading,
    /// Its output is not read at all.
    Held,
    /// There is nothing more to find out.
    Over,
}

/// How it held still while its output was held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stillness {
    /// Bytes that it took in that time.
    pub taken: u64,
    /// Whether it then took no more.
    pub is_still: bool,
    /// Whether it had given output that nobody took, all the while that it held still.
    pub is_output_full: bool,
}

/// Where a check stands.
#[derive(Debug)]
pub struct Course {
    phase: Phase,
    /// Steps of this phase that are done.
    done: u32,
    reading: u32,
    held: u32,
    /// What it had taken when its output began to be held.
    before: u64,
    previous: Option<Sample>,
    /// Samples in a row in which it took nothing.
    quiet: u32,
    /// Those of them in which nothing ran either.
    asleep: u32,
    is_output_full: bool,
}

impl Course {
    /// A check of about `length`; the time before the first byte is taken does not count.
    pub fn new(length: Duration) -> Self {
        let steps = u32::try_from(length.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
        let held = (steps / 4).clamp(*HELD.start(), *HELD.end());
        Self {
            phase: Phase::Starting,
            done: 0,
            reading: steps.max(LEAST_STEPS) - held,
            held,
            before: 0,
            previous: None,
            quiet: 0,
            asleep: 0,
            is_output_full: false,
        }
    }

    /// What is being done.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share of the current phase and those before it that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        let done = match self.phase {
            Phase::Starting => 0,
            Phase::Reading => self.done,
            Phase::Held => self.reading + self.done,
            Phase::Over => self.reading + self.held,
        };
        (f64::from(done) / f64::from(self.reading + self.held)).min(1.0)
    }

    /// Takes in a sample; answers what is to be done next.
    pub fn step(&mut self, sample: &Sample) -> Phase {
        self.done += 1;
        match self.phase {
            Phase::Starting if sample.accepted > 0 => {
                self.asleep = 0;
                self.begin(Phase::Reading);
            }
            Phase::Starting => {
                // It gets as much time to start as it would have to run; what it is busy in is not held against it.
                let limit = self.reading + self.held;
                self.asleep += u32::from(!sample.is_running);
                if self.asleep >= limit || self.done >= limit.saturating_mul(MOST_STARTS) {
                    self.begin(Phase::Over);
                }
            }
            Phase::Reading if self.done >= self.reading => {
                self.before = sample.accepted;
                self.begin(Phase::Held);
            }
            Phase::Held => {
                self.look(sample);
                // One that goes on, but so slowly that it shows in no memory, is watched for longer.
                let is_telling = self.quiet > 0 || sample.accepted - self.before >= TELLING;
                let is_done = self.done >= self.held && (is_telling || self.done >= self.held * LONGEST_HELD);
                if is_done || (self.asleep >= STILL && self.is_output_full) {
                    self.begin(Phase::Over);
                }
            }
            Phase::Reading | Phase::Over => {}
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
        if !is_quiet {
            self.quiet = 0;
        }
        if !is_quiet || sample.is_running {
            self.asleep = 0;
        }
        self.is_output_full = sample.waiting > 0 && (self.is_output_full || self.quiet == 0);
        self.quiet += u32::from(is_quiet);
        self.asleep += u32::from(is_quiet && !sample.is_running);
    }

    /// How it held still; `None` where its output was never held.
    pub fn stillness(&self) -> Option<Stillness> {
        let last = self.previous.filter(|last| last.is_held)?;
        Some(Stillness {
            taken: last.accepted - self.before,
            // One that is busy all the time is still, too, if it takes nothing for long.
            is_still: self.asleep >= STILL || self.quiet >= self.held / 2,
            is_output_full: self.is_output_full,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(accepted: u64, waiting: u64, is_held: bool) -> Sample {
        Sample {
            accepted,
            waiting,
            is_held,
            ..Sample::default()
        }
    }

    /// Runs a course whose program takes what `taken` says at each step of holding; answers the steps of that phase.
    fn hold(course: &mut Course, is_running: bool, taken: impl Fn(u32) -> u64) -> u32 {
        assert_eq!(course.step(&sample(1, 1, false)), Phase::Reading);
        while course.step(&sample(100, 1, false)) == Phase::Reading {}
        assert_eq!(course.phase(), Phase::Held);
        for step in 1.. {
            let look = Sample {
                is_running,
                ..sample(100 + taken(step), 1, true)
            };
            if course.step(&look) == Phase::Over {
                return step;
            }
        }
        unreachable!("steps are endless")
    }

    #[test]
    fn one_that_blocks_is_done_with_early() {
        let mut course = Course::new(Duration::from_secs(20));
        assert_eq!(hold(&mut course, false, |step| 10 * u64::from(step.min(3))), 3 + STILL);
        let expected = Stillness {
            taken: 30,
            is_still: true,
            is_output_full: true,
        };
        assert_eq!(course.stillness(), Some(expected));
    }

    #[test]
    fn one_that_waits_for_a_processor_is_given_all_the_time() {
        let mut course = Course::new(Duration::from_secs(20));
        assert_eq!(hold(&mut course, true, |_| 0), 50);
        assert!(course.stillness().is_some_and(|stillness| stillness.is_still));
    }

    #[test]
    fn one_that_goes_on_is_not_still_and_gets_longer_where_it_is_slow() {
        let mut course = Course::new(Duration::from_secs(3));
        assert_eq!(hold(&mut course, true, |step| u64::from(step) << 20), 10);
        let mut course = Course::new(Duration::from_secs(3));
        assert_eq!(hold(&mut course, true, u64::from), 100);
        assert!(
            course
                .stillness()
                .is_some_and(|stillness| !stillness.is_still && stillness.taken == 100)
        );
    }

    #[test]
    fn one_that_never_takes_a_byte_is_waited_for_as_long_as_it_would_run() {
        let mut course = Course::new(Duration::from_secs(3));
        let steps = (1..1000).find(|_| course.step(&sample(0, 0, false)) == Phase::Over);
        assert_eq!((steps, course.stillness()), (Some(30), None));
        let busy = Sample {
            is_running: true,
            ..sample(0, 0, false)
        };
        let mut course = Course::new(Duration::from_secs(3));
        let steps = (1..1000).find(|_| course.step(&busy) == Phase::Over);
        assert_eq!(steps, Some(300));
    }

    #[test]
    fn a_still_program_without_output_is_watched_to_the_end() {
        let mut course = Course::new(Duration::from_secs(3));
        course.step(&sample(1, 0, false));
        while course.step(&sample(5, 0, false)) == Phase::Reading {}
        let steps = (1..1000).find(|_| course.step(&sample(5, 0, true)) == Phase::Over);
        assert_eq!(steps, Some(10));
        assert!(
            course
                .stillness()
                .is_some_and(|stillness| stillness.is_still && !stillness.is_output_full)
        );
    }
}
