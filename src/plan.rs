//! From checked calls to a pipeline's graph with a memory budget. Nothing is opened, nothing is touched.

use std::fmt;

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, check_chain};
use crate::endpoints::{self, SideFile};
use crate::error::{ChainError, Failure, Problem};
use crate::exec;
use crate::flow::Marks;
use crate::grammar::{Script, format_rate};
use crate::graph::{Graph, NodeId, NodeMap};
use crate::platform::FilePlace;
use crate::stage::{BranchPlan, Content, Conversion, Facts, MemoryUse, SinkPlan, SourcePlan, TransformPlan};
use crate::transforms;

mod budget;
mod ports;
mod resuming;

use budget::Demand;
pub use budget::MemoryPlan;

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
}

/// What a stage will do.
pub enum StagePlan {
    /// Where bytes come from.
    Source(Box<dyn SourcePlan>),
    /// What happens to them.
    Transform(Box<dyn TransformPlan>),
    /// Where they part.
    Branch(Box<dyn BranchPlan>),
    /// Where they go.
    Sink(Box<dyn SinkPlan>),
}

/// One stage, planned.
pub struct Planned<T> {
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its call, normalised and safe to print.
    pub text: String,
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
pub type PlanRun = dyn Fn(Box<dyn SourcePlan>) -> Result<Plan, Failure> + Send + Sync;

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
            Self::Sink(plan) => Some(plan.facts()),
            Self::Transform(_) | Self::Branch(_) => None,
        }
    }

    /// Bytes of memory that it holds besides its links.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::Source(_) => 0,
            Self::Transform(plan) => plan.memory_use().map_or(0, MemoryUse::state_bytes),
            Self::Branch(plan) => plan.state_bytes(),
            Self::Sink(plan) => plan.state_bytes(),
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
    pub fn as_sink(&self) -> Option<&dyn SinkPlan> {
        match self {
            Self::Sink(plan) => Some(&**plan),
            _ => None,
        }
    }

    /// A source, if it is one.
    #[must_use]
    pub fn as_source(&self) -> Option<&dyn SourcePlan> {
        match self {
            Self::Source(plan) => Some(&**plan),
            _ => None,
        }
    }
}

impl Plan {
    /// Checks a script against the catalog and plans it. `problems` are those that reading it has found already.
    ///
    /// # Errors
    /// All problems together, in the script's own text.
    pub fn new(script: &Script, mut problems: Vec<Problem>, limits: Limits) -> Result<Self, ChainError> {
        let catalog = catalog();
        let mut calls = check_chain(script, &catalog).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        let whole = 0..script.text.len();
        let mut stages = NodeMap::default();
        let mut demands = NodeMap::default();
        let mut too_slow = Vec::new();
        let reads = |(definition, _): &(&Definition, Args)| matches!(definition.build, Build::Source(_));
        if !calls.first().is_some_and(reads) {
            let standard = StagePlan::Source(endpoints::read::standard_input());
            stages.push(Planned::new("read", "read -", standard));
            demands.push(Demand::none(whole.clone()));
        }
        for (definition, args) in &mut calls {
            if let Some(memory) = limits.memory {
                // Half of the ceiling for state, half for links.
                args.limit_state(memory / 2);
            }
            let built = build(definition, args);
            demands.push(Demand::of(definition, args, built.as_ref().ok()));
            match built {
                Ok(plan) => {
                    if let Some(transform) = plan.as_transform() {
                        let conversion = transform.conversion();
                        if conversion.and_then(Conversion::content) == Some(Content::Restored) {
                            // What comes out of a decoder may be faster than what goes in.
                            too_slow.clear();
                        }
                        too_slow.extend(slower(transform, args, limits.min_rate));
                    }
                    stages.push(planned(definition, args, plan, &mut problems));
                }
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(too_slow);
        let writes = |(definition, _): &(&Definition, Args)| matches!(definition.build, Build::Sink(_));
        if !calls.last().is_some_and(writes) {
            let standard = StagePlan::Sink(endpoints::write::standard_output());
            stages.push(Planned::new("write", "write -", standard));
            demands.push(Demand::none(whole.clone()));
        }
        let mut graph = Graph::chain(demands.len());
        if problems.is_empty() {
            problems = resuming::problems(&graph, &stages, &demands);
        }
        if problems.is_empty() {
            problems = ports::check(&mut graph, &stages, &demands);
        }
        let memory = MemoryPlan::new(&graph, &demands, limits, &whole)
            .map_err(|found| problems.extend(found))
            .ok();
        match memory {
            Some(memory) if problems.is_empty() => Ok(Self { graph, stages, memory }),
            _ => Err(ChainError {
                text: script.text.clone(),
                problems,
            }),
        }
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

    /// The whole pipeline, normalised: `read a | gzip | write b`. The same pipeline has the same text in every run.
    #[must_use]
    pub fn text(&self) -> String {
        let stages = self.stages.values().iter().map(|stage| stage.text.as_str());
        stages.collect::<Vec<_>>().join(" | ")
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
    pub fn bare(&self) -> Option<(&dyn SourcePlan, &dyn SinkPlan)> {
        match self.stages.values() {
            [source, sink] => Some((source.plan.as_source()?, sink.plan.as_sink()?)),
            _ => None,
        }
    }
}

/// Plans what one call says.
fn build(definition: &Definition, args: &Args) -> Result<StagePlan, Problem> {
    Ok(match definition.build {
        Build::Source(build) => StagePlan::Source(build(args)?),
        Build::Sink(build) => StagePlan::Sink(build(args)?),
        Build::Transform(build) => StagePlan::Transform(build(args)?),
    })
}

/// What is wrong with a stage that never lets the sink have as much as it must.
fn slower(plan: &dyn TransformPlan, args: &Args, min_rate: Option<u64>) -> Option<Problem> {
    let (rate, least) = (plan.dial()?.rate(), min_rate?);
    (rate < least).then(|| {
        let (rate, least) = (format_rate(rate), format_rate(least));
        Problem::at(
            args.span(),
            format!("{rate} is less than --min-rate {least}: the run could only fail"),
        )
        .help("let more pass, or ask for less")
    })
}

fn planned(definition: &Definition, args: &Args, plan: StagePlan, problems: &mut Vec<Problem>) -> Planned<StagePlan> {
    let unsaid = definition.params.iter().filter(|param| !args.is_given(param.name));
    let defaults = unsaid.filter_map(|param| Some(format!("{}={}", param.name, param.default?)));
    let side_file = plan.as_transform().and_then(TransformPlan::side_file);
    let side_file = side_file.and_then(|(param, name)| {
        let refused = |wrong: endpoints::Misnamed| {
            problems.push(Problem::at(args.span_of(param), wrong.message).help(wrong.help));
        };
        SideFile::named(name).map_err(refused).ok()
    });
    Planned {
        defaults: defaults.collect(),
        side_file,
        ..Planned::new(definition.name, args.normalised(), plan)
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
