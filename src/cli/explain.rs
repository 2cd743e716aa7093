//! `highwater explain`: what a pipeline would do, and where its memory would go.

use std::fmt::Write;

use rustix::io::Errno;
use unicode_width::UnicodeWidthStr;

use crate::engine::DirectPath;
use crate::flow::Marks;
use crate::grammar::human_size;
use crate::graph::{Id, NodeId};
use crate::plan::{Plan, Repeats, StagePlan};
use crate::stage::{Endpoint, Source};

/// The largest width, in columns.
const COLUMNS: usize = 79;
/// Columns before the description of a stage.
const INDENT: usize = 4;
/// The line along a branch.
const RAIL: &str = "     │ ";
/// The line along the pipeline in a stage.
const INNER: &str = "     ┆ ";
/// Branches that are nested deeper are indented no farther.
const DEEPEST: usize = 4;

/// The plan for people: the pipeline from top to bottom, then its costs.
#[must_use]
pub fn text(plan: &Plan, max_rss: Option<u64>) -> String {
    let mut text = pipeline(plan, "");
    text += "\n";
    text += &costs(plan, max_rss.is_some());
    if let Some(repeats) = &plan.repeats {
        text += &resuming(*repeats);
    }
    if let Some(limit) = max_rss {
        let _ = writeln!(text, "stops    at {} resident (--max-rss)", human_size(limit));
    }
    text
}

/// The stages and the links between them, behind `outer`; those of a pipeline in a stage without its input.
fn pipeline(plan: &Plan, outer: &str) -> String {
    let mut text = String::new();
    let is_inner = !outer.is_empty();
    for node in plan.graph.nodes().skip(usize::from(is_inner)) {
        let rails = outer.to_owned() + &RAIL.repeat(plan.graph.branch_depth(node).min(DEEPEST));
        if let Some(edge) = plan.graph.input(node) {
            let above = plan.graph.branch_depth(plan.graph.edge(edge).from).min(DEEPEST);
            let corner = if plan.graph.goes_on(edge) { "│" } else { "├" };
            let link = if plan.joins(edge) {
                "moved inside the kernel, without a link".to_owned()
            } else {
                link(&plan.memory.links[edge])
            };
            let _ = writeln!(text, "{outer}{}     {corner}  {link}", RAIL.repeat(above));
        }
        let lines = stage(plan, node, is_inner, COLUMNS.saturating_sub(rails.width()));
        for line in lines {
            let _ = writeln!(text, "{rails}{line}");
        }
        for sub in &plan.stages[node].sub_pipelines {
            let Some(shown) = (sub.shown)() else { continue };
            let runs = if sub.overlaps {
                "two runs at once"
            } else {
                "one run at a time"
            };
            let _ = writeln!(
                text,
                "{rails}    {runs}, each with links {} + state {}:",
                human_size(shown.memory.link_bytes()),
                human_size(shown.memory.state)
            );
            text += &pipeline(&shown, &format!("{rails}{INNER}"));
        }
    }
    text
}

/// The stages of a run, and of the pipelines that they start themselves: each may have a thread.
fn stages(plan: &Plan) -> usize {
    let subs = plan.stages.values().iter().flat_map(|stage| &stage.sub_pipelines);
    let inner = subs.map(|sub| sub.at_once() * (sub.shown)().map_or(0, |shown| stages(&shown)));
    plan.stages.len() + inner.sum::<usize>()
}

