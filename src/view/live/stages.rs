//! The upper part of the view: the stages, and the links between them.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::engine::{LinkSample, QueueSample, Snapshot, StageSample};
use crate::flow::RecordLevels;
use crate::grammar::{human_count, human_size};
use crate::graph::{Id, NodeId};
use crate::stage::Outside;
use crate::view::clock::passing;
use crate::view::excess::excess;
use crate::view::levels;
use crate::view::plain::{human_rate, human_record_rate};
use crate::view::sentence::percent;

use super::bars;
use super::columns::{Columns, GAP, MARKER, PERCENT, RAIL, RATE, RECORD_RATE, SIZE, WORD};
use super::footer::above;
use super::line::{Line, Paint, left, right};

/// The head of the columns, and what the bars mean, which is a line of its own where both do not fit in one.
#[must_use]
pub fn header(snapshot: &Snapshot, columns: &Columns) -> Vec<Line> {
    let head = if columns.is_narrow {
        Line::default()
    } else {
        let mut head = " ".repeat(MARKER) + &left("stage", columns.text);
        if columns.has_input {
            head += &right("in", GAP + SIZE);
        }
        head += &right("out", GAP + SIZE);
        head += &right("rate", GAP + RATE);
        if columns.has_records {
            head += &right("records", GAP + RECORD_RATE);
        }
        Line::default().with(Paint::Faint, head)
    };
    if !snapshot.has_shares() {
        return vec![head];
    }
    // The legend is above the bars, if it fits, and ends with them.
    let end = if columns.is_narrow {
        columns.whole
    } else {
        let bars = columns.bars() + columns.bar + 1 + PERCENT;
        bars + if columns.has_word { 1 + WORD } else { 0 }
    };
    let begin = columns.bars();
    if columns.has_word {
        let taught = taught();
        let fits = begin + taught.columns() <= end;
        return vec![head.up_to(begin).then(if fits { taught } else { legend("   ", " ") })];
    }
    let legend = [("   ", " "), ("  ", " "), (" ", " "), (" ", "")].map(|(gap, space)| legend(gap, space));
    let fits = |line: &&Line| head.columns() + 1 + line.columns() <= end;
    match legend.iter().find(fits) {
        Some(legend) => {
            let at = begin.min(end - legend.columns());
            let at = if columns.is_narrow {
                MARKER.min(end - legend.columns())
            } else {
                at
            };
            vec![head.up_to(at).then(legend.clone())]
        }
        None if columns.is_narrow => vec![head],
        None => {
            let legend = legend[0].clone();
            vec![
                Line::default().up_to(end.saturating_sub(legend.columns())).then(legend),
                head,
            ]
        }
    }
}

/// `█ busy  · idle  ▒ backpressured`
fn legend(gap: &str, space: &str) -> Line {
    let mut line = Line::default();
    for (place, (paint, glyph, word)) in bars::PARTS.into_iter().enumerate() {
        let gap = if place == 0 { "" } else { gap };
        line = line
            .with(Paint::Plain, gap)
            .with(paint, glyph.to_string())
            .with(Paint::Faint, format!("{space}{word}"));
    }
    line
}

/// The legend with what the words mean.
fn taught() -> Line {
    let means = ["", ": no input", ": no room below"];
    let parts = bars::PARTS.into_iter().zip(means).enumerate();
    parts.fold(Line::default(), |line, (place, ((paint, glyph, word), means))| {
        line.with(Paint::Plain, if place == 0 { "" } else { "   " })
            .with(paint, glyph.to_string())
            .with(Paint::Faint, format!(" {word}{means}"))
    })
}

