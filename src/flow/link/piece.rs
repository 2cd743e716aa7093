//! Bytes to be copied into a link, and where they can be cut.

use super::Marks;
use crate::flow::Position;

/// Bytes to be copied, with their records and position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// Whole records among the bytes; each ends in a newline where there are several.
    pub(super) records: u64,
    pub(super) position: Option<Position>,
}

impl Piece<'_> {
    /// Whether it carries no bytes, at most a position.
    pub(super) fn is_mark(&self) -> bool {
        self.bytes.is_empty() && self.records == 0
    }

    /// Splits off the part that one chunk of a link with these marks carries; the last part has the position.
    pub(super) fn split_off(&mut self, marks: &Marks) -> Self {
        let (length, records) = self.cut(marks);
        let (front, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        self.records -= records;
        Self {
            bytes: front,
            records,
            position: self.position.take_if(|_| rest.is_empty() && self.records == 0),
        }
    }

    /// The bytes and the records of the first piece: as many whole records as a chunk holds, or one of any size that
    /// fits the link, or a part of one that is larger than the link.
    fn cut(&self, marks: &Marks) -> (usize, u64) {
        let length = self.bytes.len();
        let high = usize::try_from(marks.high).unwrap_or(usize::MAX);
        let is_one = self.records == 1;
        if is_one && length <= high || length <= marks.chunk && self.records <= marks.most_records() {
            return (length, self.records);
        }
        let reach = if is_one { &[] } else { &self.bytes[..length.min(high)] };
        let ends = (1..).zip(reach).filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end);
        let mut whole = (0, 0);
        for (records, end) in (1..=self.records.min(marks.most_records())).zip(ends) {
            let most_bytes = if records == 1 { high } else { marks.chunk };
            if end > most_bytes {
                break;
            }
            whole = (end, records);
        }
        if whole.1 > 0 {
            return whole;
        }
        let length = length.min(marks.chunk);
        // A record's end is in its last part.
        (length, u64::from(self.records > 0 && length == self.bytes.len()))
    }
}
