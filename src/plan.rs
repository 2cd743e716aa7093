//! From checked calls to a pipeline's graph with a memory budget. Nothing is opened, nothing is touched.

use std::fmt;

use rustix::io::Errno;

use crate::catalog::{Definition, check_pipeline};
use crate::endpoints::{self, SideFile};
use crate::error::{ChainError, Failure, Problem};
use crate::exec;
use crate::flow::Marks;
use crate::grammar::Script;
use crate::graph::{Graph, NodeId, NodeMap};
use crate::platform::FilePlace;
use crate::stage::{BranchPlan, Endpoint, Facts, MemoryUse, ResumeKey, Source, TransformPlan};
use crate::transforms;

mod budget;
mod planner;
mod ports;
mod resuming;

pub use budget::MemoryPlan;
use planner::Planner;

/// All stages that there are.
#[must_use]
pub fn catalog() -> Vec<&'static Definition> {
    [endpoints::STAGES, transforms::STAGES, exec::STAGES].concat()
}

/// What the command line says that a pipeline must fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The hard ceiling in bytes, if the user set one.
    pub memory: Option<u64>,
    /// The largest chunk in bytes, if the user set one.
    pub chunk: Option<u64>,
    /// Whether every mark is only advice, so that nothing bounds the memory.
    pub ignore_backpressure: bool,
    /// What the sink must take, in bytes per second, if the user said so.
    pub min_rate: Option<u64>,
}

/// A pipeline that can be run.
pub struct Plan {
    /// How its stages hang together.
    pub graph: Graph,
    /// Its stages.
    pub stages: NodeMap<Planned<StagePlan>>,
    /// The marks of each link, and the ceiling over all.
    pub memory: MemoryPlan,
    /// The whole pipeline, normalised: `read a | gzip | write b`. The same pipeline has the same text in every run.
    pub text: String,
}

/// What a stage will do.
pub enum StagePlan {
    /// Where bytes come from.
    Source(Source),
    /// What happens to them.
    Transform(Box<dyn TransformPlan>),
    /// Where they part.
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
    /// Whether the text leaves it out: it is only where the pipeline happens to begin or to end.
    pub is_implied: bool,
    /// What counts because the call says nothing else: `level=6`.
    pub defaults: Vec<String>,
    /// The small file that it leaves beside the stream.
    pub side_file: Option<SideFile>,
    /// The pipelines that it starts itself.
    pub sub_pipelines: Vec<SubPlan>,
    /// What it will do.
    pub plan: T,
}

impl<T> Planned<T> {
    /// A stage that leaves no file and starts no pipeline.
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
    /// Bytes of memory that it holds besides its links, those of the pipelines that it starts included.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let runs = self.sub_pipelines.iter().map(|sub| sub.memory);
        runs.fold(self.plan.state_bytes(), u64::saturating_add)
    }
}

/// A pipeline that a stage starts any number of times.
pub struct SubPlan {
    /// Plans one run of it over a source.
    pub plan: Box<PlanRun>,
    /// Bytes of memory that one run takes at most: part of the stage's own state.
    pub memory: u64,
}

/// Plans one run of a sub-pipeline over a source.
pub type PlanRun = dyn Fn(Source) -> Result<Plan, Failure> + Send + Sync;

impl fmt::Debug for SubPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubPlan")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

impl StagePlan {
    /// What can be known of a source or a sink without touching it; `None` for what stands between.
    ///
    /// # Errors
    /// Where it is already clear that opening must fail.
    #[must_use]
    pub fn facts(&self) -> Option<Result<Facts, Failure>> {
        match self {
            Self::Source(plan) => Some(plan.facts()),
            Self::Sink(place) => Some(place.sink_facts()),
            Self::Transform(_) | Self::Branch(_) => None,
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

    /// Where it is put which run this is, where a sink goes on with what an earlier one has written.
    pub fn resume_key(&mut self) -> Option<&mut Option<ResumeKey>> {
        match self {
            Self::Sink(place) => place.resume_key(),
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
    /// Checks a script against the catalog and plans it. `problems` are those that reading it has found already.
    ///
    /// # Errors
    /// All problems together, in the script's own text.
    pub fn new(script: &Script, problems: Vec<Problem>, limits: Limits) -> Result<Self, ChainError> {
        let mut planner = Planner::new(script, problems, limits);
        let catalog = catalog();
        match check_pipeline(script, &catalog) {
            Ok(pipeline) => planner.main(pipeline),
            Err(found) => planner.problems.extend(found),
        }
        planner.finish().map_err(|problems| ChainError {
            text: script.text.clone(),
            problems,
        })
    }

    /// The regular files that the pipeline reads and writes, each with whose it is, as far as that can be known before
    /// anything is opened.
    ///
    /// # Errors
    /// If there may be a file that cannot be looked at; with its stage. One that is missing, or is no file, is none.
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

    /// Bytes of state that the stages say they need.
    pub fn states(&self) -> impl Iterator<Item = u64> {
        self.stages.values().iter().map(Planned::state_bytes)
    }

    /// Bytes that all stages behind `node` together want of it at most; `None` where there is no bound.
    #[must_use]
    pub fn wanted_of(&self, node: NodeId) -> Option<u64> {
        let wanted_by = |next: NodeId| match &self.stages[next].plan {
            StagePlan::Transform(transform) => transform.pass_through()?.wanted_input(self.wanted_of(next)),
            StagePlan::Branch(_) => self.wanted_of(next),
            StagePlan::Source(_) | StagePlan::Sink(_) => None,
        };
        // What one wants without a bound has none for any.
        let wanted: Option<Vec<u64>> = self.graph.downstream(node).map(wanted_by).collect();
        wanted?.into_iter().max()
    }

    /// The sources and sinks, each with what can be known of it.
    pub fn ends(&self) -> impl Iterator<Item = (NodeId, Result<Facts, Failure>)> {
        self.stages
            .iter()
            .filter_map(|(node, stage)| Some((node, stage.plan.facts()?)))
    }

    /// The source and the sink, where nothing stands between them.
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
    /// What a source reads at once where nothing is said: large enough that a system call's own cost does not show.
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
    fn a_mark_that_the_user_sets_outranks_the_stages_own() {
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
    fn what_a_stage_leaves_open_takes_no_more_than_half_of_a_given_ceiling() {
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
    fn what_cannot_start_in_the_middle_is_pointed_at() {
        let text = "read a | throttle 1MB/s | gzip | write b resume=true";
        let refused = plan(text, Limits::default()).err().expect("gzip needs the beginning");
        let [problem] = &refused.problems[..] else {
            panic!("{refused:?}")
        };
        assert_eq!(&text[problem.span.clone()], "gzip");
        assert_eq!(
            problem.message,
            "`gzip` cannot start in the middle, as resume=true needs it"
        );
        assert!(plan("read a | throttle 1MB/s | write b resume=true", Limits::default()).is_ok());
    }

    #[test]
    fn a_throttle_below_the_least_rate_is_refused_unless_what_follows_may_grow() {
        let refusal = ["1kB/s is less than --min-rate 2kB/s: the run could only fail"];
        assert_eq!(problems("throttle 1kB/s", 2000), refusal);
        assert_eq!(problems("gunzip | throttle 1kB/s | gzip", 2000), refusal);
        assert_eq!(problems("throttle 2kB/s", 2000), [""; 0]);
        assert_eq!(problems("throttle 1kB/s | gunzip", 2000), [""; 0]);
    }
}
