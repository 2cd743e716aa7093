//! Opens the ends of a pipeline in an order in which a failure loses nothing.
//!
//! Checks without side effects come first, then listeners are bound, then near sources are opened, then far sinks, far
//! sources, side files, and last the near sinks, which make their temporary files. So a connection that fails leaves no
//! file behind, a missing source is noticed before any sink exists, and no byte is read for a checksum that could not
//! be written.

use std::sync::Arc;

use crate::endpoints::{OpenSideFile, SideFile};
use crate::error::{Failure, Kind};
use crate::graph::{EdgeMap, Graph, NodeId, NodeMap};
use crate::plan::{MemoryPlan, Plan, Planned, StagePlan, SubPlan};
use crate::platform::{FileId, FilePlace};
use crate::stage::{
    Branch, Branches, Content, Endpoint, Facts, OpenSource, OpenWriter, OutputSize, Outside, PassThrough, Phase,
    RateControl, Reach, Rollback, Settle, SourceIdentity, Stage, TransformPlan,
};

use super::commit::Commits;
use super::ending::settle;
use super::interrupt::Interrupt;
use super::{Ending, Observer};

/// A pipeline whose ends are open.
pub struct Opened {
    pub graph: Arc<Graph>,
    pub stages: NodeMap<OpenStage>,
    pub memory: MemoryPlan,
    /// The edges whose bytes pass from pipe to pipe.
    pub joins: EdgeMap<bool>,
    /// Bytes that the source is expected to give.
    pub expected: Option<u64>,
    /// Bytes of the source that an earlier run has read.
    pub resumed: u64,
    /// The most bytes that are read from the source.
    pub wanted: Option<u64>,
    /// Whether the first signal only ends the source, so that what was read is committed.
    pub drains: bool,
}

/// A stage that is open, or is being opened.
pub struct OpenStage<R = OpenRole> {
    pub name: &'static str,
    pub text: String,
    /// Addresses that it has bound.
    pub listening: Vec<String>,
    /// The small file that it writes beside the stream.
    pub side_file: Option<Arc<OpenSideFile>>,
    pub sub_pipelines: Vec<SubPlan>,
    /// Bytes that it holds besides its links.
    pub state: u64,
    /// Whether it may end its input before the input's own end.
    pub ends_early: bool,
    /// What happens to its branches, if it has any.
    pub branches: Branches,
    /// How many bytes it sends for those that it receives.
    pub output_size: OutputSize,
    /// What it waits for outside of the pipeline.
    pub outside: Option<Outside>,
    /// The rate that it keeps, if any.
    pub rate_control: Option<Arc<RateControl>>,
    pub role: R,
}

/// The opened form of a stage.
pub enum OpenRole {
    Source(OpenSource),
    Transform(Box<dyn Stage>),
    Branch(Box<dyn Branch>),
    Sink(OpenWriter),
}

/// Opens every end, or returns why that failed.
pub async fn open(
    mut plan: Plan,
    observer: &mut (dyn Observer + Send),
    interrupt: &mut Interrupt,
) -> Result<Opened, Ending> {
    let facts = check(&plan)?;
    expect_holes(&mut plan, &facts);
    expect_sizes(&mut plan, &facts);
    let listening = bind(&mut plan, observer)?;
    let mut ends = Opener::new(plan, &facts, listening);
    let opened = tokio::select! {
        opened = ends.open_all() => opened,
        cause = interrupt.next() => Err(cause.ending()),
    };
    match opened.and_then(|()| ends.position_source()) {
        Ok(()) => {
            if ends.resumed > 0 {
                observer.resuming(ends.resumed);
            }
            Ok(ends.finish(&facts))
        }
        Err(mut ending) => {
            let commits = Commits::new(ends.open_sinks_so_far());
            tokio::select! {
                biased;
                _ = commits.roll_back(&mut ending.left_behind) => {}
                () = interrupt.signalled() => {}
            }
            // A source that is open already must not take this for a success.
            if let Err(failure) = settle(&ends.settles(), ending.settled(), interrupt).await {
                ending.left_behind.push(failure.to_string());
            }
            Err(ending)
        }
    }
}

