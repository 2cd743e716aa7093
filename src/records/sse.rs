//! Server-sent events as JSON objects.

use std::mem;

use memchr::{memchr, memchr2};

use super::framer::ByteOrderMark;
use super::json::{Scanner, encode_content};
use super::{Fault, Framer, Record, Step};

/// Frames the events of an event stream as the HTML standard reads it, and makes a JSON object of each, with the members
/// `event`, `id`, `retry` and `data`.
#[derive(Debug)]
pub struct SseEvents {
    mark: ByteOrderMark,
    limit: usize,
    blank_line: BlankLine,
    /// Bytes of the event in which no blank line was found.
    read: usize,
    /// Whether the next byte is in a comment between two events.
    is_in_comment: bool,
    /// Whether data that is a JSON object or array becomes that.
    embeds_json: bool,
    scanner: Scanner,
    /// What events without data have set; it belongs to the next event.
    id: Option<Vec<u8>>,
    retry: Option<u64>,
}

impl SseEvents {
    /// A framer for events of at most `limit` bytes. The data of an event becomes a string; with `embeds_json`, a JSON
    /// object or array stays one.
    #[must_use]
    pub fn new(embeds_json: bool, limit: usize) -> Self {
        Self {
            mark: ByteOrderMark::default(),
            limit,
            blank_line: BlankLine::default(),
            read: 0,
            is_in_comment: false,
            embeds_json,
            scanner: Scanner::new(),
            id: None,
            retry: None,
        }
    }

    /// The step over an event, whose blank line is included.
    fn step_over(&mut self, event: &[u8], made: &mut Record) -> Step {
        let (mut name, mut id, mut has_data) = (&[][..], None, false);
        for (field, value) in fields(event) {
            match field {
                b"event" => name = value,
                b"id" if memchr(0, value).is_none() => id = Some(value),
                b"retry" => self.retry = milliseconds(value).or(self.retry),
                b"data" => has_data = true,
                _ => {}
            }
        }
        let end = event.len();
        if !has_data {
            if let Some(id) = id {
                // Dropped first, so that there are never two.
                self.id = None;
                self.id = Some(id.to_vec());
            }
            return Step::Skipped { end };
        }
        let earlier = self.id.take();
        made.push(b'{');
        if !name.is_empty() {
            made.extend(br#""event":"#);
            put_string([name], made);
            made.push(b',');
        }
        if let Some(id) = id.or(earlier.as_deref()) {
            made.extend(br#""id":"#);
            put_string([id], made);
            made.push(b',');
        }
        if let Some(retry) = self.retry.take() {
            made.extend(format!(r#""retry":{retry},"#).as_bytes());
        }
        made.extend(br#""data":"#);
        if !(self.embeds_json && self.embed(event, made)) {
            put_string(data(event), made);
        }
        made.extend(b"}\n");
        Step::Made { end }
    }

    /// Writes the data of an event as it is; returns false, and writes nothing, if it is no JSON object or array.
    fn embed(&mut self, event: &[u8], made: &mut Record) -> bool {
        let start = made.as_slice().len();
        put_text(data(event), |bytes| made.extend(bytes));
        self.scanner.restart();
        let text = &made.as_slice()[start..];
        let is_container = matches!(text.trim_ascii_start().first(), Some(b'{' | b'['));
        if is_container
            && let Ok(Some(length)) = self.scanner.scan(text, true)
            && text[length..].trim_ascii().is_empty()
        {
            made.truncate(start + length);
            // A newline in a string is escaped, so each of these is between two tokens.
            let newlines = made.as_mut_slice()[start..].iter_mut().filter(|byte| **byte == b'\n');
            newlines.for_each(|byte| *byte = b' ');
            return true;
        }
        made.truncate(start);
        false
    }
}

impl Framer for SseEvents {
    fn step(&mut self, bytes: &[u8], is_last: bool, made: &mut Record) -> Step {
        if let Some(step) = self.mark.step(bytes, is_last) {
            return step;
        }
        // Comments keep an idle connection alive; many servers put no blank line behind them.
        if self.is_in_comment || self.read == 0 && bytes[0] == b':' {
            let end = memchr2(b'\n', b'\r', bytes);
            self.is_in_comment = end.is_none();
            return Step::Skipped {
                end: end.map_or(bytes.len(), |end| end + 1),
            };
        }
        // No event among so few bytes is too long, however little is made of it.
        let reach = &bytes[..bytes.len().min(self.limit)];
        match self.blank_line.find(&reach[self.read..]) {
            Some(end) => {
                let end = mem::take(&mut self.read) + end;
                self.step_over(&bytes[..end], made)
            }
            None if is_last && bytes.len() < self.limit => Step::Bad(Fault {
                at: bytes.len(),
                why: "the stream ends within the event".into(),
            }),
            None => {
                self.read = reach.len();
                Step::Incomplete
            }
        }
    }

    fn restart(&mut self) {
        self.blank_line = BlankLine::default();
        self.read = 0;
    }

    fn skip(&mut self, bytes: &[u8]) -> Option<usize> {
        self.blank_line.find(bytes)
    }
}

/// Finds the blank line that ends an event, in bytes that come in pieces. Lines end in CR, LF or CRLF.
#[derive(Debug, Default)]
enum BlankLine {
    /// At the beginning of a line.
    #[default]
    Begin,
    /// Behind a CR, which a LF may belong to.
    Return,
    /// Within a line.
    Within,
}

impl BlankLine {
    /// The offset behind the next blank line; then the next call begins with another event. A LF behind its CR may be left
    /// over, and is a blank line of that event.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let byte = *bytes.get(at)?;
            match (&self, byte) {
                (Self::Return, b'\n') => {
                    at += 1;
                    *self = Self::Begin;
                }
                (Self::Begin | Self::Return, b'\n' | b'\r') => {
                    *self = Self::Begin;
                    return Some(at + 1);
                }
                _ => {
                    *self = Self::Within;
                    at += memchr2(b'\n', b'\r', &bytes[at..])?;
                    *self = if bytes[at] == b'\r' { Self::Return } else { Self::Begin };
                    at += 1;
                }
            }
        }
    }
}

/// The fields of an event and their values. A comment, and what is between CR and LF, is a field without a name.
fn fields(event: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = event;
    std::iter::from_fn(move || {
        let end = memchr2(b'\n', b'\r', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(match memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        })
    })
}

/// The lines of an event's data.
fn data(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let data = fields(event).filter(|(field, _)| *field == b"data");
    data.map(|(_, value)| value)
}

/// The value of a field `retry`, if it is digits only, and fits.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Passes these lines with newlines between them to `put`. What is not UTF-8 becomes U+FFFD.
fn put_text<'a>(lines: impl IntoIterator<Item = &'a [u8]>, mut put: impl FnMut(&[u8])) {
    for (index, line) in lines.into_iter().enumerate() {
        if index > 0 {
            put(b"\n");
        }
        for chunk in line.utf8_chunks() {
            put(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                put("\u{fffd}".as_bytes());
            }
        }
    }
}

/// Writes these lines, with newlines between them, as a string.
fn put_string<'a>(lines: impl IntoIterator<Item = &'a [u8]>, made: &mut Record) {
    made.push(b'"');
    put_text(lines, |bytes| encode_content(bytes, |bytes| made.extend(bytes)));
    made.push(b'"');
}
