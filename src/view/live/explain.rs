//! What `?` shows: the words and signs that are on the screen now, with the stages and links that they stand for.

use unicode_width::UnicodeWidthStr;

use crate::engine::{LinkSample, Origin, Snapshot, StageSample};
use crate::grammar::human_size;
use crate::graph::{EdgeId, NodeId};

use super::bars;
use super::columns::Columns;
use super::keys::KeyLine;
use super::line::{Line, Paint, squeezed};
use super::meaning::{Meaning, usable};
use super::stages::{has_kernel_queue, has_program};

/// Columns of the word behind a name.
const WORD: usize = 16;
/// The most stages that are named for one word.
const NAMED: usize = 4;

/// Each sign with its meaning beside it, or below it if the terminal is narrow.
#[must_use]
pub fn explanation(snapshot: &Snapshot, keys: &KeyLine, columns: &Columns) -> Vec<Line> {
    let mut entries: Vec<Meaning> = usable(keys).collect();
    entries.extend(times(snapshot));
    entries.extend(links(snapshot));
    entries.extend(lines_of_stages(snapshot));
    entries.extend(numbers(snapshot, columns));
    entries.iter().flat_map(|entry| entry.lines(columns.whole)).collect()
}

/// The bottleneck, and the parts of a stage's time with the stages that mostly spend it so.
fn times(snapshot: &Snapshot) -> Vec<Meaning> {
    if !snapshot.has_shares() {
        return Vec::new();
    }
    let mut entries = Vec::new();
    if snapshot.run.paused {
        let meaning = "the sink takes nothing, and the links fill up to their marks, until space resumes it";
        entries.push(Meaning::new(Paint::Strong, "paused", meaning));
    } else if let Some(at) = snapshot.bottleneck {
        let name = label(snapshot, at);
        let meaning = format!("the bottleneck: {name} limits the speed of the pipeline");
        entries.push(Meaning::new(Paint::Strong, "▶", meaning));
    }
    let meanings = [
        "works, or waits for its disk, its peer or its throttle",
        "waits for its input",
        "waits for room in the link below it",
    ];
    for (part, meaning) in meanings.into_iter().enumerate() {
        let (paint, glyph, word) = bars::PARTS[part];
        let nodes = snapshot.graph.nodes();
        let nodes = nodes.filter(|node| mostly(&snapshot.stages[*node]) == Some(part));
        let names = named(&nodes.map(|node| label(snapshot, node)).collect::<Vec<_>>());
        entries.push(Meaning::new(
            paint,
            format!("{glyph} {word}"),
            format!("{meaning}{names}"),
        ));
    }
    entries
}

/// The place in [`bars::PARTS`] of what a running stage does most.
fn mostly(stage: &StageSample) -> Option<usize> {
    let share = stage.share.as_ref().filter(|_| !stage.ended)?;
    let parts = bars::shares(share).into_iter().enumerate();
    parts
        .rev()
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(part, _)| part)
}

/// A stage's name, and the first word behind it if others have the same name, so long that it is not theirs.
fn label(snapshot: &Snapshot, node: NodeId) -> String {
    let stage = &snapshot.stages[node];
    let same = snapshot.stages.values().iter().filter(|other| other.name == stage.name);
    let words: Vec<&str> = same.map(|stage| stage.text.split(' ').nth(1).unwrap_or("")).collect();
    match stage.text.split(' ').nth(1) {
        Some(word) if words.len() > 1 => {
            let is_other = |columns, other: &str| other == word || squeezed(other, columns) != squeezed(word, columns);
            let mut widths = WORD..word.width();
            let columns = widths.find(|columns| words.iter().all(|other| is_other(*columns, other)));
            format!(
                "{} {}",
                stage.name,
                squeezed(word, columns.unwrap_or(word.width().max(WORD)))
            )
        }
        _ => stage.name.to_string(),
    }
}

/// `: read, gzip`, or nothing.
fn named(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => format!(": {shown}"),
        more => format!(": {shown} and {more} more"),
    }
}