/// All stages, or the `most` important of them, with the links between them. A line joins the stages of a branch; it
/// begins at the fork, and ends where the stream continues.
#[must_use]
pub fn lines(snapshot: &Snapshot, columns: &Columns, has_links: bool, two_lines: bool, most: usize) -> Vec<Line> {
    let shown = important(snapshot, most);
    let mut lines = Vec::new();
    let mut next = 0;
    for node in shown {
        if node.number() > next {
            lines.push(folded(node.number() - next));
        }
        next = node.number() + 1;
        let input = snapshot.graph.input(node);
        let rails = rails(snapshot, node, columns);
        if has_links && let Some(edge) = input {
            let above = self::rails(snapshot, snapshot.graph.edge(edge).from, columns);
            let corner = if snapshot.graph.goes_on(edge) { CORNER } else { FORK };
            let link = snapshot.links.get(edge);
            lines.extend(link.map(|link| self::link(link, &(above + corner), columns)));
        }
        let waiting = has_links
            .then(|| queue(&snapshot.stages[node], input.is_none(), &rails, columns))
            .flatten();
        let (before, behind) = if input.is_none() {
            (waiting, None)
        } else {
            (None, waiting)
        };
        lines.extend(before);
        lines.extend(stage(snapshot, node, &rails, columns, two_lines));
        if has_links {
            lines.extend(program(&snapshot.stages[node], &rails, columns));
            lines.extend(file(&snapshot.stages[node], &rails));
            lines.extend(query(&snapshot.stages[node], &rails));
            lines.extend(backlog(&snapshot.stages[node], &rails));
            lines.extend(batches(&snapshot.stages[node], &rails, columns));
            lines.extend(unread_messages(&snapshot.stages[node], &rails));
        }
        if has_links && input.is_none() && snapshot.lane != "linked" {
            let text = format!(
                "{}{CORNER}no link, copied directly: {}",
                " ".repeat(MARKER),
                snapshot.lane
            );
            lines.push(Line::default().with(Paint::Faint, text));
        }
        lines.extend(behind);
    }
    if most > 0 && next < snapshot.stages.len() {
        lines.push(folded(snapshot.stages.len() - next));
    }
    lines
}

/// The connector of a link where the stream continues, and where it forks; each as wide as a rail.
const CORNER: &str = " ╰ ";
const FORK: &str = " ├ ";

/// The lines along the branches of a stage, as many as leave room for its name.
fn rails(snapshot: &Snapshot, node: NodeId, columns: &Columns) -> String {
    let most = columns.text / 4 / RAIL;
    " │ ".repeat(snapshot.graph.branch_depth(node).min(most))
}

fn folded(count: usize) -> Line {
    let stages = if count == 1 { "stage" } else { "stages" };
    Line::default().with(Paint::Faint, format!("  ⋮ {count} more {stages}"))
}

/// Which stages to show if not all fit: the bottleneck, then both ends, then the bottleneck's neighbours.
fn important(snapshot: &Snapshot, most: usize) -> Vec<NodeId> {
    let graph = &snapshot.graph;
    let centre = snapshot.bottleneck.unwrap_or(graph.root());
    let mut ranked: Vec<NodeId> = graph.nodes().collect();
    ranked.sort_by_key(|node| match *node {
        node if node == centre => 0,
        node if graph.input(node).is_none() || graph.is_sink(node) => 1,
        node => 1 + graph.distance(node, centre),
    });
    ranked.truncate(most);
    ranked.sort_unstable();
    ranked
}

