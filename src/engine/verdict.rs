//! The one error of a run.
//!
//! The rule is that of Node's `pipeline()`: the first real error wins, and what its neighbours say because of it never
//! masks it. One thing is added: an error reaches the stages downstream *behind* the bytes that were sent before it, so
//! if one of them on every path is satisfied with those (`take`), it was no error of this run. The exit code never depends
//! on which of the two came first.

use std::sync::Arc;

use crate::error::{Failure, Stop};
use crate::graph::{Graph, NodeId, NodeMap};
use crate::stage::Outcome;

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
    /// The failures in the order in which they came.
    failures: Vec<(NodeId, Failure)>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    ends_early: bool,
    report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    None,
    Done,
    Stopped,
}

impl Verdict {
    /// A verdict on stages of which it is known whether each may end its input early.
    pub fn new(graph: Arc<Graph>, ends_early: &NodeMap<bool>) -> Self {
        let stages = ends_early.map(|_, ends_early| Standing {
            ends_early: *ends_early,
            report: Report::None,
        });
        Self {
            graph,
            stages,
            failures: Vec::new(),
        }
    }

    /// The stages that have not reported.
    pub fn missing(&self) -> impl Iterator<Item = NodeId> {
        let missing = self.stages.iter().filter(|(_, stage)| stage.report == Report::None);
        missing.map(|(node, _)| node)
    }

    /// Takes a stage's report.
    pub fn report(&mut self, node: NodeId, outcome: Outcome) -> Next {
        match outcome {
            Ok(()) => {
                self.stages[node].report = Report::Done;
                if !self.stages[node].ends_early {
                    return Next::Wait;
                }
                let failures = std::mem::take(&mut self.failures);
                self.failures = failures
                    .into_iter()
                    .filter(|(failed, _)| !self.is_unneeded(*failed))
                    .collect();
                let unneeded = self.graph.before(node).take_while(|before| self.is_unneeded(*before));
                Next::Stop(unneeded.collect())
            }
            Err(Stop::Neighbour) => {
                self.stages[node].report = Report::Stopped;
                Next::Wait
            }
            Err(Stop::Failed(failure)) => {
                self.stages[node].report = Report::Stopped;
                if self.is_unneeded(node) {
                    return Next::Wait;
                }
                self.failures.push((node, failure));
                if self.may_be_unneeded(node) {
                    Next::Wait
                } else {
                    Next::StopAll
                }
            }
        }
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
            (stage.ends_early && is_such(stage.report)) || self.ends_on_every_path(next, is_such)
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

    /// Whether some stage has failed, as far as can be told now.
    pub fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether every sink has done its work, which it only does at a real end.
    pub fn is_whole(&self) -> bool {
        self.graph.sinks().all(|sink| self.is_done(sink))
    }

    /// The first real error, with the stage in whose hands it happened.
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
            Self(Verdict::new(Arc::new(graph), &ends_early.iter().copied().collect()))
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
        assert_eq!(verdict.report(0, Err(Stop::Neighbour)), Next::Wait);
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
        assert_eq!(verdict.report(2, Err(Stop::Neighbour)), Next::Wait);
        assert_eq!(verdict.0.missing().map(Id::number).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(verdict.decided(), Some((1, Kind::Corrupt)));
        let mut heard_last = Court::of_chain(&[false, false, true, false]);
        assert_eq!(heard_last.report(2, Err(Stop::Neighbour)), Next::Wait);
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

    #[test]
    fn a_run_is_whole_when_every_sink_is() {
        let mut verdict = Court::of(fork(), &[false; 6]);
        verdict.report(3, Ok(()));
        assert!(!verdict.0.is_whole());
        verdict.report(5, Ok(()));
        assert!(verdict.0.is_whole());
    }
}
