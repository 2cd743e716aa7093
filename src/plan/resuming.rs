//! Checks that a pipeline can continue an earlier run.
//!
//! That needs a source that can be read from the middle, transforms that need nothing of what comes before it, and no
//! second sink whose bytes would be missing.

use crate::error::Problem;
use crate::graph::{Graph, NodeMap};
use crate::stage::PassThrough;

use super::budget::Demand;
use super::{Planned, StagePlan};

/// What prevents it, if a sink has `resume`. `demands` have the stages' places in the text.
pub fn problems(graph: &Graph, stages: &mut NodeMap<Planned<StagePlan>>, demands: &NodeMap<Demand>) -> Vec<Problem> {
    let mut resumes = |node| stages[node].plan.resume_key().is_some();
    let Some(sink) = graph.sinks().find(|node| resumes(*node)) else {
        return Vec::new();
    };
    let at = |node, message: String| Problem::at(demands[node].span.clone(), message);
    if !graph.is_chain() {
        let problem = at(sink, "resume=true needs a pipeline without branches".to_owned());
        return vec![problem.help("write the other copies in a run of their own")];
    }
    stages
        .iter()
        .filter_map(|(node, stage)| match &stage.plan {
            StagePlan::Source(source) => source.can_resume().err().map(|what| {
                let message = "resume=true needs a source that can be read from the middle";
                at(node, message.to_owned())
                    .label(format!("this is {what}"))
                    .help("read one regular file or one http:// resource, or leave resume=true out")
            }),
            StagePlan::Transform(transform) if !transform.pass_through().is_some_and(PassThrough::starts_anywhere) => {
                let name = stage.name;
                let message = format!("`{name}` cannot start in the middle, as resume=true needs it");
                let problem = at(node, message)
                    .label("needs the stream from its beginning")
                    .help("only throttle and buffer may stand between; leave one of the two out");
                Some(problem)
            }
            _ => None,
        })
        .collect()
}
