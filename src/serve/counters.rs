//! What is counted of the requests of each route.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::entry::{Entry, Outcome};

/// The upper bounds of a histogram's buckets, in seconds: from a short answer to an export of an hour.
pub const BOUNDS: [f64; 12] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// The counters of all routes.
#[derive(Debug)]
pub struct Counters {
    /// Those of each route, in order.
    pub routes: Vec<RouteCounters>,
    /// Requests of no route.
    pub others: AtomicU64,
}

/// The counters of one route.
#[derive(Debug, Default)]
pub struct RouteCounters {
    outcomes: [AtomicU64; Outcome::EVERY.len()],
    /// Bytes of requests' bodies.
    pub received: AtomicU64,
    /// Bytes of responses' bodies.
    pub sent: AtomicU64,
    /// From the head of a request to the end of its run.
    pub durations: Histogram,
    /// Time in the line.
    pub waits: Histogram,
}

/// How often a time was within each bound.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many times were within each bound or a lower one; the last one counts all.
    pub fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut sum = 0;
        std::array::from_fn(|bucket| {
            sum += self.buckets[bucket].load(Ordering::Relaxed);
            sum
        })
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

impl Counters {
    /// Counters of so many routes.
    pub fn new(routes: usize) -> Self {
        Self {
            routes: (0..routes).map(|_| RouteCounters::default()).collect(),
            others: AtomicU64::new(0),
        }
    }

    /// Counts a request that took so long.
    pub fn count(&self, entry: &Entry, duration: Duration) {
        let Some(route) = entry.route.and_then(|route| self.routes.get(route)) else {
            self.others.fetch_add(1, Ordering::Relaxed);
            return;
        };
        route.outcomes[entry.outcome as usize].fetch_add(1, Ordering::Relaxed);
        route.received.fetch_add(entry.received, Ordering::Relaxed);
        route.sent.fetch_add(entry.sent, Ordering::Relaxed);
        if entry.has_run {
            route.durations.add(duration);
        }
        route.waits.add(entry.waited);
    }

    /// Requests of all routes by how they ended, in the order of [`Outcome::EVERY`].
    pub fn ended(&self) -> [u64; Outcome::EVERY.len()] {
        Outcome::EVERY.map(|outcome| self.routes.iter().map(|route| route.count(outcome)).sum())
    }

    /// The bytes of all requests' bodies, and of all responses'.
    pub fn moved(&self) -> (u64, u64) {
        let sum = |of: fn(&RouteCounters) -> &AtomicU64| {
            let counts = self.routes.iter().map(|route| of(route).load(Ordering::Relaxed));
            counts.sum()
        };
        (sum(|route| &route.received), sum(|route| &route.sent))
    }
}

impl RouteCounters {
    /// Requests that ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_include_their_bound() {
        let histogram = Histogram::default();
        for milliseconds in [5, 6, 100, 4_000_000] {
            histogram.add(Duration::from_millis(milliseconds));
        }
        let counts = histogram.cumulative();
        assert_eq!(
            (counts[0], counts[1], counts[2], counts[11], counts[12]),
            (1, 2, 3, 3, 4)
        );
        assert_eq!(histogram.sum(), Duration::from_millis(4_000_111));
    }
}