/// The facts of each end, before anything is touched, if they are all right.
fn check(plan: &Plan) -> Result<NodeMap<Option<Facts>>, Ending> {
    let mut facts = NodeMap::default();
    for stage in plan.stages.values() {
        let known = stage.plan.facts().transpose();
        facts.push(known.map_err(|failure| of_stage(stage, failure))?);
    }
    for stage in plan.stages.values() {
        let permitted = stage.plan.as_sink().map_or(Ok(()), Endpoint::permit);
        permitted.map_err(|failure| of_stage(stage, failure))?;
    }
    check_files(plan, &facts)?;
    check_terminals(plan, &facts)?;
    check_side_files(plan, &facts)?;
    Ok(facts)
}

/// Tells the sinks of a sparse file whose bytes arrive unchanged to leave holes.
fn expect_holes(plan: &mut Plan, facts: &NodeMap<Option<Facts>>) {
    let is_sparse = |node: NodeId| facts[node].as_ref().is_some_and(|facts| facts.is_sparse);
    let arrives = |plan: &Plan, sink| {
        let mut before = plan.graph.before(sink);
        before.all(|node| match &plan.stages[node].plan {
            StagePlan::Transform(transform) => transform.conversion().is_none(),
            StagePlan::Source(_) => is_sparse(node),
            StagePlan::Branch(_) | StagePlan::Sink(_) => true,
        })
    };
    let sinks: Vec<NodeId> = plan.graph.sinks().filter(|sink| arrives(plan, *sink)).collect();
    for sink in sinks {
        if let StagePlan::Sink(sink) = &mut plan.stages[sink].plan {
            sink.expect_holes();
        }
    }
}

/// Tells the sinks that the source's bytes reach unchanged and whole how many they are.
fn expect_sizes(plan: &mut Plan, facts: &NodeMap<Option<Facts>>) {
    let Some(size) = facts[plan.graph.root()].as_ref().and_then(|facts| facts.measured) else {
        return;
    };
    let passes = |node: NodeId| match &plan.stages[node].plan {
        StagePlan::Transform(transform) => {
            let passing = transform.pass_through();
            transform.conversion().is_none() && passing.is_some_and(|passing| passing.output_size() == OutputSize::Same)
        }
        StagePlan::Source(_) => true,
        // A branch may be sent less than all.
        StagePlan::Branch(_) | StagePlan::Sink(_) => false,
    };
    let sinks: Vec<NodeId> = plan
        .graph
        .sinks()
        .filter(|sink| plan.graph.before(*sink).all(passes))
        .collect();
    for sink in sinks {
        if let StagePlan::Sink(sink) = &mut plan.stages[sink].plan {
            sink.expect_size(size);
        }
    }
}

fn of_stage<T>(stage: &Planned<T>, failure: Failure) -> Ending {
    Ending::failed(Some(stage.text.clone()), failure)
}

/// Refuses a sink that is a file which is read, or which another sink writes.
fn check_files(plan: &Plan, facts: &NodeMap<Option<Facts>>) -> Result<(), Ending> {
    let mut taken: Vec<(&FilePlace, Option<NodeId>)> = Vec::new();
    let mut streams: Vec<(FileId, NodeId)> = Vec::new();
    for (node, facts) in facts.iter() {
        let Some(facts) = facts else { continue };
        let sink = plan.graph.is_sink(node).then_some(node);
        if sink.is_some() {
            let same = taken.iter().find(|(place, _)| facts.files.contains(place));
            let refused = |operation: &str, why: String| {
                let failure = Failure::because(Kind::Usage, operation, why);
                Err(of_stage(&plan.stages[node], failure))
            };
            match same {
                Some((_, None)) => {
                    let why = "it is the same file as the source; write to another name";
                    return refused("would overwrite what is read", why.to_owned());
                }
                Some((_, Some(other))) => {
                    let other = &plan.stages[*other].text;
                    let why = format!("it is the same file as that of {other}; write to another name");
                    return refused("would overwrite another output", why);
                }
                None => {}
            }
            let mut others = streams.iter().filter(|(stream, _)| Some(*stream) == facts.stream);
            if let Some((_, other)) = others.next() {
                let why = format!("{} writes there, too; write to another place", plan.stages[*other].text);
                return refused("would mix two outputs", why);
            }
            streams.extend(facts.stream.map(|stream| (stream, node)));
        }
        taken.extend(facts.files.iter().map(|place| (place, sink)));
    }
    Ok(())
}

