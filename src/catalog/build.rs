//! What a stage's definition builds.

use crate::error::Problem;
use crate::stage::{Source, TransformPlan};

use super::{Args, Placed};

/// Makes a stage's plan from its checked arguments. What the arguments cannot be together is the stage's to refuse.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// Stands first.
    Source(fn(&Args) -> Result<Source, Problem>),
    /// Stands anywhere.
    Transform(fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>),
    /// Stands last.
    Sink(fn(&Args) -> Placed),
}
