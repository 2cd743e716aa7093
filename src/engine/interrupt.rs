//! What ends a run from outside: signals and the deadline.

use std::task::Poll;
use std::time::Instant;

use tokio::signal::unix::Signal;

use crate::error::{Failure, Kind};
use crate::platform::{TERMINATING, is_ignored, listen_to};

/// Something from outside that ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// One of the terminating signals.
    Signal(i32),
    /// The run's time is up.
    Deadline,
}

impl Cause {
    /// The failure that this is, or the signal.
    pub fn ending(self) -> super::Ending {
        match self {
            Self::Signal(signal) => super::Ending {
                failure: None,
                signal: Some(signal),
                left_behind: Vec::new(),
            },
            Self::Deadline => super::Ending::failed(
                None,
                Failure::because(Kind::Timeout, "not done in time", "the time given by --timeout is up"),
            ),
        }
    }
}

/// Listens to the signals that end a run. One that was ignored when the process started stays so.
pub struct Interrupt {
    signals: Vec<(i32, Signal)>,
    deadline: Option<tokio::time::Instant>,
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
        })
    }

    /// Waits for the next cause. The deadline comes once.
    pub async fn next(&mut self) -> Cause {
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
            () = timer => {
                self.deadline = None;
                Cause::Deadline
            }
        }
    }
}
