//! Stages that fail in every way at every position of a chain: all are closed once, and the one error is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Ending, Observer, Settings, Watch, run};
use crate::error::{Failure, Kind};
use crate::flow::{Inlet, Marks, Outlet};
use crate::plan::{MemoryPlan, Plan, Planned};
use crate::stage::{
    BoxFuture, Context, Facts, Outcome, Reach, Sink, SinkPlan, Source, SourcePlan, Stage, TransformPlan, Undo, Work,
};

/// How a stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Error,
    Panic,
}

/// When it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before the first chunk.
    Start,
    /// After some.
    Midway,
    /// When its input has ended and everything was passed on.
    End,
}

/// What a stage is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
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
    tally: Arc<Tally>,
}

/// What became of a chain of fakes.
#[derive(Default)]
struct Tally {
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
    fn reach(&self, moment: Moment) -> Outcome {
        match self.fault {
            Some((Way::Error, due)) if due == moment => {
                Err(Failure::because(Kind::Other, "cannot go on", "it was told so").into())
            }
            Some((Way::Panic, due)) if due == moment => panic!("it was told so"),
            _ => Ok(()),
        }
    }

    fn work(self, run: impl Future<Output = Outcome> + Send + 'static) -> Work {
        match self.form {
            Form::Task => Work::Task(Box::pin(run)),
            Form::Thread => Work::Thread(Box::new(move || crate::flow::block_on(run))),
        }
    }

    async fn give(self, mut out: Outlet, _open: Open) -> Outcome {
        self.reach(Moment::Start)?;
        let mut given = 0;
        while self.chunks.is_none_or(|chunks| given < chunks) {
            if given == 5 {
                self.reach(Moment::Midway)?;
            }
            out.copy(&[7; 1000]).await?;
            given += 1;
        }
        self.reach(Moment::End)?;
        out.finish();
        Ok(())
    }

    async fn pass(self, mut input: Inlet, mut out: Outlet, _open: Open) -> Outcome {
        self.reach(Moment::Start)?;
        let mut seen = false;
        while let Some(chunk) = input.receive().await? {
            if std::mem::replace(&mut seen, true) {
                self.reach(Moment::Midway)?;
            }
            out.forward(chunk).await?;
        }
        self.reach(Moment::End)?;
        out.finish();
        Ok(())
    }

    async fn take(self, mut input: Inlet, _open: Open) -> Outcome {
        self.reach(Moment::Start)?;
        let mut seen = false;
        while input.receive().await?.is_some() {
            if std::mem::replace(&mut seen, true) {
                self.reach(Moment::Midway)?;
            }
        }
        self.reach(Moment::End)?;
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
    fn start(self: Box<Self>, out: Outlet, _: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.give(out, open))
    }
}

impl TransformPlan for Fake {
    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        self
    }
}

impl Stage for Fake {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.pass(input, out, open))
    }
}

impl SinkPlan for Fake {
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

    fn start(self: Box<Self>, input: Inlet, _: Context) -> Work {
        let open = Open::new(&self.tally);
        self.clone().work(self.take(input, open))
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

struct Blind;

impl Observer for Blind {
    fn listening(&mut self, _: &str) {}
    fn started(&mut self, _: &Arc<Watch>) {}
}

/// A chain of fakes, one of which has a fault. The source ends only where the moment is the end.
fn run_chain(stages: usize, fault: Option<(usize, Way, Moment)>, first: Form) -> (Ending, Arc<Tally>) {
    let tally = Arc::<Tally>::default();
    let ends = fault.is_none_or(|(_, _, moment)| moment == Moment::End);
    let fake = |at: usize| {
        let is_task = at.is_multiple_of(2) == (first == Form::Task);
        Box::new(Fake {
            form: if is_task { Form::Task } else { Form::Thread },
            fault: fault
                .filter(|(failing, _, _)| *failing == at)
                .map(|(_, way, moment)| (way, moment)),
            chunks: ends.then_some(100),
            tally: tally.clone(),
        })
    };
    let text = |at: usize| format!("fake {at}");
    let transforms = (1..stages - 1).map(|at| Planned {
        name: "fake",
        text: text(at),
        defaults: Vec::new(),
        plan: fake(at) as Box<dyn TransformPlan>,
    });
    let plan = Plan {
        source: Planned {
            name: "fake",
            text: text(0),
            defaults: Vec::new(),
            plan: fake(0),
        },
        transforms: transforms.collect(),
        sink: Planned {
            name: "fake",
            text: text(stages - 1),
            defaults: Vec::new(),
            plan: fake(stages - 1),
        },
        side_files: Vec::new(),
        memory: MemoryPlan {
            elastic: crate::stage::Elastic::default(),
            limit: 1 << 20,
            fixed: true,
            has_explicit_marks: false,
            is_unbounded: false,
            links: vec![Marks::new(4096, 2048, 1024); stages - 1],
            state: 0,
        },
    };
    (run(plan, Settings::default(), &mut Blind), tally)
}

#[test]
fn a_fault_at_any_position_closes_all_and_is_reported_once() {
    for stages in 2..=6 {
        for at in 0..stages {
            for way in [Way::Error, Way::Panic] {
                for moment in [Moment::Start, Moment::Midway, Moment::End] {
                    for first in [Form::Task, Form::Thread] {
                        let case = format!("{way:?} of stage {at} of {stages}, {moment:?}, first a {first:?}");
                        let (ending, tally) = run_chain(stages, Some((at, way, moment)), first);
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
                        let counts = [&tally.started, &tally.closed, &tally.landed, &tally.undone];
                        let counts = counts.map(|count| count.load(Ordering::Relaxed));
                        assert_eq!(counts, [stages, stages, 0, 1], "{case}");
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
            let (ending, tally) = run_chain(stages, None, first);
            assert_eq!(ending.exit_code(), 0, "{ending:?}");
            let counts = [&tally.started, &tally.closed, &tally.landed, &tally.undone];
            assert_eq!(
                counts.map(|count| count.load(Ordering::Relaxed)),
                [stages, stages, 1, 0]
            );
        }
    }
}
