//! Pipelines of fake stages, one of which may fail, hang, or want no more, at any moment.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{Ending, Observer, Sampler, Settings, Watch, run};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Inlet, Marks, Outlet};
use crate::graph::{Graph, Id, NodeId};
use crate::plan::{MemoryPlan, Plan, Planned, StagePlan, SubPlan};
use crate::stage::{
    BoxFuture, Branch, BranchPlan, Cancel, Context, Facts, Fan, LinkShare, MemoryUse, Outcome, PassThrough, Phase,
    Reach, Rollback, Settle, Settled, Sink, SinkPlan, Source, SourcePlan, Stage, TransformPlan, Work,
};

/// How a stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Error,
    Panic,
    /// It stops as if a neighbour had, with no reason.
    Leave,
    /// It waits for nothing but to be told to stop.
    Hang,
}

/// When it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first chunk.
    Start,
    /// After some.
    Midway,
    /// When its input has ended and everything was passed on.
    End,
    /// When it is its turn to commit.
    Commit,
    /// When it has said its own end, too.
    Over,
}

/// What a stage is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Task,
    Thread,
}

/// One stage of a pipeline of fakes.
#[derive(Clone)]
struct Fake {
    node: usize,
    form: Form,
    fault: Option<(Way, Moment)>,
    /// Chunks that it gives, where it is the source; `None` for as many as are taken.
    chunks: Option<usize>,
    /// Whether it wants nothing of its input, and ends well at once.
    ends_early: bool,
    /// When it commits, where it is a sink.
    phase: Phase,
    is_committed: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

/// What became of a pipeline of fakes.
#[derive(Default)]
pub struct Tally {
    started: AtomicUsize,
    closed: AtomicUsize,
    undone: AtomicUsize,
    /// Bytes that sinks have received.
    taken: AtomicU64,
    /// The sinks in the order in which they committed.
    committed: Mutex<Vec<usize>>,
    /// What the source was told, and how many sinks had committed by then.
    settled: Mutex<Vec<(Settled, usize)>>,
}

impl Tally {
    /// How many stages were started and closed, how many sinks committed, and how many were taken back.
    pub fn counts(&self) -> [usize; 4] {
        let [started, closed, undone] =
            [&self.started, &self.closed, &self.undone].map(|count| count.load(Ordering::Relaxed));
        [started, closed, self.committed().len(), undone]
    }

    pub fn committed(&self) -> Vec<usize> {
        self.committed.lock().expect("no panic").clone()
    }

    pub fn settled(&self) -> Vec<(Settled, usize)> {
        self.settled.lock().expect("no panic").clone()
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
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

    fn begin(self, input: Option<Inlet>, out: Vec<Outlet>, context: Context) -> Work {
        let open = Open::new(&self.tally);
        let form = self.form;
        let work = self.work(input, out, context, open);
        match form {
            Form::Task => Work::Task(Box::pin(work)),
            Form::Thread => Work::Thread(Box::new(move || crate::flow::block_on(work))),
        }
    }

    async fn work(self, mut input: Option<Inlet>, out: Vec<Outlet>, context: Context, _open: Open) -> Outcome {
        self.reach(Moment::Start, &context.cancel).await?;
        let is_sink = out.is_empty();
        let mut out = Out::of(out);
        let midway = if input.is_none() { 5 } else { 1 };
        let mut count = 0;
        loop {
            let chunk = match &mut input {
                None if self.chunks.is_some_and(|chunks| count >= chunks) => break,
                None => None,
                Some(_) if self.ends_early => break,
                Some(input) => match input.receive().await? {
                    Some(chunk) => Some(chunk),
                    None => break,
                },
            };
            if count == midway {
                self.reach(Moment::Midway, &context.cancel).await?;
            }
            count += 1;
            out.pass(chunk, &self.tally).await?;
        }
        self.reach(Moment::End, &context.cancel).await?;
        out.finish();
        if is_sink {
            if self.phase != Phase::Drained {
                context.commit.wait(&context.cancel).await?;
            }
            self.reach(Moment::Commit, &context.cancel).await?;
            self.is_committed.store(true, Ordering::Relaxed);
            self.tally.committed.lock().expect("no panic").push(self.node);
        }
        self.reach(Moment::Over, &context.cancel).await
    }
}

/// Where a fake's output goes.
enum Out {
    Nowhere,
    One(Outlet),
    Several(Fan),
}

impl Out {
    fn of(mut outlets: Vec<Outlet>) -> Self {
        match outlets.len() {
            0 | 1 => outlets.pop().map_or(Self::Nowhere, Self::One),
            _ => Self::Several(Fan::new(outlets)),
        }
    }

