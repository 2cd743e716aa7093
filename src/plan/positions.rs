//! Checks that what is read of a source can be followed to where it is durable.
//!
//! A source that notes what is durable needs sinks that make it durable while the run goes on, and stages that pass its
//! positions on.

use crate::error::Problem;
use crate::graph::{Graph, NodeId, NodeMap};
use crate::stage::{Endpoint, Source};

use super::budget::Demand;
use super::{Planned, StagePlan};

/// What prevents it. `demands` have the stages' places in the text.
pub fn problems(graph: &Graph, stages: &NodeMap<Planned<StagePlan>>, demands: &NodeMap<Demand>) -> Vec<Problem> {
    let source = &stages[graph.root()];
    let Some(acknowledged) = source.plan.as_source().and_then(Source::acknowledged) else {
        return Vec::new();
    };
    let label = format!("{}= needs to know", acknowledged.parameter);
    let at = |node, message: String| Problem::at(demands[node].span.clone(), message);
    let named = |node| &stages[node].name;
    let through = stages.iter().filter_map(|(node, stage)| match &stage.plan {
        StagePlan::Transform(transform) if !transform.keeps_positions() && !is_optional(graph, stages, node) => {
            let message = format!("behind `{}` it is not known what is durable of the source", named(node));
            let help =
                "put it into the pipeline of `batch`: lines | batch every=1m (from-json | gzip | write {position}.gz)";
            Some(at(node, message).label(label.clone()).help(help))
        }
        _ => None,
    });
    let required = || graph.sinks().filter(|node| !is_optional(graph, stages, *node));
    let is_alone = required().count() == 1;
    let keeps_parts = |node: NodeId| stages[node].plan.as_sink().is_some_and(Endpoint::keeps_parts);
    let ends = required()
        .filter(|node| stages[*node].sub_pipelines.is_empty() && !(is_alone && keeps_parts(*node)))
        .map(|node| {
            let message = if keeps_parts(node) {
                format!("`{}` can say what is durable only as the only sink", named(node))
            } else {
                format!("`{}` makes nothing durable before the run ends", named(node))
            };
            let otherwise = if acknowledged.is_optional {
                format!("; or leave {}= out", acknowledged.parameter)
            } else {
                String::new()
            };
            let help = format!(
                "end in `batch`, as in batch every=1m (write {{position}}), or in one file that is appended to and synced: write FILE append=true{otherwise}"
            );
            at(node, message).label(format!("{label} what is durable")).help(help)
        });
    through.chain(ends).collect()
}

/// Whether a stage is in a branch without which the run can succeed: nothing waits for what it makes durable.
fn is_optional(graph: &Graph, stages: &NodeMap<Planned<StagePlan>>, stage: NodeId) -> bool {
    graph.before(stage).any(|fork| {
        let StagePlan::Branch(branch) = &stages[fork].plan else {
            return false;
        };
        let branches = branch.branches();
        let mut outputs = graph.outputs(fork).iter();
        let towards = graph.towards(fork, stage);
        branches.are_optional && outputs.position(|edge| Some(*edge) == towards) < Some(branches.count)
    })
}
