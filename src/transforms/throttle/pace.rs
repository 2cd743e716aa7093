//! Computes when the next bytes or records may pass: a token bucket in integer arithmetic.

use std::time::{Duration, Instant};

/// A schedule that is exact in the mean, and a limit on how fast it may be caught up.
///
/// It counts bytes or records, which are called bytes here. The schedule counts from an origin: byte `n` passes at `origin + n / rate`, never rounded twice, so nothing drifts.
/// A timer that wakes late leaves the schedule where it was, and what is late is caught up. A pause of a neighbour
/// moves the origin instead: idle time earns no credit, except for what `burst` allows.
///
/// Catching up is limited by a generic cell rate algorithm (ITU-T I.371) at 1.04 times the rate with a tolerance of 0.5
/// ms, so that no window of 100 ms, a piece of 5 ms included, sees more than 1.1 times the rate, and a fast stream that
/// was held up for a moment does not flood the link behind it.
#[derive(Debug)]
pub struct Pace {
    /// Bytes per second.
    rate: u64,
    /// What a pause may earn, in bytes.
    burst: u64,
    /// The time that so many bytes take.
    earned: Duration,
    origin: Instant,
    /// Bytes that passed since the origin.
    passed: u64,
    /// When the limit on catching up would be used up completely.
    limited: Instant,
}

/// Lateness above this is dropped: after a process was stopped for a minute, that minute must not be caught up.
const LATEST: Duration = Duration::from_millis(100);
/// The limit on catching up, in percent of the rate.
const CATCH_UP: u128 = 104;
/// The tolerance of the limit on catching up.
const TOLERANCE: Duration = Duration::from_micros(500);
/// The least number of pieces per second that a stream is cut into.
const PIECES: u64 = 200;

impl Pace {
    /// A pace of `rate` bytes per second from `now` on, where a pause earns up to `burst` bytes.
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        Self {
            rate,
            burst,
            earned: time_for(burst, rate),
            origin: now,
            passed: 0,
            limited: now,
        }
    }

    /// How many bytes may pass at once: what passes in 5 ms, and one at least.
    pub fn quantum(&self) -> usize {
        usize::try_from(self.rate / PIECES).unwrap_or(usize::MAX).max(1)
    }

    /// When `count` more bytes may pass. They count as passed.
    pub fn take(&mut self, count: u64, now: Instant) -> Instant {
        self.forget_before(now.checked_sub(LATEST.max(self.earned)));
        self.passed += count;
        let scheduled = self.origin + time_for(self.passed, self.rate);
        let due = scheduled
            .max(self.limited.checked_sub(TOLERANCE + self.earned).unwrap_or(now))
            .max(now);
        let share = time_for(count, self.rate).as_nanos() * 100 / CATCH_UP;
        self.limited = self.limited.max(due) + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
        due
    }

    /// Continues at another rate from now on, if it differs: with a new schedule, as exact as one that begins here.
    /// Earned credit and lateness are dropped; the time of bytes that passed ahead of the old schedule is still waited
    /// for.
    pub fn set_rate(&mut self, rate: u64, now: impl FnOnce() -> Instant) {
        if rate == self.rate {
            return;
        }
        let paid = self.origin + time_for(self.passed, self.rate);
        *self = Self::new(rate, self.burst, paid.max(now()));
    }

    /// A neighbour's pause ended now: the time it took earns no more than the burst.
    pub fn paused_until(&mut self, now: Instant) {
        self.forget_before(now.checked_sub(self.earned));
    }

    /// Restarts the schedule at `earliest` if it is behind that.
    fn forget_before(&mut self, earliest: Option<Instant>) {
        let Some(earliest) = earliest else { return };
        if self.origin + time_for(self.passed, self.rate) < earliest {
            self.origin = earliest;
            self.passed = 0;
        }
    }
}

