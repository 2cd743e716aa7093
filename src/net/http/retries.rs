//! When a request is sent again.

use std::time::Duration;

use http::{Method, StatusCode, header};

use crate::error::{Failure, Kind};
use crate::net::retry::Backoff;

use super::{Attempt, Response, Retry, refusal, retry_after};

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The further attempts of a request.
#[derive(Debug, Clone)]
pub struct Retries {
    most: u64,
    failed: u64,
    /// Whether a request that the server may have received is sent again.
    is_idempotent: bool,
    backoff: Backoff,
}

impl Retries {
    /// Up to `most` for a request of this method.
    #[must_use]
    pub fn new(most: u64, method: &Method) -> Self {
        Self {
            most,
            failed: 0,
            is_idempotent: method.is_idempotent(),
            backoff: Backoff::default(),
        }
    }

    /// Begins anew, because the last attempt got somewhere.
    pub fn reset(&mut self) {
        self.failed = 0;
        self.backoff = Backoff::default();
    }

    /// Counts a failed attempt.
    ///
    /// # Errors
    /// Its failure, if none is to follow.
    pub fn count(&mut self, attempt: Attempt) -> Result<(Failure, Option<Duration>), Failure> {
        self.failed += 1;
        let is_retried = match attempt.retry {
            Retry::Never => false,
            Retry::Idempotent => self.is_idempotent,
            Retry::Always => true,
        };
        if self.most == 0 || !is_retried {
            return Err(attempt.failure);
        }
        if self.failed > self.most {
            return Err(if self.failed > 1 {
                attempt.failure.in_attempts(self.failed)
            } else {
                attempt.failure
            });
        }
        match attempt.pause {
            Some(pause) if pause > LONGEST_PAUSE => {
                let (kind, pause) = (attempt.failure.kind(), humantime::format_duration(pause));
                let why = format!(
                    "{}; it asks for a pause of {pause}, which is more than 5m",
                    attempt.failure
                );
                Err(Failure::because(kind, "will not try again", why))
            }
            pause => Ok((attempt.failure, pause)),
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure of the last one, if none is to follow.
    pub async fn pause(&mut self, attempt: Attempt) -> Result<(), Failure> {
        let (failure, pause) = self.count(attempt)?;
        let pause = pause.unwrap_or_else(|| self.backoff.pause());
        tracing::info!("{failure}; trying again in {}", humantime::format_duration(pause));
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A response with a status other than the expected ones, as a failed attempt.
pub async fn refused(response: Response, place: Kind, operation: &str) -> Attempt {
    let retry = match response.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Retry::Always,
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT => Retry::Idempotent,
        _ => Retry::Never,
    };
    let pause = response.header(&header::RETRY_AFTER).and_then(retry_after);
    let failure = refusal(response, place, operation, "").await;
    Attempt { failure, retry, pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(retry: Retry, pause: Option<u64>) -> Attempt {
        Attempt {
            failure: Failure::because(Kind::Source, "cannot read", "busy"),
            retry,
            pause: pause.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_what_the_server_asks_for() {
        let begun = tokio::time::Instant::now();
        let mut retries = Retries::new(2, &Method::POST);
        retries
            .pause(attempt(Retry::Always, Some(300)))
            .await
            .expect("the first");
        assert_eq!(begun.elapsed(), Duration::from_secs(300));
        let failure = retries
            .pause(attempt(Retry::Always, Some(301)))
            .await
            .expect_err("too long");
        let said = "will not try again: cannot read: busy; it asks for a pause of 5m 1s, which is more than 5m";
        assert_eq!(failure.to_string(), said);
        retries.reset();
        for _ in 0..2 {
            retries
                .pause(attempt(Retry::Always, Some(0)))
                .await
                .expect("one of two");
        }
        let failure = retries
            .pause(attempt(Retry::Always, Some(0)))
            .await
            .expect_err("the third");
        assert_eq!(failure.to_string(), "cannot read in 3 attempts: busy");
    }

    #[tokio::test(start_paused = true)]
    async fn only_idempotent_requests_are_repeated() {
        for (method, retry, repeated) in [
            (Method::GET, Retry::Idempotent, true),
            (Method::POST, Retry::Idempotent, false),
            (Method::POST, Retry::Always, true),
            (Method::GET, Retry::Never, false),
        ] {
            let counted = Retries::new(1, &method).count(attempt(retry, None));
            assert_eq!(counted.is_ok(), repeated, "{method} {retry:?}");
        }
        assert!(
            Retries::new(0, &Method::GET)
                .count(attempt(Retry::Always, None))
                .is_err()
        );
    }
}
