//! What a stage's definition builds.

use crate::error::Problem;
use crate::stage::{BranchPlan, Source, TransformPlan};

use super::{Args, Placed};

/// Makes a stage's plan from its checked arguments. What the arguments cannot be together is the stage's to refuse.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// Stands first.
    Source(fn(&Args) -> Result<Source, Problem>),
    /// Stands anywhere.
    Transform(fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>),
    /// Stands where the stream parts.
    Branch(fn(&Args) -> Result<Box<dyn BranchPlan>, Problem>),
    /// Stands last.
    Sink(fn(&Args) -> Placed),
    /// Stands anywhere, and is something else at each place.
    Anywhere {
        /// At the beginning.
        source: fn(&Args) -> Result<Source, Problem>,
        /// Between two stages, and at the end of the main pipeline, where standard output comes after it.
        transform: fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>,
        /// At the end of a branch.
        sink: fn(&Args) -> Placed,
    },
}
