//! The lower part of the view: memory, time, and the sentence that names the bottleneck.

use crate::engine::{Origin, Snapshot};
use crate::error::wrapping;
use crate::grammar::human_size;
use crate::view::clock::{estimate, passing};
use crate::view::excess::excess;
use crate::view::sentence::{is_finishing, sentence as say};

use super::bars;
use super::columns::{Columns, MARKER};
use super::history::History;
use super::line::{Line, Paint, left};

/// Columns of the names in front: `buffers`.
const NAME: usize = 9;
/// Columns of the longest words behind: `6.20 MiB, peak 6.31 MiB`.
const WORDS: usize = 24;
/// The shortest bar.
const LEAST: usize = 8;
/// The state of a paused sink.
const PAUSED: &str = "paused";
/// Between a bar and its words.
const GAP: usize = 1;

fn begin(name: &str) -> Line {
    Line::default().with(Paint::Faint, " ".repeat(MARKER) + &left(name, NAME))
}

/// Columns of a bar here; 0 if it would be too short to read.
fn bar(columns: &Columns) -> usize {
    let room = columns.whole.saturating_sub(MARKER + NAME + GAP + WORDS).min(44);
    if room < LEAST { 0 } else { room }
}

/// A name and a bar, if there is room for one; text follows.
fn begin_with(name: &str, bar: Line) -> Line {
    let gap = " ".repeat(GAP.min(bar.columns()));
    begin(name).then(bar).with(Paint::Plain, gap)
}

/// What holds the bytes between two stages.
fn held_in(snapshot: &Snapshot) -> &'static str {
    match snapshot.origin {
        Origin::Run => "buffers",
        Origin::Processes => "pipes",
    }
}

/// What links and stages hold, with the ceiling.
pub fn buffers(snapshot: &Snapshot, columns: &Columns) -> Line {
    let held = snapshot.run.buffered + snapshot.run.state;
    let words = format!("{} of {}", human_size(held), human_size(snapshot.run.limit));
    let line = begin_with(
        held_in(snapshot),
        bars::level(held, snapshot.run.limit, None, bar(columns)),
    )
    .with(Paint::Plain, words);
    above(line, held, snapshot.run.limit)
}

/// Appends how far `value` is above its `mark`, if it is.
pub fn above(line: Line, value: u64, mark: u64) -> Line {
    match excess(value, mark) {
        Some(times) => line.with(Paint::Busy, format!("  {times}")),
        None => line,
    }
}

/// The resident memory and its history.
pub fn resident(snapshot: &Snapshot, history: &History, columns: &Columns) -> Line {
    let bar = bar(columns);
    let curve = bars::curve(&history.rss(), bar);
    let words = format!(
        "{}, peak {}",
        human_size(snapshot.run.rss),
        human_size(snapshot.run.rss_peak)
    );
    begin_with("rss", Line::default().with(Paint::Level, left(&curve, bar))).with(Paint::Plain, words)
}

/// Both in one line without bars.
pub fn memory(snapshot: &Snapshot) -> Line {
    let words = format!(
        "{} of {}, rss {}",
        human_size(snapshot.run.buffered + snapshot.run.state),
        human_size(snapshot.run.limit),
        human_size(snapshot.run.rss)
    );
    begin(held_in(snapshot)).with(Paint::Plain, words)
}

/// The elapsed time, the progress, and the remaining time.
pub fn time(snapshot: &Snapshot, columns: &Columns) -> Line {
    let elapsed = passing(snapshot.run.elapsed);
    let width = bar(columns);
    if is_finishing(snapshot) {
        return begin_with("time", bars::level(1, 1, None, width))
            .with(Paint::Plain, format!("{elapsed}  "))
            .with(Paint::Strong, "finishing writes");
    }
    let words = match snapshot.run.percent(snapshot.moment) {
        Some(done) => begin_with("time", bars::progress(snapshot.run.progress.unwrap_or(0.0), width))
            .with(Paint::Plain, format!("{elapsed}  "))
            .with(Paint::Strong, format!("{done} %")),
        None => {
            let read = snapshot.bytes_read();
            let read = read.map_or_else(String::new, |bytes| format!("  {} read", human_size(bytes)));
            begin("time").with(Paint::Plain, elapsed + &read)
        }
    };
    match snapshot.run.remaining {
        _ if snapshot.run.paused => words.with(Paint::Plain, "  ").with(Paint::Strong, PAUSED),
        Some(left) => words.with(Paint::Plain, format!("  {} left", estimate(left))),
        None => words,
    }
}

/// The sentence, in at most `most` lines.
pub fn sentence(snapshot: &Snapshot, columns: &Columns, most: usize) -> Vec<Line> {
    let Some(sentence) = say(snapshot) else {
        return Vec::new();
    };
    // A number and its sign stay together.
    let text = sentence.text().replace(" %", "\u{a0}%");
    let room = columns.whole.saturating_sub(MARKER);
    let mut lines: Vec<Line> = Vec::new();
    // The subject is emphasised, even if it is several words, or wraps.
    let mut strong = sentence.subject.chars().count() + 1;
    for text in textwrap::wrap(&text, wrapping(room)) {
        let subject_end = text.char_indices().nth(strong).map_or(text.len(), |(at, _)| at);
        let (subject, rest) = text.split_at(subject_end);
        // The space at the line's end is gone.
        strong = strong.saturating_sub(text.chars().count() + 1);
        let mut line = Line::default().with(Paint::Plain, " ".repeat(MARKER));
        for (paint, part) in [(Paint::Strong, subject), (Paint::Plain, rest)] {
            if !part.is_empty() {
                line = line.with(paint, part.replace('\u{a0}', " "));
            }
        }
        lines.push(line);
    }
    if lines.len() > most && most > 0 {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            // One more character than fits, so that the cut is marked even if the line is not full.
            *last = std::mem::take(last).with(Paint::Faint, "…").cut_to(columns.whole);
        }
    }
    lines.truncate(most);
    lines
}
