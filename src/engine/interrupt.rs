//! What ends a run from outside: signals, the deadline and the owner of a sub-pipeline.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::signal::unix::Signal;

use crate::error::{Failure, Kind};
use crate::platform::{TERMINATING, is_ignored, listen_to};
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

/// Listens for the signals that end a run. A signal that was ignored when the process started stays ignored.
pub struct Interrupt {
    signals: Vec<(i32, Signal)>,
    deadline: Option<tokio::time::Instant>,
    owner: Option<Arc<Cancel>>,
}

impl Interrupt {
    /// Starts to listen.
    pub fn new(deadline: Option<Instant>) -> Result<Self, Failure> {
        let heeded = TERMINATING.into_iter().filter(|number| !is_ignored(*number));
        let signals = heeded
            .map(|number| Ok((number, listen_to(number)?)))
            .collect::<std::io::Result<_>>()
            .map_err(|error| Failure::io(Kind::Resources, "cannot listen to signals", error))?;
        Ok(Self {
            signals,
            deadline: deadline.map(tokio::time::Instant::from_std),
            owner: None,
        })
    }

    /// Trips only when `owner` does, or at the deadline.
    pub fn by(owner: Arc<Cancel>, deadline: Option<Instant>) -> Self {
        Self {
            signals: Vec::new(),
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
        let signals = &mut self.signals;
        let signal = std::future::poll_fn(|context| {
            for (number, signal) in signals.iter_mut() {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            number = signal => Cause::Signal(number),
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
