//! Runs a plan: opens its endpoints in order, starts its stages, determines the run's one error, and joins everything.
//!
//! The engine runs on the calling thread, on a single-threaded runtime: connections, timers and stages that only wait
//! run there; stages that touch disks or compute have threads of their own. It prints nothing. A view implements
//! [`Observer`] and reads the [`Watch`] from a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind};
use crate::graph::NodeId;
use crate::plan::Plan;
use crate::platform::reactor;
use crate::stage::{Cancel, Settled};

mod batch_sample;
mod bottleneck;
mod commit;
mod controls;
mod direct;
mod ending;
#[cfg(test)]
mod fake_places;
#[cfg(test)]
mod fake_runs;
#[cfg(test)]
mod fakes;
mod filling;
mod guard;
mod interrupt;
mod min_rate;
mod observed;
mod opening;
mod overrun;
mod pause_point;
mod progress;
mod rounds;
mod running;
mod sampler;
mod share;
mod snapshot;
mod stall;
mod start;
mod sub_run;
#[cfg(test)]
mod truth;
mod verdict;
mod watch;

pub use batch_sample::BatchSample;
pub use commit::Fate;
pub use controls::{Controls, Throttle, Unsteerable, Which};
pub use direct::DirectPath;
pub use filling::LinkSample;
pub use min_rate::MinRate;
pub use observed::{Observed, ProgramReading, Reading, StageReading};
pub use progress::{Need, Progress};
pub use sampler::Sampler;
pub use share::{Parts, Share, Spent, share};
pub use snapshot::{
    ChildSample, FileSample, Moment, Origin, QueueSample, RateLimit, RecordCounts, RunSample, Snapshot, StageSample,
};
pub use watch::Watch;

use interrupt::Interrupt;

/// The limits that can end a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// The whole run must end within this time.
    pub timeout: Option<Duration>,
    /// Some byte must move within this time; the waits of a throttle do not count.
    pub stall_timeout: Option<Duration>,
    /// Resident memory, in bytes, at which the run is stopped.
    pub max_rss: Option<u64>,
    /// The lowest rate of the sink.
    pub min_rate: Option<MinRate>,
    /// How long a run that drains may take to commit what it has read, after a signal.
    pub drain: Duration,
    /// A run that ends within this time is not shown.
    pub brief: Duration,
}

/// Notified of the events of a run.
pub trait Observer {
    /// A listener is bound: peers may connect to `url` now.
    fn listening(&mut self, url: &str);
    /// The run continues an earlier one, which has read that many bytes of the source.
    fn resuming(&mut self, _read: u64) {}
    /// Everything is open and the stages are about to run.
    fn started(&mut self, watch: &Arc<Watch>);
    /// The run has lasted longer than [`Settings::brief`]: a view starts now.
    fn goes_on(&mut self) {}
    /// A signal has come: nothing more is read, and what was read is being committed.
    fn draining(&mut self) {}
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// The one error, and the text of the stage where it happened; `None` for the run as a whole.
    pub failure: Option<(Option<String>, Failure)>,
    /// The signal that ended the run.
    pub signal: Option<i32>,
    /// The signal after which the run only committed what it had read.
    pub drained_by: Option<i32>,
    /// Stages that did not stop in time, and outputs that could not be rolled back: one line each.
    pub left_behind: Vec<String>,
    /// The state of the output of each sink, once the stages were started.
    pub outputs: Vec<(NodeId, Fate)>,
}

impl Ending {
    /// The exit code of the contract. A run that was ended by a signal exits by raising it again.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (
            &self.failure,
            self.signal.or(self.drained_by.filter(|_| self.is_good())),
        ) {
            (_, Some(signal)) => 128 + u8::try_from(signal).unwrap_or(0),
            (Some((_, failure)), None) => failure.kind().exit_code(),
            (None, None) => 0,
        }
    }

    /// What the sources are told.
    fn settled(&self) -> Settled {
        if self.is_good() {
            Settled::Committed
        } else {
            Settled::RolledBack(self.failure.as_ref().map(|(_, failure)| failure.kind()))
        }
    }

    /// Whether the run succeeded.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.signal.is_none()
    }

    fn failed(stage: Option<String>, failure: Failure) -> Self {
        Self {
            failure: Some((stage, failure)),
            ..Self::default()
        }
    }
}

/// Runs a plan to its end.
pub fn run(plan: Plan, settings: Settings, observer: &mut (dyn Observer + Send)) -> Ending {
    let runtime = match reactor() {
        Ok(runtime) => runtime,
        Err(error) => return Ending::failed(None, Failure::io(Kind::Resources, "cannot start", error)),
    };
    // A deadline too far ahead for the clock never comes.
    let deadline = settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    runtime.block_on(async {
        match Interrupt::new(deadline) {
            Ok(mut interrupt) => conduct(plan, settings, observer, &mut interrupt).await,
            Err(failure) => Ending::failed(None, failure),
        }
    })
}

/// Runs a plan to its end on the reactor of the calling task, or until `owner` is tripped. No signal ends it.
pub async fn run_until(
    plan: Plan,
    settings: Settings,
    observer: &mut (dyn Observer + Send),
    owner: Arc<Cancel>,
) -> Ending {
    let deadline = settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut interrupt = Interrupt::by(owner, deadline);
    conduct(plan, settings, observer, &mut interrupt).await
}

/// Opens a plan and runs it to its end: a whole run, or one that a stage starts.
async fn conduct(
    plan: Plan,
    settings: Settings,
    observer: &mut (dyn Observer + Send),
    interrupt: &mut Interrupt,
) -> Ending {
    let opened = tokio::select! {
        opened = opening::open(plan, observer, interrupt) => opened,
        ending = stall::stalled(settings.stall_timeout) => Err(ending),
    };
    match opened {
        Ok(opened) => running::run(opened, settings, observer, interrupt).await,
        Err(ending) => ending,
    }
}
