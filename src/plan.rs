//! Turns checked calls into a pipeline's graph with a memory budget. Nothing is opened or changed.

use rustix::io::Errno;

use crate::catalog::{Definition, check_pipeline};
use crate::endpoints::{self, SideFile};
use crate::error::{ChainError, Failure, Problem};
use crate::exec;
use crate::flow::Marks;
use crate::grammar::Script;
use crate::graph::{Edge, EdgeId, Graph, NodeId, NodeMap, Port};
use crate::platform::{FilePlace, JOINS_PIPES};
use crate::stage::{BranchPlan, Endpoint, Facts, MemoryUse, RecordRoom, Source, TransformPlan};
use crate::transforms;

mod budget;
mod names;
mod planner;
mod ports;
mod positions;
mod resuming;
mod sub_plan;

pub use budget::MemoryPlan;
use planner::Planner;
pub use resuming::Repeats;
pub use sub_plan::{PlanRun, SubPlan, share};

/// The definitions of all stages, by topic.
#[must_use]
pub fn catalog() -> Vec<&'static Definition> {
    let mut all = [endpoints::STAGES, transforms::STAGES, exec::STAGES].concat();
    all.sort_by_key(|stage| stage.topic);
    all
}

/// The limits that the command line sets for a pipeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The hard ceiling in bytes, if the user set one.
    pub memory: Option<u64>,
    /// The largest chunk in bytes, if the user set one.
    pub chunk: Option<u64>,
    /// Whether every mark is advisory, so that nothing bounds the memory.
    pub ignore_backpressure: bool,
    /// The lowest rate of the sink, in bytes per second, if the user set one.
    pub min_rate: Option<u64>,
}

/// What a pipeline without a source or sink of its own reads and writes.
pub struct Ends {
    /// Where it reads.
    pub source: Source,
    /// Where it writes.
    pub sink: Box<dyn Endpoint>,
    /// Whether a program that is the first stage reads the source as well, instead of standard input.
    pub feeds_programs: bool,
}

impl Ends {
    /// Standard input and output.
    fn standard() -> Self {
        Self {
            source: endpoints::read::standard_input(),
            sink: endpoints::write::standard_output(),
            feeds_programs: false,
        }
    }
}

/// A pipeline that can be run.
pub struct Plan {
    /// How its stages are joined.
    pub graph: Graph,
    /// Its stages.
    pub stages: NodeMap<Planned<StagePlan>>,
    /// The marks of each link, and the ceiling over all.
    pub memory: MemoryPlan,
    /// The whole pipeline, normalised: `read a | gzip | write b`. The same pipeline has the same text in every run.
    pub text: String,
    /// What it repeats at worst of a run that was killed, if it continues that.
    pub repeats: Option<Repeats>,
}

/// What a stage will do.
pub enum StagePlan {
    /// Where bytes come from.
    Source(Source),
    /// What happens to the bytes.
    Transform(Box<dyn TransformPlan>),
    /// Where the stream splits.
    Branch(Box<dyn BranchPlan>),
    /// Where they go.
    Sink(Box<dyn Endpoint>),
}

/// One stage, planned.
pub struct Planned<T> {
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its call, normalised and safe to print.
    pub text: String,
    /// Whether it is not written in the text, but added at the beginning or the end of the pipeline.
    pub is_implied: bool,
    /// The default values of parameters that are not given: `level=6`.
    pub defaults: Vec<String>,
    /// The small file that it writes beside the stream.
    pub side_file: Option<SideFile>,
    /// The pipelines that it starts itself.
    pub sub_pipelines: Vec<SubPlan>,
    /// What it will do.
    pub plan: T,
}

impl<T> Planned<T> {
    /// A stage without side files and pipelines of its own.
    pub fn new(name: &'static str, text: impl Into<String>, plan: T) -> Self {
        Self {
            name,
            text: text.into(),
            is_implied: false,
            defaults: Vec::new(),
            side_file: None,
            sub_pipelines: Vec::new(),
            plan,
        }
    }
}

