//! Stages that fail in every way at every position of a chain or a tree, hang, or end early: all are closed once, the
//! one error is theirs, and all outputs are committed or none.

use std::sync::Arc;
use std::time::Duration;

use super::ending::settle;
use super::fakes::{CHUNK, Case, Form, Moment, Tally, Way, source, sub_plan};
use super::{Ending, Fate, MinRate, Settings};
use crate::error::{Failure, Kind};
use crate::flow::{Inlet, Outlet};
use crate::graph::{Graph, Id, NodeId, Port};
use crate::stage::{BoxFuture, Branches, Context, Phase, RunLabel, Settle, Settled, Stage, TransformPlan, Work};

/// A source and a fork into `branches` branches of a transform and a sink.
fn fork(branches: usize) -> Graph {
    let mut graph = Graph::chain(2);
    let fork = Id::numbered(1);
    for _ in 0..branches {
        let transform = graph.append(fork, Port::Bytes);
        graph.append(transform, Port::Bytes);
    }
    graph
}

/// A fork whose first branch forks again, and whose others are a transform and a sink, or only a sink.
fn nested() -> Graph {
    let mut graph = Graph::chain(2);
    let outer = Id::numbered(1);
    let inner = graph.append(outer, Port::Bytes);
    graph.append(inner, Port::Bytes);
    let deep = graph.append(inner, Port::Bytes);
    graph.append(deep, Port::Bytes);
    graph.append(outer, Port::Bytes);
    let last = graph.append(outer, Port::Bytes);
    graph.append(last, Port::Bytes);
    graph
}

/// Chains of two to six stages, forks of two to five branches, and a fork within a fork.
pub(super) fn shapes() -> Vec<Graph> {
    let chains = (2..=6).map(Graph::chain);
    chains.chain((2..=5).map(fork)).chain([nested()]).collect()
}

