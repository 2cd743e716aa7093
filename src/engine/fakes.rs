//! Pipelines of fake stages, one of which may fail, hang, or end early, at any moment.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, ready};

use super::{Ending, Observer, Sampler, Settings, Watch, run};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Inlet, Marks, Outlet};
use crate::graph::{Graph, Id, NodeId, NodeMap};
use crate::plan::{MemoryPlan, Plan, Planned, StagePlan, SubPlan};
use crate::stage::{
    BoxFuture, Branch, BranchPlan, Branches, Cancel, Context, Endpoint, Fan, LinkShare, MemoryUse, OpenReader,
    OpenWriter, Outcome, PassThrough, Phase, Rollback, Settle, Settled, Source, Stage, StreamReader, StreamWriter,
    TransformPlan, Work,
};

/// How a stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Error,
    Panic,
    /// It stops as if its peer had closed, without a reason.
    Leave,
    /// It waits until it is told to stop.
    Hang,
}

/// The moment of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first chunk.
    Start,
    /// After some.
    Midway,
    /// When its input has ended and all of it was passed on.
    End,
    /// When its commit is granted.
    Commit,
    /// After it has ended; an endpoint has nothing left to do then.
    Over,
}

/// The size of a source's chunks, in bytes: buffers end between them.
pub const CHUNK: usize = 1024;

/// The form in which a stage is started.
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
    is_source: bool,
    /// The number of chunks that it sends, if it is the source; `None` for an endless stream.
    chunks: Option<usize>,
    /// Whether it reads nothing of its input, and ends successfully at once.
    ends_early: bool,
    /// When it commits, if it is a sink.
    phase: Phase,
    /// What becomes of the pipeline when a branch fails, where it is a fork.
    branches: Branches,
    is_committed: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

/// The results of a pipeline of fakes.
#[derive(Default)]
pub struct Tally {
    started: AtomicUsize,
    closed: AtomicUsize,
    rolled_back: AtomicUsize,
    /// Bytes that sinks have received.
    taken: AtomicU64,
    /// The sinks in the order in which they committed.
    committed: Mutex<Vec<usize>>,
    /// What the source was told, and how many sinks had committed by then.
    settled: Mutex<Vec<(Settled, usize)>>,
}

impl Tally {
    /// How many stages were started and closed, how many sinks committed, and how many were rolled back.
    pub fn counts(&self) -> [usize; 4] {
        let [started, closed, rolled_back] =
            [&self.started, &self.closed, &self.rolled_back].map(|count| count.load(Ordering::Relaxed));
        [started, closed, self.committed().len(), rolled_back]
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

/// Counts a stage as closed, however it ends.
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
    /// Fails or waits forever if this is the chosen moment.
    fn poll_reach(&self, moment: Moment) -> Poll<Outcome> {
        let Some((way, _)) = self.fault.filter(|(_, due)| *due == moment) else {
            return Poll::Ready(Ok(()));
        };
        Poll::Ready(Err(match way {
            Way::Error => Failure::because(Kind::Other, "cannot go on", "it was told so").into(),
            Way::Panic => panic!("it was told so"),
            Way::Leave => Stop::PeerClosed,
            Way::Hang => return Poll::Pending,
        }))
    }

    async fn reach(&self, moment: Moment, cancel: &Cancel) -> Outcome {
        tokio::select! {
            biased;
            outcome = poll_fn(|_| self.poll_reach(moment)) => outcome,
            () = cancel.tripped() => Err(Stop::PeerClosed),
        }
    }

    fn begin(self, input: Inlet, out: Vec<Outlet>, context: Context) -> Work {
        let open = Open::new(&self.tally);
        let form = self.form;
        let work = self.work(input, out, context, open);
        match form {
            Form::Task => Work::Task(Box::pin(work)),
            Form::Thread => Work::Thread(Box::new(move || crate::flow::block_on(work))),
        }
    }

    async fn work(self, mut input: Inlet, out: Vec<Outlet>, context: Context, _open: Open) -> Outcome {
        self.reach(Moment::Start, &context.cancel).await?;
        let mut out = Out::of(out);
        let mut count = 0;
        while !self.ends_early
            && let Some(chunk) = input.receive().await?
        {
            if count == 1 {
                self.reach(Moment::Midway, &context.cancel).await?;
            }
            count += 1;
            out.pass(chunk).await?;
        }
        self.reach(Moment::End, &context.cancel).await?;
        out.finish();
        self.reach(Moment::Over, &context.cancel).await
    }
}

/// Where a fake's output goes.
enum Out {
    One(Outlet),
    Several(Fan),
}

impl Out {
    fn of(mut outlets: Vec<Outlet>) -> Self {
        match outlets.len() {
            1 => Self::One(outlets.remove(0)),
            _ => Self::Several(Fan::new(outlets)),
        }
    }

    async fn pass(&mut self, chunk: Chunk) -> Outcome {
        match self {
            Self::One(out) => out.forward(chunk).await?,
            Self::Several(fan) => fan.send(chunk).await?,
        }
        Ok(())
    }

