//! From checked calls to a typed chain with a memory budget. Nothing is opened, nothing is touched.

use std::ops::Range;

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, check_chain};
use crate::endpoints::{self, SideFile};
use crate::error::{ChainError, Failure, Problem};
use crate::flow::Marks;
use crate::grammar::{Script, format_rate};
use crate::platform::FilePlace;
use crate::stage::{Content, Facts, SinkPlan, SourcePlan, TransformPlan};
use crate::transforms;

mod budget;
mod resuming;

pub use budget::MemoryPlan;

/// All stages that there are.
#[must_use]
pub fn catalog() -> Vec<&'static Definition> {
    [endpoints::STAGES, transforms::STAGES].concat()
}

/// What the command line says that a chain must fit.
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

/// A chain that can be run.
pub struct Plan {
    /// Where bytes come from.
    pub source: Planned<Box<dyn SourcePlan>>,
    /// What happens to them.
    pub transforms: Vec<Planned<Box<dyn TransformPlan>>>,
    /// Where they go.
    pub sink: Planned<Box<dyn SinkPlan>>,
    /// The small files that stages leave beside the stream, each with the index of its stage.
    pub side_files: Vec<(usize, SideFile)>,
    /// The marks of each link, in the order of the chain, and the ceiling over all.
    pub memory: MemoryPlan,
}

/// One stage, planned.
pub struct Planned<T> {
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its call, normalised and safe to print.
    pub text: String,
    /// What counts because the call says nothing else: `level=6`.
    pub defaults: Vec<String>,
    /// What it will do.
    pub plan: T,
}

/// What a stage's own plan asks of the budget.
#[derive(Default)]
struct Asked {
    state: u64,
    claims_later: bool,
    high: Option<u64>,
}

impl Asked {
    fn by(plan: &dyn TransformPlan) -> Self {
        Self {
            state: plan.state_bytes(),
            claims_later: plan.claims_later(),
            high: plan.high(),
        }
    }
}

/// What the budget has to know of a stage.
#[derive(Debug)]
struct Needs {
    span: Range<usize>,
    /// Whether there is a link behind it.
    feeds_a_link: bool,
    /// Bytes besides links.
    state: u64,
    /// Whether more may be asked for once the input is known.
    claims_later: bool,
    /// The marks that the user, or else the stage, set on the link behind it.
    high: Option<u64>,
    low: Option<u64>,
}

