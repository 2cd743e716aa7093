//! The text before and beside the picture.

use crate::error::wrapping;
use crate::grammar::human_size;
use crate::view::clock::passing;
use crate::view::live::{Line, Paint};
use crate::view::plain::human_rate;
use crate::view::sentence::percent;

use super::{Contrast, Course, Subject};

/// The first line, and what it is painted with; the second line.
pub type Caption = ((Paint, String), String);

/// An introduction, wrapped to `columns`.
#[must_use]
pub fn introduction(contrast: &Contrast, columns: usize) -> Vec<Line> {
    let columns = columns.saturating_sub(1).min(110);
    let (title, text) = match contrast.subject {
        Subject::Backpressure => (
            "  A fast source and a slow reader",
            format!(
                "The source can give {} a second, the reader takes {}. What it does not take has to wait \
                 somewhere. The same chain, twice; watch its memory.",
                rounded(contrast.source_rate),
                rounded(contrast.sink_rate),
            ),
        ),
        Subject::Records => (
            "  Sixteen records of any size",
            format!(
                "The reader takes {} records a second, and every link holds 16 of them at most. The records grow from \
                 1 kB to 900 kB. The same chain, twice; watch its memory.",
                contrast.sink_rate,
            ),
        ),
    };
    let mut lines = vec![Line::default().with(Paint::Strong, title)];
    lines.extend(wrapped(&text, columns));
    lines.push(Line::default());
    lines
}

/// `30 MB`, as rates are written in a pipeline.
pub fn rounded(bytes: u64) -> String {
    format!("{} MB", (bytes + 500_000) / 1_000_000)
}

/// The current state while the picture is not complete, wrapped to `columns`.
#[must_use]
pub fn story(contrast: &Contrast, columns: usize) -> Vec<Line> {
    if contrast.heeding.end.is_some() {
        return Vec::new();
    }
    let text = match (contrast.subject, contrast.ignoring.end.is_none()) {
        (Subject::Backpressure, true) => {
            "Links without a bound. What the reader does not take stays in memory: the level rises."
        }
        (Subject::Backpressure, false) => {
            "Now a full link pauses the source at its high-water mark, until the reader has drained it to the low one: \
             the level stays."
        }
        (Subject::Records, true) => "Links bounded by count alone. As records grow, so does what 16 of them take.",
        (Subject::Records, false) => {
            "Now a link is full at 16 records or at its share of 8 MiB, whichever comes first: the level stays."
        }
    };
    wrapped(text, columns.saturating_sub(1).min(110))
}

pub fn ignoring_caption(course: &Course) -> Caption {
    let Some(last) = course.last() else {
        return ((Paint::Faint, "about to start".to_owned()), String::new());
    };
    let held = human_size(last.held());
    match &course.end {
        None => (
            (Paint::Busy, format!("{}, and rising", human_size(last.rss))),
            format!("{held} wait for the reader"),
        ),
        Some(end) if end.code == 7 => (
            (
                Paint::Busy,
                format!("{} after {}: stopped", human_size(end.peak), passing(last.at)),
            ),
            format!("{held} lay in memory"),
        ),
        Some(end) => (
            (Paint::Busy, format!("{} at its highest", human_size(end.peak))),
            format!("{held} lay in memory at the end"),
        ),
    }
}

pub fn heeding_caption(course: &Course) -> Caption {
    let Some(last) = course.last() else {
        return ((Paint::Faint, "its turn comes next".to_owned()), String::new());
    };
    let paused = format!("the source paused {}", percent(last.paused));
    match &course.end {
        None => (
            (Paint::Level, format!("{} resident", human_size(last.rss))),
            format!("{} wait for the reader", human_size(last.held())),
        ),
        Some(end) => ((Paint::Level, format!("{} at most", human_size(end.peak))), paused),
    }
}

/// Text in lines of at most `columns`, indented as everything is.
pub fn wrapped(text: &str, columns: usize) -> Vec<Line> {
    const INDENT: &str = "  ";
    // A number and its sign stay together.
    let text = text.replace(" %", "\u{a0}%");
    let options = wrapping(columns).initial_indent(INDENT).subsequent_indent(INDENT);
    let lines = textwrap::wrap(&text, options);
    lines
        .iter()
        .map(|line| Line::default().with(Paint::Plain, line.replace('\u{a0}', " ")))
        .collect()
}

/// The mean rate of a run, for display.
pub fn speed(bytes: u64, seconds: f64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    human_rate(rate) + "/s"
}
