//! The last line of the view, which lists the keys, and the explanation that `?` shows.

use crate::error::wrapping;

use super::columns::MARKER;
use super::line::{Line, Paint, left};

/// The current function of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLine {
    /// What `+` and `-` change; `None` if there is no throttle.
    pub turns: Option<String>,
    /// Whether there are several throttles to choose from.
    pub has_several: bool,
    /// Whether the explanation is shown.
    pub explains: bool,
    /// The last key's message.
    pub note: Option<String>,
}

/// `+ - rate  space pause  ? help  q quit`, or the last key's message.
#[must_use]
pub fn hint(keys: &KeyLine, is_paused: bool, columns: usize) -> Line {
    let indent = Line::default().with(Paint::Plain, " ".repeat(MARKER));
    if let Some(note) = &keys.note {
        return indent.with(Paint::Strong, note.clone());
    }
    let mut known = Vec::new();
    if let Some(turned) = &keys.turns {
        known.push(("+ -", if keys.has_several { turned.as_str() } else { "rate" }));
    }
    if keys.has_several {
        known.push(("tab", "next"));
    }
    known.push(("space", if is_paused { "resume" } else { "pause" }));
    known.push(("?", if keys.explains { "close" } else { "help" }));
    known.push(("q", "quit"));
    let mut line = Line::default();
    for (place, (key, what)) in known.into_iter().enumerate() {
        let gap = if place == 0 { "" } else { "  " };
        line = line
            .with(Paint::Plain, format!("{gap}{key}"))
            .with(Paint::Faint, format!(" {what}"));
    }
    // In 40 columns it fits without its margin.
    if MARKER + line.columns() > columns {
        return line;
    }
    indent.then(line)
}

/// The keys of the live view, and what they do.
pub const KEYS: &[(&str, &str)] = &[
    ("+ -", "a throttle's rate, up or down by about an eighth"),
    ("space", "pauses the sink, or resumes it"),
    ("?", "explains the screen"),
    ("tab", "the next throttle, where there are several"),
    ("q", "ends the run, as Ctrl-C does"),
];

/// When there are no keys.
pub const NO_KEYS: &str = "They are there in the live view while the run has the terminal's foreground, from the first bytes \
                           on; not where a stage reads the terminal, nor where standard output is a pipe, whose reader may \
                           use the terminal itself.";

/// Columns of a sign.
const SIGN: usize = 17;
/// Below this width meanings are below their signs.
const NARROW: usize = 60;

/// The signs on the screen with their meanings.
const SIGNS: &[(Paint, &str, &str)] = &[
    (
        Paint::Busy,
        "█ busy",
        "works, or waits for its disk, its peer or its throttle",
    ),
    (Paint::Idle, "· idle", "waits for its input"),
    (
        Paint::Backpressured,
        "▒ backpressured",
        "waits for room in the link below it",
    ),
    (Paint::Strong, "▶", "the bottleneck: what all the others wait for"),
    (
        Paint::Level,
        "╰ ━━━┿──",
        "a link's level; the bar's end is its high-water mark, ┿ the low one, at which a paused stage resumes",
    ),
    (
        Paint::Plain,
        "rate",
        "what a stage gave out a second, over the last 5 s",
    ),
    (Paint::Plain, "buffers", "all links and codecs, against --memory"),
    (Paint::Plain, "rss", "the whole program, and how that came about"),
];

/// Each sign with its meaning beside it, or below it if the terminal is narrow.
#[must_use]
pub fn explanation(columns: usize) -> Vec<Line> {
    let is_narrow = columns < NARROW;
    let indent = MARKER + if is_narrow { MARKER } else { SIGN };
    let keys = KEYS.iter().filter(|(key, _)| *key != "?");
    let keys = keys.map(|(key, meaning)| (Paint::Plain, *key, *meaning));
    let mut lines = Vec::new();
    for (paint, sign, meaning) in SIGNS.iter().copied().chain(keys) {
        let begin = Line::default().with(Paint::Plain, " ".repeat(MARKER));
        let mut line = if is_narrow {
            lines.push(begin.with(paint, sign));
            Line::default().up_to(indent)
        } else {
            begin.with(paint, left(sign, SIGN))
        };
        for (at, part) in textwrap::wrap(meaning, wrapping(columns.saturating_sub(indent)))
            .iter()
            .enumerate()
        {
            if at > 0 {
                lines.push(std::mem::replace(&mut line, Line::default().up_to(indent)));
            }
            line = line.with(Paint::Plain, part.as_ref());
        }
        lines.push(line);
    }
    lines
}
