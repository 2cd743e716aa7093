//! What a pipeline would do, and where its memory would go.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::engine::Lane;
use crate::flow::Marks;
use crate::grammar::human_size;
use crate::graph::{Id, NodeId};
use crate::plan::{Plan, Planned, StagePlan};
use crate::stage::{Endpoint, Source};

/// No list is wider than this, in columns.
const COLUMNS: usize = 79;
/// Columns before what is said of a stage.
const INDENT: usize = 4;

/// The plan as a person wants it: the pipeline from top to bottom, then what it costs.
#[must_use]
pub fn text(plan: &Plan, max_rss: Option<u64>) -> String {
    let mut text = String::new();
    for (node, planned) in plan.stages.iter() {
        stage(&mut text, node, planned);
        match &planned.plan {
            StagePlan::Source(source) => note(&mut text, &gives(source)),
            StagePlan::Sink(sink) => note(&mut text, &sink.effect()),
            StagePlan::Transform(_) | StagePlan::Branch(_) => {}
        }
        if let Some(file) = &planned.side_file {
            note(&mut text, &file.effect());
        }
        let outputs = plan.graph.outputs(node);
        let state = planned.state_bytes();
        if state > 0 {
            let links = if outputs.is_empty() { "link" } else { "links" };
            note(&mut text, &format!("holds {} besides its {links}", human_size(state)));
        }
        for edge in outputs {
            link(&mut text, &plan.memory.links[*edge]);
        }
    }
    text += "\n";
    text += &costs(plan, max_rss.is_some());
    if let Some(limit) = max_rss {
        let _ = writeln!(text, "stops    at {} resident (--max-rss)", human_size(limit));
    }
    text
}

/// A stage with its parameters as given, and those that it takes without being told.
fn stage<T>(text: &mut String, node: NodeId, stage: &Planned<T>) {
    let _ = writeln!(text, "{:>2}  {}", node.number(), stage.text);
    let mut line = "by default".to_owned();
    for default in &stage.defaults {
        if INDENT + line.width() + 1 + default.width() > COLUMNS {
            note(text, &std::mem::replace(&mut line, " ".repeat("by default".len())));
        }
        line = line + " " + default;
    }
    if !stage.defaults.is_empty() {
        note(text, &line);
    }
}

fn note(text: &mut String, what: &str) {
    if !what.is_empty() {
        let _ = writeln!(text, "    {what}");
    }
}

/// What is known of a source before it is opened.
fn gives(source: &Source) -> String {
    match source.facts() {
        Ok(facts) => facts
            .size
            .map_or_else(String::new, |size| format!("gives {}", human_size(size))),
        Err(failure) => format!("but {failure}"),
    }
}

fn link(text: &mut String, marks: &Marks) {
    let (high, low, chunk) = (marks.high, marks.low, marks.chunk as u64);
    let (high, low, chunk) = (human_size(high), human_size(low), human_size(chunk));
    let _ = if marks.is_advisory {
        writeln!(
            text,
            "     │  never full, though its mark is {high}; chunks up to {chunk}"
        )
    } else {
        writeln!(text, "     │  full at {high}, resumes at {low}, chunks up to {chunk}")
    };
}

/// The direct lane, as far as it can be known before anything is opened.
fn direct(source: &Source, sink: &dyn Endpoint) -> String {
    let (Ok(source), Ok(sink)) = (source.facts(), sink.sink_facts()) else {
        return "direct, without the link".to_owned();
    };
    match (source.shape, sink.shape) {
        (Some(from), Some(to)) => {
            let lane = Lane::best(from, to, source.lends_pages);
            format!("direct, without the link: {}", lane.name())
        }
        _ => "direct, without the link; how depends on each source".to_owned(),
    }
}

/// The lane, the memory and the threads.
fn costs(plan: &Plan, is_guarded: bool) -> String {
    let memory = &plan.memory;
    let lane = match (plan.bare(), memory.has_explicit_marks) {
        (None, _) => "linked".to_owned(),
        (Some(_), _) if memory.is_unbounded => "linked, because backpressure is ignored".to_owned(),
        (Some((source, sink)), false) => match source.direct().and_then(|()| sink.direct()) {
            Ok(()) => direct(source, sink),
            Err(why) => format!("linked, because {why}"),
        },
        (Some(_), true) => "linked, because a mark is set".to_owned(),
    };
    let sum = memory.link_bytes() + memory.state;
    let who = if memory.fixed { "--memory" } else { "by default" };
    let stages = plan.stages.len();
    let guard = if is_guarded { ", the guard's" } else { "" };
    let unbounded = if memory.is_unbounded {
        "unbounded: --ignore-backpressure lets every link grow; with backpressure\n         "
    } else {
        ""
    };
    format!(
        "lane     {lane}\n\
         memory   {unbounded}links {} + state {} = {}, of {} ({who})\n\
         threads  {} at most: a stage's each, the engine's, the view's{guard}; threads= adds more\n",
        human_size(memory.link_bytes()),
        human_size(memory.state),
        human_size(sum),
        human_size(memory.limit),
        stages + 2 + usize::from(is_guarded),
    )
}
