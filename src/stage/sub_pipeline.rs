//! A pipeline that a stage starts itself, any number of times.

use super::{BoxFuture, Outcome, Source};

/// A planned pipeline that belongs to a stage. Each run opens its sinks, has one first error, and commits or rolls
/// back; it ends when the stage is told to stop. All runs together stay within the share of the ceiling that the plan
/// gave the stage.
pub trait SubPipeline: Send + Sync + std::fmt::Debug {
    /// The most memory that one run uses, in bytes.
    fn memory(&self) -> u64;
    /// Runs it once, with `source` as its input. Succeeds when every output is committed.
    ///
    /// # Errors
    /// The first error of the run.
    fn run(&self, source: Source) -> BoxFuture<'static, Outcome>;
}
