//! When a sink may make its output final.
//!
//! A sink that can still roll its output back prepares it first (all bytes are safely stored) and then waits for its
//! turn. The engine grants the turns once every sink of the pipeline is prepared, so that either all outputs are
//! committed or none, as far as that is possible.

use tokio::sync::watch;

use crate::error::Stop;
use crate::flow::block_on;

use super::{Cancel, Notices, Outcome};

/// When a sink is granted its turn to commit. Sinks whose commit is likelier to fail come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing can be rolled back: the output is final as it is written.
    Drained,
    /// The prepared output is committed by a remote service, which may refuse.
    Remote,
    /// The output is renamed on this machine.
    Name,
}

/// Where a sink waits until it may commit.
#[derive(Debug)]
pub struct CommitTurn {
    notices: Notices,
    granted: watch::Sender<bool>,
}

impl CommitTurn {
    /// The turn of a stage that reports in its notices that it waits.
    #[must_use]
    pub fn new(notices: Notices) -> Self {
        Self {
            notices,
            granted: watch::Sender::new(false),
        }
    }

    /// Grants the commit.
    pub fn grant(&self) {
        self.granted.send_replace(true);
    }

    /// Reports that the output is prepared, and waits until it may be committed.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] if it is to be rolled back instead.
    pub async fn wait(&self, cancel: &Cancel) -> Outcome {
        let mut granted = self.granted.subscribe();
        self.notices.prepared();
        tokio::select! {
            biased;
            () = cancel.tripped() => Err(Stop::PeerClosed),
            // This struct owns the sender, so it cannot be dropped meanwhile.
            _ = granted.wait_for(|granted| *granted) => Ok(()),
        }
    }

    /// [`CommitTurn::wait`] for a thread.
    pub fn wait_blocking(&self, cancel: &Cancel) -> Outcome {
        block_on(self.wait(cancel))
    }
}
