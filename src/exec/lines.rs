//! Standard error of a program, relayed line by line.

use crate::error::shown;

/// The target of the events that carry a line: the log shows them as they are, whatever its level.
pub const TARGET: &str = "highwater::exec::line";

/// Bytes of a line that are shown; the rest of a longer one is left out.
const LONGEST: usize = 2 << 10;

/// Passes the lines of a program on, as its stage's own words.
#[derive(Debug)]
pub struct Lines {
    /// The stage that the lines come from: `exec tar`.
    speaker: String,
    /// The line that has not ended yet.
    line: Vec<u8>,
    is_cut: bool,
    /// Whether a carriage return came last, so that what follows would overwrite the line.
    is_returned: bool,
    /// The last line that was not blank, as it was shown.
    last: Option<String>,
}

impl Lines {
    pub fn of(speaker: String) -> Self {
        Self {
            speaker,
            line: Vec::with_capacity(LONGEST),
            is_cut: false,
            is_returned: false,
            last: None,
        }
    }

    /// Passes on every line that ends in `bytes`.
    pub fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            match piece.split_last() {
                Some((b'\n', text)) => {
                    self.add(text);
                    self.end_line();
                }
                Some((b'\r', text)) => {
                    self.add(text);
                    self.is_returned = true;
                }
                _ => self.add(piece),
            }
        }
    }

    fn add(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.is_returned) {
            self.line.clear();
            self.is_cut = false;
        }
        let room = LONGEST - self.line.len();
        self.is_cut |= text.len() > room;
        self.line.extend_from_slice(&text[..text.len().min(room)]);
    }

    fn end_line(&mut self) {
        let columns: Vec<&[u8]> = self.line.trim_ascii_end().split(|byte| *byte == b'\t').collect();
        let mut text = shown(&columns.join(&b"    "[..]));
        if self.is_cut {
            text.push('…');
        }
        self.line.clear();
        (self.is_cut, self.is_returned) = (false, false);
        if text.is_empty() {
            return;
        }
        tracing::error!(target: TARGET, "{}: {text}", self.speaker);
        self.last = Some(text);
    }

    /// Nothing more comes: what is left counts as a line.
    pub fn end(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    /// The last line that was not blank, as it was shown.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> String {
        let mut lines = Lines::of("exec x".to_owned());
        for piece in pieces {
            lines.take(piece);
        }
        lines.end();
        lines.last().unwrap_or_default().to_owned()
    }

    #[test]
    fn lines_are_joined_from_pieces_and_escaped() {
        assert_eq!(
            last(&[b"one\ntw", b"o \x1b[31m\xff\r\n", b"\n \n"]),
            "two \\x1b[31m\\xff"
        );
        assert_eq!(last(&[b"a\tb"]), "a    b");
        assert_eq!(last(&[b"\n"]), "");
    }

    #[test]
    fn a_carriage_return_starts_the_line_again() {
        assert_eq!(last(&[b" 10 %\r 20 %\r", b" 30 %"]), " 30 %");
        assert_eq!(last(&[b" 10 %\r 20 %\r", b"\n"]), " 20 %");
    }

    #[test]
    fn a_long_line_is_cut_and_held_no_longer() {
        let mut lines = Lines::of("exec x".to_owned());
        for _ in 0..100 {
            lines.take(&[b'x'; 1000]);
            assert!(lines.line.capacity() <= LONGEST);
        }
        lines.take(b"\nnext");
        assert_eq!(lines.last(), Some((("x").repeat(LONGEST) + "…").as_str()));
        lines.end();
        assert_eq!(lines.last(), Some("next"));
    }
}
