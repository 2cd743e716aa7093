//! Retries of failed connections.
//!
//! The pauses grow exponentially with full jitter: each is random between zero and a ceiling that doubles, so that many
//! clients of a server that restarts do not all connect at once (Marc Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015).

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::error::{Failure, Kind};

/// Attempts until one succeeds, or until `retries` more than the first have failed. Only failures to connect are
/// retried: a lack of descriptors does not go away with time. Dropping the future ends it at once.
pub async fn connect<T, F>(retries: u64, mut backoff: Backoff, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut failed = 0;
    loop {
        let failure = match attempt().await {
            Ok(connection) => return Ok(connection),
            Err(failure) => failure,
        };
        failed += 1;
        if failure.kind() != Kind::Connect || failed > retries {
            return Err(if failed > 1 {
                failure.in_attempts(failed)
            } else {
                failure
            });
        }
        let pause = backoff.pause();
        tracing::info!("{failure}; trying again in {}", humantime::format_duration(pause));
        tokio::time::sleep(pause).await;
    }
}

/// The pauses between attempts; random by default.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// The longest possible next pause, in milliseconds.
    ceiling: u64,
    /// Marsaglia's xorshift64; never 0.
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        // The standard library seeds its hashers from the system's randomness.
        Self::seeded(RandomState::new().hash_one(()))
    }
}

impl Backoff {
    /// The ceiling of the first pause, in milliseconds.
    const FIRST: u64 = 100;
    /// The largest ceiling, in milliseconds.
    const LONGEST: u64 = 10_000;

    /// The same pauses for the same seed.
    fn seeded(seed: u64) -> Self {
        Self {
            ceiling: Self::FIRST,
            random: seed.max(1),
        }
    }

    /// The next pause, in whole milliseconds.
    pub fn pause(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // The range is so small compared to 64 bits that the bias of the remainder does not matter.
        let pause = self.random % (self.ceiling + 1);
        self.ceiling = (self.ceiling * 2).min(Self::LONGEST);
        Duration::from_millis(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

    fn refused() -> Failure {
        Failure::io(Kind::Connect, "cannot connect to there", rustix::io::Errno::CONNREFUSED)
    }

    #[test]
    fn pauses_stay_below_a_doubling_ceiling() {
        let ceilings = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000];
        let mut sums = [0; 10];
        for seed in 1..=1000_u64 {
            let mut backoff = Backoff::seeded(seed.wrapping_mul(SEED));
            for (ceiling, sum) in std::iter::zip(ceilings, &mut sums) {
                let pause = u64::try_from(backoff.pause().as_millis()).expect("short");
                assert!(pause <= ceiling, "{pause} ms");
                *sum += pause;
            }
        }
        for (ceiling, sum) in std::iter::zip(ceilings, sums) {
            let mean = sum / 1000;
            assert!(
                (ceiling * 45 / 100..=ceiling * 55 / 100).contains(&mean),
                "{mean} of {ceiling}"
            );
        }
    }

    #[test]
    fn two_backoffs_differ() {
        let pauses = |mut backoff: Backoff| (0..20).map(|_| backoff.pause()).collect::<Vec<_>>();
        assert_ne!(pauses(Backoff::default()), pauses(Backoff::default()));
        assert_eq!(pauses(Backoff::seeded(SEED)), pauses(Backoff::seeded(SEED)));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_and_attempts_are_exact() {
        let begun = Instant::now();
        let attempts = Cell::new(0);
        let failure = connect(5, Backoff::seeded(SEED), || {
            attempts.set(attempts.get() + 1);
            async { Err::<(), _>(refused()) }
        })
        .await
        .expect_err("no listener");
        let mut same = Backoff::seeded(SEED);
        let pauses: Duration = (0..5).map(|_| same.pause()).sum();
        assert_eq!((attempts.get(), begun.elapsed()), (6, pauses));
        let text = "cannot connect to there in 6 attempts: Connection refused";
        assert_eq!((failure.kind(), failure.to_string().as_str()), (Kind::Connect, text));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_is_the_last_attempt() {
        let attempts = Cell::new(0);
        let connection = connect(9, Backoff::seeded(SEED), || {
            attempts.set(attempts.get() + 1);
            let at = attempts.get();
            async move { if at == 3 { Ok(at) } else { Err(refused()) } }
        });
        assert_eq!(connection.await.expect("the third"), 3);
        assert_eq!(attempts.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_retries_means_one_attempt() {
        let begun = Instant::now();
        let failure = connect(0, Backoff::seeded(SEED), || async { Err::<(), _>(refused()) }).await;
        let failure = failure.expect_err("no listener");
        assert_eq!(failure.to_string(), "cannot connect to there: Connection refused");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_retried() {
        let attempts = Cell::new(0);
        let failure = connect(9, Backoff::seeded(SEED), || {
            attempts.set(attempts.get() + 1);
            async { Err::<(), _>(Failure::io(Kind::Connect, "cannot connect", rustix::io::Errno::MFILE)) }
        });
        assert_eq!(failure.await.expect_err("out of descriptors").kind(), Kind::Resources);
        assert_eq!(attempts.get(), 1);
    }
}
