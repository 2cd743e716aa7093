//! Commits all outputs or none, as far as that is possible.
//!
//! Sinks that cannot be rolled back are complete when they report their end. The others report that they are prepared,
//! and wait. Once every sink has done one or the other, they commit one by one: first those whose commit a remote
//! service may refuse, then those that only rename a file. If one fails, those that still wait are rolled back.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::graph::NodeId;
use crate::stage::{Phase, Rollback};

use super::verdict::Verdict;

/// How long a roll-back may take that needs a child or a peer: two seconds of grace and one to end it by force.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(3);

/// The sinks of a run, until they are committed.
pub struct Commits(Vec<Output>);

struct Output {
    node: NodeId,
    phase: Phase,
    rollback: Option<Arc<dyn Rollback>>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Writing,
    Prepared,
    Granted,
}

/// The state of the output of one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Complete, and durable if the sink promises that.
    Committed,
    /// Removed, except for what the sink reported it could not roll back.
    RolledBack,
}

impl Commits {
    pub fn new(sinks: impl Iterator<Item = (NodeId, Phase, Option<Arc<dyn Rollback>>)>) -> Self {
        let outputs = sinks.map(|(node, phase, rollback)| Output {
            node,
            phase,
            rollback,
            step: Step::Writing,
        });
        Self(outputs.collect())
    }

    /// Records that a sink waits for its turn.
    pub fn prepared(&mut self, node: NodeId) {
        if let Some(output) = self.0.iter_mut().find(|output| output.node == node) {
            output.step = Step::Prepared;
        }
    }

    /// The sink whose turn it is: once every sink but those of lost branches is prepared or complete, and none has
    /// failed or is committing.
    pub fn next(&mut self, verdict: &Verdict) -> Option<NodeId> {
        let is_ready = |output: &Output| {
            output.step != Step::Writing || verdict.is_done(output.node) || verdict.is_lost(output.node)
        };
        let is_committing = |output: &Output| output.step == Step::Granted && verdict.is_missing(output.node);
        if verdict.has_failed() || !self.0.iter().all(is_ready) || self.0.iter().any(is_committing) {
            return None;
        }
        let waits = |output: &&mut Output| output.step == Step::Prepared && !verdict.is_lost(output.node);
        let waiting = self.0.iter_mut().filter(waits);
        let next = waiting.min_by_key(|output| (output.phase, output.node))?;
        next.step = Step::Granted;
        Some(next.node)
    }

    /// Whether only sinks are left that wait for a turn which never comes, because another output failed.
    pub fn is_stuck(&self, verdict: &Verdict) -> bool {
        let waits = |node: NodeId| {
            let mut outputs = self.0.iter();
            outputs.any(|output| output.node == node && output.step == Step::Prepared)
        };
        verdict.awaited().all(waits)
    }

    /// Rolls back what is not committed, all at the same time, and returns whether an output is committed. A roll-back
    /// that takes too long is abandoned. A second call changes nothing.
    pub async fn roll_back(&self, left_behind: &mut Vec<String>) -> bool {
        let rollbacks = || self.0.iter().filter_map(|output| output.rollback.clone());
        let mut pending: Vec<_> = rollbacks()
            .map(|rollback| (rollback.name(), rollback.roll_back()))
            .collect();
        let all = poll_fn(|context| {
            pending.retain_mut(|(_, rollback)| match rollback.as_mut().poll(context) {
                Poll::Ready(done) => {
                    left_behind.extend(done.err().map(|failure| failure.to_string()));
                    false
                }
                Poll::Pending => true,
            });
            if pending.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let in_time = tokio::time::timeout(ROLLBACK_LIMIT, all).await;
        if in_time.is_err() {
            left_behind.extend(
                pending
                    .iter()
                    .map(|(name, _)| format!("{name}: could not be rolled back in time")),
            );
        }
        rollbacks().any(|rollback| rollback.is_committed())
    }

    /// Whether an output may be there although the run failed: one that is committed, or was being committed, or has sent
    /// something that cannot be rolled back.
    pub fn may_remain(&self, has_sent: impl Fn(NodeId) -> bool) -> bool {
        let remains =
            |output: &Output| output.step == Step::Granted || (output.phase == Phase::Drained && has_sent(output.node));
        self.0.iter().any(remains)
    }

    /// The state of each output, once the run is over.
    pub fn fates(&self, verdict: &Verdict) -> Vec<(NodeId, Fate)> {
        let fate = |output: &Output| {
            let is_in_place = output.rollback.as_ref().is_some_and(|rollback| rollback.is_committed());
            if is_in_place || verdict.is_done(output.node) {
                Fate::Committed
            } else {
                Fate::RolledBack
            }
        };
        self.0.iter().map(|output| (output.node, fate(output))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Failure, Kind};
    use crate::graph::{Graph, Port};
    use crate::stage::Branches;

    /// A source and three sinks, committed in these phases.
    fn fan(phases: [Phase; 3]) -> (Commits, Verdict, Vec<NodeId>) {
        let mut graph = Graph::new();
        let root = graph.root();
        let sinks: Vec<NodeId> = phases.map(|_| graph.append(root, Port::Bytes)).to_vec();
        let stages = graph.nodes().map(|_| (false, Branches::default())).collect();
        let commits = Commits::new(sinks.iter().zip(phases).map(|(sink, phase)| (*sink, phase, None)));
        (commits, Verdict::new(Arc::new(graph), &stages), sinks)
    }

    #[test]
    fn commits_start_when_every_sink_is_ready() {
        let (mut commits, mut verdict, sinks) = fan([Phase::Name, Phase::Drained, Phase::Remote]);
        commits.prepared(sinks[0]);
        assert_eq!(commits.next(&verdict), None);
        commits.prepared(sinks[2]);
        assert_eq!(commits.next(&verdict), None, "one still drains");
        verdict.report(sinks[1], Ok(()));
        assert_eq!(commits.next(&verdict), Some(sinks[2]), "who may be refused comes first");
        assert_eq!(commits.next(&verdict), None, "one at a time");
        verdict.report(sinks[2], Ok(()));
        assert_eq!(commits.next(&verdict), Some(sinks[0]));
        verdict.report(sinks[0], Ok(()));
        assert_eq!(commits.next(&verdict), None);
        assert!(commits.fates(&verdict).iter().all(|(_, fate)| *fate == Fate::Committed));
    }

    #[test]
    fn no_commit_follows_a_failed_one() {
        let (mut commits, mut verdict, sinks) = fan([Phase::Name, Phase::Remote, Phase::Name]);
        for sink in &sinks {
            commits.prepared(*sink);
        }
        assert_eq!(commits.next(&verdict), Some(sinks[1]));
        verdict.report(sinks[1], Ok(()));
        assert_eq!(commits.next(&verdict), Some(sinks[0]));
        let refused = Failure::because(Kind::Sink, "cannot rename", "the disk is gone");
        verdict.report(sinks[0], Err(refused.into()));
        assert_eq!(commits.next(&verdict), None);
        let fates: Vec<Fate> = commits.fates(&verdict).into_iter().map(|(_, fate)| fate).collect();
        assert_eq!(fates, [Fate::RolledBack, Fate::Committed, Fate::RolledBack]);
    }
}
