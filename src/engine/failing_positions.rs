//! Stages that fail in every way at every position of a chain, hang, or want no more: all are closed once, and the one
//! error is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Ending, MinRate, Observer, Sampler, Settings, Watch, run};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Marks, Outlet};
use crate::plan::{MemoryPlan, Plan, Planned};
use crate::stage::{
    BoxFuture, Cancel, Context, Facts, Outcome, Reach, Sink, SinkPlan, Source, SourcePlan, Stage, TransformPlan, Undo,
    Work,
};

/// How a stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Error,
    Panic,
    /// It stops as if a neighbour had, with no reason.
    Leave,
    /// It waits for nothing but to be told to stop.
    Hang,
}

/// When it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the first chunk.
    Start,
    /// After some.
    Midway,
    /// When its input has ended and everything was passed on.
    End,
    /// When it has said its own end, too.
    Over,
}

/// What a stage is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Task,
    Thread,
}

/// One stage of a chain of fakes.
#[derive(Clone)]
struct Fake {
    form: Form,
    fault: Option<(Way, Moment)>,
    /// Chunks that it gives, where it is the source; `None` for as many as are taken.
    chunks: Option<usize>,
    /// Whether it wants nothing of its input, and ends well at once.
    ends_early: bool,
    tally: Arc<Tally>,
}

/// What became of a chain of fakes.
#[derive(Default)]
pub(super) struct Tally {
    started: AtomicUsize,
    closed: AtomicUsize,
    landed: AtomicUsize,
    undone: AtomicUsize,
}

/// Counts a stage as closed, whatever way it goes.
struct Open(Arc<Tally>);

impl Open {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.started.fetch_add(1, Ordering::Relaxed);
        Self(tally.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Fake {
    /// Fails, if now is the moment.
    async fn reach(&self, moment: Moment, cancel: &Cancel) -> Outcome {
        match self.fault {
            Some((Way::Error, due)) if due == moment => {
                Err(Failure::because(Kind::Other, "cannot go on", "it was told so").into())
            }
            Some((Way::Panic, due)) if due == moment => panic!("it was told so"),
            Some((Way::Leave, due)) if due == moment => Err(Stop::Neighbour),
            Some((Way::Hang, due)) if due == moment => {
                cancel.tripped().await;
                Err(Stop::Neighbour)
            }
            _ => Ok(()),
        }
    }

    fn work(self, run: impl Future<Output = Outcome> + Send + 'static) -> Work {
        match self.form {
            Form::Task => Work::Task(Box::pin(run)),
            Form::Thread => Work::Thread(Box::new(move || crate::flow::block_on(run))),
        }
    }

    async fn give(self, mut out: Outlet, cancel: Arc<Cancel>, _open: Open) -> Outcome {
        self.reach(Moment::Start, &cancel).await?;
        let mut given = 0;
        while self.chunks.is_none_or(|chunks| given < chunks) {
            if given == 5 {
                self.reach(Moment::Midway, &cancel).await?;
            }
            out.copy(&[7; 1000]).await?;
            given += 1;
        }
        self.reach(Moment::End, &cancel).await?;
        out.finish();
        self.reach(Moment::Over, &cancel).await
    }

    async fn pass(self, mut input: Inlet, mut out: Outlet, cancel: Arc<Cancel>, _open: Open) -> Outcome {
        self.reach(Moment::Start, &cancel).await?;
        let mut seen = false;
        while !self.ends_early
            && let Some(chunk) = input.receive().await?
        {
            if std::mem::replace(&mut seen, true) {
                self.reach(Moment::Midway, &cancel).await?;
            }
            out.forward(chunk).await?;
        }
        self.reach(Moment::End, &cancel).await?;
        out.finish();
        self.reach(Moment::Over, &cancel).await
    }

    async fn take(self, mut input: Inlet, cancel: Arc<Cancel>, _open: Open) -> Outcome {
        self.reach(Moment::Start, &cancel).await?;
        let mut seen = false;
        while input.receive().await?.is_some() {
            if std::mem::replace(&mut seen, true) {
                self.reach(Moment::Midway, &cancel).await?;
            }
        }
        self.reach(Moment::End, &cancel).await?;
        self.tally.landed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl SourcePlan for Fake {
    fn facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::default())
    }

    fn reach(&self) -> Reach {
        Reach::Near
    }

    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Source>, Failure>> {
        Box::pin(async move { Ok(self as Box<dyn Source>) })
    }
}

impl Source for Fake {
    fn start(self: Box<Self>, out: Outlet, context: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.give(out, context.cancel, open))
    }
}

impl TransformPlan for Fake {
    fn state_bytes(&self) -> u64 {
        1000
    }

