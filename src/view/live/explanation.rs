//! The explanation that `?` shows: what is on the screen at this moment, and what the keys do.

use crate::engine::{Origin, Snapshot};
use crate::error::wrapping;
use crate::grammar::human_size;

use super::columns::MARKER;
use super::keys::{KEYS, KeyLine};
use super::line::{Line, Paint, left};

/// Columns of a sign.
const SIGN: usize = 17;
/// Below this width meanings are below their signs.
const NARROW: usize = 60;

/// A sign on the screen.
struct Sign {
    paint: Paint,
    text: &'static str,
    meaning: &'static str,
    /// Whether it is on the screen.
    is_shown: fn(&Snapshot) -> bool,
}

const fn sign(paint: Paint, text: &'static str, meaning: &'static str, is_shown: fn(&Snapshot) -> bool) -> Sign {
    Sign {
        paint,
        text,
        meaning,
        is_shown,
    }
}

/// All signs, from the top of the screen to its bottom.
const SIGNS: &[Sign] = &[
    sign(
        Paint::Busy,
        "█ busy",
        "works, or waits for its disk, its peer or its throttle",
        Snapshot::has_shares,
    ),
    sign(Paint::Idle, "· idle", "waits for its input", Snapshot::has_shares),
    sign(
        Paint::Backpressured,
        "▒ backpressured",
        "waits for room in the link below it",
        Snapshot::has_shares,
    ),
    sign(
        Paint::Strong,
        "▶",
        "the bottleneck: what all the others wait for",
        |snapshot| snapshot.has_shares() && snapshot.bottleneck.is_some(),
    ),
    sign(
        Paint::Level,
        "╰ ━━━┿──",
        "a link's level; the bar's end is its high-water mark, ┿ the low one, at which a paused stage resumes",
        |snapshot| snapshot.origin == Origin::Run && snapshot.has_shares(),
    ),
    sign(
        Paint::Level,
        "╰ ━━━━━━",
        "what waits in a pipe or a socket of the kernel, and how much it can hold",
        |snapshot| snapshot.origin == Origin::Processes,
    ),
    sign(
        Paint::Faint,
        "├ │",
        "branches: each has a link of its own, and the stage above waits for the one that is full, unless when-full= says \
         otherwise",
        |snapshot| snapshot.graph.sinks().count() > 1,
    ),
    sign(
        Paint::Faint,
        "process …",
        "a program that a stage runs: its own memory and processor time, beside highwater's",
        |snapshot| any(snapshot, |stage| !stage.children.is_empty()),
    ),
    sign(
        Paint::Plain,
        "records",
        "the records a second; a link of records has a mark on their bytes, and may have one on their number",
        |snapshot| any(snapshot, |stage| stage.records.is_some()),
    ),
    sign(
        Paint::Faint,
        "batches",
        "one is filled while the one before it is committed; a committed one stays, whatever comes later",
        |snapshot| any(snapshot, |stage| stage.batches.is_some()),
    ),
    sign(
        Paint::Faint,
        "not read yet",
        "what others have written to the file and this run has not read",
        |snapshot| any(snapshot, |stage| stage.backlog.is_some()),
    ),
    sign(
        Paint::Faint,
        "snapshot",
        "how long the database has kept the rows of this query as they were",
        |snapshot| any(snapshot, |stage| stage.snapshot_age.is_some()),
    ),
    sign(
        Paint::Plain,
        "rate",
        "what a stage gave out a second, over the last 5 s",
        |_| true,
    ),
    sign(
        Paint::Plain,
        "buffers",
        "all links and codecs, against --memory",
        |snapshot| snapshot.origin == Origin::Run,
    ),
    sign(
        Paint::Plain,
        "rss",
        "the whole program, and how that came about",
        |snapshot| snapshot.origin == Origin::Run,
    ),
];