fn stage(snapshot: &Snapshot, node: NodeId, rails: &str, columns: &Columns, two_lines: bool) -> Vec<Line> {
    let stage = &snapshot.stages[node];
    let is_bottleneck = snapshot.bottleneck == Some(node) && snapshot.has_shares();
    let marker = if is_bottleneck { "▶ " } else { "  " };
    let paint = if is_bottleneck {
        Paint::Strong
    } else if stage.ended {
        Paint::Faint
    } else {
        Paint::Plain
    };
    let begin = Line::default().with(paint, marker).with(Paint::Faint, rails);
    let indent = rails.width();
    let name = stage.shown();
    let size = human_size(stage.bytes_out);
    let rate = human_rate(stage.rate) + "/s";
    let records = stage.records.map(|_| human_record_rate(stage.record_rate));
    let is_paused = snapshot.run.paused && snapshot.graph.is_sink(node);
    let share = |bar, has_word| self::share(stage, is_paused, bar, has_word);
    if !columns.is_narrow {
        let mut numbers = String::new();
        if columns.has_input {
            numbers += &right(&human_size(stage.bytes_in), GAP + SIZE);
        }
        numbers += &right(&size, GAP + SIZE);
        numbers += &right(&rate, GAP + RATE);
        if columns.has_records {
            let records = records.map_or_else(String::new, |rate| rate + "/s");
            numbers += &right(&records, GAP + RECORD_RATE);
        }
        let line = begin
            .with(paint, left(&name, columns.text - indent))
            .with(Paint::Plain, numbers + &" ".repeat(GAP))
            .then(share(columns.bar, columns.has_word));
        return vec![line];
    }
    if two_lines {
        let amount = match records {
            Some(rate) => right(&(rate + " rec/s"), "99.9k rec/s".len() + 1),
            None => right(&size, SIZE + 1),
        };
        let numbers = amount + &right(&rate, RATE + 1) + " ";
        let bar = columns
            .whole
            .saturating_sub(MARKER + indent + numbers.len() + 1 + PERCENT);
        let below = Line::default().with(Paint::Faint, " ".repeat(MARKER) + rails);
        return vec![
            begin.with(paint, left(&name, columns.text - indent)),
            below.with(Paint::Plain, numbers).then(share(bar, false)),
        ];
    }
    let bar = if stage.share.is_some() { 8 } else { 0 };
    let numbers = MARKER + indent + SIZE + 1 + 1 + bar + 1 + PERCENT;
    let text = columns.whole.saturating_sub(numbers);
    vec![
        begin
            .with(paint, left(&name, text))
            .with(Paint::Plain, right(&size, SIZE + 1) + " ")
            .then(share(bar, false)),
    ]
}

/// The bar of a stage's time, the largest part in percent, and its name.
fn share(stage: &StageSample, is_paused: bool, bar: usize, has_word: bool) -> Line {
    if stage.ended {
        return Line::default().with(Paint::Faint, "─".repeat(bar) + &right("ended", 1 + PERCENT));
    }
    let Some(share) = &stage.share else {
        return Line::default();
    };
    let shares = bars::shares(share);
    let (most, (paint, _, word)) = shares
        .into_iter()
        .zip(bars::PARTS)
        .rev()
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .unwrap_or((0.0, bars::PARTS[0]));
    let line = bars::share(share, bar).with(paint, right(&percent(most), 1 + PERCENT));
    if !has_word {
        return line;
    }
    let word = match word {
        _ if is_paused => "paused",
        "busy" if share.throttling > most / 2.0 => "throttling",
        "busy" if share.outside > most / 2.0 && stage.outside == Some(Outside::Sleep) => "sleeps",
        "busy" if share.outside > most / 2.0 => "waits outside",
        word => word,
    };
    line.with(Paint::Faint, format!(" {word}"))
}

/// Whether the kernel queue was ever a good part of its capacity: a line that comes and goes could not be read.
pub fn has_kernel_queue(stage: &StageSample) -> bool {
    let (Some(queue), Some(capacity)) = (stage.kernel_queue, stage.kernel_queue_capacity) else {
        return false;
    };
    stage.kernel_queue_peak >= capacity.max(queue) / 4 && !stage.ended
}

/// The kernel queue before a source or behind a sink.
fn queue(stage: &StageSample, is_source: bool, rails: &str, columns: &Columns) -> Option<Line> {
    let queue = stage.kernel_queue?;
    let capacity = stage.kernel_queue_capacity?.max(queue);
    has_kernel_queue(stage).then(|| {
        let corner = rails.to_owned() + if is_source { " ╭ " } else { CORNER };
        let row = level(&corner, queue, capacity, None, columns);
        if !columns.has_word {
            return row;
        }
        let words = if is_source {
            "in the kernel, not read yet"
        } else {
            "in the kernel, not taken yet"
        };
        row.up_to(columns.bars()).with(Paint::Faint, words)
    })
}

/// Whether a stage runs a program that can be measured.
pub fn has_program(stage: &StageSample) -> bool {
    stage.children.iter().any(|child| child.rss > 0)
}

