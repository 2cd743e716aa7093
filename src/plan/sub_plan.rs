//! Pipelines that a stage starts itself, any number of times.

use std::fmt;
use std::sync::Arc;

use crate::endpoints::{BatchInput, write};
use crate::error::{Failure, Kind, Problem};
use crate::grammar::Script;
use crate::stage::{RunLabel, Source};

use super::names::Names;
use super::{Ends, Limits, Plan};

/// A pipeline that a stage starts any number of times.
pub struct SubPlan {
    /// Plans one run of it over a source.
    pub plan: Box<PlanRun>,
    /// The most memory that all its runs use at the same time, in bytes: part of the stage's own state.
    pub memory: u64,
    /// Whether one run may be filled while the one before it is committed: they have no output in common.
    pub overlaps: bool,
    /// Plans a run of it with the names as they are written, to be shown; `None` if that is not possible.
    pub shown: Box<dyn Fn() -> Option<Plan> + Send + Sync>,
}

/// Plans one run of a sub-pipeline over a source.
pub type PlanRun = dyn Fn(Source, RunLabel) -> Result<Plan, Failure> + Send + Sync;

impl SubPlan {
    /// Plans a pipeline of which two run at the same time: one is being filled while another is being committed.
    pub(super) fn of_batches(script: Script, limits: Limits) -> Result<Self, Vec<Problem>> {
        let names = Arc::new(Names::new(script)?);
        let limits = Limits { memory: None, ..limits };
        let ends = |source| Ends {
            source,
            // A pipeline in a stage has a sink of its own.
            sink: write::standard_output(),
            feeds_programs: true,
        };
        let planned = names.planned();
        let trial = |limits| {
            let source = Source::of(Box::new(BatchInput::planned()));
            Plan::between(ends(source), &planned, Vec::new(), limits)
        };
        trial(limits).map_err(|error| error.problems)?;
        let share = share(|memory| {
            let memory = Some(memory);
            trial(Limits { memory, ..limits }).ok()
        });
        let limits = Limits {
            memory: Some(share),
            ..limits
        };
        let overlaps = !names.share_output();
        let written = names.clone();
        let shown = move || {
            let input = Source::of(Box::new(BatchInput::planned()));
            Plan::between(ends(input), written.script(), Vec::new(), limits).ok()
        };
        let plan = move |source, label| {
            let script = names.of(label)?;
            Plan::between(ends(source), &script, Vec::new(), limits).map_err(|error| {
                let why = error
                    .problems
                    .first()
                    .map_or_else(String::new, |problem| problem.message.clone());
                Failure::because(Kind::Sink, "cannot begin a batch", why)
            })
        };
        Ok(Self {
            plan: Box::new(plan),
            memory: if overlaps { 2 * share } else { share },
            overlaps,
            shown: Box::new(shown),
        })
    }
}

impl SubPlan {
    /// How many of its runs there are at the same time, at most.
    #[must_use]
    pub fn at_once(&self) -> usize {
        if self.overlaps { 2 } else { 1 }
    }
}

impl fmt::Debug for SubPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubPlan")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// The share of a run, in bytes, unless the user sets it: the least with which every link of it has 256 KiB. `plan` plans
/// it with a ceiling, if it fits.
pub fn share(plan: impl Fn(u64) -> Option<Plan>) -> u64 {
    const LINK: u64 = 256 << 10;
    const STEP: u64 = 64 << 10;
    /// More than there is: the pipeline was planned without a limit before.
    const MOST: u64 = 1 << 50;
    let is_enough = |steps: u64| {
        plan(steps * STEP).is_some_and(|plan| {
            let links = plan.memory.links.iter();
            let mut open = links.filter(|(edge, _)| !plan.memory.explicit_marks[*edge]);
            open.all(|(_, marks)| marks.high >= LINK)
        })
    };
    let (mut too_little, mut enough) = (0, 1);
    while !is_enough(enough) && enough < MOST / STEP {
        (too_little, enough) = (enough, 2 * enough);
    }
    while enough - too_little > 1 {
        let middle = too_little.midpoint(enough);
        *(if is_enough(middle) {
            &mut enough
        } else {
            &mut too_little
        }) = middle;
    }
    enough * STEP
}
