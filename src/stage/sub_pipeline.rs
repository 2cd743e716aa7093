//! A pipeline that a stage starts itself, any number of times.

use super::{BoxFuture, Outcome, Source};

/// A planned pipeline in the hands of a stage. Each run is one of its own: it opens its sinks, has one first error, and
/// commits or rolls back; it ends when the stage is told to stop. All runs together stay within the share of the ceiling
/// that the plan gave the stage.
pub trait SubPipeline: Send + Sync + std::fmt::Debug {
    /// Bytes of memory that one run takes at most.
    fn memory(&self) -> u64;
    /// Runs it once, over what `source` gives. Ends well when every output is committed.
    ///
    /// # Errors
    /// The first error of the run.
    fn run(&self, source: Source) -> BoxFuture<'static, Outcome>;
}
