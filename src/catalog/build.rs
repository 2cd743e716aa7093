//! The functions that build a stage.

use crate::error::Problem;
use crate::stage::{BranchPlan, Source, TransformPlan};

use super::{Args, Placed};

/// Makes a stage's plan from its checked arguments. The function refuses invalid combinations of them.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// The first stage.
    Source(fn(&Args) -> Result<Source, Problem>),
    /// A stage at any position.
    Transform(fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>),
    /// A stage where the stream splits.
    Branch(fn(&Args) -> Result<Box<dyn BranchPlan>, Problem>),
    /// The last stage.
    Sink(fn(&Args) -> Placed),
    /// A stage at any position, with a different plan at each.
    Anywhere {
        /// At the beginning.
        source: fn(&Args) -> Result<Source, Problem>,
        /// Between two stages, and at the end of the main pipeline, before standard output.
        transform: fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>,
        /// At the end of a branch.
        sink: fn(&Args) -> Placed,
    },
}