/// Refuses to write compressed bytes to a terminal that was not named.
fn check_terminals(plan: &Plan, facts: &NodeMap<Option<Facts>>) -> Result<(), Ending> {
    for node in plan.graph.sinks() {
        let is_terminal = facts[node].as_ref().is_some_and(|facts| facts.is_terminal);
        let mut before = plan.graph.before(node).map(|node| &plan.stages[node].plan);
        let content = before.find_map(|plan| plan.as_transform()?.conversion()?.content());
        let compressed = content == Some(Content::Compressed);
        if compressed && is_terminal && plan.stages[node].is_implied {
            let why = "compressed data is not readable; redirect it, or spell out `| write -`";
            let failure = Failure::because(Kind::Usage, "will not write to a terminal", why);
            return Err(of_stage(&plan.stages[node], failure));
        }
    }
    Ok(())
}

/// Refuses a side file that is an end of the pipeline or another side file.
fn check_side_files(plan: &Plan, facts: &NodeMap<Option<Facts>>) -> Result<(), Ending> {
    let mut taken: Vec<(FilePlace, String)> = Vec::new();
    for (node, facts) in facts.iter() {
        let whose = if plan.graph.is_sink(node) {
            "the sink"
        } else {
            "the source"
        };
        let places = facts.iter().flat_map(|facts| facts.files.iter().cloned());
        taken.extend(places.map(|place| (place, whose.to_owned())));
    }
    for stage in plan.stages.values() {
        let Some(file) = &stage.side_file else { continue };
        let facts = file.facts().map_err(|failure| of_stage(stage, failure))?;
        if let Some((_, other)) = taken.iter().find(|(place, _)| facts.files.contains(place)) {
            let why = format!("it is the same file as {other}; write to another name");
            let operation = "would overwrite what the chain reads or writes";
            return Err(of_stage(stage, Failure::because(Kind::Usage, operation, why)));
        }
        let whose = format!("that of {}", stage.text);
        taken.extend(facts.files.into_iter().map(|place| (place, whose.clone())));
    }
    Ok(())
}

/// Binds every listener, and reports where peers may connect.
fn bind(plan: &mut Plan, observer: &mut (dyn Observer + Send)) -> Result<NodeMap<Vec<String>>, Ending> {
    let mut listening = NodeMap::default();
    for stage in plan.stages.values_mut() {
        let bound = match &mut stage.plan {
            StagePlan::Source(source) => source.bind(),
            StagePlan::Sink(sink) => sink.bind().map(|url| url.into_iter().collect()),
            StagePlan::Transform(_) | StagePlan::Branch(_) => Ok(Vec::new()),
        };
        listening.push(bound.map_err(|failure| of_stage(stage, failure))?);
    }
    for url in listening.values().iter().flatten() {
        observer.listening(url);
    }
    Ok(listening)
}

/// The progress of opening a stage.
enum Opening {
    Planned(StagePlan),
    Open(OpenRole),
    /// It is being opened, or failed to open.
    Gone,
}

struct Opener {
    graph: Arc<Graph>,
    stages: NodeMap<OpenStage<Opening>>,
    side_files: Vec<(NodeId, SideFile)>,
    memory: MemoryPlan,
    joins: EdgeMap<bool>,
    /// The most bytes that the pipeline reads, including those that the source skips.
    wanted: Option<u64>,
    drains: bool,
    /// How many bytes the source has skipped.
    skipped: u64,
    /// How many bytes an earlier run has read.
    resumed: u64,
}

impl Opener {
    fn new(plan: Plan, facts: &NodeMap<Option<Facts>>, listening: NodeMap<Vec<String>>) -> Self {
        let joins = plan.graph.edges().map(|edge| plan.joins(edge)).collect();
        let wanted = plan.wanted_of(plan.graph.root());
        let drains = plan.drains();
        let mut side_files = Vec::new();
        let stages = plan.stages.into_entries().zip(listening.into_values());
        let stages = stages.map(|((node, stage), listening)| {
            let (state, transform) = (stage.state_bytes(), stage.plan.as_transform());
            side_files.extend(stage.side_file.map(|file| (node, file)));
            OpenStage {
                name: stage.name,
                text: stage.text,
                listening,
                side_file: None,
                sub_pipelines: stage.sub_pipelines,
                state,
                ends_early: stage.plan.ends_early(),
                branches: match &stage.plan {
                    StagePlan::Branch(plan) => plan.branches(),
                    _ => Branches::default(),
                },
                output_size: OutputSize::Same,
                outside: facts[node]
                    .as_ref()
                    .and_then(|facts| facts.outside)
                    .or_else(|| transform?.outside()),
                rate_control: transform.and_then(TransformPlan::rate_control).cloned(),
                role: Opening::Planned(stage.plan),
            }
        });
        Self {
            stages: stages.collect(),
            graph: Arc::new(plan.graph),
            side_files,
            memory: plan.memory,
            joins,
            wanted,
            drains,
            skipped: 0,
            resumed: 0,
        }
    }