/// The description of a stage, of the pipeline or of one in a stage: its parameters as given, its defaults, and what it
/// does.
fn stage(plan: &Plan, node: NodeId, is_inner: bool, columns: usize) -> Vec<String> {
    let stage = &plan.stages[node];
    let mut lines = vec![format!("{:>2}  {}", node.number(), stage.text)];
    let mut add = |what: String| {
        if !what.is_empty() {
            lines.push(" ".repeat(INDENT) + &what);
        }
    };
    let mut line = "by default".to_owned();
    for default in &stage.defaults {
        if INDENT + line.width() + 1 + default.width() > columns {
            add(std::mem::replace(&mut line, " ".repeat("by default".len())));
        }
        line = line + " " + default;
    }
    if !stage.defaults.is_empty() {
        add(line);
    }
    match &stage.plan {
        StagePlan::Source(source) => {
            add(gives(source));
            source.reading().for_each(&mut add);
        }
        StagePlan::Sink(sink) => add(match sink.sink_facts() {
            Ok(_) => sink.effect(),
            // Missing folders are made before each run.
            Err(failure) if is_inner && failure.errno() == Some(Errno::NOENT) => sink.effect(),
            Err(failure) => format!("but {failure}"),
        }),
        StagePlan::Transform(_) | StagePlan::Branch(_) => {}
    }
    if let Some(file) = &stage.side_file {
        add(file.effect());
    }
    let held = stage.state_bytes();
    if held > 0 {
        let plural = if plan.graph.is_sink(node) { "" } else { "s" };
        add(format!("holds {} besides its link{plural}", human_size(held)));
    }
    lines
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

fn link(marks: &Marks) -> String {
    let (high, low, chunk) = (marks.high, marks.low, marks.chunk as u64);
    let (mut high, mut low, chunk) = (human_size(high), human_size(low), human_size(chunk));
    if let Some(records) = marks.records {
        high = format!("{high} or {} records", records.high);
        low = format!("{low} and {}", records.low);
    }
    if marks.is_advisory {
        format!("never full, though its mark is {high}; chunks up to {chunk}")
    } else {
        format!("full at {high}, resumes at {low}, chunks up to {chunk}")
    }
}

/// The direct path, as far as it is known before anything is opened.
fn direct(source: &Source, sink: &dyn Endpoint) -> String {
    let (Ok(source), Ok(sink)) = (source.facts(), sink.sink_facts()) else {
        return "direct, without the link".to_owned();
    };
    match (source.shape, sink.shape) {
        (Some(from), Some(to)) => {
            let lane = DirectPath::best(from, to, source.lends_pages);
            format!("direct, without the link: {}", lane.name())
        }
        _ => "direct, without the link; how depends on each source".to_owned(),
    }
}

/// The direct path, the memory and the threads.
fn costs(plan: &Plan, is_guarded: bool) -> String {
    let memory = &plan.memory;
    let lane = match (plan.bare(), memory.has_explicit_marks()) {
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
    let stages = stages(plan);
    let guard = if is_guarded { ", the guard's" } else { "" };
    let journal = if plan.repeats.is_some() { ", the journal's" } else { "" };
    let unbounded = if memory.is_unbounded {
        "unbounded: --ignore-backpressure lets every link grow; with backpressure\n         "
    } else {
        ""
    };
    format!(
        "path     {lane}\n\
         memory   {unbounded}links {} + state {} = {}, of {} ({who})\n\
         threads  {} at most: a stage's each, the engine's, the view's{guard}{journal}; threads= adds more\n",
        human_size(memory.link_bytes()),
        human_size(memory.state),
        human_size(sum),
        human_size(memory.limit),
        stages + 2 + usize::from(is_guarded) + usize::from(plan.repeats.is_some()),
    )
}

/// What a run repeats of one that was killed.
fn resuming(Repeats { checkpoint, held_back }: Repeats) -> String {
    let held = match held_back {
        0 => String::new(),
        held => format!(", {} in encoders", human_size(held)),
    };
    format!(
        "resume   a later run continues; at worst it repeats {}{held}, and the links\n",
        human_size(checkpoint)
    )
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, str};

    use super::*;
    use crate::graph::Port;
    use crate::plan::Limits;

    fn plan(text: &str) -> Plan {
        let (script, problems) = crate::grammar::parse(text.as_bytes());
        Plan::new(&script, problems, Limits::default()).unwrap_or_else(|error| panic!("{error:?}"))
    }

    #[test]
    fn joined_programs_have_no_marks() {
        let shown = text(
            &plan("exec true | exec high=64K cat | exec cat | write /dev/null"),
            None,
        );
        let links: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("     │  ")).collect();
        let joined = if crate::platform::JOINS_PIPES {
            "moved inside the kernel, without a link"
        } else {
            "full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB"
        };
        let linked = "full at 64.0 KiB, resumes at 32.0 KiB, chunks up to 16.0 KiB";
        assert_eq!(links, [joined, linked, joined]);
    }

    #[test]
    fn what_a_later_run_repeats_is_said() {
        let last = |pipeline: &str| text(&plan(pipeline), None).lines().last().map(str::to_owned);
        assert_eq!(
            last("read /a | gzip threads=2 | write /b resume=true checkpoint=8MiB").expect("a line"),
            "resume   a later run continues; at worst it repeats 8.00 MiB, 768 KiB in encoders, and the links"
        );
        let not_asked = last("read /a | gzip threads=2 | write /b").expect("a line");
        assert!(not_asked.starts_with("threads"), "{not_asked}");
    }

    #[test]
    fn pipeline_of_batch_is_shown() {
        let shown = |batch: &str| text(&plan(&format!("read - | lines | {batch}")), None);
        let text = shown("batch records=5 (gzip threads=1 | write {n}.gz)");
        let (_, inner) = text.split_once(" 2  batch").expect("the stage");
        assert_data_eq!(
            inner,
            str![[r#"
 records=5
    runs its pipeline for each batch, which ends when 5 records are there;
    one is filled while the one before it is committed
    holds 3.38 MiB besides its link
    two runs at once, each with links 552 KiB + state 1.15 MiB:
     ┆      │  full at 276 KiB, resumes at 138 KiB, chunks up to 69.0 KiB
     ┆  1  gzip threads=1
     ┆     by default level=6 single=false flush=25ms
     ┆     holds 1.15 MiB besides its links
     ┆      │  full at 276 KiB, resumes at 138 KiB, chunks up to 69.0 KiB
     ┆  2  write {n}.gz clobber=false
     ┆     by default append=false sync=true in-place=false sparse=auto
     ┆                verify=false resume=false
     ┆     creates {n}.gz

path     linked
memory   links 1.50 MiB + state 5.38 MiB = 6.88 MiB, of 8.00 MiB (by default)
threads  11 at most: a stage's each, the engine's, the view's; threads= adds more

"#]]
        );
        let text = shown("batch records=5 (write a append=true)");
        assert!(text.contains("one run at a time"), "{text}");
        assert!(text.contains("threads  7 at most"), "{text}");
    }

    #[test]
    fn branches_are_indented() {
        let mut tree = plan("read - | hash sha256 | gzip threads=1 | write /a.gz");
        // The second stage gets a second output.
        let fork = Id::numbered(1);
        let mut other = plan("read - | write /b").stages.into_values();
        tree.stages.push(other.pop().expect("a sink"));
        tree.graph.append(fork, Port::Bytes);
        let marks = tree.memory.links.values()[0];
        tree.memory.links.push(marks);
        tree.memory.explicit_marks.push(false);
        let text = text(&tree, None);
        let (stages, _) = text.split_once("\n\n").expect("costs");
        assert_data_eq!(
            stages,
            str![[r#"
 0  read -
    by default zero-copy=false
     │  full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB
 1  hash sha256
     ├  full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB
     │  2  gzip threads=1
     │     by default level=6 single=false flush=25ms
     │     holds 1.40 MiB besides its links
     │      │  full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB
     │  3  write /a.gz
     │     by default append=false clobber=true sync=true in-place=false
     │                sparse=auto verify=false resume=false
     │     creates /a.gz
     │  full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB
 4  write /b
    by default append=false clobber=true sync=true in-place=false sparse=auto
               verify=false resume=false
    creates /b
"#]]
        );
    }
}