impl Plan {
    /// Checks a script against the catalog and plans it. `problems` are those that reading it has found already.
    ///
    /// # Errors
    /// All problems together, in the script's own text.
    pub fn new(script: &Script, mut problems: Vec<Problem>, limits: Limits) -> Result<Self, ChainError> {
        let catalog = catalog();
        let calls = check_chain(script, &catalog).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        let mut source = None;
        let mut sink = None;
        let mut chain = Vec::new();
        let mut side_files = Vec::new();
        let mut needs = Vec::new();
        let mut too_slow = Vec::new();
        for (definition, args) in &calls {
            let asked = match definition.build {
                Build::Source(build) => build(args).map(|plan| {
                    source = Some(planned(definition, args, plan));
                    Asked::default()
                }),
                Build::Sink(build) => build(args).map(|plan| {
                    let state = plan.state_bytes();
                    sink = Some(planned(definition, args, plan));
                    Asked {
                        state,
                        ..Asked::default()
                    }
                }),
                Build::Transform(build) => build(args).map(|mut plan| {
                    // Half of a ceiling for state, half for links.
                    plan.fit(limits.memory.map_or(u64::MAX, |memory| memory / 2));
                    let asked = Asked::by(&*plan);
                    if plan.content() == Content::Restored {
                        // What comes out of a decoder may be faster than what goes in.
                        too_slow.clear();
                    }
                    too_slow.extend(slower(&*plan, args, limits.min_rate));
                    if let Some((param, name)) = plan.side_file() {
                        match SideFile::named(name) {
                            Ok(file) => side_files.push((chain.len() + 1, file)),
                            Err(wrong) => {
                                let problem = Problem::at(args.span_of(param), wrong.message);
                                problems.push(problem.help(wrong.help));
                            }
                        }
                    }
                    chain.push(planned(definition, args, plan));
                    asked
                }),
            };
            match asked {
                Ok(asked) => needs.push(Needs::of(definition, args, &asked)),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(too_slow);
        let whole = 0..script.text.len();
        if source.is_none() {
            needs.insert(0, Needs::none(whole.clone()));
        }
        if problems.is_empty() {
            problems = resuming::problems(source.as_ref(), &chain, sink.as_ref(), &needs);
        }
        let memory = MemoryPlan::new(&needs, limits, &whole)
            .map_err(|found| problems.extend(found))
            .ok();
        match memory {
            Some(memory) if problems.is_empty() => Ok(Self {
                source: source.unwrap_or_else(|| Planned {
                    name: "read",
                    text: "read -".to_owned(),
                    defaults: Vec::new(),
                    plan: endpoints::read::standard_input(),
                }),
                transforms: chain,
                side_files,
                sink: sink.unwrap_or_else(|| Planned {
                    name: "write",
                    text: "write -".to_owned(),
                    defaults: Vec::new(),
                    plan: endpoints::write::standard_output(),
                }),
                memory,
            }),
            _ => Err(ChainError {
                text: script.text.clone(),
                problems,
            }),
        }
    }

    /// The regular files that the chain reads and writes, each with whose it is, as far as that can be known before
    /// anything is opened.
    ///
    /// # Errors
    /// If there may be a file that cannot be looked at; with the index of the stage. One that is missing, or is no file,
    /// is none.
    pub fn files(&self) -> Result<Vec<(FilePlace, String)>, (usize, Failure)> {
        let mut found = Vec::new();
        let mut add = |at: usize, facts: Result<Facts, Failure>, whose: &str| {
            let places = match facts {
                Ok(facts) => facts.files,
                Err(failure) => match failure.errno() {
                    None | Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO) => Vec::new(),
                    Some(_) => return Err((at, failure)),
                },
            };
            found.extend(places.into_iter().map(|place| (place, whose.to_owned())));
            Ok(())
        };
        add(0, self.source.plan.facts(), "the source")?;
        add(self.transforms.len() + 1, self.sink.plan.facts(), "the sink")?;
        for (at, file) in &self.side_files {
            let whose = format!("the file of {}", self.transforms[at - 1].name);
            add(*at, file.facts(), &whose)?;
        }
        Ok(found)
    }

    /// The whole pipeline, normalised: `read a | gzip | write b`. The same pipeline has the same text in every run.
    #[must_use]
    pub fn text(&self) -> String {
        let stages = 0..self.transforms.len() + 2;
        stages.map(|stage| self.text_of(stage)).collect::<Vec<_>>().join(" | ")
    }

    /// The text of one stage; whatever lies behind the transforms is the sink.
    #[must_use]
    pub fn text_of(&self, stage: usize) -> &str {
        match stage.checked_sub(1) {
            None => &self.source.text,
            Some(at) => self
                .transforms
                .get(at)
                .map_or(&self.sink.text, |transform| &transform.text),
        }
    }

    /// Bytes of state that the stages say they need, in the order of the chain's transforms.
    pub fn states(&self) -> impl Iterator<Item = u64> {
        self.transforms.iter().map(|transform| transform.plan.state_bytes())
    }
}

/// What is wrong with a stage that never lets the sink have as much as it must.
fn slower(plan: &dyn TransformPlan, args: &Args, min_rate: Option<u64>) -> Option<Problem> {
    let (rate, least) = (plan.rate()?, min_rate?);
    (rate < least).then(|| {
        let (rate, least) = (format_rate(rate), format_rate(least));
        Problem::at(
            args.span(),
            format!("{rate} is less than --min-rate {least}: the run could only fail"),
        )
        .help("let more pass, or ask for less")
    })
}

fn planned<T>(definition: &Definition, args: &Args, plan: T) -> Planned<T> {
    let unsaid = definition.params.iter().filter(|param| !args.is_given(param.name));
    let defaults = unsaid.filter_map(|param| Some(format!("{}={}", param.name, param.default?)));
    Planned {
        name: definition.name,
        text: args.normalised().to_owned(),
        defaults: defaults.collect(),
        plan,
    }
}

impl Needs {
    fn of(definition: &Definition, args: &Args, asked: &Asked) -> Self {
        let feeds_a_link = definition.role.feeds_a_link();
        Self {
            span: args.span(),
            feeds_a_link,
            state: asked.state,
            claims_later: asked.claims_later,
            high: feeds_a_link.then(|| args.high().or(asked.high)).flatten(),
            low: feeds_a_link.then(|| args.low()).flatten(),
        }
    }

    fn none(span: Range<usize>) -> Self {
        Self {
            span,
            feeds_a_link: true,
            state: 0,
            claims_later: false,
            high: None,
            low: None,
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
            planned.memory.links.iter().map(|marks| marks.high).collect::<Vec<_>>()
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