    /// The sinks that are open already.
    fn open_sinks_so_far(&self) -> impl Iterator<Item = (NodeId, Phase, Option<Arc<dyn Rollback>>)> {
        self.stages.iter().filter_map(|(node, stage)| match &stage.role {
            Opening::Open(OpenRole::Sink(sink)) => Some((node, sink.phase(), sink.rollback())),
            _ => None,
        })
    }

    /// The open sources that are told how the run ends.
    fn settles(&self) -> Vec<Arc<dyn Settle>> {
        let roles = self.stages.values().iter().map(|stage| &stage.role);
        let open = roles.filter_map(|role| match role {
            Opening::Open(OpenRole::Source(source)) => source.settle(),
            _ => None,
        });
        open.collect()
    }

    /// Opens sources, side files and sinks in their order.
    async fn open_all(&mut self) -> Result<(), Ending> {
        self.open_sources(Reach::Near).await?;
        // One that continues an earlier run has to know what is read.
        let comes_first = |stage: &OpenStage<Opening>| match &stage.role {
            Opening::Planned(StagePlan::Sink(sink)) => sink.checkpoints().is_none(),
            _ => false,
        };
        let far = self.planned(Reach::Far);
        if far.into_iter().any(|node| comes_first(&self.stages[node])) {
            self.open_side_files().await?;
            self.open_sinks(Reach::Far).await?;
            self.open_sources(Reach::Far).await?;
        } else {
            self.open_sources(Reach::Far).await?;
            self.open_side_files().await?;
            self.open_sinks(Reach::Far).await?;
        }
        self.open_sinks(Reach::Near).await
    }

    /// The ends of that reach that are not open yet.
    fn planned(&self, wanted: Reach) -> Vec<NodeId> {
        let is_wanted = |stage: &OpenStage<Opening>| match &stage.role {
            Opening::Planned(StagePlan::Source(source)) => source.reach() == wanted,
            Opening::Planned(StagePlan::Sink(sink)) => sink.reach() == wanted,
            _ => false,
        };
        let planned = self.stages.iter().filter(|(_, stage)| is_wanted(stage));
        planned.map(|(node, _)| node).collect()
    }

    fn take(&mut self, node: NodeId) -> Opening {
        std::mem::replace(&mut self.stages[node].role, Opening::Gone)
    }

    async fn open_sources(&mut self, wanted: Reach) -> Result<(), Ending> {
        for node in self.planned(wanted) {
            match self.take(node) {
                Opening::Planned(StagePlan::Source(source)) => {
                    let opened = source.open().await;
                    let source = opened.map_err(|failure| self.failed(node, failure))?;
                    self.stages[node].role = Opening::Open(OpenRole::Source(source));
                }
                other => self.stages[node].role = other,
            }
        }
        Ok(())
    }

    /// Opens the side files. If a later one or a sink fails to open, they are dropped and so rolled back.
    async fn open_side_files(&mut self) -> Result<(), Ending> {
        for (node, file) in std::mem::take(&mut self.side_files) {
            let opened = file.open().await;
            let opened = opened.map_err(|failure| self.failed(node, failure))?;
            self.stages[node].side_file = Some(Arc::new(opened));
        }
        Ok(())
    }

    async fn open_sinks(&mut self, wanted: Reach) -> Result<(), Ending> {
        for node in self.planned(wanted) {
            match self.take(node) {
                Opening::Planned(StagePlan::Sink(mut sink)) => {
                    if let Some(resumption) = sink.resumption() {
                        resumption.source = Some(self.source_identity()?);
                    }
                    let opened = sink.open_writer().await;
                    let sink = opened.map_err(|failure| self.failed(node, failure))?;
                    self.resume_at(sink.resumes_at().read)?;
                    self.stages[node].role = Opening::Open(OpenRole::Sink(sink));
                }
                other => self.stages[node].role = other,
            }
        }
        Ok(())
    }

    fn failed(&self, node: NodeId, failure: Failure) -> Ending {
        Ending::failed(Some(self.stages[node].text.clone()), failure)
    }

    /// What is read; the plan has checked that a pipeline that can be resumed reads one file or resource.
    fn source_identity(&self) -> Result<SourceIdentity, Ending> {
        let root = self.graph.root();
        let identity = match &self.stages[root].role {
            Opening::Open(OpenRole::Source(source)) => source.identity(),
            _ => Ok(None),
        };
        let identity = identity.and_then(|known| known.ok_or_else(unknowable));
        identity.map_err(|failure| self.failed(root, failure))
    }

