//! Turns checked calls into nodes: where each stage is, what feeds it, and its demand.

use std::ops::Range;

use crate::catalog::{Args, Build, Checked, Definition, Misnamed};
use crate::endpoints::SideFile;
use crate::error::Problem;
use crate::grammar::{Script, format_rate};
use crate::graph::{Graph, NodeId, NodeMap, Port};
use crate::stage::{Content, Conversion, RateUnit, TransformPlan};

use super::budget::{Demand, MemoryPlan};
use super::{Ends, Limits, Plan, Planned, StagePlan, SubPlan, ports, resuming};

/// A plan under construction. Nodes are added in the order of the text, so that each comes after the one that feeds it.
pub struct Planner {
    pub problems: Vec<Problem>,
    limits: Limits,
    /// The span of the whole text, for stages that are not in it.
    whole: Range<usize>,
    graph: Option<Graph>,
    /// Complete if there is no problem.
    stages: NodeMap<Planned<StagePlan>>,
    demands: NodeMap<Demand>,
    texts: Vec<String>,
}

/// The position of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    First,
    Between,
    LastInBranch,
}

impl Planner {
    /// A planner without stages, with the problems found while reading the script.
    pub fn new(script: &Script, problems: Vec<Problem>, limits: Limits) -> Self {
        Self {
            problems,
            limits,
            whole: 0..script.text.len(),
            graph: None,
            stages: NodeMap::default(),
            demands: NodeMap::default(),
            texts: Vec::new(),
        }
    }

    /// Adds the main pipeline, with `ends` if it has no source or sink of its own.
    pub fn main(&mut self, pipeline: Vec<Checked>, ends: Ends) {
        let begins = |checked: &Checked| match checked.definition.build {
            Build::Source(_) => true,
            Build::Anywhere { .. } => !ends.feeds_programs,
            Build::Transform(_) | Build::Branch(_) | Build::Sink(_) => false,
        };
        let mut last = None;
        if !pipeline.first().is_some_and(begins) {
            last = Some(self.standard(last, "read", StagePlan::Source(ends.source)));
        }
        let closes = |checked: &Checked| matches!(checked.definition.build, Build::Sink(_) | Build::Branch(_));
        let is_complete = pipeline.last().is_some_and(closes);
        self.texts.extend(pipeline.iter().map(|checked| checked.text.clone()));
        let mut too_slow = Vec::new();
        let last = self.pipeline(last, pipeline, false, &mut too_slow);
        if !is_complete {
            self.standard(last, "write", StagePlan::Sink(ends.sink));
            self.report(too_slow);
        }
    }

    /// The plan, if there is no problem.
    pub fn finish(mut self) -> Result<Plan, Vec<Problem>> {
        let mut graph = self.graph.unwrap_or_default();
        let text = self.texts.join(" | ");
        let mut repeats = None;
        if self.problems.is_empty() {
            match resuming::prepare(&graph, &mut self.stages, &mut self.demands, &text) {
                Ok(found) => repeats = found,
                Err(problems) => self.problems = problems,
            }
        }
        if self.problems.is_empty() {
            self.problems = ports::check(&mut graph, &self.stages, &self.demands);
        }
        let mut memory = MemoryPlan::new(&graph, &self.demands, self.limits, &self.whole);
        while memory.is_err() && self.problems.is_empty() && hold_less(&mut self.stages, &mut self.demands) {
            memory = MemoryPlan::new(&graph, &self.demands, self.limits, &self.whole);
        }
        let memory = memory.map_err(|found| self.problems.extend(found)).ok();
        match memory {
            Some(memory) if self.problems.is_empty() => {
                for ((node, stage), largest) in self.stages.iter_mut().zip(memory.largest_record.values()) {
                    let input = graph.input(node).map_or(Port::Bytes, |edge| graph.edge(edge).port);
                    stage.plan.settle_records(input, *largest);
                }
                Ok(Plan {
                    graph,
                    stages: self.stages,
                    memory,
                    text,
                    repeats,
                })
            }
            _ => Err(self.problems),
        }
    }

