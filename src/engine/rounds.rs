//! A timer for regular looks at a run, which notices missed ones.

use std::time::Duration;

use tokio::time::Instant;

/// Ten looks in each period that something is judged over.
#[derive(Debug)]
pub struct Rounds {
    every: Duration,
    /// How late a look may come, which allows for timers and busy machines.
    slack: Duration,
    due: Instant,
}

impl Rounds {
    /// Timers are never this late while the process runs, however short the period is.
    const LEAST_SLACK: Duration = Duration::from_millis(50);

    /// The first look is a tenth of `stretch` from `now`.
    pub fn new(stretch: Duration, now: Instant) -> Self {
        let every = (stretch / 10).max(Duration::from_millis(1));
        Self {
            every,
            slack: (stretch / 2).max(Self::LEAST_SLACK),
            due: now + every,
        }
    }

    /// Waits until the next look is due.
    pub async fn due(&self) {
        tokio::time::sleep_until(self.due).await;
    }

    /// Starts a look; returns whether it comes so late that the process must have been stopped, or the machine asleep,
    /// so that the missing progress must not count.
    pub fn comes_late(&mut self, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.due);
        self.due = now + self.every;
        late > self.slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_looks_per_period_are_on_time() {
        let begun = Instant::now();
        let mut rounds = Rounds::new(Duration::from_secs(5), begun);
        for _ in 0..10 {
            rounds.due().await;
            assert!(!rounds.comes_late(Instant::now()));
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }

    #[test]
    fn look_after_a_stop_is_late() {
        let begun = Instant::now();
        let mut rounds = Rounds::new(Duration::from_secs(1), begun);
        let after_the_stop = begun + Duration::from_secs(10);
        assert!(rounds.comes_late(after_the_stop));
        assert!(!rounds.comes_late(after_the_stop + Duration::from_millis(100)));
    }

    #[test]
    fn lateness_begins_beyond_timer_slack() {
        for (stretch, slack) in [(1000, 500), (100, 50), (20, 50)] {
            let [stretch, slack] = [stretch, slack].map(Duration::from_millis);
            let begun = Instant::now();
            let due = begun + stretch / 10;
            assert!(!Rounds::new(stretch, begun).comes_late(due + slack));
            assert!(Rounds::new(stretch, begun).comes_late(due + slack + Duration::from_millis(1)));
        }
    }
}
