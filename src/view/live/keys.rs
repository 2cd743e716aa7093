//! The last line of the view, which lists the keys.

use super::columns::MARKER;
use super::line::{Line, Paint};
use super::meaning::Page;

/// The current function of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLine {
    /// Whether there is a run here that keys can pause and change.
    pub steers: bool,
    /// What `+` and `-` change; `None` if there is no throttle.
    pub turns: Option<String>,
    /// Whether there are several throttles to choose from.
    pub has_several: bool,
    /// How many times `?` was pressed: each shows the next page of the explanation, and the one behind the last closes it.
    pub asked: usize,
    /// The last key's message.
    pub note: Option<String>,
}

/// `+ - rate  space pause  ? help  q quit`, or the last key's message. `page` is the explanation that is shown.
#[must_use]
pub fn hint(keys: &KeyLine, is_paused: bool, page: Option<&Page>, columns: usize) -> Line {
    let indent = |most: usize| Line::default().with(Paint::Plain, " ".repeat(MARKER.min(most)));
    if let Some(note) = &keys.note {
        return indent(MARKER).with(Paint::Strong, note.clone());
    }
    let mut known = Vec::new();
    if let Some(turned) = &keys.turns {
        known.push(("+ -", if keys.has_several { turned.as_str() } else { "rate" }));
    }
    if keys.has_several {
        known.push(("tab", "next"));
    }
    if keys.steers {
        known.push(("space", if is_paused { "resume" } else { "pause" }));
    }
    known.push(("?", page.map_or("help", |page| page.next)));
    known.push(("q", "quit"));
    let mut line = Line::default();
    for (place, (key, what)) in known.into_iter().enumerate() {
        let gap = if place == 0 { "" } else { "  " };
        line = line
            .with(Paint::Plain, format!("{gap}{key}"))
            .with(Paint::Faint, format!(" {what}"));
    }
    // In 40 columns it fits with less of its margin.
    indent(columns.saturating_sub(line.columns())).then(line)
}

/// The keys of the live view, and what they do.
pub const KEYS: &[(&str, &str)] = &[
    ("+ -", "a throttle's rate, up or down by about an eighth"),
    ("space", "pauses the sink, or resumes it"),
    ("?", "explains what is on the screen now"),
    ("tab", "the next throttle, where there are several"),
    ("q", "ends highwater, as Ctrl-C does"),
];

/// When there are no keys.
pub const NO_KEYS: &str = "They are there in the live view while the run has the terminal's foreground, from the first bytes \
                           on; not where a stage reads the terminal, nor where standard output is a pipe, whose reader may \
                           use the terminal itself.";
