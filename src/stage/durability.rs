//! Up to which position of the source's input the sinks have made everything durable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::flow::Position;

use super::{Findings, Outcome, Settle, SinkEnd};

/// The positions of all sinks of a run. The source is told the least of them.
pub struct Durability {
    source: Arc<dyn Settle>,
    /// Those of the source's stage.
    findings: Arc<Findings>,
    sinks: Mutex<Vec<Option<Position>>>,
}

impl Durability {
    /// Those of `sinks` sinks, none of which has anything yet.
    #[must_use]
    pub fn new(source: Arc<dyn Settle>, findings: Arc<Findings>, sinks: usize) -> Arc<Self> {
        Arc::new(Self {
            source,
            findings,
            sinks: Mutex::new(vec![None; sinks]),
        })
    }

    fn report(&self, sink: usize, position: Position, end: Option<SinkEnd>) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let least = |sinks: &[Option<Position>]| sinks.iter().copied().min().flatten();
        let before = least(&sinks);
        if let Some(of_sink) = sinks.get_mut(sink) {
            *of_sink = Some(position).max(*of_sink);
        }
        // Under the lock, so that the source is told in order.
        if let Some(now) = least(&sinks).filter(|now| Some(*now) > before) {
            match end {
                Some(end) if sinks.len() == 1 => self.source.acknowledge_with(now, end),
                _ => self.source.acknowledge(now),
            }
            self.findings.set_acknowledged(now);
        }
    }
}

/// Where a sink reports what it has made durable.
#[derive(Clone)]
pub struct Durable {
    run: Arc<Durability>,
    sink: usize,
}

impl Durable {
    /// That of one of the sinks, which are numbered from 0.
    #[must_use]
    pub fn of(run: Arc<Durability>, sink: usize) -> Self {
        Self { run, sink }
    }

    /// Everything up to `position` is durable. Never waits.
    pub fn report(&self, position: Position) {
        self.run.report(self.sink, position, None);
    }

    /// The same of a sink that appends to a file, which ends there now.
    pub fn report_with(&self, position: Position, end: SinkEnd) {
        self.run.report(self.sink, position, Some(end));
    }

    /// Notes where that file ends before anything is added to it. Waits.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn begin_at(&self, end: SinkEnd) -> Outcome {
        if self.run.sinks.lock().unwrap_or_else(PoisonError::into_inner).len() == 1 {
            return self.run.source.begin_at(end);
        }
        Ok(())
    }

    /// Where that file ended with the position from which this run goes on, if an earlier run has noted it.
    #[must_use]
    pub fn earlier(&self) -> Option<SinkEnd> {
        self.run.source.earlier_end()
    }

    /// Notes when the part of the stream was begun that comes next; what is made of it has a name of that time.
    pub fn begin_part(&self, begun: SystemTime) {
        self.run.source.begin_part(begun);
    }

    /// Where this run goes on, and when the part behind that was begun, if an earlier run has noted it.
    #[must_use]
    pub fn earlier_part(&self) -> Option<(Position, SystemTime)> {
        self.run.source.earlier_part()
    }

    /// Waits until the source has noted what it was told so far. Only then may something be committed that comes behind it:
    /// a later run that begins before it would divide the stream in another way.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub async fn noted(&self) -> Outcome {
        self.run.source.noted().await
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BoxFuture, Settled};
    use super::*;
    use crate::error::Failure;

    #[derive(Default)]
    struct Told(Mutex<Vec<u128>>);

    impl Settle for Told {
        fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }

        fn acknowledge(&self, position: Position) {
            self.0.lock().expect("no panic").push(position.0);
        }
    }

    #[test]
    fn source_is_told_the_least() {
        let told = Arc::<Told>::default();
        let findings = Arc::<Findings>::default();
        let run = Durability::new(told.clone(), findings.clone(), 2);
        let [one, other] = [0, 1].map(|sink| Durable::of(run.clone(), sink));
        one.report(Position(5));
        one.report(Position(7));
        other.report(Position(6));
        other.report(Position(3));
        other.report(Position(9));
        one.report(Position(8));
        assert_eq!(*told.0.lock().expect("no panic"), [6, 7, 8]);
        assert_eq!(findings.acknowledged(), Some(Position(8)));
    }
}