    /// Adds stages behind `last`; returns the last of them. `too_slow` are the throttles upstream that no decoder
    /// follows.
    fn pipeline(
        &mut self,
        mut last: Option<NodeId>,
        pipeline: Vec<Checked>,
        is_branch: bool,
        too_slow: &mut Vec<Problem>,
    ) -> Option<NodeId> {
        let count = pipeline.len();
        for (index, checked) in pipeline.into_iter().enumerate() {
            let standing = match last {
                None => Standing::First,
                Some(_) if is_branch && index + 1 == count => Standing::LastInBranch,
                Some(_) => Standing::Between,
            };
            let Checked {
                definition,
                mut args,
                groups,
                scripts,
                ..
            } = checked;
            if let Some(memory) = self.limits.memory {
                // Half of the ceiling for state, half for links.
                args.limit_state(memory / 2);
            }
            let built = build(definition, &args, standing);
            if let Ok(StagePlan::Transform(transform)) = &built {
                if transform.conversion().and_then(Conversion::content) == Some(Content::Restored) {
                    // The output of a decoder may be faster than its input.
                    too_slow.clear();
                }
                too_slow.extend(slower(&**transform, &args, self.limits.min_rate));
            }
            let is_sink = matches!(built, Ok(StagePlan::Sink(_)));
            let own = if is_sink {
                self.own_pipelines(scripts)
            } else {
                Vec::new()
            };
            let mut demand = Demand::of(definition, &args, built.as_ref().ok());
            demand.state = own
                .iter()
                .fold(demand.state, |state, sub| state.saturating_add(sub.memory));
            let node = self.add(last, demand);
            match built {
                Ok(plan) => {
                    let planned = self.planned(definition, &args, plan);
                    self.stages.push(Planned {
                        sub_pipelines: own,
                        ..planned
                    });
                }
                Err(problem) => self.problems.push(problem),
            }
            if !is_sink {
                for group in groups {
                    self.pipeline(Some(node), group, true, &mut too_slow.clone());
                }
            }
            if is_sink {
                self.report(std::mem::take(too_slow));
            }
            last = Some(node);
        }
        last
    }

    /// Plans the pipelines that a stage starts itself.
    fn own_pipelines(&mut self, scripts: Vec<Script>) -> Vec<SubPlan> {
        let mut own = Vec::new();
        for script in scripts {
            match SubPlan::of_batches(script, self.limits) {
                Ok(plan) => own.push(plan),
                Err(problems) => self.report(problems),
            }
        }
        own
    }

    /// Adds a stage that is not in the text.
    fn standard(&mut self, last: Option<NodeId>, name: &'static str, plan: StagePlan) -> NodeId {
        let text = format!("{name} -");
        let demand = Demand {
            state: plan.state_bytes(),
            ..Demand::none(self.whole.clone())
        };
        self.texts.push(text.clone());
        self.stages.push(Planned {
            is_implied: true,
            ..Planned::new(name, text, plan)
        });
        self.add(last, demand)
    }

    /// Adds a node behind `last`.
    fn add(&mut self, last: Option<NodeId>, demand: Demand) -> NodeId {
        self.demands.push(demand);
        match (&mut self.graph, last) {
            (Some(graph), Some(last)) => graph.append(last, Port::Bytes),
            (graph, _) => graph.insert(Graph::new()).root(),
        }
    }

    /// Several branches may have the same problem.
    fn report(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    fn planned(&mut self, definition: &Definition, args: &Args, plan: StagePlan) -> Planned<StagePlan> {
        let side_file = plan.as_transform().and_then(TransformPlan::side_file);
        let side_file = side_file.and_then(|(param, name)| {
            let refused = |wrong: Misnamed| {
                let problem = Problem::at(args.span_of(param), wrong.message).help(wrong.help);
                self.problems.push(problem);
            };
            SideFile::named(name).map_err(refused).ok()
        });
        Planned {
            defaults: args.defaults(),
            side_file,
            ..Planned::new(definition.name, args.normalised(), plan)
        }
    }
}

/// Has the sinks hold less in memory that can; returns whether there is one.
fn hold_less(stages: &mut NodeMap<Planned<StagePlan>>, demands: &mut NodeMap<Demand>) -> bool {
    let mut is_less = false;
    for ((_, stage), demand) in stages.iter_mut().zip(demands.values_mut()) {
        if let StagePlan::Sink(sink) = &mut stage.plan
            && sink.hold_less()
        {
            demand.state = stage.state_bytes();
            is_less = true;
        }
    }
    is_less
}

/// Plans one call.
fn build(definition: &Definition, args: &Args, standing: Standing) -> Result<StagePlan, Problem> {
    Ok(match (definition.build, standing) {
        (Build::Source(build) | Build::Anywhere { source: build, .. }, Standing::First) | (Build::Source(build), _) => {
            StagePlan::Source(build(args)?)
        }
        (Build::Sink(build), _) | (Build::Anywhere { sink: build, .. }, Standing::LastInBranch) => {
            StagePlan::Sink(build(args)?)
        }
        (Build::Transform(build) | Build::Anywhere { transform: build, .. }, _) => StagePlan::Transform(build(args)?),
        (Build::Branch(build), _) => StagePlan::Branch(build(args)?),
    })
}

/// The problem of a stage that is always slower than the lowest rate of the sink.
fn slower(plan: &dyn TransformPlan, args: &Args, min_rate: Option<u64>) -> Option<Problem> {
    let control = plan.rate_control().filter(|control| control.unit() == RateUnit::Bytes);
    let (rate, least) = (control?.rate(), min_rate?);
    (rate < least).then(|| {
        let (rate, least) = (format_rate(rate), format_rate(least));
        let message = format!("{rate} is less than --min-rate {least}: the run could only fail");
        Problem::at(args.span(), message).help("let more pass, or ask for less")
    })
}
