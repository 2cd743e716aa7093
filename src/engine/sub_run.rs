//! Runs of a pipeline that a stage owns.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::error::{Failure, Kind, Stop, bug};
use crate::plan::SubPlan;
use crate::stage::{BoxFuture, Cancel, Outcome, RunLabel, Source, SubPipeline};

use super::interrupt::Interrupt;
use super::{Ending, Observer, Settings, Watch, conduct};

/// A stage's own pipeline, whose runs end when the stage is told to stop.
pub struct SubRun {
    plan: Arc<SubPlan>,
    cancel: Arc<Cancel>,
    runtime: Handle,
}

impl SubRun {
    /// The pipeline of a stage that `cancel` stops; must be called on the engine's runtime.
    pub fn new(plan: SubPlan, cancel: Arc<Cancel>) -> Self {
        Self {
            plan: Arc::new(plan),
            cancel,
            runtime: Handle::current(),
        }
    }
}

impl SubPipeline for SubRun {
    fn overlaps(&self) -> bool {
        self.plan.overlaps
    }

    fn memory(&self) -> u64 {
        self.plan.memory
    }

    fn run(&self, source: Source, label: RunLabel) -> BoxFuture<'static, Outcome> {
        let (plan, cancel) = (self.plan.clone(), self.cancel.clone());
        let run = self.runtime.spawn(async move {
            let plan = (plan.plan)(source, label)?;
            let mut interrupt = Interrupt::by(cancel.clone(), None);
            let ending = conduct(plan, Settings::default(), &mut Unseen, &mut interrupt).await;
            outcome(ending, &cancel)
        });
        Box::pin(async move {
            run.await.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(payload) => Err(bug(&*payload).into()),
                Err(_) => Err(Stop::PeerClosed),
            })
        })
    }
}

impl fmt::Debug for SubRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubRun")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// How the run ended, as the owning stage sees it.
fn outcome(ending: Ending, cancel: &Cancel) -> Outcome {
    for left in &ending.left_behind {
        tracing::error!("{left}");
    }
    match ending.failure {
        _ if cancel.is_tripped() && !ending.is_good() => Err(Stop::PeerClosed),
        Some((Some(stage), failure)) => Err(failure.within(&stage).into()),
        Some((None, failure)) => Err(failure.into()),
        None if ending.is_good() => Ok(()),
        None => Err(Failure::because(Kind::Bug, "a bug in highwater", "a run ended and did not say how").into()),
    }
}

/// An observer that ignores everything.
struct Unseen;

impl Observer for Unseen {
    fn listening(&mut self, _: &str) {}
    fn started(&mut self, _: &Arc<Watch>) {}
}
