//! The output of the demo: a picture that is redrawn in place on a terminal, or plain text.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write, stdout};

use crate::cli::options::{Color, is_dumb};
use crate::platform::terminal_size;
use crate::view::ascii;
use crate::view::live::{Background, Line, Paint, Style};

/// Standard output.
pub struct Screen {
    style: Style,
    is_ascii: bool,
    /// Whether the cursor can be moved.
    can_draw: bool,
    /// Lines of the current picture.
    drawn: usize,
    /// The first error of a write.
    failure: Option<io::Error>,
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
            is_ascii: is_ascii || ascii::is_wanted(),
            can_draw: is_terminal && !is_dumb(),
            drawn: 0,
            failure: None,
        }
    }

    /// Fails once a write has failed.
    pub fn check(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Draws a picture over the last one, if the terminal can do that and the picture fits.
    pub fn draw(&mut self, lines: &[Line]) {
        let rows = terminal_size(stdout()).map_or(0, |(_, rows)| usize::from(rows));
        if self.can_draw && lines.len() < rows {
            self.replace(lines);
        }
    }

    /// Prints what begins, if it cannot be drawn.
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

    /// Prints lines below the picture.
    pub fn print(&mut self, lines: &[Line]) {
        let text: String = lines.iter().map(|line| self.text(line) + "\n").collect();
        self.write(&text);
    }

    fn text(&self, line: &Line) -> String {
        let text = self.style.text(line);
        if self.is_ascii { ascii::in_ascii(&text) } else { text }
    }

    fn write(&mut self, text: &str) {
        let mut out = stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.failure = self.failure.take().or(written.err());
    }
}

/// Columns of the terminal, if it is one.
pub fn columns() -> usize {
    terminal_size(stdout()).map_or(ASSUMED, |(columns, _)| columns.into())
}

/// Text as lines without any paint.
pub fn plain(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| Line::default().with(Paint::Faint, line))
        .collect()
}