/// What the program that a stage runs has in memory and takes of the processors, its descendants included.
fn program(stage: &StageSample, rails: &str, columns: &Columns) -> Option<Line> {
    let program = stage.children.iter().find(|child| child.rss > 0)?;
    let (pid, memory, cpu) = (program.pid, human_size(program.rss), percent(program.cores));
    let indent = " ".repeat(MARKER) + rails + "  ";
    let texts = [
        format!("{indent}process {pid}, {memory} resident, {cpu} CPU"),
        format!("{indent}process {pid}, {memory}, {cpu} CPU"),
        format!("{indent}{pid}, {memory}, {cpu} CPU"),
    ];
    let text = texts.into_iter().find(|text| text.width() <= columns.whole);
    Some(Line::default().with(Paint::Faint, text.unwrap_or(indent + &memory)))
}

/// How far a program is in its file.
fn file(stage: &StageSample, rails: &str) -> Option<Line> {
    let file = stage.file.as_ref()?;
    let at = if file.offset < file.size {
        format!("{} of {}", human_size(file.offset), human_size(file.size))
    } else {
        human_size(file.size)
    };
    let indent = " ".repeat(MARKER) + rails + "  ";
    Some(Line::default().with(Paint::Faint, format!("{indent}{}, {at}", file.path)))
}

/// What waits in the queue of a source, and what of it came.
fn unread_messages(stage: &StageSample, rails: &str) -> Option<Line> {
    let QueueSample {
        pending,
        unacknowledged,
        redelivered,
    } = stage.queue?;
    let indent = " ".repeat(MARKER) + rails + "  ";
    let text = format!("{indent}{pending} pending, {unacknowledged} unacknowledged, {redelivered} redelivered");
    Some(Line::default().with(Paint::Faint, text))
}

/// How long a server has kept the snapshot of a query: it cannot clean up what has changed since.
fn query(stage: &StageSample, rails: &str) -> Option<Line> {
    let age = Duration::from_secs(stage.snapshot_age?.as_secs());
    let indent = " ".repeat(MARKER) + rails + "  ";
    let text = format!("{indent}snapshot {} old", humantime::format_duration(age));
    (!age.is_zero()).then(|| Line::default().with(Paint::Faint, text))
}

/// How far a source is behind the writer, and behind itself what is durable.
fn backlog(stage: &StageSample, rails: &str) -> Option<Line> {
    let behind = stage.backlog.map(|bytes| format!("{} not read yet", human_size(bytes)));
    let durable = stage.acknowledged.map(|position| format!("durable up to {position}"));
    let parts: Vec<String> = [behind, durable].into_iter().flatten().collect();
    let indent = " ".repeat(MARKER) + rails + "  ";
    (!parts.is_empty()).then(|| Line::default().with(Paint::Faint, indent + &parts.join("; ")))
}

fn counted(count: u64, one: &str, several: &str) -> String {
    let noun = if count == 1 { one } else { several };
    format!("{} {noun}", human_count(count))
}

/// The batch that is being filled, and how those before it ended.
fn batches(stage: &StageSample, rails: &str, columns: &Columns) -> Option<Line> {
    let batches = stage.batches.as_ref()?;
    let filled = batches.bytes.zip(batches.age).map(|(bytes, age)| {
        let records = batches.records.filter(|records| *records > 0);
        let records = records.map_or_else(String::new, |records| {
            format!(", {}", counted(records, "record", "records"))
        });
        format!("the next has {}{records}, {} old", human_size(bytes), passing(age))
    });
    let committing = batches.is_committing.then(|| "one is being committed".to_owned());
    let committed = format!("{} committed", counted(batches.committed, "batch", "batches"));
    let last = batches.last.as_ref().filter(|_| batches.failed > 0);
    let failed = last.map(|last| format!("{} failed, the last: {last}", human_count(batches.failed)));
    let indent = " ".repeat(MARKER) + rails + "  ";
    let parts: Vec<String> = [Some(committed), filled, committing, failed]
        .into_iter()
        .flatten()
        .collect();
    // What matters least is left out first.
    let texts = (1..=parts.len())
        .rev()
        .map(|count| indent.clone() + &parts[..count].join("; "));
    let text = texts.into_iter().find(|text| text.width() <= columns.whole)?;
    Some(Line::default().with(Paint::Faint, text))
}

