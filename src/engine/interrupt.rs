//! What ends a run from outside: signals, the deadline and the owner of a sub-pipeline.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Failure, Kind};
use crate::platform::Signals;
use crate::stage::Cancel;

/// A cause from outside that ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// One of the terminating signals.
    Signal(i32),
    /// The run's time is up.
    Deadline,
    /// The stage that owns this run was told to stop.
    Owner,
}

impl Cause {
    /// The failure or the signal as an [`Ending`](super::Ending).
    pub fn ending(self) -> super::Ending {
        match self {
            Self::Signal(signal) => super::Ending {
                signal: Some(signal),
                ..super::Ending::default()
            },
            Self::Owner => {
                super::Ending::failed(None, Failure::because(Kind::Other, "stopped", "its owner was stopped"))
            }
            Self::Deadline => super::Ending::failed(
                None,
                Failure::because(Kind::Timeout, "not done in time", "the time given by --timeout is up"),
            ),
        }
    }
}

/// Listens for the signals that end a run.
pub struct Interrupt {
    signals: Signals,
    deadline: Option<tokio::time::Instant>,
    owner: Option<Arc<Cancel>>,
}

impl Interrupt {
    /// Starts to listen.
    pub fn new(deadline: Option<Instant>) -> Result<Self, Failure> {
        let signals = Signals::listen();
        Ok(Self {
            signals: signals.map_err(|error| Failure::io(Kind::Resources, "cannot listen to signals", error))?,
            deadline: deadline.map(tokio::time::Instant::from_std),
            owner: None,
        })
    }

    /// Trips only when `owner` does, or at the deadline.
    pub fn by(owner: Arc<Cancel>, deadline: Option<Instant>) -> Self {
        Self {
            signals: Signals::default(),
            deadline: deadline.map(tokio::time::Instant::from_std),
            owner: Some(owner),
        }
    }

    /// Waits for a signal; a deadline that comes now changes nothing.
    pub async fn signalled(&mut self) {
        while !matches!(self.next().await, Cause::Signal(_)) {}
    }

    /// Waits for the next cause. The deadline and the owner's cancel are reported once.
    pub async fn next(&mut self) -> Cause {
        let owner = self.owner.clone();
        let stopped = async {
            match owner {
                Some(owner) => owner.tripped().await,
                None => std::future::pending().await,
            }
        };
        let deadline = self.deadline;
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            number = self.signals.next() => Cause::Signal(number),
            () = stopped => {
                self.owner = None;
                Cause::Owner
            }
            () = timer => {
                self.deadline = None;
                Cause::Deadline
            }
        }
    }
}
