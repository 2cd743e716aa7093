//! Changes of the texts in a JSON record: what is not changed keeps its bytes.

use std::ops::Range;

use super::Record;
use super::json::{Strings, content, decode_anew, encode_content, is_plain};

/// Memory for changes of texts, which is used again and again.
#[derive(Debug, Clone)]
pub struct TextBuffers {
    decoded: Vec<u8>,
    changed: Record,
}

impl TextBuffers {
    /// How many records of the largest size it holds.
    pub const RECORDS: u64 = 2;

    /// Buffers for records of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            decoded: Vec::new(),
            changed: Record::new(limit),
        }
    }
}

/// A record whose texts are changed one after the other, from the first to the last.
pub struct TextChange<'a> {
    record: &'a [u8],
    made: &'a mut Record,
    buffers: &'a mut TextBuffers,
    /// What is written so far.
    written: usize,
}

impl<'a> TextChange<'a> {
    /// Nothing changed so far.
    pub fn new(record: &'a [u8], made: &'a mut Record, buffers: &'a mut TextBuffers) -> Self {
        Self {
            record,
            made,
            buffers,
            written: 0,
        }
    }

    /// Calls `change` as [`TextChange::text`] does for each string of the record. Names are none of them.
    pub fn all_texts(&mut self, mut change: impl FnMut(&[u8], &mut Record) -> bool) {
        for string in Strings::new(self.record, 0) {
            self.text(string, &mut change);
        }
    }

    /// Calls `change` with the text of a string, given with its quotes. If that returns true, what it wrote stands there
    /// instead. Other values stay.
    pub fn text(&mut self, value: Range<usize>, mut change: impl FnMut(&[u8], &mut Record) -> bool) {
        let Some(content) = content(&self.record[value.clone()]) else {
            return;
        };
        let TextBuffers { decoded, changed } = &mut *self.buffers;
        let text = if is_plain(content) {
            content
        } else {
            decode_anew(content, decoded);
            decoded
        };
        changed.clear();
        if !change(text, changed) {
            return;
        }
        if changed.is_over() {
            self.made.set_over();
        }
        self.made.extend(&self.record[self.written..=value.start]);
        encode_content(changed.as_slice(), |bytes| self.made.extend(bytes));
        self.written = value.end - 1;
    }

    /// Writes the rest; returns whether anything was changed.
    #[must_use]
    pub fn finish(self) -> bool {
        if self.written > 0 {
            self.made.extend(&self.record[self.written..]);
        }
        self.written > 0
    }
}
