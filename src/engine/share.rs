//! How stages spent their time, as shares and in total.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::StageTimes;

/// How a stage spent its time. `busy`, `idle` and `backpressured` add up to all of it; the other two are parts of `busy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts<T> {
    /// Neither of the next two.
    pub busy: T,
    /// Waiting for the input link, or ended.
    pub idle: T,
    /// Waiting for room in the output link.
    pub backpressured: T,
    /// Busy waiting for a disk, a peer or a terminal.
    #[serde(rename = "waiting_outside")]
    pub outside: T,
    /// Busy waiting for a throttle's tokens.
    pub throttling: T,
}

/// Parts of 1.
pub type Share = Parts<f64>;

/// Parts of the time since the start.
pub type Spent = Parts<Duration>;

impl<T> Parts<T> {
    /// Maps each part.
    #[must_use]
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> Parts<U> {
        Parts {
            busy: make(self.busy),
            idle: make(self.idle),
            backpressured: make(self.backpressured),
            outside: make(self.outside),
            throttling: make(self.throttling),
        }
    }
}

/// Shares that may be unknown, for `#[serde(with = "optional")]`: then every key is null.
#[allow(clippy::ref_option, reason = "the types are serde's")]
pub(super) mod optional {
    use super::{Deserialize, Parts, Serialize, Share};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(share: &Option<Share>, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = share.map_or_else(Parts::default, |share| share.map(Some));
        parts.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Share>, D::Error> {
        let parts = Parts::<Option<f64>>::deserialize(deserializer)?;
        let is_known = parts.busy.and(parts.idle).and(parts.backpressured).is_some();
        Ok(is_known.then(|| parts.map(Option::unwrap_or_default)))
    }
}

impl Spent {
    /// Advances to a later reading. No part ever shrinks: a wait whose beginning or end a thread had not recorded yet
    /// when it was preempted may have been counted as another part for that long.
    pub(super) fn advance_to(&mut self, times: &StageTimes) {
        let ended = times
            .ended_at
            .map_or(Duration::ZERO, |end| times.at.saturating_sub(end));
        let idle = times.idle + ended;
        let busy = times.at.saturating_sub(idle + times.backpressured);
        self.busy = self.busy.max(busy);
        self.idle = self.idle.max(idle);
        self.backpressured = self.backpressured.max(times.backpressured);
        self.outside = self.outside.max(times.outside);
        self.throttling = self.throttling.max(times.throttling);
    }
}

pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The shares of the time between two readings of a stage. After its end, a stage is idle.
#[must_use]
pub fn share(before: &StageTimes, now: &StageTimes) -> Share {
    let whole = now.at.saturating_sub(before.at).as_secs_f64();
    let part = |now: Duration, before: Duration| ratio(now.saturating_sub(before).as_secs_f64(), whole).clamp(0.0, 1.0);
    let ended = now.ended_at.map_or(0.0, |end| part(now.at, end));
    let idle = (part(now.idle, before.idle) + ended).min(1.0);
    let backpressured = part(now.backpressured, before.backpressured).min(1.0 - idle);
    let busy = 1.0 - idle - backpressured;
    Share {
        busy,
        idle,
        backpressured,
        outside: part(now.outside, before.outside).min(busy),
        throttling: part(now.throttling, before.throttling).min(busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn ended_stage_counts_as_idle() {
        let before = StageTimes::default();
        let now = StageTimes {
            at: millis(1000),
            idle: millis(100),
            backpressured: millis(300),
            outside: millis(50),
            throttling: millis(0),
            ended_at: Some(millis(600)),
        };
        let share = share(&before, &now);
        let rounded = [share.busy, share.idle, share.backpressured, share.outside].map(|part| format!("{part:.2}"));
        assert_eq!(rounded, ["0.20", "0.50", "0.30", "0.05"]);
    }

    #[test]
    fn nothing_lasts_longer_than_the_interval() {
        let now = StageTimes {
            at: millis(1000),
            backpressured: millis(1001),
            ..StageTimes::default()
        };
        let share = share(&StageTimes::default(), &now);
        assert!((share.backpressured - 1.0).abs() < f64::EPSILON && share.busy.abs() < f64::EPSILON);
    }

    /// Busy, idle, backpressured, outside and throttling, in percent.
    #[allow(clippy::cast_possible_truncation, reason = "small numbers")]
    fn percent(share: &Share) -> [i64; 5] {
        [
            share.busy,
            share.idle,
            share.backpressured,
            share.outside,
            share.throttling,
        ]
        .map(|part| (part * 100.0).round() as i64)
    }

    #[test]
    fn shares_add_up_despite_late_records() {
        let now = |idle, backpressured, ended_at: Option<u64>| StageTimes {
            at: millis(2000),
            idle: millis(idle),
            backpressured: millis(backpressured),
            outside: millis(700),
            throttling: millis(800),
            ended_at: ended_at.map(millis),
        };
        let before = StageTimes {
            at: millis(1000),
            ..StageTimes::default()
        };
        let seen = |now| percent(&share(&before, &now));
        assert_eq!(seen(now(600, 600, None)), [0, 60, 40, 0, 0]);
        assert_eq!(seen(now(300, 200, None)), [50, 30, 20, 50, 50]);
        assert_eq!(seen(now(700, 0, Some(1300))), [0, 100, 0, 0, 0]);
        assert_eq!(seen(now(0, 0, Some(600))), [0, 100, 0, 0, 0], "ended before");
    }

    #[test]
    fn nothing_that_was_spent_becomes_less() {
        let times = |each| StageTimes {
            at: millis(1000),
            idle: millis(each),
            backpressured: millis(each),
            outside: millis(each),
            throttling: millis(each),
            ended_at: None,
        };
        let mut spent = Spent::default();
        let mut seen = Vec::new();
        for each in [200, 100] {
            spent.advance_to(&times(each));
            seen.push([spent.idle, spent.backpressured, spent.outside, spent.throttling]);
        }
        assert_eq!(seen, [[millis(200); 4]; 2]);
    }

    #[test]
    fn spent_time_never_decreases() {
        let mut spent = Spent::default();
        let times = |at, idle, backpressured, ended_at: Option<u64>| StageTimes {
            at: millis(at),
            idle: millis(idle),
            backpressured: millis(backpressured),
            ended_at: ended_at.map(millis),
            ..StageTimes::default()
        };
        spent.advance_to(&times(1000, 100, 300, None));
        assert_eq!(
            [spent.busy, spent.idle, spent.backpressured],
            [600, 100, 300].map(millis)
        );
        // A wait that had begun before was not recorded until now.
        spent.advance_to(&times(1001, 150, 300, None));
        assert_eq!(
            [spent.busy, spent.idle, spent.backpressured],
            [600, 150, 300].map(millis)
        );
        spent.advance_to(&times(2000, 150, 300, Some(1500)));
        assert_eq!(
            [spent.busy, spent.idle, spent.backpressured],
            [1050, 650, 300].map(millis)
        );
    }
}