    fn finish(self) {
        match self {
            Self::One(out) => out.finish(),
            Self::Several(fan) => fan.finish(),
        }
    }
}

/// A fake source or sink behind the endpoint traits.
struct Place {
    fake: Fake,
    _open: Open,
    /// Calls that moved something.
    moves: usize,
}

impl Place {
    fn of(fake: Fake) -> Self {
        Self {
            _open: Open::new(&fake.tally),
            fake,
            moves: 0,
        }
    }
}

impl Endpoint for Fake {
    fn shown(&self) -> String {
        "fake".to_owned()
    }

    fn state_bytes(&self) -> u64 {
        if self.is_source { 0 } else { 500 }
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move { Ok(OpenReader::Stream(Box::new(Place::of(*self)))) })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move { Ok(OpenWriter::Stream(Box::new(Place::of(*self)))) })
    }
}

impl StreamReader for Place {
    fn poll_read(&mut self, _: &mut task::Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        let moment = match self.moves {
            0 => Some(Moment::Start),
            5 => Some(Moment::Midway),
            moves if self.fake.chunks == Some(moves) => Some(Moment::End),
            _ => None,
        };
        if let Some(moment) = moment {
            ready!(self.fake.poll_reach(moment))?;
        }
        if self.fake.chunks == Some(self.moves) {
            return Poll::Ready(Ok(0));
        }
        self.moves += 1;
        buffer[..CHUNK].fill(7);
        Poll::Ready(Ok(CHUNK))
    }

    fn blocks(&self) -> bool {
        self.fake.form == Form::Thread
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        Some(self.fake.tally.clone())
    }
}

impl StreamWriter for Place {
    fn poll_write(&mut self, _: &mut task::Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        match self.moves {
            0 => ready!(self.fake.poll_reach(Moment::Start))?,
            1 => ready!(self.fake.poll_reach(Moment::Midway))?,
            _ => {}
        }
        self.moves += 1;
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.fake.tally.taken.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn blocks(&self) -> bool {
        self.fake.form == Form::Thread
    }

    fn phase(&self) -> Phase {
        self.fake.phase
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(poll_fn(|_| self.fake.poll_reach(Moment::End)))
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            poll_fn(|_| self.fake.poll_reach(Moment::Commit)).await?;
            self.fake.is_committed.store(true, Ordering::Relaxed);
            let mut committed = self.fake.tally.committed.lock().expect("no panic");
            committed.push(self.fake.node);
            Ok(())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(Arc::new(self.fake.clone()))
    }
}

impl Settle for Tally {
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let committed = self.committed().len();
            self.settled.lock().expect("no panic").push((how, committed));
            Ok(())
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
        self.begin(input, vec![out], context)
    }
}

impl BranchPlan for Fake {
    fn branches(&self) -> Branches {
        self.branches
    }

    fn state_bytes(&self) -> u64 {
        1000
    }

    fn make(self: Box<Self>) -> Box<dyn Branch> {
        self
    }
}

impl Branch for Fake {
    fn start(self: Box<Self>, input: Inlet, out: Vec<Outlet>, context: Context) -> Work {
        self.begin(input, out, context)
    }
}

impl Rollback for Fake {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            if !self.is_committed() {
                self.tally.rolled_back.fetch_add(1, Ordering::Relaxed);
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
    /// Where it is, and what. The source ends only where the moment is the end or later, or
    /// the pipeline goes on without a failed branch.
    pub fault: Option<(usize, Way, Moment)>,
    /// The stages that read nothing of their input.
    pub ends_early: Vec<usize>,
    /// What becomes of the pipeline when a branch fails, the same for each fork.
    pub branches: Branches,
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
            branches: Branches::default(),
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
            is_source: self.graph.input(node).is_none(),
            form: if is_task { Form::Task } else { Form::Thread },
            fault: fault.map(|(_, way, moment)| (way, moment)),
            chunks: (self.branches.go_on || self.fault.is_none_or(|(_, _, moment)| ends(moment))).then_some(100),
            ends_early: self.ends_early.contains(&at),
            phase: self.phases[sink.min(self.phases.len() - 1)],
            branches: self.branches,
            is_committed: Arc::default(),
            tally: tally.clone(),
        }
    }

    pub fn plan(&self, tally: &Arc<Tally>) -> Plan {
        let planned = |node: NodeId| {
            let fake = Box::new(self.fake(node, tally));
            let plan = match (self.graph.input(node), self.graph.outputs(node).len()) {
                (None, _) => StagePlan::Source(Source::of(fake)),
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
                explicit_marks: self.graph.edges().map(|_| false).collect(),
                is_unbounded: false,
                links: links.collect(),
                state: 0,
                largest_record: NodeMap::default(),
            },
            graph: self.graph.clone(),
            repeats: None,
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
pub fn source(tally: &Arc<Tally>) -> Source {
    let case = Case::new(2, None);
    Source::of(Box::new(case.fake(case.graph.root(), tally)))
}

/// A sub-pipeline: the case, over any source.
pub fn sub_plan(case: Case, tally: Arc<Tally>) -> SubPlan {
    SubPlan {
        shown: Box::new(|| None),
        memory: 10_000,
        overlaps: false,
        plan: Box::new(move |source, _| {
            let mut plan = case.plan(&tally);
            plan.stages[case.graph.root()].plan = StagePlan::Source(source);
            Ok(plan)
        }),
    }
}
