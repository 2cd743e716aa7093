//! The one error of a run.
//!
//! The rule is that of Node's `pipeline()`: the first real error wins, and what its neighbours say because of it never
//! masks it. One thing is added: an error reaches the stages downstream *behind* the bytes that were sent before it, so
//! if one of them on every path is satisfied with those (`take`), it was no error of this run. The exit code never depends
//! on which of the two came first.
//!
//! A branch whose fork goes on without it ([`Branches::go_on`]) is lost by its first error: its stages are stopped, and
//! for the rest of the pipeline it is as if it wanted no more. The error is that of the run all the same, unless the
//! branch is optional.

use std::sync::Arc;

use crate::error::{Failure, Stop};
use crate::graph::{Graph, NodeId, NodeMap};
use crate::stage::{Branches, Outcome};

/// What the engine has to do after a stage has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Wait,
    /// Stop these stages: nobody wants what they have.
    Stop(Vec<NodeId>),
    /// Stop all of them: the run has failed.
    StopAll,
}

/// Collects the reports of a pipeline's stages.
#[derive(Debug)]
pub struct Verdict {
    graph: Arc<Graph>,
    stages: NodeMap<Standing>,
    /// The failures in the order in which they came, but for those of lost branches.
    failures: Vec<(NodeId, Failure)>,
    /// The failures that branches were lost by.
    losses: Vec<Loss>,
}

/// What a branch was lost by.
#[derive(Debug)]
pub struct Loss {
    /// The stage in whose hands it happened.
    pub node: NodeId,
    /// What happened.
    pub failure: Failure,
    /// Whether the run is good without the branch.
    pub is_optional: bool,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    ends_early: bool,
    branches: Branches,
    is_lost: bool,
    report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    None,
    Done,
    Stopped,
}