#[test]
fn failure_anywhere_closes_all_once() {
    for graph in shapes() {
        let stages = graph.nodes().len();
        for at in 0..stages {
            for way in [Way::Error, Way::Panic] {
                for moment in [Moment::Start, Moment::Midway, Moment::End] {
                    for first in [Form::Task, Form::Thread] {
                        let case = Case {
                            first,
                            ..Case::of(graph.clone(), Some((at, way, moment)))
                        };
                        let about = format!("{way:?} of stage {at}, {moment:?}, first a {first:?}, {graph:?}");
                        let (ending, tally) = case.run();
                        let kind = if way == Way::Panic { Kind::Bug } else { Kind::Other };
                        assert_eq!(ending.exit_code(), kind.exit_code(), "{about}: {ending:?}");
                        let (stage, failure) = ending.failure.expect("a failure");
                        assert_eq!(stage, Some(format!("fake {at}")), "{about}");
                        let told = if way == Way::Panic {
                            "panicked: it was told so"
                        } else {
                            "it was told so"
                        };
                        assert!(failure.to_string().ends_with(told), "{about}: {failure}");
                        assert_eq!(ending.left_behind, [""; 0], "{about}");
                        assert_eq!(tally.counts(), [stages, stages, 0, case.sinks()], "{about}");
                        assert_eq!(tally.settled(), [(Settled::RolledBack(Some(kind)), 0)], "{about}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_sink_commits_once() {
    for graph in shapes() {
        for first in [Form::Task, Form::Thread] {
            let case = Case {
                first,
                ..Case::of(graph.clone(), None)
            };
            let (stages, sinks) = (graph.nodes().len(), case.sinks());
            let (ending, tally) = case.run();
            assert_eq!(ending.exit_code(), 0, "{ending:?}");
            assert_eq!(tally.counts(), [stages, stages, sinks, 0]);
            assert_eq!(tally.taken(), 100 * CHUNK as u64 * sinks as u64, "each sink has it all");
            assert_eq!(
                tally.settled(),
                [(Settled::Committed, sinks)],
                "told when all are committed"
            );
            assert!(ending.outputs.iter().all(|(_, fate)| *fate == Fate::Committed));
        }
    }
}

#[test]
fn huge_time_limits_never_come() {
    let settings = Settings {
        timeout: Some(Duration::MAX),
        stall_timeout: Some(Duration::MAX),
        min_rate: Some(MinRate {
            rate: 1,
            grace: Duration::MAX,
        }),
        ..Settings::default()
    };
    let case = Case {
        settings,
        ..Case::new(3, None)
    };
    let (ending, tally) = case.run();
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    assert_eq!(tally.counts(), [3, 3, 1, 0]);
}

#[test]
fn early_end_stops_the_stages_before() {
    for first in [Form::Task, Form::Thread] {
        let case = Case {
            ends_early: vec![2],
            first,
            ..Case::new(5, Some((1, Way::Hang, Moment::Start)))
        };
        let (ending, tally) = case.run();
        assert_eq!(ending.exit_code(), 0, "{ending:?}");
        assert_eq!(tally.counts(), [5, 5, 1, 0]);
    }
}

#[test]
fn early_branch_end_keeps_the_others() {
    for graph in [fork(2), fork(5), nested()] {
        let ending_early = graph.nodes().filter(|node| {
            let is_fork = graph.outputs(*node).len() > 1;
            graph.input(*node).is_some() && !graph.is_sink(*node) && !is_fork
        });
        for early in ending_early {
            let case = Case {
                ends_early: vec![early.number()],
                ..Case::of(graph.clone(), None)
            };
            let (stages, sinks) = (graph.nodes().len(), case.sinks());
            let (ending, tally) = case.run();
            assert_eq!(ending.exit_code(), 0, "{early}: {ending:?}");
            assert_eq!(tally.counts(), [stages, stages, sinks, 0], "{early}");
            let starved = graph.behind(early).filter(|node| graph.is_sink(*node)).count();
            assert_eq!(tally.taken(), 100 * CHUNK as u64 * (sinks - starved) as u64, "{early}");
        }
    }
}

/// The innermost branch that a node stands in, where each fork's first `count` outputs are branches: its first node.
fn branch_of(graph: &Graph, node: NodeId, count: usize) -> Option<NodeId> {
    let fork = graph.upstream(node)?;
    let index = graph.downstream(fork).position(|next| next == node)?;
    if graph.outputs(fork).len() > 1 && index < count {
        Some(node)
    } else {
        branch_of(graph, fork, count)
    }
}

/// An error and a panic of each node at each of its moments: only a sink commits.
fn faults(graph: &Graph) -> Vec<(NodeId, Way, Moment)> {
    let mut faults = Vec::new();
    for node in graph.nodes() {
        for moment in [Moment::Start, Moment::Midway, Moment::End, Moment::Commit] {
            if moment != Moment::Commit || graph.is_sink(node) {
                faults.extend([Way::Error, Way::Panic].map(|way| (node, way, moment)));
            }
        }
    }
    faults
}

#[test]
fn a_failed_branch_is_rolled_back_alone() {
    for (graph, count) in [(fork(2), 1), (fork(2), 2), (fork(5), 4), (nested(), 1), (nested(), 3)] {
        let stages = graph.nodes().len();
        for (at, way, moment) in faults(&graph) {
            for (first, are_optional) in [(Form::Task, false), (Form::Thread, true)] {
                let case = Case {
                    first,
                    branches: Branches {
                        count,
                        go_on: true,
                        are_optional,
                        detach: None,
                    },
                    ..Case::of(graph.clone(), Some((at.number(), way, moment)))
                };
                let about = format!("{way:?} of stage {at}, {moment:?}, first a {first:?}, {count} of {graph:?}");
                let (ending, tally) = case.run();
                let lost = branch_of(&graph, at, count);
                let is_lost = |node: NodeId| lost.is_none_or(|top| node == top || graph.is_before(top, node));
                // A sink whose turn came before stays.
                let is_committed = |sink: &NodeId| !is_lost(*sink) || (moment == Moment::Commit && *sink < at);
                let committed: Vec<NodeId> = graph.sinks().filter(is_committed).collect();
                let is_good = lost.is_some() && are_optional;
                let kind = if way == Way::Panic { Kind::Bug } else { Kind::Other };
                assert_eq!(
                    ending.exit_code(),
                    if is_good { 0 } else { kind.exit_code() },
                    "{about}: {ending:?}"
                );
                let rolled_back = case.sinks() - committed.len();
                assert_eq!(
                    tally.counts(),
                    [stages, stages, committed.len(), rolled_back],
                    "{about}"
                );
                for (sink, fate) in &ending.outputs {
                    assert_eq!(*fate == Fate::Committed, committed.contains(sink), "{about}: {sink}");
                }
                let told = if is_good {
                    Settled::Committed
                } else {
                    Settled::RolledBack(Some(kind))
                };
                assert_eq!(tally.settled(), [(told, committed.len())], "{about}");
                // A line for an optional branch, and for each output that stays of what has failed.
                let kept = committed.iter().filter(|sink| is_lost(**sink)).count();
                let lines = kept + usize::from(is_good);
                assert_eq!(ending.left_behind.len(), lines, "{about}: {ending:?}");
            }
        }
    }
}

#[test]
fn source_stops_when_all_branches_end() {
    let case = Case {
        ends_early: vec![2, 4, 6],
        ..Case::of(fork(3), Some((0, Way::Hang, Moment::Midway)))
    };
    let (ending, tally) = case.run();
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    assert_eq!(tally.counts(), [8, 8, 3, 0]);
}

#[test]
fn stop_without_reason_is_a_bug() {
    for graph in [Graph::chain(3), fork(2)] {
        let stages = graph.nodes().len();
        // A branch of a fork that leaves without a reason ends only its own path.
        for at in 0..stages {
            for moment in [Moment::Start, Moment::Midway, Moment::End] {
                let ends = Case {
                    ends_early: Vec::new(),
                    ..Case::of(graph.clone(), Some((at, Way::Leave, moment)))
                };
                if !graph.is_chain() && moment != Moment::End {
                    continue;
                }
                let (ending, tally) = ends.run();
                assert_eq!(ending.exit_code(), 70, "{at}, {moment:?}: {ending:?}");
                let [started, closed, committed, rolled_back] = tally.counts();
                assert_eq!([started, closed, committed], [stages, stages, 0], "{at}, {moment:?}");
                assert_eq!(rolled_back, ends.sinks(), "{at}, {moment:?}");
            }
        }
    }
}

#[test]
fn sinks_commit_by_phase_then_order() {
    let case = Case {
        phases: vec![Phase::Name, Phase::Remote, Phase::Drained, Phase::Remote, Phase::Name],
        ..Case::of(fork(5), None)
    };
    let (ending, tally) = case.run();
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    assert_eq!(tally.committed(), [7, 5, 9, 3, 11]);
}

#[test]
fn failed_commit_rolls_back_the_waiting() {
    for (failing, committed) in [
        (5, vec![7]),
        (9, vec![7, 5]),
        (3, vec![7, 5, 9]),
        (11, vec![7, 5, 9, 3]),
    ] {
        let case = Case {
            phases: vec![Phase::Name, Phase::Remote, Phase::Drained, Phase::Remote, Phase::Name],
            ..Case::of(fork(5), Some((failing, Way::Error, Moment::Commit)))
        };
        let (ending, tally) = case.run();
        assert_eq!(ending.exit_code(), 1, "{ending:?}");
        assert_eq!(tally.committed(), committed);
        assert_eq!(tally.counts()[3], 5 - committed.len(), "the rest is rolled back");
        let kept: Vec<String> = {
            let mut nodes = committed.clone();
            nodes.sort_unstable();
            let line = |node: usize| format!("fake {node}: was complete before, and stays");
            nodes.into_iter().map(line).collect()
        };
        assert_eq!(ending.left_behind, kept);
        let fates = ending.outputs.iter().filter(|(_, fate)| *fate == Fate::Committed);
        assert_eq!(fates.count(), committed.len());
        assert_eq!(
            tally.settled(),
            [(Settled::RolledBack(Some(Kind::Other)), committed.len())]
        );
    }
}

/// Never returns from `settle`.
struct Deaf;

impl Settle for Deaf {
    fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(std::future::pending())
    }
}

/// Panics in `settle`.
struct Touchy;

impl Settle for Touchy {
    fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async { panic!("it was told so") })
    }
}

#[tokio::test(start_paused = true)]
async fn source_is_settled_within_two_seconds() {
    let begun = tokio::time::Instant::now();
    let mut interrupt = super::interrupt::Interrupt::by(Arc::default(), None);
    let told = settle(&[Arc::new(Deaf)], Settled::Committed, &mut interrupt).await;
    assert!(matches!(told, Ok(false)));
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    let told = settle(&[Arc::new(Touchy)], Settled::Committed, &mut interrupt).await;
    assert!(matches!(told, Ok(true)));
}

/// Runs its sub-pipeline this many times, one after the other, once its input has ended.
struct Owner(usize, Arc<Tally>);

impl TransformPlan for Owner {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Owner {
    fn start(self: Box<Self>, mut input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Task(Box::pin(async move {
            while input.receive().await?.is_some() {}
            for _ in 0..self.0 {
                context.sub_pipelines[0].run(source(&self.1), RunLabel::PLANNED).await?;
            }
            out.finish();
            Ok(())
        }))
    }
}

/// Runs a chain whose second stage runs `case` `runs` times; returns how it ended, and the tallies of the runs and of
/// the chain itself.
fn owned(case: Case, runs: usize, settings: Settings) -> (Ending, Arc<Tally>, Arc<Tally>) {
    let (outer, inner) = (Arc::<Tally>::default(), Arc::<Tally>::default());
    let mut plan = Case::new(3, None).plan(&outer);
    let owner: NodeId = Id::numbered(1);
    plan.stages[owner].plan = crate::plan::StagePlan::Transform(Box::new(Owner(runs, inner.clone())));
    plan.stages[owner].sub_pipelines = vec![sub_plan(case, inner.clone())];
    let ending = super::run(plan, settings, &mut super::fakes::AtFirst::default());
    (ending, inner, outer)
}

#[test]
fn stage_runs_its_sub_pipeline_repeatedly() {
    let (ending, inner, outer) = owned(Case::of(fork(2), None), 7, Settings::default());
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    assert_eq!(inner.counts(), [7 * 6, 7 * 6, 7 * 2, 0]);
    assert_eq!(inner.settled().len(), 7, "each source is told");
    assert_eq!(outer.counts(), [2, 2, 1, 0]);
}

#[test]
fn sub_pipeline_failure_fails_the_stage() {
    let case = Case::of(fork(2), Some((3, Way::Error, Moment::End)));
    let (ending, inner, outer) = owned(case, 7, Settings::default());
    assert_eq!(ending.exit_code(), 1);
    let (stage, failure) = ending.failure.expect("a failure");
    assert_eq!(stage.as_deref(), Some("fake 1"));
    assert_eq!(failure.to_string(), "fake 3: cannot go on: it was told so");
    assert_eq!(inner.counts(), [6, 6, 0, 2]);
    assert_eq!(outer.counts(), [2, 2, 0, 1]);
}

#[test]
fn stopped_stage_stops_its_sub_pipeline() {
    let case = Case::of(fork(2), Some((3, Way::Hang, Moment::End)));
    // Long enough for all stages to have begun.
    let settings = Settings {
        timeout: Some(Duration::from_millis(500)),
        ..Settings::default()
    };
    let (ending, inner, outer) = owned(case, 7, settings);
    assert_eq!(ending.exit_code(), 8, "{ending:?}");
    assert_eq!(ending.left_behind, [""; 0]);
    assert_eq!(inner.counts(), [6, 6, 0, 2]);
    assert_eq!(outer.counts(), [2, 2, 0, 1]);
}
