//! Where the demo is shown: a picture drawn again and again at the same place of a terminal, or plain text.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stdout};

use crate::cli::options::{Color, is_dumb};
use crate::platform::terminal_size;
use crate::view::contrast::in_ascii;
use crate::view::live::{Background, Line, Paint, Style};

/// Standard output.
pub struct Screen {
    style: Style,
    is_ascii: bool,
    /// Whether the cursor can be moved.
    can_draw: bool,
    /// Lines of the picture that is there now.
    drawn: usize,
    /// Whether the reader has gone.
    is_broken: bool,
}

/// Where the width is not known.
const ASSUMED: usize = 80;

impl Screen {
    pub fn new(is_ascii: bool, color: Color) -> Self {
        let is_terminal = stdout().is_terminal();
        let said = std::env::var("COLORFGBG").ok();
        Self {
            style: Style {
                colour: color.applies_to(is_terminal),
                background: Background::of(said.as_deref()),
            },
            is_ascii: is_ascii || !speaks_unicode(|name| std::env::var(name).ok()),
            can_draw: is_terminal && !is_dumb(),
            drawn: 0,
            is_broken: false,
        }
    }

    /// Whether whoever was to read this has gone.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Draws a picture over the last one, where that can be done without tearing it: it must fit on the terminal.
    pub fn draw(&mut self, lines: &[Line]) {
        let rows = terminal_size(stdout()).map_or(0, |(_, rows)| usize::from(rows));
        if self.can_draw && lines.len() < rows {
            self.replace(lines);
        }
    }

    /// Says in words what begins, where it cannot be drawn.
    pub fn tell(&mut self, lines: &[Line]) {
        if !self.can_draw {
            self.print(lines);
        }
    }

    /// Draws the last picture, and leaves it.
    pub fn finish(&mut self, lines: &[Line]) {
        self.replace(lines);
        self.drawn = 0;
    }

    /// Leaves what is drawn as it is.
    pub fn leave(&mut self) {
        self.drawn = 0;
    }

    fn replace(&mut self, lines: &[Line]) {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        for line in lines {
            text += &self.text(line);
            text += if self.can_draw { "\x1b[K\n" } else { "\n" };
        }
        if lines.len() < self.drawn {
            text += "\x1b[J";
        }
        self.drawn = lines.len();
        self.write(&text);
    }

    /// Prints lines below what is there.
    pub fn print(&mut self, lines: &[Line]) {
        let text: String = lines.iter().map(|line| self.text(line) + "\n").collect();
        self.write(&text);
    }

    fn text(&self, line: &Line) -> String {
        let text = self.style.text(line);
        if self.is_ascii { in_ascii(&text) } else { text }
    }

    fn write(&mut self, text: &str) {
        let mut out = stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.is_broken |= written.is_err();
    }
}

/// Columns of the terminal, if it is one.
pub fn columns() -> usize {
    terminal_size(stdout()).map_or(ASSUMED, |(columns, _)| columns.into())
}

/// Whether the locale's character set is UTF-8, by the variables in their order: see locale(7). Where none is set, nobody
/// has said that it is not.
fn speaks_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].iter();
    let mut said = said.filter_map(|name| variable(name).filter(|value| !value.is_empty()));
    said.next().is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Text as lines without any paint.
pub fn plain(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| Line::default().with(Paint::Faint, line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_whether_there_is_more_than_ascii() {
        let spoken = |all: &'static str, lang: &'static str| {
            speaks_unicode(|name| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            })
        };
        assert!(spoken("", "de_DE.UTF-8") && spoken("", "C.utf8") && spoken("", ""));
        assert!(!spoken("C", "de_DE.UTF-8") && !spoken("", "POSIX"));
    }
}
