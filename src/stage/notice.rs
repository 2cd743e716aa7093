//! What a running stage reports to the engine before its work is over.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::graph::NodeId;

/// An event in a stage that continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A sink has prepared its output and waits for its turn to commit.
    Prepared(NodeId),
    /// A fork has detached a branch because it accepted nothing for too long.
    Detached {
        /// The fork.
        fork: NodeId,
        /// The index of the output that led to the branch.
        output: usize,
        /// How long the branch accepted nothing.
        after: Duration,
    },
}

/// Where one stage reports its notices.
#[derive(Debug, Clone)]
pub struct Notices {
    node: NodeId,
    sender: UnboundedSender<Notice>,
}

impl Notices {
    /// Sends the notices of the stage `node` to `sender`.
    #[must_use]
    pub fn new(node: NodeId, sender: UnboundedSender<Notice>) -> Self {
        Self { node, sender }
    }

    /// Reports that the stage's output is prepared.
    pub fn prepared(&self) {
        // Without a receiver the run is over.
        let _ = self.sender.send(Notice::Prepared(self.node));
    }

    /// Reports that the branch at an output accepted nothing for `after` and was detached.
    pub fn detached(&self, output: usize, after: Duration) {
        let fork = self.node;
        let _ = self.sender.send(Notice::Detached { fork, output, after });
    }
}
