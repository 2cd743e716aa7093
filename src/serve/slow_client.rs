//! `--min-rate`: notices that a client is too slow.
//!
//! Only the time counts in which the run waits for the client: a slow source is none of its fault.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::MinRate;

/// Judges one direction of one client.
#[derive(Debug)]
pub struct Judge {
    limit: MinRate,
    /// The oldest is the latest one that is at least as old as the grace time, if there is one.
    looks: VecDeque<Look>,
}

/// The counters at one moment, since the run's start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// When that was.
    pub at: Duration,
    /// Bytes that the client has taken or sent.
    pub moved: u64,
    /// How long it was waited for.
    pub waited: Duration,
}

impl Judge {
    /// One for a run that begins now.
    pub fn new(limit: MinRate) -> Self {
        Self {
            limit,
            looks: VecDeque::from([Look::default()]),
        }
    }

    /// How often to look.
    pub fn interval(limit: MinRate) -> Duration {
        (limit.grace / 10).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// The client's rate in bytes per second, if it is too low: over the grace time, of which more than half was spent
    /// waiting for it.
    pub fn look(&mut self, now: Look) -> Option<u64> {
        self.looks.push_back(now);
        while self
            .looks
            .get(1)
            .is_some_and(|second| now.at.saturating_sub(second.at) >= self.limit.grace)
        {
            self.looks.pop_front();
        }
        let first = self.looks.front()?;
        if now.at.saturating_sub(first.at) < self.limit.grace {
            return None;
        }
        let waited = now.waited.saturating_sub(first.waited);
        if waited <= self.limit.grace / 2 {
            return None;
        }
        let moved = u128::from(now.moved.saturating_sub(first.moved)) * Duration::from_secs(1).as_nanos();
        let is_below = moved < u128::from(self.limit.rate) * waited.as_nanos();
        is_below.then(|| u64::try_from(moved / waited.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks ten times in ten seconds of 100 B/s; returns the first rate that is too low, and when.
    fn judged(moved: impl Fn(u64) -> u64, waited: impl Fn(u64) -> u64) -> Option<(u64, u64)> {
        let mut judge = Judge::new(MinRate {
            rate: 100,
            grace: Duration::from_secs(5),
        });
        (1..20).find_map(|second| {
            let look = Look {
                at: Duration::from_secs(second),
                moved: moved(second),
                waited: Duration::from_secs(waited(second)),
            };
            judge.look(look).map(|rate| (second, rate))
        })
    }

    #[test]
    fn slow_client_is_noticed_after_grace() {
        assert_eq!(judged(|second| 99 * second, |second| second), Some((5, 99)));
        assert_eq!(judged(|second| 100 * second, |second| second), None);
        let stops = judged(|second| 500 * second.min(7), |second| second);
        assert_eq!(stops, Some((12, 0)));
    }

    #[test]
    fn slow_source_is_not_blamed_on_client() {
        assert_eq!(judged(|second| second, |_| 0), None);
        assert_eq!(judged(|second| second, |second| second / 3), None);
    }
}