impl Verdict {
    /// A verdict on stages of which it is known whether each may end its input early, and what becomes of its branches.
    pub fn new(graph: Arc<Graph>, stages: &NodeMap<(bool, Branches)>) -> Self {
        let stages = stages.map(|_, (ends_early, branches)| Standing {
            ends_early: *ends_early,
            branches: *branches,
            is_lost: false,
            report: Report::None,
        });
        Self {
            graph,
            stages,
            failures: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// The stages that have not reported.
    pub fn missing(&self) -> impl Iterator<Item = NodeId> {
        let missing = self.stages.iter().filter(|(_, stage)| stage.report == Report::None);
        missing.map(|(node, _)| node)
    }

    /// Those of them that the run depends on.
    pub fn awaited(&self) -> impl Iterator<Item = NodeId> {
        self.missing().filter(|node| !self.is_lost(*node))
    }

    /// Takes a stage's report.
    pub fn report(&mut self, node: NodeId, outcome: Outcome) -> Next {
        let is_done = outcome.is_ok();
        self.stages[node].report = if is_done { Report::Done } else { Report::Stopped };
        if self.is_lost(node) {
            return Next::Wait;
        }
        match outcome {
            Ok(()) if self.stages[node].ends_early => {
                let failures = std::mem::take(&mut self.failures);
                let needed = failures.into_iter().filter(|(failed, _)| !self.is_unneeded(*failed));
                self.failures = needed.collect();
                Next::Stop(self.unneeded_before(node))
            }
            Ok(()) => Next::Wait,
            Err(Stop::PeerClosed) => self.lose_branches(),
            Err(Stop::Failed(failure)) => self.fail(node, failure),
        }
    }

    /// Takes a failure in the hands of a stage, which may go on itself: then it is that of a branch behind it.
    pub fn fail(&mut self, node: NodeId, failure: Failure) -> Next {
        if self.is_lost(node) || self.is_unneeded(node) {
            return Next::Wait;
        }
        self.failures.push((node, failure));
        match self.lose_branches() {
            Next::Wait if self.failures.iter().any(|(node, _)| !self.may_be_unneeded(*node)) => Next::StopAll,
            next => next,
        }
    }

    /// A fork has cut a branch loose: it is lost, whether or not the pipeline would go on without it otherwise.
    pub fn detach(&mut self, fork: NodeId, output: usize, failure: Failure) -> Next {
        let top = self.graph.downstream(fork).nth(output);
        match top {
            Some(top) if !self.is_lost(top) => Next::Stop(self.lose(fork, top, top, failure)),
            _ => Next::Wait,
        }
    }

    /// Counts the branches as lost that have failed for certain, where the pipeline goes on without them.
    fn lose_branches(&mut self) -> Next {
        let mut stopped = Vec::new();
        for (node, failure) in std::mem::take(&mut self.failures) {
            match self.branch_of(node) {
                Some((fork, top)) if !self.may_be_unneeded(node) => {
                    stopped.extend(self.lose(fork, top, node, failure));
                }
                _ => self.failures.push((node, failure)),
            }
        }
        if stopped.is_empty() {
            Next::Wait
        } else {
            Next::Stop(stopped)
        }
    }

    /// Counts the branch of `fork` that begins with `top` as lost by a failure in the hands of `node`. Returns the stages
    /// that have nothing more to do.
    fn lose(&mut self, fork: NodeId, top: NodeId, node: NodeId, failure: Failure) -> Vec<NodeId> {
        let mut stopped: Vec<NodeId> = std::iter::once(top).chain(self.graph.behind(top)).collect();
        for node in &stopped {
            self.stages[*node].is_lost = true;
        }
        let is_optional = self.stages[fork].branches.are_optional;
        self.losses.push(Loss {
            node,
            failure,
            is_optional,
        });
        stopped.extend(self.unneeded_before(top));
        stopped
    }

    /// The innermost branch that a stage stands in and its pipeline can go on without: the fork, and the branch's first
    /// stage.
    fn branch_of(&self, node: NodeId) -> Option<(NodeId, NodeId)> {
        let path = std::iter::once(node).chain(self.graph.before(node));
        path.zip(self.graph.before(node)).find_map(|(top, fork)| {
            let branches = self.stages[fork].branches;
            let index = self.graph.downstream(fork).position(|next| next == top)?;
            (branches.go_on && index < branches.count).then_some((fork, top))
        })
    }

    /// The stages before one that are not needed any more, the nearest first.
    fn unneeded_before(&self, node: NodeId) -> Vec<NodeId> {
        self.graph
            .before(node)
            .take_while(|before| self.is_unneeded(*before))
            .collect()
    }

    /// Whether everything that comes out of a stage has ended its input early.
    fn is_unneeded(&self, node: NodeId) -> bool {
        self.ends_on_every_path(node, &|report| report == Report::Done)
    }

    /// Whether that is so, or may still come to be.
    fn may_be_unneeded(&self, node: NodeId) -> bool {
        self.ends_on_every_path(node, &|report| report != Report::Stopped)
    }

    /// Whether each path behind a stage has one that ends its input early and whose report is such.
    fn ends_on_every_path(&self, node: NodeId, is_such: &dyn Fn(Report) -> bool) -> bool {
        let ends = |next: NodeId| {
            let stage = self.stages[next];
            stage.is_lost || (stage.ends_early && is_such(stage.report)) || self.ends_on_every_path(next, is_such)
        };
        !self.graph.is_sink(node) && self.graph.downstream(node).all(ends)
    }

    /// Whether a stage has done its work.
    pub fn is_done(&self, node: NodeId) -> bool {
        self.stages[node].report == Report::Done
    }

    /// Whether a stage is still at work.
    pub fn is_missing(&self, node: NodeId) -> bool {
        self.stages[node].report == Report::None
    }

    /// Whether a stage stands in a branch that has failed, and the pipeline goes on without it.
    pub fn is_lost(&self, node: NodeId) -> bool {
        self.stages[node].is_lost
    }

    /// Whether some stage has failed, as far as can be told now; lost branches do not count.
    pub fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether every sink has done its work, which it only does at a real end; lost branches do not count.
    pub fn is_whole(&self) -> bool {
        self.graph.sinks().all(|sink| self.is_done(sink) || self.is_lost(sink))
    }

    /// What branches were lost by, in the order in which it happened.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// The first real error but for those of lost branches, with the stage in whose hands it happened.
    pub fn take_failure(&mut self) -> Option<(NodeId, Failure)> {
        let failures = std::mem::take(&mut self.failures);
        failures.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::graph::{Id, Port};

    fn failed(kind: Kind) -> Outcome {
        Err(Failure::because(kind, "cannot", "why").into())
    }

    /// A verdict whose stages are known by their numbers.
    struct Court(Verdict);

    impl Court {
        fn of_chain(ends_early: &[bool]) -> Self {
            Self::of(Graph::chain(ends_early.len()), ends_early)
        }

        fn of(graph: Graph, ends_early: &[bool]) -> Self {
            Self::with_branches(graph, ends_early, |_| Branches::default())
        }

        fn with_branches(graph: Graph, ends_early: &[bool], branches: impl Fn(usize) -> Branches) -> Self {
            let stages = ends_early
                .iter()
                .enumerate()
                .map(|(at, ends_early)| (*ends_early, branches(at)));
            Self(Verdict::new(Arc::new(graph), &stages.collect()))
        }

        fn report(&mut self, node: usize, outcome: Outcome) -> Next {
            self.0.report(Id::numbered(node), outcome)
        }

        fn decided(mut self) -> Option<(usize, Kind)> {
            let failure = self.0.take_failure();
            failure.map(|(node, failure)| (node.number(), failure.kind()))
        }
    }

    fn stop(nodes: &[usize]) -> Next {
        Next::Stop(nodes.iter().map(|node| Id::numbered(*node)).collect())
    }

    /// 0 → 1 → (2 → 3), 4 → 5: a source and a fork with two branches.
    fn fork() -> Graph {
        let mut graph = Graph::chain(2);
        let tee = Id::numbered(1);
        let two = graph.append(tee, Port::Bytes);
        graph.append(two, Port::Bytes);
        let four = graph.append(tee, Port::Bytes);
        graph.append(four, Port::Bytes);
        graph
    }

    #[test]
    fn the_first_real_error_wins_over_its_consequences() {
        let mut verdict = Court::of_chain(&[false, false, false]);
        assert_eq!(verdict.report(0, Err(Stop::PeerClosed)), Next::Wait);
        assert_eq!(verdict.report(2, failed(Kind::NoSpace)), Next::StopAll);
        assert_eq!(verdict.report(1, failed(Kind::Other)), Next::StopAll);
        assert_eq!(verdict.decided(), Some((2, Kind::NoSpace)));
    }

    #[test]
    fn a_fault_behind_what_take_wanted_is_none_whichever_comes_first() {
        let mut fault_first = Court::of_chain(&[false, false, true, false]);
        assert_eq!(fault_first.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(fault_first.report(2, Ok(())), stop(&[1, 0]));
        assert_eq!(fault_first.decided(), None);
        let mut take_first = Court::of_chain(&[false, false, true, false]);
        assert_eq!(take_first.report(2, Ok(())), stop(&[1, 0]));
        assert_eq!(take_first.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(take_first.decided(), None);
    }

    #[test]
    fn a_fault_before_what_take_wanted_is_one() {
        let mut verdict = Court::of_chain(&[false, false, true, false]);
        assert_eq!(verdict.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert_eq!(verdict.report(2, Err(Stop::PeerClosed)), Next::Wait);
        assert_eq!(verdict.0.missing().map(Id::number).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(verdict.decided(), Some((1, Kind::Corrupt)));
        let mut heard_last = Court::of_chain(&[false, false, true, false]);
        assert_eq!(heard_last.report(2, Err(Stop::PeerClosed)), Next::Wait);
        assert_eq!(heard_last.report(1, failed(Kind::Corrupt)), Next::StopAll);
        assert_eq!(heard_last.decided(), Some((1, Kind::Corrupt)));
    }

    #[test]
    fn a_fault_behind_take_is_one_at_once() {
        let mut verdict = Court::of_chain(&[false, true, false]);
        assert_eq!(verdict.report(2, failed(Kind::Sink)), Next::StopAll);
        assert_eq!(verdict.report(1, Ok(())), stop(&[0]));
        assert_eq!(verdict.decided(), Some((2, Kind::Sink)));
    }

    #[test]
    fn a_branch_that_ends_early_stops_no_other() {
        let mut verdict = Court::of(fork(), &[false, false, true, false, true, false]);
        assert_eq!(verdict.report(2, Ok(())), stop(&[]));
        assert_eq!(
            verdict.report(0, failed(Kind::Source)),
            Next::Wait,
            "the other branch may have enough"
        );
        assert!(verdict.0.has_failed());
        assert_eq!(verdict.report(4, Ok(())), stop(&[1, 0]));
        assert!(!verdict.0.has_failed());
        assert_eq!(verdict.decided(), None);
    }

    #[test]
    fn a_fault_that_one_branch_still_needs_is_one() {
        let mut verdict = Court::of(fork(), &[false, false, true, false, false, false]);
        assert_eq!(verdict.report(2, Ok(())), stop(&[]));
        assert_eq!(verdict.report(0, failed(Kind::Source)), Next::StopAll);
        assert_eq!(verdict.decided(), Some((0, Kind::Source)));
    }

    /// A fork at stage 1 that goes on without its first branch.
    fn fork_that_goes_on(ends_early: [bool; 6]) -> Court {
        Court::with_branches(fork(), &ends_early, |at| Branches {
            count: usize::from(at == 1),
            go_on: at == 1,
            ..Branches::default()
        })
    }

    #[test]
    fn a_branch_is_lost_alone() {
        let mut verdict = fork_that_goes_on([false; 6]);
        assert_eq!(verdict.report(3, failed(Kind::NoSpace)), stop(&[2, 3]));
        assert_eq!(verdict.report(2, Err(Stop::PeerClosed)), Next::Wait);
        assert_eq!(verdict.0.awaited().map(Id::number).collect::<Vec<_>>(), [0, 1, 4, 5]);
        for node in [0, 1, 4, 5] {
            assert!(!verdict.0.is_whole());
            assert_eq!(verdict.report(node, Ok(())), Next::Wait);
        }
        assert!(verdict.0.is_whole() && !verdict.0.has_failed());
        let losses = verdict.0.take_losses();
        assert_eq!((losses[0].node.number(), losses[0].failure.kind()), (3, Kind::NoSpace));
    }

    #[test]
    fn what_follows_a_fork_is_never_lost() {
        let mut verdict = fork_that_goes_on([false; 6]);
        assert_eq!(verdict.report(5, failed(Kind::Sink)), Next::StopAll);
        assert_eq!(verdict.decided(), Some((5, Kind::Sink)));
    }

    #[test]
    fn a_lost_branch_wants_no_more() {
        let mut verdict = fork_that_goes_on([false, false, false, false, true, false]);
        assert_eq!(verdict.report(4, Ok(())), stop(&[]));
        assert_eq!(verdict.report(3, failed(Kind::Sink)), stop(&[2, 3, 1, 0]));
        assert_eq!(verdict.report(0, failed(Kind::Source)), Next::Wait);
        assert!(!verdict.0.has_failed());
    }

    #[test]
    fn a_detached_branch_is_lost_alone() {
        let mut verdict = Court::of(fork(), &[false; 6]);
        let failure = || Failure::because(Kind::Timeout, "cannot keep up", "why");
        let detach = |court: &mut Court| court.0.detach(Id::numbered(1), 0, failure());
        assert_eq!(detach(&mut verdict), stop(&[2, 3]));
        assert_eq!(detach(&mut verdict), Next::Wait);
        assert!(!verdict.0.has_failed());
        assert_eq!(verdict.0.take_losses().len(), 1);
    }

    #[test]
    fn a_fault_behind_which_a_branch_may_have_enough_loses_it_late() {
        let mut verdict = Court::with_branches(Graph::chain(4), &[false, false, true, false], |at| Branches {
            count: usize::from(at == 0),
            go_on: at == 0,
            ..Branches::default()
        });
        assert_eq!(verdict.report(1, failed(Kind::Corrupt)), Next::Wait);
        assert!(verdict.0.has_failed(), "nothing commits before it is clear");
        assert_eq!(verdict.report(2, Err(Stop::PeerClosed)), stop(&[1, 2, 3, 0]));
        assert!(!verdict.0.has_failed());
    }

    #[test]
    fn a_run_is_whole_when_every_sink_is() {
        let mut verdict = Court::of(fork(), &[false; 6]);
        verdict.report(3, Ok(()));
        assert!(!verdict.0.is_whole());
        verdict.report(5, Ok(()));
        assert!(verdict.0.is_whole());
    }
}
