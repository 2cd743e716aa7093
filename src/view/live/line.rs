//! A line of the view as styled pieces, measured in terminal columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The meaning of a piece of text; the style decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text.
    Plain,
    /// The most important text.
    Strong,
    /// Less important text.
    Faint,
    /// Busy time.
    Busy,
    /// Idle time.
    Idle,
    /// Backpressured time.
    Backpressured,
    /// How full something is.
    Level,
}

/// One line of the view, without its newline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Its pieces from left to right.
    pub pieces: Vec<(Paint, String)>,
}

impl Line {
    /// Adds text.
    #[must_use]
    pub fn with(mut self, paint: Paint, text: impl Into<String>) -> Self {
        self.pieces.push((paint, text.into()));
        self
    }

    /// Adds blanks up to a column.
    #[must_use]
    pub fn up_to(self, column: usize) -> Self {
        let blanks = column.saturating_sub(self.columns());
        self.with(Paint::Plain, " ".repeat(blanks))
    }

    /// Adds all pieces of another line.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// How many columns it takes.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// The line cut to `columns`, so that it never wraps.
    #[must_use]
    pub fn cut_to(self, columns: usize) -> Self {
        if self.columns() <= columns {
            return self;
        }
        let mut left = columns.saturating_sub(1);
        let mut cut = Self::default();
        for (paint, text) in self.pieces {
            let kept = head(&text, left);
            left -= kept.width();
            let is_whole = kept.len() == text.len();
            cut = cut.with(paint, kept);
            if !is_whole {
                break;
            }
        }
        cut.with(Paint::Faint, "…")
    }
}

/// `text` in `columns`: if it is too long, its middle is left out, because names differ at their ends.
#[must_use]
pub fn squeezed(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let tail_room = room / 2;
    let start = head(text, room - tail_room);
    let mut used = 0;
    let tail: Vec<char> = text
        .chars()
        .rev()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= tail_room
        })
        .collect();
    format!("{start}…{}", tail.iter().rev().collect::<String>())
}

/// `text`, squeezed or filled up with blanks to `columns`.
#[must_use]
pub fn left(text: &str, columns: usize) -> String {
    let text = squeezed(text, columns);
    let blanks = columns - text.width();
    text + &" ".repeat(blanks)
}

/// `text` right-aligned in `columns`.
#[must_use]
pub fn right(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(text.width())) + text
}

/// As much of the beginning of `text` as takes at most `columns`.
fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(squeezed("read big.iso", 12), "read big.iso");
        assert_eq!(squeezed("read /very/long/path/big.iso", 15), "read /v…big.iso");
        assert_eq!(squeezed("read 日本語のファイル", 13), "read …ァイル");
        assert_eq!(left("日本", 6), "日本  ");
        assert_eq!(squeezed("abc", 1), "…");
        assert_eq!(squeezed("abc", 0), "");
    }

    #[test]
    fn cut_line_fits_its_columns() {
        let line = Line::default()
            .with(Paint::Strong, "日本語")
            .with(Paint::Plain, " and more");
        assert_eq!(line.clone().cut_to(20), line);
        let cut = line.cut_to(5);
        let text: String = cut.pieces.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(text, "日本…");
    }
}
