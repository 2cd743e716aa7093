//! `--stall-timeout`: ends a run in which no byte moves.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Failure, Kind};

use super::Ending;
use super::rounds::Rounds;
use super::watch::Watch;

/// Notices that no byte moves.
pub struct Stall {
    watched: Option<Watched>,
}

struct Watched {
    limit: Duration,
    rounds: Rounds,
    /// The counter when something moved last, and when that was.
    last: (u64, Instant),
}

impl Stall {
    pub fn new(limit: Option<Duration>) -> Self {
        let now = Instant::now();
        let watched = limit.map(|limit| Watched {
            limit,
            rounds: Rounds::new(limit, now),
            last: (0, now),
        });
        Self { watched }
    }

    /// Waits until the next look is due.
    pub async fn tick(&self) {
        match &self.watched {
            Some(watched) => watched.rounds.due().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the ending if nothing has moved for too long. A waiting throttle and a paused sink do not count as a
    /// stall.
    pub fn look(&mut self, watch: &Watch) -> Option<Ending> {
        let watched = self.watched.as_mut()?;
        let has_stalled = watched.has_stalled(watch.motion(), watch.waits_on_purpose(), Instant::now());
        has_stalled.then(|| ending(watched.limit))
    }
}

impl Watched {
    fn has_stalled(&mut self, motion: u64, waits_on_purpose: bool, now: Instant) -> bool {
        let comes_late = self.rounds.comes_late(now);
        if motion != self.last.0 || waits_on_purpose || comes_late {
            self.last = (motion, now);
        }
        now - self.last.1 >= self.limit
    }
}

/// Ends a run in which nothing has moved for `limit`.
fn ending(limit: Duration) -> Ending {
    let limit = humantime::format_duration(limit);
    let why = format!("no byte moved for {limit} (--stall-timeout)");
    Ending::failed(None, Failure::because(Kind::Timeout, "stalled", why))
}

/// Waits until a pipeline that is still being opened has stalled: no byte moves while it waits for a peer.
pub async fn stalled(limit: Option<Duration>) -> Ending {
    match limit {
        Some(limit) => {
            let now = Instant::now();
            let rounds = Rounds::new(limit, now);
            let last = (0, now);
            let mut watched = Watched { limit, rounds, last };
            loop {
                watched.rounds.due().await;
                if watched.has_stalled(0, false, Instant::now()) {
                    return ending(limit);
                }
            }
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{StageMeter, Wait};

    const LIMIT: Duration = Duration::from_secs(10);

    /// Looks once a second at the counter; returns at which look the run had stalled.
    fn stalls_at(motion: impl IntoIterator<Item = (u64, bool)>) -> Option<usize> {
        let begun = Instant::now();
        let mut watched = Stall::new(Some(LIMIT)).watched?;
        watched.last.1 = begun;
        watched.rounds = Rounds::new(LIMIT, begun);
        let looks = motion.into_iter().zip(1..);
        let mut stalled = looks.filter(|((moved, throttling), second)| {
            watched.has_stalled(*moved, *throttling, begun + Duration::from_secs(*second))
        });
        stalled
            .next()
            .map(|(_, second)| usize::try_from(second).unwrap_or(usize::MAX))
    }

    #[test]
    fn run_stalls_at_its_limit() {
        assert_eq!(stalls_at([(0, false); 20]), Some(10));
        assert_eq!(stalls_at([(1, false); 20]), Some(11));
        assert_eq!(stalls_at((0..100).map(|at| (at / 9, false))), None);
        assert_eq!(stalls_at((0..100).map(|at| (at / 30, false))), Some(10));
    }

    #[test]
    fn a_throttle_that_waits_is_motion() {
        assert_eq!(stalls_at([(0, true); 100]), None);
        assert_eq!(stalls_at((0..100).map(|at| (0, at < 50))), Some(60));
    }

    #[test]
    fn stopped_process_has_not_stalled() {
        let begun = Instant::now();
        let mut watched = Stall::new(Some(LIMIT)).watched.expect("watched");
        assert!(!watched.has_stalled(0, false, begun + LIMIT * 100), "after SIGCONT");
        let mut looks = (1..20).map(|second| begun + LIMIT * 100 + Duration::from_secs(second));
        assert_eq!(looks.position(|now| watched.has_stalled(0, false, now)), Some(9));
    }

    /// Looks whenever it is due, on a paused clock; returns at which look the run had stalled.
    async fn look_on(stall: &mut Stall, watch: &Watch, looks: usize) -> Option<usize> {
        for look in 1..=looks {
            stall.tick().await;
            if stall.look(watch).is_some() {
                return Some(look);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_on_purpose_is_no_stall() {
        let watch = Watch::detached(3);
        let mut stall = Stall::new(Some(LIMIT));
        let throttle = watch.stages.values()[1].meter.clone();
        let wait = throttle.wait(Wait::Throttling);
        assert_eq!(look_on(&mut stall, &watch, 100).await, None);
        drop(wait);
        watch.controls().pause();
        assert_eq!(look_on(&mut stall, &watch, 100).await, None);
        watch.controls().resume();
        assert_eq!(look_on(&mut stall, &watch, 9).await, None);
        let counts: [fn(&StageMeter); 3] = [
            |meter| meter.add_in(1),
            |meter| meter.add_out(1),
            |meter| meter.add_settled(1),
        ];
        for count in counts {
            count(&watch.stages.values()[2].meter);
            assert_eq!(look_on(&mut stall, &watch, 10).await, None);
        }
        assert_eq!(look_on(&mut stall, &watch, 100).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn unopened_pipeline_stalls_too() {
        let begun = Instant::now();
        let ending = stalled(Some(LIMIT)).await;
        assert_eq!((begun.elapsed(), ending.exit_code()), (LIMIT, 8));
    }
}
