//! Whether a chain can go on where an earlier run of it ended.
//!
//! That takes a source that can be read from the middle, and transforms that need nothing of what comes before it.

use crate::error::Problem;
use crate::stage::{SinkPlan, SourcePlan, TransformPlan};

use super::{Needs, Planned};

/// What keeps the chain from it, where its sink asks for it. All stages could be planned, and `needs` has their places in
/// the text.
pub fn problems(
    source: Option<&Planned<Box<dyn SourcePlan>>>,
    transforms: &[Planned<Box<dyn TransformPlan>>],
    sink: Option<&Planned<Box<dyn SinkPlan>>>,
    needs: &[Needs],
) -> Vec<Problem> {
    if !sink.is_some_and(|sink| sink.plan.resumes()) {
        return Vec::new();
    }
    let source = source.map_or(Err("standard input"), |source| source.plan.can_resume());
    let unfit = source.err().map(|what| {
        Problem::at(
            needs[0].span.clone(),
            "resume=true needs a source that can be read from the middle",
        )
        .label(format!("this is {what}"))
        .help("read one regular file, or leave resume=true out")
    });
    let changing = transforms
        .iter()
        .zip(&needs[1..])
        .filter(|(transform, _)| !transform.plan.starts_anywhere());
    let changing = changing.map(|(transform, needs)| {
        let message = format!(
            "`{}` cannot start in the middle, as resume=true needs it",
            transform.name
        );
        Problem::at(needs.span.clone(), message)
            .label("needs the stream from its beginning")
            .help("only throttle and buffer may stand between; leave one of the two out")
    });
    unfit.into_iter().chain(changing).collect()
}