fn any(snapshot: &Snapshot, is_so: impl Fn(&crate::engine::StageSample) -> bool) -> bool {
    snapshot.stages.values().iter().any(is_so)
}

/// What the levels of this moment mean.
fn now(snapshot: &Snapshot) -> String {
    if snapshot.run.paused {
        return "The sink is paused: the links fill to their marks, then everything before them waits, and memory stays as it \
                is."
            .to_owned();
    }
    if snapshot.run.is_draining {
        return "A signal has ended the source. What it has read is being made durable; a second signal rolls it back."
            .to_owned();
    }
    if !snapshot.has_shares() {
        return "One system call moves the bytes from the source to the sink. No link is between them, so nothing waits here."
            .to_owned();
    }
    let Some(node) = snapshot.bottleneck else {
        return "No stage holds the others up at this moment.".to_owned();
    };
    let name = &snapshot.stages[node].name;
    let Some(edge) = snapshot.graph.input(node) else {
        return format!("{name} gives less than the others could take: what is behind it waits for input.");
    };
    let place = match snapshot.origin {
        Origin::Run => "link",
        Origin::Processes => "pipe",
    };
    let levels = &snapshot.links[edge].levels;
    let by_count = levels
        .records
        .filter(|records| records.high > 0 && records.buffered * 2 >= records.high);
    let (is_full, held) = match by_count {
        Some(records) => (true, format!("{} of {} records", records.buffered, records.high)),
        None => (
            levels.high > 0 && levels.buffered * 2 >= levels.high,
            format!("{} of {}", human_size(levels.buffered), human_size(levels.high)),
        ),
    };
    if is_full {
        format!(
            "The {place} before {name} holds {held}: {name} takes less than it could get, and what is before it waits for \
             room. That is backpressure, and why memory does not grow."
        )
    } else {
        format!(
            "{name} is the busiest stage, but the {place} before it is not full: {held}. It keeps up with its input."
        )
    }
}

/// What happens now; then each sign that is on the screen, and each key that does something, with its meaning beside it, or
/// below it if the terminal is narrow.
#[must_use]
pub fn explanation(snapshot: &Snapshot, keys: &KeyLine, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for part in textwrap::wrap(&now(snapshot), wrapping(columns.saturating_sub(MARKER))) {
        let begin = Line::default().with(Paint::Plain, " ".repeat(MARKER));
        lines.push(begin.with(Paint::Strong, part.as_ref()));
    }
    let signs = SIGNS.iter().filter(|sign| (sign.is_shown)(snapshot));
    let signs = signs.map(|sign| (sign.paint, sign.text, sign.meaning));
    let works = |key: &str| match key {
        "+ -" => keys.turns.is_some(),
        "tab" => keys.has_several,
        key => key != "?",
    };
    let keys = KEYS.iter().filter(|(key, _)| works(key));
    let keys = keys.map(|(key, meaning)| (Paint::Plain, *key, *meaning));
    for (paint, sign, meaning) in signs.chain(keys) {
        lines.extend(entry(paint, sign, meaning, columns));
    }
    lines
}

fn entry(paint: Paint, sign: &str, meaning: &str, columns: usize) -> Vec<Line> {
    let is_narrow = columns < NARROW;
    let indent = MARKER + if is_narrow { MARKER } else { SIGN };
    let mut lines = Vec::new();
    let begin = Line::default().with(Paint::Plain, " ".repeat(MARKER));
    let mut line = if is_narrow {
        lines.push(begin.with(paint, sign));
        Line::default().up_to(indent)
    } else {
        begin.with(paint, left(sign, SIGN))
    };
    let room = columns.saturating_sub(indent);
    for (at, part) in textwrap::wrap(meaning, wrapping(room)).iter().enumerate() {
        if at > 0 {
            lines.push(std::mem::replace(&mut line, Line::default().up_to(indent)));
        }
        line = line.with(Paint::Plain, part.as_ref());
    }
    lines.push(line);
    lines
}
