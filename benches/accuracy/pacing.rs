//! Peers that move bytes at a pace, on threads of the benchmark.

#![expect(
    clippy::disallowed_methods,
    reason = "a pace is made by sleeping, and nobody cancels a benchmark"
)]

use std::io::{self, Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So many bytes at a time, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    bytes: usize,
    every: Duration,
}

impl Pace {
    /// `rate` bytes a second, as much of it at a time as comes in `every`.
    pub fn rate(rate: u64, every: Duration) -> Self {
        let bytes = u128::from(rate) * every.as_nanos() / 1_000_000_000;
        Self {
            bytes: usize::try_from(bytes).expect("a second's worth"),
            every,
        }
    }
}

/// Writes at one pace after the other, again and again, until nobody reads any more. What could not be written in time,
/// because the other side was slower, is not made up for.
pub fn feed(mut to: impl Write, paces: &[(Duration, Pace)]) {
    for (length, pace) in paces.iter().cycle() {
        let begin = Instant::now();
        let piece = vec![7; pace.bytes];
        let mut due = begin;
        while begin.elapsed() < *length {
            if to.write_all(&piece).is_err() {
                return;
            }
            due = (due + pace.every).max(Instant::now().checked_sub(pace.every).unwrap_or(due));
            sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// Reads at a pace until the end.
pub fn drain(mut from: impl Read, pace: Pace) -> io::Result<()> {
    let mut piece = vec![0; pace.bytes];
    let mut due = Instant::now();
    while from.read(&mut piece)? > 0 {
        // A short read takes as long as a whole one: the pace is the slower one then, never the faster.
        due = (due + pace.every).max(Instant::now().checked_sub(pace.every).unwrap_or(due));
        sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
