//! When a sink may make its output final.
//!
//! A sink that can still roll its output back prepares it first (all bytes are where they can be lost no more) and then
//! waits for its turn. The engine gives the turns when every sink of the pipeline is prepared, so that either all outputs
//! come to be or none, as far as the world allows.

use tokio::sync::watch;

use crate::error::Stop;
use crate::flow::block_on;

use super::{Cancel, Notices, Outcome};

/// When a sink is given its turn to commit. Those whose commit is likelier to fail come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has nothing to roll back: its output is final as it is written.
    Drained,
    /// What it has prepared is committed by somebody else, who may refuse.
    Remote,
    /// A name is changed on this machine.
    Name,
}

/// Where a sink waits until it may commit.
#[derive(Debug)]
pub struct CommitTurn {
    notices: Notices,
    granted: watch::Sender<bool>,
}

impl CommitTurn {
    /// The turn of a stage that says among its notices that it waits.
    #[must_use]
    pub fn new(notices: Notices) -> Self {
        Self {
            notices,
            granted: watch::Sender::new(false),
        }
    }

    /// Lets the sink commit.
    pub fn grant(&self) {
        self.granted.send_replace(true);
    }

    /// Says that the output is prepared, and waits until it may be committed.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] when it is to be rolled back instead.
    pub async fn wait(&self, cancel: &Cancel) -> Outcome {
        let mut granted = self.granted.subscribe();
        self.notices.prepared();
        tokio::select! {
            biased;
            () = cancel.tripped() => Err(Stop::PeerClosed),
            // The sender is in our hands: it cannot go away.
            _ = granted.wait_for(|granted| *granted) => Ok(()),
        }
    }

    /// [`CommitTurn::wait`] for a thread.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] when it is to be rolled back instead.
    pub fn wait_blocking(&self, cancel: &Cancel) -> Outcome {
        block_on(self.wait(cancel))
    }
}
