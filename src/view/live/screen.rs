//! The terminal as indicatif sees it: it says what to draw, this decides how, and for how long to wait.
//!
//! indicatif fills every line with blanks up to the terminal's edge and lets it wrap there; where a terminal reflows
//! its lines on a resize, that tears the picture. So it is told that the terminal is as wide and high as can be, its
//! blanks are dropped, and lines end in a newline. How many rows the last picture takes is counted here, at the width
//! that the terminal has now.
//!
//! A terminal that takes no more bytes gets the rest of what was begun before anything else: an escape sequence is
//! never cut.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::TermLike;
use unicode_width::UnicodeWidthChar;

use crate::platform::{is_in_foreground, terminal_size, write_within};

use super::frame::Size;

/// How long a terminal may take for one picture.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);
/// What is kept for a terminal that has stopped reading; more is dropped.
const MOST_PENDING: usize = 64 << 10;
/// Where the terminal's size is not known.
const ASSUMED: Size = Size { columns: 80, rows: 24 };

/// The terminal at standard error. A clone is the same screen.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be drawn at the next flush.
    lines: Vec<String>,
    /// Whether the next text is the filler of the last line.
    is_filler_next: bool,
    /// How many lines of the last picture are to be drawn over.
    over: usize,
    /// The lines that were drawn last.
    drawn: Vec<String>,
    /// What the terminal has not yet taken.
    pending: Vec<u8>,
}

impl Screen {
    /// The terminal's size now.
    pub fn size() -> Size {
        terminal_size(std::io::stderr()).map_or(ASSUMED, |(columns, rows)| Size {
            columns: columns.into(),
            rows: rows.into(),
        })
    }

    /// Gives the terminal what it has not taken yet, without waiting; answers whether it is ready for a new picture.
    pub fn is_ready(&self) -> bool {
        is_in_foreground() && self.state().send(Duration::ZERO)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends what is pending; answers whether all of it went.
    fn send(&mut self, patience: Duration) -> bool {
        let sent = if self.pending.is_empty() {
            0
        } else {
            write_within(&self.pending, patience)
        };
        self.pending.drain(..sent);
        self.pending.is_empty()
    }

    /// What turns the last picture into the next.
    fn picture(&mut self, columns: usize) -> String {
        let over = &self.drawn[self.drawn.len().saturating_sub(self.over)..];
        let rows: usize = over.iter().map(|line| rows(line, columns)).sum();
        let mut text = String::from("\r");
        if rows > 1 {
            let _ = write!(text, "\x1b[{}A", rows - 1);
        }
        // Where every line takes one row, each is drawn over in place, and nothing flickers.
        let in_place = rows == over.len() && self.lines.iter().all(|line| width(line) < columns);
        if !in_place {
            text += "\x1b[J";
        }
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                text += "\r\n";
            }
            text += line;
            if in_place {
                text += "\x1b[K";
            }
        }
        if in_place {
            text += "\x1b[J";
        }
        self.drawn = std::mem::take(&mut self.lines);
        self.over = 0;
        self.is_filler_next = false;
        text
    }
}

/// How many rows a line takes on a terminal that has wrapped it.
fn rows(line: &str, columns: usize) -> usize {
    width(line).div_ceil(columns.max(1)).max(1)
}

/// Columns of a line, its escape sequences left out.
fn width(line: &str) -> usize {
    let mut is_escape = false;
    let mut width = 0;
    for c in line.chars() {
        match c {
            '\x1b' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_escape => {}
            c => width += c.width().unwrap_or(0),
        }
    }
    width
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        // Wide enough that nothing wraps.
        4096
    }

    fn height(&self) -> u16 {
        u16::MAX
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.is_filler_next {
            state.lines.push(text.to_owned());
        }
        state.is_filler_next = !state.is_filler_next;
        Ok(())
    }

    /// Once for every line of the last picture.
    fn clear_line(&self) -> io::Result<()> {
        self.state().over += 1;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        let patience = if state.pending.is_empty() {
            WRITE_TIMEOUT
        } else {
            Duration::ZERO
        };
        let picture = state.picture(Self::size().columns);
        if state.pending.len() < MOST_PENDING {
            state.pending.extend_from_slice(picture.as_bytes());
        }
        state.send(patience);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(state: &mut State, over: usize, lines: &[&str], columns: usize) -> String {
        state.over = over;
        state.lines = lines.iter().map(|&line| line.to_owned()).collect();
        state.picture(columns)
    }

    #[test]
    fn a_picture_is_drawn_over_the_last_one() {
        let mut state = State::default();
        assert_eq!(
            draw(&mut state, 0, &["one", "two"], 80),
            "\rone\x1b[K\r\ntwo\x1b[K\x1b[J"
        );
        assert_eq!(draw(&mut state, 2, &["three"], 80), "\r\x1b[1Athree\x1b[K\x1b[J");
        assert_eq!(draw(&mut state, 1, &[], 80), "\r\x1b[J");
    }

    #[test]
    fn a_log_line_stays_above() {
        let mut state = State::default();
        draw(&mut state, 0, &["picture"], 80);
        assert_eq!(
            draw(&mut state, 1, &["log", "picture"], 80),
            "\rlog\x1b[K\r\npicture\x1b[K\x1b[J"
        );
        // Only the picture is drawn over.
        assert_eq!(draw(&mut state, 1, &["next"], 80), "\rnext\x1b[K\x1b[J");
    }

    #[test]
    fn what_a_narrower_terminal_has_wrapped_is_taken_back() {
        let mut state = State::default();
        draw(&mut state, 0, &["\x1b[1m12345678\x1b[0m", "12"], 80);
        assert_eq!(draw(&mut state, 2, &["123"], 4), "\r\x1b[2A\x1b[J123");
    }
}
