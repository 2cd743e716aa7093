//! Where a direct path can be paused, between two calls.

use tokio::sync::watch;

use crate::error::Stop;
use crate::flow::block_on;
use crate::stage::{Cancel, Outcome};

/// Open at first. A stage that reaches a closed pause point waits until it is opened, or until the stage is told to stop.
#[derive(Debug)]
pub struct PausePoint {
    is_closed: watch::Sender<bool>,
}

impl Default for PausePoint {
    fn default() -> Self {
        Self {
            is_closed: watch::Sender::new(false),
        }
    }
}

impl PausePoint {
    /// Opens or closes it.
    pub fn set_closed(&self, is_closed: bool) {
        self.is_closed.send_replace(is_closed);
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    /// Waits on this thread until the pause point is open.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] if the stage is told to stop.
    pub fn wait(&self, cancel: &Cancel) -> Outcome {
        let mut watched = self.is_closed.subscribe();
        block_on(async {
            tokio::select! {
                biased;
                () = cancel.tripped() => Err(Stop::PeerClosed),
                // This struct owns the sender, so it cannot be dropped meanwhile.
                _ = watched.wait_for(|is_closed| !is_closed) => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn an_open_gate_keeps_nobody() {
        assert!(PausePoint::default().wait(&Cancel::default()).is_ok());
    }

    #[test]
    fn opening_it_lets_go_whom_it_kept() {
        let pause_point = Arc::new(PausePoint::default());
        pause_point.set_closed(true);
        let (through, passed) = channel();
        let waiting = std::thread::spawn({
            let pause_point = pause_point.clone();
            move || {
                through.send(pause_point.is_closed()).expect("heard");
                pause_point.wait(&Cancel::default())
            }
        });
        assert_eq!(passed.recv(), Ok(true), "it was closed when it came");
        pause_point.set_closed(false);
        assert!(waiting.join().expect("no panic").is_ok());
    }

    #[test]
    fn a_cancel_lets_go_whom_it_kept() {
        let (pause_point, cancel) = (PausePoint::default(), Arc::new(Cancel::default()));
        pause_point.set_closed(true);
        let trip = std::thread::spawn({
            let cancel = cancel.clone();
            move || cancel.trip()
        });
        assert!(matches!(pause_point.wait(&cancel), Err(Stop::PeerClosed)));
        trip.join().expect("no panic");
    }
}
