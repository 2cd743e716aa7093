//! Finds out whether other programs honour backpressure: a program is fed faster than its output is read, a server gets
//! clients that read slowly, and their memory and files are measured meanwhile.
//!
//! [`program`] and [`server`] take samples, [`series`] keeps them, [`verdict`] judges them; [`picture`], [`summary`] and
//! [`recording`] show them.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Failure, Kind};
use crate::view::record::Process;

mod error_output;
mod feeder;
pub mod input;
mod interruption;
mod meter;
mod owner;
pub mod picture;
pub mod program;
pub mod recording;
pub mod request;
mod schedule;
pub mod series;
pub mod server;
mod slow_output;
mod slow_reader;
pub mod summary;
pub mod verdict;

use schedule::STEP;
use series::Sample;
use verdict::{Ending, Verdict};

/// A check cannot be shorter.
pub const SHORTEST: Duration = Duration::from_secs(2);

/// The options of a check.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// About how long it takes, without the start of a program; at least [`SHORTEST`]. An undecided check takes up to
    /// four times as long.
    pub length: Duration,
    /// Bytes per second that are read from a program, or by each client of a server.
    pub rate: u64,
    /// Bytes of memory at which the check ends.
    pub max_rss: u64,
    /// Bytes written to files at which the check ends.
    pub max_disk: u64,
}

/// The result of a check.
#[derive(Debug)]
pub struct Report {
    /// The verdict and its reason.
    pub verdict: Verdict,
    /// The samples that it rests on.
    pub samples: Vec<Sample>,
    /// The one with the most memory.
    pub peak: Option<Sample>,
    /// The process that held most of it.
    pub holder: Option<Process<'static>>,
    /// The line of standard error in which a program said why it ended.
    pub error_line: Option<String>,
}

/// How a check ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a verdict.
    Judged(Report),
    /// By this signal, after the program has ended. With the last sample.
    Interrupted(i32, Sample),
}

/// How far a check is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// What it does.
    pub doing: &'static str,
    /// The share that is over, 0 to 1.
    pub progress: f64,
}

/// Receives the samples of a running check.
pub trait Watcher {
    /// Called once the program has been started, or the server reached.
    ///
    /// # Errors
    /// An error ends the check.
    fn begin(&mut self) -> Result<(), Failure>;

    /// Called with each sample.
    ///
    /// # Errors
    /// An error ends the check.
    fn sample(&mut self, sample: &Sample, moment: Moment) -> Result<(), Failure>;
}

/// The steps of a check in time. Late steps are not made up for: on a busy machine a check takes longer.
#[derive(Debug)]
struct Pace {
    start: Instant,
    next: Instant,
}

impl Pace {
    fn start() -> Self {
        let start = Instant::now();
        Self {
            start,
            next: start + STEP,
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits for any of `descriptors` or the next step; returns whether the step is due.
    fn wait(&mut self, descriptors: &mut [PollFd<'_>]) -> Result<bool, Failure> {
        let left = self.next.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).unwrap_or_default();
        match poll(descriptors, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::io(Kind::Resources, "cannot wait", error)),
        }
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + STEP;
        }
        Ok(is_due)
    }
}

/// The share of `rate` bytes per second of step `number`, counted from 0. Ten steps in a row add up to the rate.
fn share_of_step(rate: u64, number: u64) -> u64 {
    let until = |step: u64| u128::from(rate) * u128::from(step) / 10;
    u64::try_from(until(number + 1) - until(number)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_step_shares_add_up() {
        for rate in [1, 7, 64 << 10, 1_000_003] {
            assert_eq!((0..10).map(|step| share_of_step(rate, step)).sum::<u64>(), rate);
            assert_eq!((995..1005).map(|step| share_of_step(rate, step)).sum::<u64>(), rate);
        }
    }
}
