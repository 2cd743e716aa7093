//! Starting a stage's work, and hearing how it ended, whatever way that was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::endpoints::OpenSideFile;
use crate::error::{Failure, Kind, Stop, bug};
use crate::flow::StageMeter;
use crate::graph::NodeId;
use crate::platform;
use crate::stage::{Cancel, Outcome, Work};

use super::direct::Direct;

/// A stage and how it ended. There is one for each stage, so the channel is bounded by their number.
pub type Reports = UnboundedSender<(NodeId, Outcome)>;

/// What a stage's thread has for its stack. Codecs keep their state on the heap; what is not touched costs nothing.
const STACK: usize = 512 << 10;

/// Starts the work of a stage; its ending is reported once.
pub fn start(node: NodeId, name: &str, work: Work, meter: Arc<StageMeter>, reports: Reports) {
    match work {
        Work::Task(task) => {
            let task = tokio::spawn(task);
            tokio::spawn(async move {
                let outcome = match task.await {
                    Ok(outcome) => outcome,
                    Err(error) => match error.try_into_panic() {
                        Ok(payload) => Err(bug(&*payload).into()),
                        Err(_) => Err(Stop::PeerClosed),
                    },
                };
                meter.end();
                let _ = reports.send((node, outcome));
            });
        }
        Work::Thread(work) => {
            let told = reports.clone();
            let spawned = spawn(format!("{node} {name}"), move || {
                let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(bug(&*payload).into()));
                meter.end();
                let _ = told.send((node, outcome));
            });
            if let Err(failure) = spawned {
                let _ = reports.send((node, Err(failure.into())));
            }
        }
    }
}

/// Starts a direct path, which is the two stages `ends` on one thread.
pub fn start_direct(ends: [NodeId; 2], direct: Direct, reports: &Reports) {
    let meters = [direct.from.meter.clone(), direct.to.meter.clone()];
    let told = reports.clone();
    let spawned = spawn("direct path".to_owned(), move || {
        let outcomes = catch_unwind(AssertUnwindSafe(|| direct.run()))
            .unwrap_or_else(|payload| [Err(bug(&*payload).into()), Err(Stop::PeerClosed)]);
        for meter in meters {
            meter.end();
        }
        for report in ends.into_iter().zip(outcomes) {
            let _ = told.send(report);
        }
    });
    if let Err(failure) = spawned {
        let _ = reports.send((ends[0], Err(failure.into())));
        let _ = reports.send((ends[1], Err(Stop::PeerClosed)));
    }
}

/// Puts the side file of a stage in its place, on a thread of its own where there is one left: everything else is done,
/// so that is no reason to fail.
pub async fn commit(node: NodeId, file: Arc<OpenSideFile>, cancel: Arc<Cancel>) -> Result<(), Failure> {
    let (told, committed) = oneshot::channel();
    let spawned = spawn(format!("{node} commit"), {
        let (file, cancel) = (file.clone(), cancel.clone());
        move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| file.commit(&cancel)));
            let _ = told.send(outcome.unwrap_or_else(|payload| Err(bug(&*payload).into())));
        }
    });
    let outcome = match spawned {
        Ok(()) => committed.await.unwrap_or(Err(Stop::PeerClosed)),
        Err(_) => file.commit(&cancel),
    };
    outcome.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::PeerClosed => {
            let why = "a side file was rolled back before its commit";
            Failure::because(Kind::Bug, "a bug in highwater", why)
        }
    })
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    platform::spawn(name, STACK, work)
        .map(drop)
        .map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::graph::Graph;

    /// What is reported of a stage's work; by then it has ended.
    async fn reported(work: Work) -> Outcome {
        let meter = Arc::new(StageMeter::new(Instant::now()));
        let (sender, mut reports) = unbounded_channel();
        let node = Graph::new().root();
        start(node, "fake", work, meter.clone(), sender);
        let (reporting, outcome) = reports.recv().await.expect("a report");
        assert_eq!(reporting, node);
        assert!(meter.times().ended_at.is_some());
        assert!(reports.recv().await.is_none(), "there is one report");
        outcome
    }

    #[tokio::test]
    async fn an_ended_stage_is_reported_once_whatever_way_it_ended() {
        fn panics() -> Outcome {
            panic!("it was told so")
        }
        let task = |run: fn() -> Outcome| Work::Task(Box::pin(async move { run() }));
        let thread = |run: fn() -> Outcome| Work::Thread(Box::new(run));
        for works in [task, thread] as [fn(_) -> _; 2] {
            assert!(reported(works(|| Ok(()))).await.is_ok());
            assert!(matches!(
                reported(works(|| Err(Stop::PeerClosed))).await,
                Err(Stop::PeerClosed)
            ));
            let panicked = reported(works(panics)).await;
            assert!(
                matches!(&panicked, Err(Stop::Failed(failure)) if failure.kind() == Kind::Bug),
                "{panicked:?}"
            );
        }
    }
}