/// How long `bytes` take at `rate` bytes per second, rounded up to a nanosecond.
fn time_for(bytes: u64, rate: u64) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(rate));
    let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % NANOS).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn pace_starts_empty_and_is_exact() {
        let start = Instant::now();
        for rate in [1, 7, 1_000, 999_983, 1_000_000, 10_000_000_000] {
            let mut pace = Pace::new(rate, 0, start);
            let mut now = start;
            let quantum = pace.quantum() as u64;
            for _ in 0..1000 {
                now = pace.take(quantum, now);
            }
            assert_eq!(now - start, time_for(1000 * quantum, rate), "at {rate} B/s");
        }
    }

    #[test]
    fn late_timers_are_caught_up() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000_000, 0, start);
        let mut now = start;
        let mut passed = 0;
        for step in 0..10_000_u32 {
            // Every timer wakes between 0 and 3 ms late.
            now = pace.take(5_000, now).max(now) + MILLI * (step * 7 % 4);
            passed += 5_000;
        }
        let seconds = (now - start).as_secs_f64();
        let mean = f64::from(passed) / seconds;
        assert!((mean / 1e6 - 1.0).abs() < 0.001, "{mean} B/s");
    }

    #[test]
    fn stop_causes_no_fast_window() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000_000, 0, start);
        let mut now = start + Duration::from_secs(60);
        let mut passed: Vec<Instant> = Vec::new();
        for _ in 0..400 {
            now = pace.take(5_000, now);
            passed.push(now);
        }
        for (at, from) in passed.iter().enumerate() {
            let within = passed[at..]
                .iter()
                .take_while(|time| **time < *from + 100 * MILLI)
                .count();
            assert!(within <= 22, "{} bytes in 100 ms", within * 5_000);
        }
    }

    /// Passes pieces from `now` on for `time`; returns the number of bytes.
    fn passed_within(pace: &mut Pace, mut now: Instant, time: Duration) -> u64 {
        let end = now + time;
        let mut passed = 0;
        loop {
            let quantum = pace.quantum() as u64;
            now = pace.take(quantum, now);
            if now > end {
                return passed;
            }
            passed += quantum;
        }
    }

    #[test]
    fn new_rate_is_exact_at_once() {
        let start = Instant::now();
        for (before, after) in [
            (1_000_000, 5_000_000),
            (5_000_000, 1_000_000),
            (10, 1_000_000),
            (1_000_000, 10),
        ] {
            let mut pace = Pace::new(before, 0, start);
            let mut now = start;
            for _ in 0..100 {
                now = pace.take(pace.quantum() as u64, now);
            }
            pace.set_rate(after, || now);
            assert_eq!(
                passed_within(&mut pace, now, Duration::from_secs(10)),
                10 * after,
                "{before} to {after}"
            );
        }
    }

    #[test]
    fn new_rate_drops_old_credit() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        // Ten seconds late, and with a burst that those would have earned.
        for burst in [0, 1_000_000] {
            let mut pace = Pace::new(1_000_000, burst, start);
            pace.set_rate(2_000_000, || later);
            assert_eq!(pace.take(10_000, later), later + 5 * MILLI, "burst {burst}");
        }
    }

    #[test]
    fn new_rate_keeps_the_burst() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let mut pace = Pace::new(1_000_000, 100_000, start);
        pace.set_rate(2_000_000, || start);
        pace.paused_until(later);
        for _ in 0..10 {
            assert_eq!(pace.take(10_000, later), later);
        }
        assert!(pace.take(10_000, later) > later, "100 kB and no more");
    }

    #[test]
    fn the_rate_that_it_has_changes_nothing() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000_000, 0, start);
        assert_eq!(pace.take(5_000, start), start + 5 * MILLI);
        pace.set_rate(1_000_000, || start);
        assert_eq!(pace.take(5_000, start + 7 * MILLI), start + 10 * MILLI);
    }

    #[test]
    fn neighbours_pause_earns_only_the_burst() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let mut pace = Pace::new(1_000_000, 0, start);
        pace.paused_until(later);
        assert_eq!(pace.take(5_000, later), later + 5 * MILLI);
        let mut pace = Pace::new(1_000_000, 1_000_000, start);
        pace.paused_until(later);
        let mut due = later;
        for _ in 0..200 {
            due = pace.take(5_000, later);
        }
        assert_eq!(due, later, "a million bytes at once");
        assert!(pace.take(5_000, later) > later);
    }
}
