//! Prepares a pipeline that can continue an earlier run.
//!
//! That needs a source that can be read from the middle, transforms that can start there, and no second sink whose
//! bytes would be missing.

use crate::error::Problem;
use crate::graph::{Graph, NodeMap};
use crate::stage::Resumption;

use super::budget::Demand;
use super::{Planned, StagePlan};

/// What a run repeats at worst of an earlier one that was killed. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// After how many bytes that are read or written the sink notes how far it has come.
    pub checkpoint: u64,
    /// Input that stages hold back besides their links.
    pub held_back: u64,
}

/// Prepares the stages if a sink continues earlier runs of the pipeline, whose normalised text is `text`. `demands`
/// have the stages' places in the text; a stage may need more memory from then on.
pub fn prepare(
    graph: &Graph,
    stages: &mut NodeMap<Planned<StagePlan>>,
    demands: &mut NodeMap<Demand>,
    text: &str,
) -> Result<Option<Repeats>, Vec<Problem>> {
    let asked = graph
        .sinks()
        .find_map(|node| Some((node, stages[node].plan.as_sink()?.checkpoints()?)));
    let Some((sink, (option, checkpoint))) = asked else {
        return Ok(None);
    };
    let at = |demands: &NodeMap<Demand>, node, message: String| Problem::at(demands[node].span.clone(), message);
    if !graph.is_chain() {
        let problem = at(demands, sink, format!("{option} needs a pipeline without branches"));
        return Err(vec![problem.help("write the other copies in a run of their own")]);
    }
    let mut problems = Vec::new();
    let mut found = Resumption {
        pipeline: text.to_owned(),
        ..Resumption::default()
    };
    for (node, stage) in stages.iter_mut() {
        match &mut stage.plan {
            StagePlan::Source(source) => match source.can_resume() {
                Ok(()) => {
                    source.mark_positions();
                    found.source = source.identity();
                }
                Err(what) => {
                    let message = format!("{option} needs a source that can be read from the middle");
                    let problem = at(demands, node, message).label(format!("this is {what}"));
                    problems.push(problem.help(format!(
                        "read one regular file, one http:// resource or one s3:// object, or leave {option} out"
                    )));
                }
            },
            StagePlan::Transform(transform) => match transform.resume() {
                Ok(resume) => {
                    found.states.extend(resume.prepare());
                    found.effects.extend(resume.effect());
                    found.held_back += resume.held_back();
                }
                Err(why) => {
                    let message = format!("`{}` cannot start in the middle, as {option} needs it", stage.name);
                    let problem = at(demands, node, message).label(why);
                    problems.push(
                        problem
                            .help("gzip, zstd, hash, throttle and buffer may stand between; leave one of the two out"),
                    );
                }
            },
            StagePlan::Branch(_) | StagePlan::Sink(_) => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut repeats = Repeats {
        checkpoint,
        held_back: found.held_back,
    };
    if let StagePlan::Sink(place) = &mut stages[sink].plan
        && let Some(resumption) = place.resumption()
    {
        *resumption = found;
        repeats.checkpoint = place.checkpoints().map_or(checkpoint, |(_, bytes)| bytes);
    }
    for (demand, stage) in demands.values_mut().iter_mut().zip(stages.values()) {
        demand.state = stage.state_bytes();
    }
    Ok(Some(repeats))
}