    async fn pass(&mut self, chunk: Option<Chunk>, tally: &Tally) -> Outcome {
        match (self, chunk) {
            (Self::Nowhere, chunk) => {
                let bytes = chunk.map_or(0, |chunk| chunk.len() as u64);
                tally.taken.fetch_add(bytes, Ordering::Relaxed);
            }
            (Self::One(out), Some(chunk)) => out.forward(chunk).await?,
            (Self::One(out), None) => out.copy(&[7; 1000]).await?,
            (Self::Several(fan), Some(chunk)) => fan.send(chunk).await?,
            (Self::Several(_), None) => unreachable!("a source has one output"),
        }
        Ok(())
    }

    fn finish(self) {
        match self {
            Self::Nowhere => {}
            Self::One(out) => out.finish(),
            Self::Several(fan) => fan.finish(),
        }
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
    fn settle(&self) -> Option<Arc<dyn Settle>> {
        Some(self.tally.clone())
    }

    fn start(self: Box<Self>, out: Outlet, context: Context) -> Work {
        self.begin(None, vec![out], context)
    }
}

impl Settle for Tally {
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let committed = self.committed().len();
            self.settled.lock().expect("no panic").push((how, committed));
        })
    }
}

impl TransformPlan for Fake {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn pass_through(&self) -> Option<&dyn PassThrough> {
        Some(self)
    }

    fn ends_early(&self) -> bool {
        self.ends_early
    }
}

impl MemoryUse for Fake {
    fn state_bytes(&self) -> u64 {
        1000
    }
}

impl PassThrough for Fake {}

impl Stage for Fake {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        self.begin(Some(input), vec![out], context)
    }
}

impl BranchPlan for Fake {
    fn state_bytes(&self) -> u64 {
        1000
    }

    fn make(self: Box<Self>) -> Box<dyn Branch> {
        self
    }
}

impl Branch for Fake {
    fn start(self: Box<Self>, input: Inlet, out: Vec<Outlet>, context: Context) -> Work {
        self.begin(Some(input), out, context)
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
    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(Arc::new(self.clone()))
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn start(self: Box<Self>, input: Inlet, context: Context) -> Work {
        self.begin(Some(input), Vec::new(), context)
    }
}

impl Rollback for Fake {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            if !self.is_committed() {
                self.tally.undone.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    fn is_committed(&self) -> bool {
        self.is_committed.load(Ordering::Relaxed)
    }

    fn name(&self) -> String {
        "nothing".to_owned()
    }
}

/// Looks once, when the stages have been started.
#[derive(Default)]
pub struct AtFirst {
    /// Bytes of state that were claimed by then.
    state: u64,
}

impl Observer for AtFirst {
    fn listening(&mut self, _: &str) {}
    fn started(&mut self, watch: &Arc<Watch>) {
        self.state = Sampler::new(watch.clone()).look().run.state;
    }
}

/// A pipeline of fakes, one of which may have a fault, and how it is run.
#[derive(Clone)]
pub struct Case {
    pub graph: Graph,
    /// Where it is, and what. The source ends only where the moment is the end or later.
    pub fault: Option<(usize, Way, Moment)>,
    /// The stages that want nothing of their input.
    pub ends_early: Vec<usize>,
    /// When each sink commits, in the order of the sinks; the last one holds for all that follow.
    pub phases: Vec<Phase>,
    pub first: Form,
    /// Whether every other stage has the other form.
    pub alternates: bool,
    pub settings: Settings,
}

impl Case {
    pub fn new(stages: usize, fault: Option<(usize, Way, Moment)>) -> Self {
        Self::of(Graph::chain(stages), fault)
    }