    fn ends_early(&self) -> bool {
        self.ends_early
    }

    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Fake {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.pass(input, out, context.cancel, open))
    }
}

impl SinkPlan for Fake {
    fn state_bytes(&self) -> u64 {
        500
    }

    fn facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::default())
    }

    fn reach(&self) -> Reach {
        Reach::Near
    }

    fn effect(&self) -> String {
        String::new()
    }

    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Sink>, Failure>> {
        Box::pin(async move { Ok(self as Box<dyn Sink>) })
    }
}

impl Sink for Fake {
    fn undo(&self) -> Option<Arc<dyn Undo>> {
        Some(self.tally.clone())
    }

    fn start(self: Box<Self>, input: Inlet, context: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.take(input, context.cancel, open))
    }
}

impl Undo for Tally {
    fn undo(&self) -> Result<(), Failure> {
        self.undone.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn name(&self) -> String {
        "nothing".to_owned()
    }
}

/// Looks once, when the stages have been started.
#[derive(Default)]
pub(super) struct AtFirst {
    /// Bytes of state that were claimed by then.
    state: u64,
}

impl Observer for AtFirst {
    fn listening(&mut self, _: &str) {}
    fn started(&mut self, watch: &Arc<Watch>) {
        self.state = Sampler::new(watch.clone()).look().state;
    }
}

/// A chain of fakes, one of which may have a fault, and how it is run.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) stages: usize,
    /// Where it is, and what. The source ends only where the moment is the end or later.
    pub(super) fault: Option<(usize, Way, Moment)>,
    /// Who wants nothing of its input.
    pub(super) ends_early: Option<usize>,
    pub(super) first: Form,
    pub(super) settings: Settings,
}

impl Case {
    pub(super) fn new(stages: usize, fault: Option<(usize, Way, Moment)>) -> Self {
        Self {
            stages,
            fault,
            ends_early: None,
            first: Form::Task,
            settings: Settings::default(),
        }
    }

    fn fake(&self, at: usize, tally: &Arc<Tally>) -> Fake {
        let is_task = at.is_multiple_of(2) == (self.first == Form::Task);
        let ends = |moment| matches!(moment, Moment::End | Moment::Over);
        Fake {
            form: if is_task { Form::Task } else { Form::Thread },
            fault: self
                .fault
                .filter(|(failing, _, _)| *failing == at)
                .map(|(_, way, moment)| (way, moment)),
            chunks: self.fault.is_none_or(|(_, _, moment)| ends(moment)).then_some(100),
            ends_early: self.ends_early == Some(at),
            tally: tally.clone(),
        }
    }

    pub(super) fn plan(&self, tally: &Arc<Tally>) -> Plan {
        fn planned<T>(at: usize, plan: T) -> Planned<T> {
            Planned {
                name: "fake",
                text: format!("fake {at}"),
                defaults: Vec::new(),
                plan,
            }
        }
        let last = self.stages - 1;
        let transform = |at| planned(at, Box::new(self.fake(at, tally)) as Box<dyn TransformPlan>);
        Plan {
            source: planned(0, Box::new(self.fake(0, tally))),
            transforms: (1..last).map(transform).collect(),
            sink: planned(last, Box::new(self.fake(last, tally))),
            side_files: Vec::new(),
            memory: MemoryPlan {
                elastic: crate::stage::Elastic::default(),
                limit: 1 << 20,
                fixed: true,
                has_explicit_marks: false,
                is_unbounded: false,
                links: vec![Marks::new(4096, 2048, 1024); last],
                state: 0,
            },
        }
    }