impl Planned<StagePlan> {
    /// Bytes of memory that it holds besides its links, including those of the pipelines that it starts.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let runs = self.sub_pipelines.iter().map(|sub| sub.memory);
        runs.fold(self.plan.state_bytes(), u64::saturating_add)
    }
}

impl StagePlan {
    /// What is known of a source or a sink without side effects; `None` for other stages.
    ///
    /// # Errors
    /// If opening is certain to fail.
    #[must_use]
    pub fn facts(&self) -> Option<Result<Facts, Failure>> {
        match self {
            Self::Source(plan) => Some(plan.facts()),
            Self::Sink(place) => Some(place.sink_facts()),
            Self::Transform(_) | Self::Branch(_) => None,
        }
    }

    /// Whether it may succeed before its input has ended.
    #[must_use]
    pub fn ends_early(&self) -> bool {
        match self {
            Self::Source(_) | Self::Branch(_) => false,
            Self::Transform(plan) => plan.ends_early(),
            Self::Sink(place) => place.ends_early(),
        }
    }

    /// Bytes of memory that it holds besides its links.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::Source(source) => source.state_bytes(),
            Self::Transform(plan) => plan.memory_use().map_or(0, MemoryUse::state_bytes),
            Self::Branch(plan) => plan.state_bytes(),
            Self::Sink(place) => place.state_bytes(),
        }
    }

    /// The room that it needs for records.
    fn record_room(&self) -> Option<RecordRoom> {
        match self {
            Self::Source(source) => source.record_room(),
            Self::Transform(plan) => plan.record_room(),
            Self::Branch(_) => None,
            Self::Sink(place) => place.record_room(),
        }
    }

    /// Sets what it receives, and how large a record is at most, in bytes with its newline.
    fn settle_records(&mut self, input: Port, largest: u64) {
        match self {
            Self::Source(source) => source.settle_records(largest),
            Self::Transform(plan) => plan.settle_records(input, largest),
            Self::Branch(_) => {}
            Self::Sink(place) => place.settle_records(largest),
        }
    }

    /// Whether it can lend the pipe that its output comes from.
    fn lends_pipe(&self) -> bool {
        match self {
            Self::Source(source) => source.lends_pipe(),
            Self::Transform(plan) => plan.joins_pipes(),
            Self::Branch(_) | Self::Sink(_) => false,
        }
    }

    /// Whether it accepts a pipe as its input.
    fn takes_pipe(&self) -> bool {
        match self {
            Self::Transform(plan) => plan.joins_pipes(),
            Self::Sink(place) => place.takes_pipe(),
            Self::Source(_) | Self::Branch(_) => false,
        }
    }

    /// A transform, if it is one.
    #[must_use]
    pub fn as_transform(&self) -> Option<&dyn TransformPlan> {
        match self {
            Self::Transform(plan) => Some(&**plan),
            _ => None,
        }
    }

    /// A sink, if it is one.
    #[must_use]
    pub fn as_sink(&self) -> Option<&dyn Endpoint> {
        match self {
            Self::Sink(place) => Some(&**place),
            _ => None,
        }
    }

    /// A source, if it is one.
    #[must_use]
    pub fn as_source(&self) -> Option<&Source> {
        match self {
            Self::Source(source) => Some(source),
            _ => None,
        }
    }
}

impl Plan {
    /// Checks a script against the catalog and plans it. `problems` are those found while reading it.
    ///
    /// # Errors
    /// All problems together, in the script's own text.
    pub fn new(script: &Script, problems: Vec<Problem>, limits: Limits) -> Result<Self, ChainError> {
        Self::between(Ends::standard(), script, problems, limits)
    }

