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

/// A part of an explanation that fits the terminal.
#[derive(Debug)]
pub struct Page {
    /// Its lines.
    pub lines: Vec<Line>,
    /// What `?` does next.
    pub next: &'static str,
}

impl Page {
    /// The page in `room` rows that is shown after so many presses of `?`; none before the first page and behind the last.
    #[must_use]
    pub fn of(explained: &[Line], room: usize, presses: usize) -> Option<Self> {
        let rows = if explained.len() > room {
            room.saturating_sub(1).max(1)
        } else {
            explained.len().max(1)
        };
        let pages: Vec<&[Line]> = explained.chunks(rows).collect();
        let at = presses % (pages.len() + 1);
        let mut lines = pages.get(at.checked_sub(1)?)?.to_vec();
        if pages.len() > 1 && room > 1 {
            let number = Line::default().up_to(MARKER);
            lines.push(number.with(Paint::Faint, format!("page {at} of {}", pages.len())));
        }
        let next = if at == pages.len() { "close" } else { "more" };
        Some(Self { lines, next })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_mark_turns_pages() {
        let explained: Vec<Line> = ["a", "b", "c", "d", "e"]
            .map(|text| Line::default().with(Paint::Plain, text))
            .into();
        let shown = |room, presses| {
            let page = Page::of(&explained, room, presses)?;
            Some((page.lines.len(), page.next))
        };
        let pages = |room| (0..5).map(|presses| shown(room, presses)).collect::<Vec<_>>();
        assert_eq!(pages(5), [None, Some((5, "close")), None, Some((5, "close")), None]);
        assert_eq!(
            pages(3),
            [None, Some((3, "more")), Some((3, "more")), Some((2, "close")), None]
        );
        assert_eq!(shown(0, 1), Some((1, "more")));
    }
}