/// A level with its numbers, behind its connector.
fn level(corner: &str, held: u64, most: u64, mark: Option<u64>, columns: &Columns) -> Line {
    let corner = " ".repeat(MARKER) + corner;
    let indent = corner.width();
    let begin = Line::default().with(Paint::Faint, corner);
    let (shown, high) = (human_size(held), human_size(most));
    if columns.is_narrow {
        let numbers = Line::default().with(Paint::Faint, format!(" {} of {}", right(&shown, SIZE), high));
        let numbers = above(numbers, held, most);
        let bar = columns.whole.saturating_sub(indent + numbers.columns()).min(24);
        return begin.then(bars::level(held, most, mark, bar)).then(numbers);
    }
    let bar = (columns.text + MARKER).saturating_sub(indent).min(28);
    begin
        .then(bars::level(held, most, mark, bar))
        .up_to(columns.output())
        .with(
            Paint::Faint,
            format!("{} of {}", right(&shown, SIZE), right(&high, SIZE)),
        )
}

/// A time that is farther away is not shown.
const FAR: Duration = Duration::from_secs(3600);

/// A link's level and its high-water mark, with the low one marked.
fn link(link: &LinkSample, corner: &str, columns: &Columns) -> Line {
    let levels = &link.levels;
    let row = match &levels.records {
        Some(records) => level_of_records(link, records, corner, columns),
        None => level(corner, levels.buffered, levels.high, Some(levels.low), columns),
    };
    let passed = excess(levels.buffered, levels.high).or_else(|| {
        levels
            .records
            .and_then(|records| excess(records.buffered, records.high))
    });
    if let Some(times) = passed.filter(|_| !columns.is_narrow) {
        return behind(row, columns).with(Paint::Busy, format!("{times} the mark"));
    }
    if !columns.has_word {
        return row;
    }
    behind(row, columns).with(Paint::Faint, pauses(link))
}

/// Goes to where text behind a level begins.
fn behind(row: Line, columns: &Columns) -> Line {
    if row.columns() < columns.bars() {
        row.up_to(columns.bars())
    } else {
        row.with(Paint::Plain, " ".repeat(GAP))
    }
}

/// How often the link was full, or when it will be.
fn pauses(link: &LinkSample) -> String {
    match (link.levels.times_full, link.full_in) {
        (0, Some(time)) if time < FAR => format!("filling, full in {}", passing(time)),
        (0, _) => "never full".to_owned(),
        (times, _) => {
            let times = if times == 1 {
                "once".to_owned()
            } else {
                format!("{times} times")
            };
            format!(
                "full {times}, longest pause {:.2} s",
                link.levels.longest_pause.as_secs_f64()
            )
        }
    }
}

/// The levels of a link with two marks. The bar is that of the nearer one.
fn level_of_records(link: &LinkSample, records: &RecordLevels, corner: &str, columns: &Columns) -> Line {
    /// A shorter bar shows nothing.
    const LEAST_BAR: usize = 4;
    let levels = &link.levels;
    let (held, high, low) = match levels.nearer_in_records(false) {
        Some(_) => (records.buffered, records.high, records.low),
        None => (levels.buffered, levels.high, levels.low),
    };
    let corner = " ".repeat(MARKER) + corner;
    let indent = corner.width();
    let begin = Line::default().with(Paint::Faint, corner);
    if columns.is_narrow {
        let (count, bytes) = (human_count(records.buffered), human_size(levels.buffered));
        let (most, high_bytes) = (human_count(records.high), human_size(levels.high));
        let numbers = [
            format!(" {count}/{most} · {bytes}/{high_bytes}"),
            format!(" {count} of {most} records"),
        ];
        let room = columns.whole.saturating_sub(indent);
        let fits = |numbers: &&String| numbers.width() + LEAST_BAR <= room;
        let numbers = numbers.iter().find(fits).map_or("", String::as_str);
        let bar = room.saturating_sub(numbers.width()).min(24);
        let numbers = above(Line::default().with(Paint::Faint, numbers), held, high);
        return begin.then(bars::level(held, high, Some(low), bar)).then(numbers);
    }
    let bar = (columns.text + MARKER).saturating_sub(indent).min(28);
    begin
        .then(bars::level(held, high, Some(low), bar))
        .up_to(columns.output())
        .with(Paint::Faint, levels::both(levels, records))
}
