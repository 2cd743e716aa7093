//! What a program writes to its standard error, and the line of it that says why it failed.

use std::io::PipeReader;

use rustix::io::Errno;

use crate::error::shown_lines;

/// Bytes that are kept of the beginning, and of the end.
const KEPT: usize = 4 << 10;
/// Words by which a line is taken for a message about an error.
const SIGNS: &[&str] = &[
    "error",
    "exception",
    "panic",
    "fatal",
    "failed",
    "cannot",
    "can't",
    "could not",
    "invalid",
    "unexpected",
    "denied",
    "not found",
    "no such",
    "unrecognized",
    "unknown",
    "refus",
    "expected",
    "not in",
    "out of memory",
];
/// Beginnings of lines that only say where it failed.
const FRAMES: &[&str] = &[
    "at ",
    "File \"",
    "Traceback",
    "from ",
    "goroutine ",
    "stack backtrace",
    "note: run with",
    "node:",
    "Node.js v",
];

/// The beginning and the end of it.
#[derive(Debug)]
pub struct ErrorOutput {
    /// `None` once no process can write to it any more.
    pub pipe: Option<PipeReader>,
    start: Vec<u8>,
    end: Vec<u8>,
    is_cut: bool,
}

impl ErrorOutput {
    /// Reads `pipe`, which does not block.
    pub fn new(pipe: PipeReader) -> Self {
        Self {
            pipe: Some(pipe),
            start: Vec::new(),
            end: Vec::new(),
            is_cut: false,
        }
    }

    /// Reads what is there.
    pub fn read(&mut self) {
        let mut buffer = [0; 4096];
        // Bounded, so that endless messages do not stop the check.
        for _ in 0..16 {
            let Some(pipe) = &self.pipe else { break };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(count) if count > 0 => self.add(&buffer[..count]),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT - self.start.len()));
        self.start.extend_from_slice(first);
        self.end.extend_from_slice(rest);
        let surplus = self.end.len().saturating_sub(KEPT);
        self.end.drain(..surplus);
        self.is_cut |= surplus > 0;
    }

    /// The line that says why it failed, with control characters escaped; `None` where there is no output.
    pub fn line(&self) -> Option<String> {
        let gap: &[u8] = if self.is_cut { b"\n" } else { b"" };
        let text = [&self.start, gap, &self.end].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.trim().is_empty())
            .collect();
        telling(&lines).map(|line| shown_lines(line.trim().replace('\t', "    ").as_bytes()))
    }
}

/// The line that says why a program failed: the last one of a Python trace, the first one with a sign of trouble elsewhere.
fn telling<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_frame = |line: &str| FRAMES.iter().any(|frame| line.trim_start().starts_with(frame));
    // Source code stands above a line that points into it.
    let is_source = |at: usize| {
        lines
            .get(at + 1)
            .is_some_and(|below| below.trim().trim_matches('^').is_empty())
    };
    let messages = lines.iter().enumerate().filter(|(at, line)| {
        let is_indented = line.starts_with([' ', '\t']);
        !is_indented && !is_frame(line) && !is_source(*at)
    });
    let messages: Vec<&'a str> = messages.map(|(_, line)| *line).collect();
    let has_sign = |line: &&str| {
        let line = line.to_lowercase();
        SIGNS.iter().any(|sign| line.contains(sign))
    };
    if lines.iter().any(|line| line.starts_with("Traceback")) {
        return messages.last().copied();
    }
    let at = messages.iter().position(has_sign);
    let line = at
        .map(|at| messages[at])
        .or(messages.last().copied())
        .or(lines.last().copied())?;
    // A Rust program says where it panicked in one line and why in the next.
    if line.contains("panicked at") && line.ends_with(':') {
        return at.and_then(|at| messages.get(at + 1)).copied().or(Some(line));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Write, pipe};

    #[test]
    fn the_line_that_says_why_is_found() {
        for (text, line) in [
            (
                "jq: parse error: Invalid numeric literal at line 1, column 9\n",
                "jq: parse error: Invalid numeric literal at line 1, column 9",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nKeyError: 'id'\n",
                "KeyError: 'id'",
            ),
            (
                "/a/b.js:3\n  x();\n  ^\n\nTypeError: x is not a function\n    at Object.<anonymous> (/a/b.js:3:3)\n\nNode.js v20.20.2\n",
                "TypeError: x is not a function",
            ),
            (
                "[eval]:1\nprocess.stdin.once(\"data\",()=>{throw new Error(\"bad record\")})\n    ^\n\nError: bad record\n    at x\n",
                "Error: bad record",
            ),
            (
                "thread 'main' panicked at src/main.rs:3:5:\nno newline\nnote: run with `RUST_BACKTRACE=1`\n",
                "no newline",
            ),
            (
                "panic: bad input\n\ngoroutine 1 [running]:\nmain.main()\n",
                "panic: bad input",
            ),
            ("usage: x FILE\n", "usage: x FILE"),
            (
                "starting\nx: cannot open a: No such file or directory\nbye\n",
                "x: cannot open a: No such file or directory",
            ),
        ] {
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(telling(&lines), Some(line), "{text}");
        }
        assert_eq!(telling(&[]), None);
    }

    #[test]
    fn beginning_and_end_are_kept_without_control_characters() {
        let (reader, mut writer) = pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&reader, true).expect("does not block");
        let mut error_line = ErrorOutput::new(reader);
        writer.write_all(b"\x1b[31merror\ttabs\x07\n").expect("room");
        for line in 0..10_000 {
            writeln!(writer, "line {line}").expect("room");
            error_line.read();
        }
        assert_eq!(error_line.line().as_deref(), Some("\\x1b[31merror    tabs\\x07"));
        assert!(error_line.end.len() <= KEPT && error_line.end.ends_with(b"line 9999\n"));
    }
}
