//! `--min-rate`: a run whose sink takes too little ends.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Failure, Kind};
use crate::grammar::{format_rate, human_size};

use super::Ending;
use super::rounds::Rounds;
use super::watch::Watch;

/// How much the sink must take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    /// Bytes per second, on average over the grace time.
    pub rate: u64,
    /// How long the average goes back, and how long a run has before it is judged.
    pub grace: Duration,
}

/// Notices that the sink takes too little.
pub struct Slow {
    judge: Option<Judge>,
}

/// What had happened at a moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    /// Bytes that the sink had taken.
    taken: u64,
    /// How long throttles had waited on purpose.
    throttled: Duration,
}

struct Judge {
    limit: MinRate,
    rounds: Rounds,
    /// The oldest is the youngest of those that are at least as old as the grace time, where there is one.
    readings: VecDeque<Reading>,
}

impl Slow {
    pub fn new(limit: Option<MinRate>) -> Self {
        Self {
            judge: limit.map(|limit| Judge::new(limit, Instant::now())),
        }
    }

    /// Waits until it is worth looking.
    pub async fn tick(&self) {
        match &self.judge {
            Some(judge) => judge.rounds.due().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the sink has taken too little for too long. What comes after its last byte is not judged: that is the time
    /// that a disk takes to sync, or that a peer takes for what its system has already.
    pub fn look(&mut self, watch: &Watch) -> Option<Ending> {
        let judge = self.judge.as_mut()?;
        let at = Instant::now();
        // Whatever there is to see now, the next look is due later.
        let comes_late = judge.rounds.comes_late(at);
        if comes_late || watch.controls().is_paused() {
            // Nobody takes anything who was stopped or told not to; once told to go on, it has its grace again.
            judge.readings.clear();
        }
        let reading = Reading {
            at,
            taken: watch.taken()?,
            throttled: watch.throttled(),
        };
        let rate = judge.is_below(reading)?;
        Some(ending(judge.limit, rate))
    }
}

impl Judge {
    fn new(limit: MinRate, now: Instant) -> Self {
        Self {
            limit,
            rounds: Rounds::new(limit.grace, now),
            readings: VecDeque::from([Reading {
                at: now,
                taken: 0,
                throttled: Duration::ZERO,
            }]),
        }
    }

    /// The rate in bytes per second, where it is below the least one. Time in which a throttle waited does not count, but
    /// what was taken in it does; where throttles waited nearly all the time, nothing is judged: what is left is the work
    /// of the throttle itself.
    fn is_below(&mut self, now: Reading) -> Option<u64> {
        self.readings.push_back(now);
        while self
            .readings
            .get(1)
            .is_some_and(|second| now.at - second.at >= self.limit.grace)
        {
            self.readings.pop_front();
        }
        let first = self.readings.front()?;
        let span = now.at - first.at;
        if span < self.limit.grace {
            return None;
        }
        let counted = span.saturating_sub(now.throttled.saturating_sub(first.throttled));
        if counted < span / 10 {
            return None;
        }
        let counted = counted.as_nanos();
        let taken = u128::from(now.taken.saturating_sub(first.taken)) * Duration::from_secs(1).as_nanos();
        let is_below = taken < u128::from(self.limit.rate) * counted;
        is_below.then(|| u64::try_from(taken / counted).unwrap_or(u64::MAX))
    }
}

fn ending(limit: MinRate, rate: u64) -> Ending {
    let why = format!(
        "the sink took {}/s for {}, less than {} (--min-rate)",
        human_size(rate),
        humantime::format_duration(limit.grace),
        format_rate(limit.rate)
    );
    Ending::failed(None, Failure::because(Kind::Timeout, "too slow", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: MinRate = MinRate {
        rate: 100,
        grace: Duration::from_secs(10),
    };

    /// Looks once a second at a sink that takes so many bytes in each, of which a throttle waits so long; answers the second
    /// at which it was too slow, and the rate.
    fn slow_at(seconds: impl IntoIterator<Item = (u64, Duration)>) -> Option<(u32, u64)> {
        let begun = Instant::now();
        let mut judge = Judge::new(LIMIT, begun);
        let mut reading = judge.readings[0];
        for ((taken, throttled), second) in seconds.into_iter().zip(1..) {
            reading.at = begun + Duration::from_secs(1) * second;
            reading.taken += taken;
            reading.throttled += throttled;
            if let Some(rate) = judge.is_below(reading) {
                return Some((second, rate));
            }
        }
        None
    }

    fn unthrottled(bytes: impl IntoIterator<Item = u64>) -> impl Iterator<Item = (u64, Duration)> {
        bytes.into_iter().map(|bytes| (bytes, Duration::ZERO))
    }

    #[test]
    fn the_least_rate_is_enough_and_a_byte_less_is_not() {
        assert_eq!(slow_at(unthrottled([100; 100])), None);
        let mut bytes = [100; 100];
        bytes[50] = 99;
        assert_eq!(slow_at(unthrottled(bytes)), Some((51, 99)));
    }

    #[test]
    fn a_run_has_the_grace_time_to_begin() {
        let late = |bytes| unthrottled([0; 9].into_iter().chain([bytes]).chain([100; 50]));
        assert_eq!(slow_at(late(1000)), None);
        assert_eq!(slow_at(late(999)), Some((10, 99)));
        assert_eq!(slow_at(unthrottled([0; 100])), Some((10, 0)));
    }

    #[test]
    fn what_was_taken_long_ago_pays_for_nothing() {
        let then_none = unthrottled([1_000_000; 20].into_iter().chain([0; 100]));
        assert_eq!(slow_at(then_none), Some((30, 0)));
    }

    #[test]
    fn bursts_count_on_average() {
        let bursts = (0..100).map(|second| if second % 10 == 0 { 1000 } else { 0 });
        assert_eq!(slow_at(unthrottled(bursts)), None);
    }

    #[test]
    fn a_throttles_own_wait_does_not_count() {
        let waits = |milliseconds| Duration::from_millis(milliseconds);
        assert_eq!(slow_at([(50, waits(500)); 100]), None);
        assert_eq!(slow_at([(49, waits(500)); 100]), Some((10, 98)));
        assert_eq!(slow_at([(0, waits(900)); 100]), Some((10, 0)));
        assert_eq!(slow_at([(0, waits(901)); 100]), None);
        assert_eq!(slow_at([(0, waits(1000)); 100]), None);
        assert_eq!(slow_at([(0, waits(3000)); 100]), None, "several throttles");
    }

    /// Looks whenever it is due, on a paused clock; answers at which look the sink was too slow.
    async fn too_slow_at(slow: &mut Slow, watch: &Watch, looks: usize) -> Option<usize> {
        for look in 1..=looks {
            let before = Instant::now();
            slow.tick().await;
            assert!(before.elapsed() <= LIMIT.grace / 10, "ten looks in the grace time");
            if slow.look(watch).is_some() {
                return Some(look);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_begins_anew() {
        let (watch, mut slow) = (Watch::detached(2), Slow::new(Some(LIMIT)));
        tokio::time::advance(LIMIT.grace * 100).await;
        assert_eq!(too_slow_at(&mut slow, &watch, 100).await, Some(11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_was_paused_begins_anew_whatever_it_had_taken_before() {
        let (watch, mut slow) = (Watch::detached(2), Slow::new(Some(LIMIT)));
        watch.stages.values()[1].meter.add_out(1_000_000);
        watch.controls().pause();
        assert_eq!(too_slow_at(&mut slow, &watch, 100).await, None);
        watch.controls().resume();
        assert_eq!(too_slow_at(&mut slow, &watch, 100).await, Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_has_written_its_last_byte_is_looked_at_no_more_often_and_not_judged() {
        let (watch, mut slow) = (Watch::detached(2), Slow::new(Some(LIMIT)));
        watch.stages.values()[1].meter.begin_commit();
        let begun = Instant::now();
        assert_eq!(too_slow_at(&mut slow, &watch, 100).await, None);
        assert_eq!(begun.elapsed(), LIMIT.grace * 10);
    }

    #[test]
    fn the_message_says_what_was_wanted() {
        let (_, failure) = ending(LIMIT, 2048).failure.expect("a failure");
        assert_eq!(
            failure.to_string(),
            "too slow: the sink took 2.00 KiB/s for 10s, less than 100/s (--min-rate)"
        );
    }
}
