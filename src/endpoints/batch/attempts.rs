//! Runs of the same batch, until one succeeds.

use std::sync::Arc;

use crate::error::Stop;
use crate::net::retry::Backoff;
use crate::stage::{BoxFuture, Cancel, Findings, Outcome};

/// Runs a batch, and up to `retries` times more while it fails for a reason that may pass, with pauses that grow.
pub async fn attempts(
    mut run: impl FnMut() -> BoxFuture<'static, Outcome>,
    retries: u64,
    mut backoff: Backoff,
    findings: Arc<Findings>,
    cancel: Arc<Cancel>,
) -> Outcome {
    let mut failed = 0;
    loop {
        let failure = match run().await {
            Err(Stop::Failed(failure)) => failure,
            outcome => return outcome,
        };
        if failed == retries || !failure.may_pass() {
            return Err(if failed > 0 {
                failure.in_attempts(failed + 1).into()
            } else {
                failure.into()
            });
        }
        failed += 1;
        let pause = backoff.pause();
        tracing::warn!(
            "a batch has failed: {failure}; it is run again in {}",
            humantime::format_duration(pause)
        );
        findings.update_batches(|batches| batches.count(&Err(failure.into())));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.tripped() => return Err(Stop::PeerClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::error::{Failure, Kind};

    /// The outcome of a batch that fails this way so many times, its attempts, how long that took, and what was found.
    async fn tried(kind: Kind, failures: u64, retries: u64) -> (Outcome, u64, Duration, Duration, Arc<Findings>) {
        let (begun, mut count) = (Instant::now(), 0);
        let backoff = Backoff::default();
        let mut same = backoff.clone();
        let findings = Arc::<Findings>::default();
        let run = || -> BoxFuture<'static, Outcome> {
            count += 1;
            let fails = count <= failures;
            Box::pin(async move {
                if fails {
                    return Err(Failure::because(kind, "cannot write", "it is down").into());
                }
                Ok(())
            })
        };
        let outcome = attempts(run, retries, backoff, findings.clone(), Arc::default()).await;
        let pauses = (1..count).map(|_| same.pause()).sum();
        (outcome, count, begun.elapsed(), pauses, findings)
    }

    #[tokio::test(start_paused = true)]
    async fn passing_failures_are_retried() {
        let (outcome, count, took, pauses, findings) = tried(Kind::Connect, 5, 9).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!((count, took), (6, pauses));
        let batches = findings.batches().expect("counted");
        assert_eq!(batches.failed, 5);
        assert_eq!(batches.last.as_deref(), Some("cannot write: it is down"));
    }

    #[tokio::test(start_paused = true)]
    async fn last_failure_says_how_often() {
        let (outcome, count, took, pauses, _) = tried(Kind::NoSpace, 99, 3).await;
        let Err(Stop::Failed(failure)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((count, took, failure.kind()), (4, pauses, Kind::NoSpace));
        assert_eq!(failure.to_string(), "cannot write in 4 attempts: it is down");
    }

    #[tokio::test(start_paused = true)]
    async fn lasting_failures_are_final() {
        for kind in [Kind::Corrupt, Kind::Usage, Kind::Child, Kind::Bug, Kind::Integrity] {
            let (outcome, count, took, ..) = tried(kind, 99, 9).await;
            assert!(outcome.is_err());
            assert_eq!((count, took), (1, Duration::ZERO), "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cancel_ends_the_pause() {
        let cancel = Arc::<Cancel>::default();
        cancel.trip();
        let run = || -> BoxFuture<'static, Outcome> {
            Box::pin(async { Err(Failure::because(Kind::Connect, "cannot connect", "it is down").into()) })
        };
        let outcome = attempts(run, 9, Backoff::default(), Arc::default(), cancel).await;
        assert!(matches!(outcome, Err(Stop::PeerClosed)), "{outcome:?}");
    }
}