    /// As [`Plan::new`], with other ends than standard input and output for a pipeline without a source or sink.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn between(ends: Ends, script: &Script, problems: Vec<Problem>, limits: Limits) -> Result<Self, ChainError> {
        let mut planner = Planner::new(script, problems, limits);
        let catalog = catalog();
        match check_pipeline(script, &catalog) {
            Ok(pipeline) => planner.main(pipeline, ends),
            Err(found) => planner.problems.extend(found),
        }
        planner.finish().map_err(|problems| ChainError {
            text: script.text.clone(),
            problems,
        })
    }

    /// Whether the first signal only ends the source, so that what was read is committed: its input has no end, or is
    /// committed in parts.
    #[must_use]
    pub fn drains(&self) -> bool {
        let source = self.stages[self.graph.root()].plan.as_source();
        let has_parts = || self.stages.values().iter().any(|stage| !stage.sub_pipelines.is_empty());
        source.is_some_and(|source| source.can_stop() && (source.is_endless() || has_parts()))
    }

    /// The regular files that the pipeline reads and writes, each with the text of its stage, as far as known before
    /// anything is opened. Missing files and other kinds of endpoint are left out.
    ///
    /// # Errors
    /// If a file cannot be examined; with its stage.
    pub fn files(&self) -> Result<Vec<(FilePlace, String)>, (NodeId, Failure)> {
        let mut found = Vec::new();
        let mut add = |node, facts: Result<Facts, Failure>, whose: &str| {
            let places = match facts {
                Ok(facts) => facts.files,
                Err(failure) => match failure.errno() {
                    None | Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO) => Vec::new(),
                    Some(_) => return Err((node, failure)),
                },
            };
            found.extend(places.into_iter().map(|place| (place, whose.to_owned())));
            Ok(())
        };
        for (node, stage) in self.stages.iter() {
            if let Some(facts) = stage.plan.facts() {
                let whose = match stage.plan {
                    StagePlan::Source(_) => "the source",
                    _ => "the sink",
                };
                add(node, facts, whose)?;
            }
        }
        for (node, stage) in self.stages.iter() {
            if let Some(file) = &stage.side_file {
                add(node, file.facts(), &format!("the file of {}", stage.name))?;
            }
        }
        Ok(found)
    }

    /// The ends that are written in the pipeline's text and are standard input or output of this process.
    pub fn standard_ends(&self) -> impl Iterator<Item = &Planned<StagePlan>> {
        let is_standard = |stage: &&Planned<StagePlan>| match &stage.plan {
            StagePlan::Source(source) => source.is_standard(),
            StagePlan::Sink(sink) => sink.is_standard(),
            StagePlan::Transform(_) | StagePlan::Branch(_) => false,
        };
        let stages = self.stages.values().iter().filter(|stage| !stage.is_implied);
        stages.filter(is_standard)
    }

    /// Bytes of state of each stage.
    pub fn states(&self) -> impl Iterator<Item = u64> {
        self.stages.values().iter().map(Planned::state_bytes)
    }

    /// The most bytes that all stages behind `node` together need of it; `None` if there is no bound.
    #[must_use]
    pub fn wanted_of(&self, node: NodeId) -> Option<u64> {
        let wanted_by = |next: NodeId| match &self.stages[next].plan {
            StagePlan::Transform(transform) => transform.pass_through()?.wanted_input(self.wanted_of(next)),
            StagePlan::Branch(_) => self.wanted_of(next),
            StagePlan::Source(_) | StagePlan::Sink(_) => None,
        };
        // If one stage has no bound, there is none for all.
        let wanted: Option<Vec<u64>> = self.graph.downstream(node).map(wanted_by).collect();
        wanted?.into_iter().max()
    }

    /// The sources and sinks, each with its facts.
    pub fn ends(&self) -> impl Iterator<Item = (NodeId, Result<Facts, Failure>)> {
        self.stages
            .iter()
            .filter_map(|(node, stage)| Some((node, stage.plan.facts()?)))
    }

    /// Whether the bytes of an edge pass from a pipe to a pipe inside the kernel instead of through a link of ours: where both
    /// stages can, unless the user has set a mark.
    #[must_use]
    pub fn joins(&self, edge: EdgeId) -> bool {
        let Edge { from, to, .. } = self.graph.edge(edge);
        let is_bounded = self.memory.explicit_marks[edge] || self.memory.is_unbounded;
        JOINS_PIPES && !is_bounded && self.stages[from].plan.lends_pipe() && self.stages[to].plan.takes_pipe()
    }

    /// The source and the sink, if there is no stage between them.
    #[must_use]
    pub fn bare(&self) -> Option<(&Source, &dyn Endpoint)> {
        match self.stages.values() {
            [source, sink] => Some((source.plan.as_source()?, sink.plan.as_sink()?)),
            _ => None,
        }
    }
}