    /// Moves the source to where an earlier run ended.
    fn resume_at(&mut self, offset: u64) -> Result<(), Ending> {
        if offset == 0 {
            return Ok(());
        }
        let skipped = self.skip(offset)?;
        if skipped < offset {
            let why = format!("an earlier run has read {offset} bytes of it, and it has {skipped}");
            return Err(self.failed(
                self.graph.root(),
                Failure::because(Kind::Integrity, "cannot go on", why),
            ));
        }
        self.resumed = offset;
        Ok(())
    }

    /// Moves the source past what the first transform would drop, and sets how much it reads. This is the last step
    /// that can fail, so that a failed start leaves a shared standard input where it was.
    fn position_source(&mut self) -> Result<(), Ending> {
        let leading = self.leading_skip().map_or(0, |left| *left);
        if leading > 0 {
            let skipped = self.skip(leading)?;
            self.skipped = skipped;
            if let Some(left) = self.leading_skip() {
                *left -= skipped;
            }
        }
        self.wanted = self.wanted.map(|wanted| wanted - self.skipped.min(wanted));
        let root = self.graph.root();
        if let (Some(wanted), Opening::Open(OpenRole::Source(source))) = (self.wanted, &mut self.stages[root].role) {
            source.read_at_most(wanted);
        }
        Ok(())
    }

    /// The number of leading bytes that the first transform still has to drop.
    fn leading_skip(&mut self) -> Option<&mut u64> {
        let first = self.graph.downstream(self.graph.root()).next()?;
        match &mut self.stages[first].role {
            Opening::Planned(StagePlan::Transform(plan)) => plan.leading_skip(),
            _ => None,
        }
    }

    /// Moves the source `bytes` ahead if it can; returns by how many it did.
    fn skip(&mut self, bytes: u64) -> Result<u64, Ending> {
        let root = self.graph.root();
        let skipped = match &mut self.stages[root].role {
            Opening::Open(OpenRole::Source(source)) => source.skip(bytes),
            _ => Ok(0),
        };
        skipped.map_err(|failure| self.failed(root, failure))
    }

    fn finish(self, facts: &NodeMap<Option<Facts>>) -> Opened {
        let root = self.graph.root();
        let size = facts[root]
            .as_ref()
            .and_then(|facts| facts.size)
            .or_else(|| match &self.stages[root].role {
                Opening::Open(OpenRole::Source(source)) => source.size(),
                _ => None,
            });
        let passed = self.skipped + self.resumed;
        let expected = size.map(|size| (size - passed.min(size)).min(self.wanted.unwrap_or(u64::MAX)));
        // A source without an end is read until there is enough.
        let ends_early = self.stages.values().iter().any(|stage| stage.ends_early);
        let stages = self.stages.into_values().into_iter().filter_map(|stage| {
            let mut output_size = stage.output_size;
            let role = match stage.role {
                Opening::Open(role) => role,
                Opening::Planned(StagePlan::Transform(plan)) => {
                    // Only now is it known what the source has skipped in place of the transform.
                    let passing = plan.pass_through();
                    output_size = passing.map_or(OutputSize::Changed, PassThrough::output_size);
                    OpenRole::Transform(plan.make())
                }
                Opening::Planned(StagePlan::Branch(plan)) => OpenRole::Branch(plan.make()),
                Opening::Planned(StagePlan::Source(_) | StagePlan::Sink(_)) | Opening::Gone => return None,
            };
            Some(OpenStage {
                name: stage.name,
                text: stage.text,
                listening: stage.listening,
                side_file: stage.side_file,
                sub_pipelines: stage.sub_pipelines,
                state: stage.state,
                ends_early: stage.ends_early,
                branches: stage.branches,
                output_size,
                outside: stage.outside,
                rate_control: stage.rate_control,
                role,
            })
        });
        Opened {
            stages: stages.collect(),
            expected: expected.or(self.wanted.filter(|_| ends_early)),
            resumed: self.resumed,
            wanted: self.wanted,
            drains: self.drains,
            graph: self.graph,
            memory: self.memory,
            joins: self.joins,
        }
    }
}

/// The source was a regular file when it was checked and is not one any more.
fn unknowable() -> Failure {
    let why = "resume=true needs a regular file, and this is not one";
    Failure::because(Kind::Usage, "cannot be identified", why)
}
