//! Whether other people's programs honour backpressure: a program is fed faster than its output is read, a server gets
//! clients that read slowly, and their memory says the rest.
//!
//! [`program`] and [`server`] take samples; [`series`] keeps them, [`verdict`] judges them without doing anything;
//! [`picture`], [`summary`] and [`recording`] show them.

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
pub mod url;
pub mod verdict;

use schedule::STEP;
use series::Sample;
use verdict::{Ending, Verdict};

/// A check cannot be shorter.
pub const SHORTEST: Duration = Duration::from_secs(2);

/// What a check is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// About how long it takes, the start of a program left out; at least [`SHORTEST`]. What is undecided then is looked
    /// at for up to four times as long.
    pub length: Duration,
    /// Bytes per second that are read: of a program's output, or by each client of a server.
    pub rate: u64,
    /// Bytes of memory at which the check ends.
    pub max_rss: u64,
    /// Bytes written to files at which the check ends.
    pub max_disk: u64,
}

/// What a check came to.
#[derive(Debug)]
pub struct Report {
    /// The finding, and why.
    pub verdict: Verdict,
    /// What it rests on.
    pub samples: Vec<Sample>,
    /// The one with the most memory.
    pub peak: Option<Sample>,
    /// The process that held most of it.
    pub holder: Option<Process<'static>>,
    /// The line in which a program that ended by itself said why.
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

/// Where a check stands, for those who watch.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// What is being done.
    pub doing: &'static str,
    /// How much of the check is done, 0 to 1.
    pub progress: f64,
}

/// Somebody who watches a check.
pub trait Watcher {
    /// What is checked has been started, or reached.
    ///
    /// # Errors
    /// Where the watcher cannot go on; the check ends with it.
    fn begin(&mut self) -> Result<(), Failure>;

    /// One more sample.
    ///
    /// # Errors
    /// As for `begin`.
    fn sample(&mut self, sample: &Sample, moment: Moment) -> Result<(), Failure>;
}

/// The steps of a check in time. Late steps are not made up for: a machine that is busy makes a check longer, not
/// coarser.
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

    /// Waits for any of `descriptors`, at most until the next step; answers whether that is due.
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

/// How many of `rate` bytes a second fall to step `number`, counted from 0: they add up exactly.
fn share_of_step(rate: u64, number: u64) -> u64 {
    let until = |step: u64| u128::from(rate) * u128::from(step) / 10;
    u64::try_from(until(number + 1) - until(number)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_ten_steps_are_the_rate() {
        for rate in [1, 7, 64 << 10, 1_000_003] {
            assert_eq!((0..10).map(|step| share_of_step(rate, step)).sum::<u64>(), rate);
            assert_eq!((995..1005).map(|step| share_of_step(rate, step)).sum::<u64>(), rate);
        }
    }
}