/// The levels, with the link that holds its producer up.
fn links(snapshot: &Snapshot) -> Vec<Meaning> {
    if snapshot.lane != "linked" {
        let meaning = "the source's bytes go to the sink by one system call, and wait nowhere";
        return vec![Meaning::new(Paint::Faint, "no link", meaning)];
    }
    let links: Vec<(EdgeId, &LinkSample)> = snapshot.links.iter().collect();
    let is_held = |link: &LinkSample| link.levels.times_full > 0 && link.levels.buffered > link.levels.low;
    // The one before the bottleneck is why the others are full.
    let first = snapshot.bottleneck.and_then(|at| snapshot.graph.input(at));
    let weight = |(edge, link): &(EdgeId, &LinkSample)| (is_held(link), Some(*edge) == first, link.levels.fullness());
    let heaviest = links.iter().copied().max_by(|one, other| {
        weight(one)
            .partial_cmp(&weight(other))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let Some((edge, link)) = heaviest else {
        return Vec::new();
    };
    let what = match snapshot.origin {
        Origin::Run if snapshot.run.is_unbounded => {
            "a link's level; the bar's end is its mark, which is ignored in this run".to_owned()
        }
        Origin::Run => "a link's level; the bar's end is its high-water mark, ┿ its low-water mark".to_owned(),
        Origin::Processes => "what waits in a pipe or a connection; the bar's end is what it can hold".to_owned(),
    };
    let graph = &snapshot.graph;
    let names = graph.edge(edge);
    let [from, to] = [names.from, names.to].map(|node| label(snapshot, node));
    let now = if is_held(link) && snapshot.origin == Origin::Run && !snapshot.run.is_unbounded {
        let low = human_size(link.levels.low);
        format!(
            ". {from} fills it faster than {to} empties it; when it is full, {from} waits until it is down to {low}"
        )
    } else {
        String::new()
    };
    let mut entries = vec![Meaning::new(Paint::Level, "╰ ━━━┿──", what + &now)];
    if links.iter().any(|(_, link)| link.levels.records.is_some()) {
        let meaning = "a link with two marks, in records and in bytes; the bar is that of the nearer one";
        entries.push(Meaning::new(Paint::Faint, "records", meaning));
    }
    if graph.nodes().any(|node| graph.branch_depth(node) > 0) {
        let meaning =
            "a branch: it gets the same bytes; if its link is full, the stage above waits, and so do all branches";
        entries.push(Meaning::new(Paint::Faint, "├ │", meaning));
    }
    entries
}

/// The lines that only some stages have.
fn lines_of_stages(snapshot: &Snapshot) -> Vec<Meaning> {
    let has = |what: fn(&StageSample) -> bool| snapshot.stages.values().iter().any(what);
    let source = snapshot.source();
    let mut entries = Vec::new();
    if has(has_kernel_queue) {
        let sign = if has_kernel_queue(source) {
            "╭ ━━━"
        } else {
            "╰ ━━━"
        };
        let meaning = "at the first or the last stage: what waits in the kernel, outside of --memory";
        entries.push(Meaning::new(Paint::Level, sign, meaning));
    }
    if has(has_program) {
        let meaning = "the stage's program and all that it has started: its memory is not part of --memory, and 100 % CPU \
                       is one processor";
        entries.push(Meaning::new(Paint::Faint, "process", meaning));
    }
    if has(|stage| stage.file.is_some()) {
        entries.push(Meaning::new(
            Paint::Faint,
            "FILE, x of y",
            "how far the program is in its file",
        ));
    }
    if has(|stage| stage.batches.is_some()) {
        let meaning =
            "one batch is filled while the one before it is committed; a committed one stays, whatever comes later";
        entries.push(Meaning::new(Paint::Faint, "batches", meaning));
    }
    if has(|stage| stage.backlog.is_some()) {
        let meaning = "what others have written to the file and this run has not read";
        entries.push(Meaning::new(Paint::Faint, "not read yet", meaning));
    }
    if has(|stage| stage.acknowledged.is_some()) {
        let meaning = "the position behind which the next run goes on after a crash";
        entries.push(Meaning::new(Paint::Faint, "durable up to", meaning));
    }
    if has(|stage| stage.queue.is_some()) {
        let meaning = "messages that wait in the queue, that this run holds, and that came again";
        entries.push(Meaning::new(Paint::Faint, "pending", meaning));
    }
    if has(|stage| stage.snapshot_age.is_some_and(|age| age.as_secs() > 0)) {
        let meaning = "how long the server has kept the rows as they were for this query";
        entries.push(Meaning::new(Paint::Faint, "snapshot", meaning));
    }
    entries
}

/// The columns and the lines below the stages.
fn numbers(snapshot: &Snapshot, columns: &Columns) -> Vec<Meaning> {
    let rate = if columns.has_records {
        "a stage's output a second, in bytes and in records, over the last 5 s"
    } else {
        "a stage's output a second, over the last 5 s"
    };
    let held = match snapshot.origin {
        Origin::Run => Meaning::new(Paint::Plain, "buffers", "what links and stages hold, against --memory"),
        Origin::Processes => Meaning::new(Paint::Plain, "pipes", "all that waits between the programs"),
    };
    let rss = match snapshot.origin {
        Origin::Run => "the memory of the whole program, and its history",
        Origin::Processes => "the memory of all the programs, and their history",
    };
    let mut entries = Vec::new();
    if !columns.is_narrow {
        entries.push(Meaning::new(Paint::Plain, "out", "what a stage has given out so far"));
    }
    entries.extend([
        Meaning::new(Paint::Plain, "rate", rate),
        held,
        Meaning::new(Paint::Plain, "rss", rss),
    ]);
    if snapshot.run.remaining.is_some() && !snapshot.run.paused {
        let meaning = "since the start, and what is left at the rate of now";
        entries.push(Meaning::new(Paint::Plain, "time", meaning));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::super::sample::branched;
    use super::*;

    #[test]
    fn long_names_stay_apart() {
        let mut snapshot = branched();
        let sinks: Vec<NodeId> = snapshot.graph.sinks().collect();
        let texts = ["one", "two", "two"].map(|middle| format!("write /tmp/wal-of-{middle}-with-COLUMNS"));
        for (sink, text) in sinks.iter().zip(texts) {
            snapshot.stages[*sink].text = text;
        }
        let labels: Vec<String> = sinks.iter().map(|sink| label(&snapshot, *sink)).collect();
        let [one, two] = ["write /tmp/wal-of-o…with-COLUMNS", "write /tmp/wal-of-t…with-COLUMNS"];
        assert_eq!(labels, [one, two, two]);
    }
}
