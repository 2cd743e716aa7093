//! Where a direct lane stops on purpose, between two calls.

use tokio::sync::watch;

use crate::error::Stop;
use crate::flow::block_on;
use crate::stage::{Cancel, Outcome};

/// Open at first. Whoever comes to a closed gate waits until it is opened, or until the stage is told to stop.
#[derive(Debug)]
pub struct Gate {
    is_closed: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            is_closed: watch::Sender::new(false),
        }
    }
}

impl Gate {
    /// Opens or closes it.
    pub fn set_closed(&self, is_closed: bool) {
        self.is_closed.send_replace(is_closed);
    }

    /// Whether nobody gets through.
    pub fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    /// Waits on this thread until the gate is open.
    ///
    /// # Errors
    /// [`Stop::Neighbour`] when the stage is told to stop.
    pub fn wait(&self, cancel: &Cancel) -> Outcome {
        let mut watched = self.is_closed.subscribe();
        block_on(async {
            tokio::select! {
                biased;
                () = cancel.tripped() => Err(Stop::Neighbour),
                // The sender is in our hands: it cannot go away.
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
        assert!(Gate::default().wait(&Cancel::default()).is_ok());
    }

    #[test]
    fn opening_it_lets_go_whom_it_kept() {
        let gate = Arc::new(Gate::default());
        gate.set_closed(true);
        let (through, passed) = channel();
        let waiting = std::thread::spawn({
            let gate = gate.clone();
            move || {
                through.send(gate.is_closed()).expect("heard");
                gate.wait(&Cancel::default())
            }
        });
        assert_eq!(passed.recv(), Ok(true), "it was closed when it came");
        gate.set_closed(false);
        assert!(waiting.join().expect("no panic").is_ok());
    }

    #[test]
    fn a_cancel_lets_go_whom_it_kept() {
        let (gate, cancel) = (Gate::default(), Arc::new(Cancel::default()));
        gate.set_closed(true);
        let trip = std::thread::spawn({
            let cancel = cancel.clone();
            move || cancel.trip()
        });
        assert!(matches!(gate.wait(&cancel), Err(Stop::Neighbour)));
        trip.join().expect("no panic");
    }
}