/// The marks of a link that may hold `high` bytes.
fn marks(high: u64, low: Option<u64>, limits: Limits) -> Marks {
    /// The default size of a source's reads: large enough that the cost of a system call does not show.
    const CHUNK: u64 = 256 << 10;
    let chunk = usize::try_from(limits.chunk.unwrap_or(CHUNK)).unwrap_or(usize::MAX);
    let marks = Marks::new(high, low.unwrap_or(high / 2).min(high), chunk);
    if limits.ignore_backpressure {
        marks.advisory()
    } else {
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, limits: Limits) -> Result<Plan, ChainError> {
        let (script, problems) = crate::grammar::parse(text.as_bytes());
        Plan::new(&script, problems, limits)
    }

    fn problems(text: &str, min_rate: u64) -> Vec<String> {
        let limits = Limits {
            min_rate: Some(min_rate),
            ..Limits::default()
        };
        let refused = plan(text, limits).err();
        let problems = refused.map_or_else(Vec::new, |refused| refused.problems);
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn users_mark_outranks_the_stages() {
        let highs = |text| {
            let planned = plan(text, Limits::default()).unwrap_or_else(|error| panic!("{error:?}"));
            planned
                .memory
                .links
                .values()
                .iter()
                .map(|marks| marks.high)
                .collect::<Vec<_>>()
        };
        assert_eq!(highs("read a | buffer 64K | write b")[1], 64 << 10);
        assert_eq!(highs("read a | buffer 64K high=128K | write b")[1], 128 << 10);
    }

    #[test]
    fn open_state_takes_half_the_ceiling() {
        let state = |memory: u64| {
            let limits = Limits {
                memory: Some(memory << 10),
                ..Limits::default()
            };
            let planned = plan("read a | gzip | write b", limits).unwrap_or_else(|error| panic!("{error:?}"));
            planned.memory.state
        };
        for memory in [1024, 2048, 4096, 64 << 10] {
            assert!(state(memory) <= (memory << 10) / 2, "{memory} KiB: {}", state(memory));
        }
    }

    #[test]
    fn resume_points_at_the_unsuitable_stage() {
        let text = "read a | throttle 1MB/s | bzip2 | write b resume=true";
        let refused = plan(text, Limits::default()).err().expect("bzip2 needs the beginning");
        let [problem] = &refused.problems[..] else {
            panic!("{refused:?}")
        };
        assert_eq!(&text[problem.span.clone()], "bzip2");
        assert_eq!(
            problem.message,
            "`bzip2` cannot start in the middle, as resume=true needs it"
        );
        assert!(plan("read a | throttle 1MB/s | write b resume=true", Limits::default()).is_ok());
    }

    #[test]
    fn too_slow_throttle_is_refused() {
        let refusal = ["1kB/s is less than --min-rate 2kB/s: the run could only fail"];
        assert_eq!(problems("throttle 1kB/s", 2000), refusal);
        assert_eq!(problems("gunzip | throttle 1kB/s | gzip", 2000), refusal);
        assert_eq!(problems("throttle 2kB/s", 2000), [""; 0]);
        assert_eq!(problems("throttle 1kB/s | gunzip", 2000), [""; 0]);
    }
}