    fn run(self) -> (Ending, Arc<Tally>) {
        let tally = Arc::<Tally>::default();
        let mut at_first = AtFirst::default();
        let ending = run(self.plan(&tally), self.settings, &mut at_first);
        assert_eq!(
            at_first.state,
            1000 * (self.stages as u64 - 2) + 500,
            "all states are claimed"
        );
        (ending, tally)
    }
}

impl Tally {
    /// How many stages were started and closed, and how often the sink landed and was taken back.
    pub(super) fn counts(&self) -> [usize; 4] {
        [&self.started, &self.closed, &self.landed, &self.undone].map(|count| count.load(Ordering::Relaxed))
    }
}

#[test]
fn a_fault_at_any_position_closes_all_and_is_reported_once() {
    for stages in 2..=6 {
        for at in 0..stages {
            for way in [Way::Error, Way::Panic] {
                for moment in [Moment::Start, Moment::Midway, Moment::End] {
                    for first in [Form::Task, Form::Thread] {
                        let case = format!("{way:?} of stage {at} of {stages}, {moment:?}, first a {first:?}");
                        let case_with = Case::new(stages, Some((at, way, moment)));
                        let (ending, tally) = Case { first, ..case_with }.run();
                        let code = if way == Way::Panic { 70 } else { 1 };
                        assert_eq!(ending.exit_code(), code, "{case}: {ending:?}");
                        let (stage, failure) = ending.failure.expect("a failure");
                        assert_eq!(stage, Some(format!("fake {at}")), "{case}");
                        let told = if way == Way::Panic {
                            "panicked: it was told so"
                        } else {
                            "it was told so"
                        };
                        assert!(failure.to_string().ends_with(told), "{case}: {failure}");
                        assert_eq!(ending.left_behind, [""; 0], "{case}");
                        assert_eq!(tally.counts(), [stages, stages, 0, 1], "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_a_fault_the_sink_lands_once() {
    for stages in 2..=6 {
        for first in [Form::Task, Form::Thread] {
            let case = Case::new(stages, None);
            let (ending, tally) = Case { first, ..case }.run();
            assert_eq!(ending.exit_code(), 0, "{ending:?}");
            assert_eq!(tally.counts(), [stages, stages, 1, 0]);
        }
    }
}

#[test]
fn times_longer_than_the_clock_can_tell_never_come() {
    let settings = Settings {
        timeout: Some(Duration::MAX),
        stall_timeout: Some(Duration::MAX),
        min_rate: Some(MinRate {
            rate: 1,
            grace: Duration::MAX,
        }),
        ..Settings::default()
    };
    let case = Case::new(3, None);
    let (ending, tally) = Case { settings, ..case }.run();
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    assert_eq!(tally.counts(), [3, 3, 1, 0]);
}

#[test]
fn whoever_wants_no_more_stops_those_before_it() {
    for first in [Form::Task, Form::Thread] {
        let case = Case::new(5, Some((1, Way::Hang, Moment::Start)));
        let ends_early = Some(2);
        let (ending, tally) = Case {
            ends_early,
            first,
            ..case
        }
        .run();
        assert_eq!(ending.exit_code(), 0, "{ending:?}");
        assert_eq!(tally.counts(), [5, 5, 1, 0]);
    }
}

#[test]
fn a_chain_that_stops_for_no_reason_is_a_bug_and_no_success() {
    for at in 0..3 {
        for moment in [Moment::Start, Moment::Midway, Moment::End] {
            let (ending, tally) = Case::new(3, Some((at, Way::Leave, moment))).run();
            assert_eq!(ending.exit_code(), 70, "{at}, {moment:?}: {ending:?}");
            assert_eq!(tally.counts(), [3, 3, 0, 1], "{at}, {moment:?}");
        }
    }
}
