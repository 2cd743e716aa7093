//! Explains what would have happened if a run had not been stopped at its limit of resident memory.

use std::time::Duration;

use crate::error::{Failure, Kind};
use crate::grammar::human_size;

/// A run that exceeded its memory limit. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun {
    /// Resident when it was noticed.
    pub rss: u64,
    /// The limit.
    pub limit: u64,
    /// Resident before the first byte moved: the program itself.
    pub before: u64,
    /// The time since then.
    pub elapsed: Duration,
    /// What the machine had left; `None` if unknown.
    pub free: Option<u64>,
    /// The most that links and stages of a bounded run hold.
    pub ceiling: u64,
    /// Whether the links were without a bound.
    pub is_unbounded: bool,
}

impl Overrun {
    /// The failure that this is.
    pub fn failure(&self) -> Failure {
        let what = format!("stopped at {} resident (--max-rss)", human_size(self.rss));
        Failure::because(Kind::Limit, what, self.consequence())
    }

    /// What the program and the same pipeline with hard marks hold.
    fn bounded(&self) -> u64 {
        self.before + self.ceiling
    }

    /// What it means, and what it would have led to.
    fn consequence(&self) -> String {
        if !self.is_unbounded {
            return format!("more than {} was not wanted", human_size(self.limit));
        }
        let bounded = self.bounded();
        let times = self.rss / bounded.max(1);
        let mut text = match times {
            0 | 1 => "above".to_owned(),
            times => format!("{times} times"),
        };
        text += " the ceiling of a bounded run";
        if let Some(time) = self.full_in() {
            text += "; at this rate memory would have been full in ";
            text += &about(time);
        }
        let whole = human_size(bounded.next_multiple_of(1 << 20));
        text + &format!("; without --ignore-backpressure the same chain stays below {whole}")
    }

    /// When all memory would have been used at the mean rate so far.
    fn full_in(&self) -> Option<Duration> {
        let taken = self.rss.checked_sub(self.before).filter(|taken| *taken > 0)?;
        let nanos = u128::from(self.free?) * self.elapsed.as_nanos() / u128::from(taken);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// An estimate in two digits at most: `less than a second`, `21 s`, `4 min`, `3 h`.
fn about(time: Duration) -> String {
    match time.as_secs() {
        0 => "less than a second".to_owned(),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    const CLIMBED: Overrun = Overrun {
        rss: 1945 * MIB,
        limit: 1940 * MIB,
        before: 5 * MIB,
        elapsed: Duration::from_millis(1940),
        free: Some(21_500 * MIB),
        ceiling: 8 * MIB,
        is_unbounded: true,
    };

    fn said(overrun: Overrun) -> String {
        let failure = overrun.failure();
        assert_eq!(failure.kind().exit_code(), 7);
        failure.to_string()
    }

    #[test]
    fn unbounded_run_explains_the_consequence() {
        assert_eq!(
            said(CLIMBED),
            "stopped at 1.90 GiB resident (--max-rss): 149 times the ceiling of a bounded run; at this rate memory would \
             have been full in 21 s; without --ignore-backpressure the same chain stays below 13.0 MiB"
        );
    }

    #[test]
    fn unknown_values_are_left_out() {
        let blind = Overrun { free: None, ..CLIMBED };
        let at_once = Overrun {
            rss: 5 * MIB,
            ..CLIMBED
        };
        for overrun in [blind, at_once] {
            assert!(!said(overrun).contains("at this rate"), "{}", said(overrun));
        }
        assert!(said(at_once).contains("above the ceiling of a bounded run"));
    }

    #[test]
    fn a_bounded_run_only_names_its_limit() {
        let bounded = Overrun {
            is_unbounded: false,
            limit: 64 * MIB,
            rss: 65 * MIB,
            ..CLIMBED
        };
        assert_eq!(
            said(bounded),
            "stopped at 65.0 MiB resident (--max-rss): more than 64.0 MiB was not wanted"
        );
    }

    #[test]
    fn estimates_have_two_digits() {
        for (seconds, text) in [(0, "less than a second"), (119, "119 s"), (120, "2 min"), (7200, "2 h")] {
            assert_eq!(about(Duration::from_secs(seconds)), text);
        }
    }
}