    pub fn of(graph: Graph, fault: Option<(usize, Way, Moment)>) -> Self {
        Self {
            graph,
            fault,
            ends_early: Vec::new(),
            phases: vec![Phase::Name],
            first: Form::Task,
            alternates: true,
            settings: Settings::default(),
        }
    }

    pub fn sinks(&self) -> usize {
        self.graph.sinks().count()
    }

    fn fake(&self, node: NodeId, tally: &Arc<Tally>) -> Fake {
        let at = node.number();
        let is_task = (at.is_multiple_of(2) || !self.alternates) == (self.first == Form::Task);
        let ends = |moment| matches!(moment, Moment::End | Moment::Commit | Moment::Over);
        let fault = self.fault.filter(|(failing, _, _)| *failing == at);
        let sink = self.graph.sinks().position(|sink| sink == node).unwrap_or(0);
        Fake {
            node: at,
            form: if is_task { Form::Task } else { Form::Thread },
            fault: fault.map(|(_, way, moment)| (way, moment)),
            chunks: self.fault.is_none_or(|(_, _, moment)| ends(moment)).then_some(100),
            ends_early: self.ends_early.contains(&at),
            phase: self.phases[sink.min(self.phases.len() - 1)],
            is_committed: Arc::default(),
            tally: tally.clone(),
        }
    }

    pub fn plan(&self, tally: &Arc<Tally>) -> Plan {
        let planned = |node: NodeId| {
            let fake = Box::new(self.fake(node, tally));
            let plan = match (self.graph.input(node), self.graph.outputs(node).len()) {
                (None, _) => StagePlan::Source(fake),
                (Some(_), 0) => StagePlan::Sink(fake),
                (Some(_), 1) => StagePlan::Transform(fake),
                (Some(_), _) => StagePlan::Branch(fake),
            };
            Planned::new("fake", format!("fake {node}"), plan)
        };
        let links = self.graph.edges().map(|_| Marks::new(4096, 2048, 1024));
        Plan {
            stages: self.graph.nodes().map(planned).collect(),
            memory: MemoryPlan {
                share: LinkShare::default(),
                limit: 1 << 20,
                fixed: true,
                has_explicit_marks: false,
                is_unbounded: false,
                links: links.collect(),
                state: 0,
            },
            graph: self.graph.clone(),
            text: String::new(),
        }
    }

    pub fn run(&self) -> (Ending, Arc<Tally>) {
        let tally = Arc::<Tally>::default();
        let mut at_first = AtFirst::default();
        let ending = run(self.plan(&tally), self.settings, &mut at_first);
        let (sinks, stages) = (self.sinks() as u64, self.graph.nodes().len() as u64);
        assert_eq!(
            at_first.state,
            1000 * (stages - 1 - sinks) + 500 * sinks,
            "all states are claimed"
        );
        (ending, tally)
    }
}

/// The source of a run that a stage starts.
pub fn source(tally: &Arc<Tally>) -> Box<dyn SourcePlan> {
    let case = Case::new(2, None);
    Box::new(case.fake(case.graph.root(), tally))
}

/// A sub-pipeline: the case, over whatever source it is given.
pub fn sub_plan(case: Case, tally: Arc<Tally>) -> SubPlan {
    SubPlan {
        memory: 10_000,
        plan: Box::new(move |source| {
            let mut plan = case.plan(&tally);
            plan.stages[case.graph.root()].plan = StagePlan::Source(source);
            Ok(plan)
        }),
    }
}
