//! Tells one stage to stop, wherever it waits.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind, Stop};
use crate::platform::Alarm;

use super::Outcome;

/// A flag that is set once. Tasks await it; threads that wait for a descriptor wait for its alarm as well. Waits at
/// links need neither: cancelling a link wakes them.
#[derive(Debug, Default)]
pub struct Cancel {
    token: CancellationToken,
    /// Made only for stages that wait for descriptors.
    alarm: OnceLock<Alarm>,
    /// Milliseconds that the stage may take to stop, beyond what every stage may take.
    allowance: AtomicU64,
}

impl Cancel {
    /// Tells the stage to stop.
    pub fn trip(&self) {
        self.token.cancel();
        if let Some(alarm) = self.alarm.get() {
            alarm.ring();
        }
    }

    /// Lets the stage take up to `limit` to stop: it has a child that has to be ended.
    pub fn allow(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.allowance.store(limit, Ordering::Relaxed);
    }

    /// How long the stage may take to stop, where that is longer than what every stage may take.
    #[must_use]
    pub fn allowance(&self) -> Duration {
        Duration::from_millis(self.allowance.load(Ordering::Relaxed))
    }

    /// Whether the stage was told to stop.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the stage is told to stop.
    pub async fn tripped(&self) {
        self.token.cancelled().await;
    }

    /// A descriptor that becomes readable when the stage is told to stop.
    pub fn alarm(&self) -> Result<BorrowedFd<'_>, Failure> {
        self.ready_alarm().map(Alarm::descriptor)
    }

    /// Waits until `deadline`, or until the stage is told to stop.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] if it is told to stop, or a failure if no descriptor can be made.
    pub fn wait_until(&self, deadline: Instant) -> Outcome {
        let rang = self.ready_alarm()?.wait_until(deadline);
        if rang.map_err(|error| Failure::io(Kind::Resources, "cannot wait", error))? {
            return Err(Stop::PeerClosed);
        }
        Ok(())
    }

    fn ready_alarm(&self) -> Result<&Alarm, Failure> {
        let alarm = match self.alarm.get() {
            Some(alarm) => alarm,
            None => {
                let alarm = Alarm::new().map_err(|error| Failure::io(Kind::Resources, "cannot start", error))?;
                self.alarm.get_or_init(|| alarm)
            }
        };
        if self.is_tripped() {
            // Tripped before the alarm existed, so the trip could not ring it.
            alarm.ring();
        }
        Ok(alarm)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn cancel_ends_descriptor_waits() {
        let late = Instant::now() + Duration::from_secs(3600);
        let tripped = Cancel::default();
        tripped.trip();
        assert!(matches!(tripped.wait_until(late), Err(Stop::PeerClosed)));

        let cancel = Arc::new(Cancel::default());
        cancel.alarm().expect("a descriptor");
        cancel.trip();
        let alarm = cancel.alarm.get().expect("it was made");
        assert!(alarm.wait_until(late).expect("a wait"), "the trip itself rings it");
        assert!(matches!(Cancel::default().wait_until(Instant::now()), Ok(())));
    }
}
