//! What a running stage tells the engine before its work is over.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::graph::NodeId;

/// Something that happened in a stage that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A sink has prepared its output, and waits for its turn to commit.
    Prepared(NodeId),
    /// A fork has cut a branch loose, because it took nothing for so long.
    Detached {
        /// The fork.
        fork: NodeId,
        /// Which of its outputs led to the branch.
        output: usize,
        /// How long the branch took nothing.
        after: Duration,
    },
}

/// Where one stage leaves its notices.
#[derive(Debug, Clone)]
pub struct Notices {
    node: NodeId,
    sender: UnboundedSender<Notice>,
}

impl Notices {
    /// The notices of the stage `node`, which go to `sender`.
    #[must_use]
    pub fn new(node: NodeId, sender: UnboundedSender<Notice>) -> Self {
        Self { node, sender }
    }

    /// Says that the stage's output is prepared.
    pub fn prepared(&self) {
        // Without a receiver the run is over.
        let _ = self.sender.send(Notice::Prepared(self.node));
    }

    /// Says that the branch at an output took nothing for so long, and gets nothing more.
    pub fn detached(&self, output: usize, after: Duration) {
        let fork = self.node;
        let _ = self.sender.send(Notice::Detached { fork, output, after });
    }
}
