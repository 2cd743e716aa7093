//! What a sign, a word or a key on the screen means.

use crate::error::wrapping;

use super::columns::MARKER;
use super::keys::{KEYS, KeyLine};
use super::line::{Line, Paint, left};

/// Columns of a sign.
const SIGN: usize = 17;
/// Below this width meanings are below their signs.
const NARROW: usize = 60;

/// A sign or word, and what it means here.
#[derive(Debug)]
pub struct Meaning {
    paint: Paint,
    sign: String,
    text: String,
}

impl Meaning {
    /// What a sign or word means.
    #[must_use]
    pub fn new(paint: Paint, sign: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            paint,
            sign: sign.into(),
            text: text.into(),
        }
    }

    /// The sign with its meaning beside it, or below it if the terminal is narrow.
    #[must_use]
    pub fn lines(&self, columns: usize) -> Vec<Line> {
        let is_narrow = columns < NARROW;
        let indent = MARKER + if is_narrow { MARKER } else { SIGN };
        let begin = Line::default().with(Paint::Plain, " ".repeat(MARKER));
        let mut lines = Vec::new();
        let mut line = if is_narrow {
            lines.push(begin.with(self.paint, self.sign.as_str()));
            Line::default().up_to(indent)
        } else {
            begin.with(self.paint, left(&self.sign, SIGN))
        };
        let room = wrapping(columns.saturating_sub(indent));
        for (at, part) in textwrap::wrap(&self.text, room).iter().enumerate() {
            if at > 0 {
                lines.push(std::mem::replace(&mut line, Line::default().up_to(indent)));
            }
            line = line.with(Paint::Plain, part.as_ref());
        }
        lines.push(line);
        lines
    }
}

/// An explanation in so many rows: one that is cut ends with how many rows the terminal needs for it, the line about keys
/// and one that stays free included.
#[must_use]
pub fn fitted(mut explained: Vec<Line>, room: usize) -> Vec<Line> {
    let rows = explained.len() + 2;
    if explained.len() > room && room > 0 {
        explained.truncate(room - 1);
        let more = Line::default().up_to(MARKER);
        explained.push(more.with(Paint::Faint, format!("… all of it takes {rows} rows")));
    }
    explained.truncate(room);
    explained
}

/// The keys that do something now.
pub fn usable(keys: &KeyLine) -> impl Iterator<Item = Meaning> {
    let is_usable = |key: &str| match key {
        "+ -" => keys.turns.is_some(),
        "space" => keys.steers,
        "tab" => keys.has_several,
        _ => key != "?",
    };
    let usable = KEYS.iter().filter(move |(key, _)| is_usable(key));
    usable.map(|(key, text)| Meaning::new(Paint::Plain, *key, *text))
}
