//! Changes of the texts in a JSON record: what is not changed keeps its bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::Record;
use super::json::{Strings, content, decode, encode_content, is_plain};

/// A record whose texts are changed one after the other, from the first to the last.
pub struct TextChange<'a> {
    record: &'a [u8],
    made: &'a mut Record,
    /// What is written so far.
    written: usize,
    /// Memory for texts that have to be decoded.
    decoded: Vec<u8>,
}

impl<'a> TextChange<'a> {
    /// Nothing changed so far.
    pub fn new(record: &'a [u8], made: &'a mut Record) -> Self {
        Self {
            record,
            made,
            written: 0,
            decoded: Vec::new(),
        }
    }

    /// Replaces the text of each string in a value by what `change` returns for it, if anything. Names are no texts.
    pub fn all_within(&mut self, value: Range<usize>, change: &mut impl FnMut(&[u8]) -> Option<Vec<u8>>) {
        for string in Strings::new(&self.record[..value.end], value.start) {
            self.text(string, change);
        }
    }

    /// Replaces the text of one string, given with its quotes, by what `change` returns for it, if anything. Other values
    /// stay.
    pub fn text(&mut self, value: Range<usize>, change: &mut impl FnMut(&[u8]) -> Option<Vec<u8>>) {
        let Some(content) = content(&self.record[value.clone()]) else {
            return;
        };
        let text = if is_plain(content) {
            Cow::Borrowed(content)
        } else {
            self.decoded.clear();
            decode(content, &mut self.decoded);
            Cow::Owned(std::mem::take(&mut self.decoded))
        };
        if let Some(changed) = change(&text) {
            self.made.extend(&self.record[self.written..=value.start]);
            encode_content(&changed, |bytes| self.made.extend(bytes));
            self.written = value.end - 1;
        }
        if let Cow::Owned(decoded) = text {
            self.decoded = decoded;
        }
    }

    /// Writes the rest; returns whether anything was changed.
    pub fn finish(self) -> bool {
        if self.written > 0 {
            self.made.extend(&self.record[self.written..]);
        }
        self.written > 0
    }
}
