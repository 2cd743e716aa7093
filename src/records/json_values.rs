//! JSON values, one after the other or in one array.

use super::framer::ByteOrderMark;
use super::json::{Invalid, Scanner};
use super::{Fault, Framer, Record, Step};

/// Frames JSON values: JSON Lines, values that follow each other with or without white space, or the items of one
/// array. A value that stands on a line of its own passes as it is; in any other newlines between tokens become spaces.
#[derive(Debug)]
pub struct JsonValues {
    mark: ByteOrderMark,
    scanner: Scanner,
    /// `None` where the values are in no array.
    items: Option<Items>,
}

/// Where in the array the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    /// Before its bracket.
    Before,
    /// Before the first item, or the end.
    First,
    /// Before an item.
    Item,
    /// Behind an item.
    Rest,
    /// On the line behind a bad item: before an item, a comma or the end.
    Resumed,
    /// Behind its end.
    Behind,
}

impl JsonValues {
    /// A framer for values that follow each other.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mark: ByteOrderMark::default(),
            scanner: Scanner::new(),
            items: None,
        }
    }

    /// A framer for the items of one array.
    #[must_use]
    pub fn items() -> Self {
        Self {
            items: Some(Items::Before),
            ..Self::new()
        }
    }

    /// The step over a bracket or a comma of the array, or `None` where an item begins.
    fn step_to_item(&mut self, byte: u8) -> Option<Step> {
        let (next, why) = match (self.items?, byte) {
            (Items::Before, b'[') => (Items::First, ""),
            (Items::First | Items::Rest | Items::Resumed, b']') => (Items::Behind, ""),
            (Items::Rest | Items::Resumed, b',') => (Items::Item, ""),
            (Items::First | Items::Item | Items::Resumed, _) => return None,
            (Items::Before, _) => (Items::Before, "`[` is expected, as items=true takes one array"),
            (Items::Rest, _) => (Items::Rest, "`,` or `]` is expected"),
            (Items::Behind, _) => (Items::Behind, "something follows the end of the array"),
        };
        if !why.is_empty() {
            return Some(Step::Bad(Fault { at: 0, why: why.into() }));
        }
        self.items = Some(next);
        Some(Step::Skipped { end: 1 })
    }

    /// The step over a value of `length` bytes that begins `bytes`.
    fn step_over(&mut self, bytes: &[u8], length: usize, made: &mut Record) -> Step {
        let has_newline = self.scanner.has_newline();
        self.scanner.restart();
        if let Some(items) = &mut self.items {
            *items = Items::Rest;
        } else {
            let blank = bytes[length..]
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
            let end = length + blank.count();
            match bytes.get(end) {
                Some(b'\n') if !has_newline => {
                    return Step::Kept {
                        end: end + 1,
                        records: 1,
                    };
                }
                Some(b'\n') | None => {}
                // `12"a"` is not two values.
                Some(_) if end == length && !matches!(bytes[length - 1], b'}' | b']' | b'"') => {
                    let why = "white space is expected between two values";
                    return Step::Bad(Fault {
                        at: length,
                        why: why.into(),
                    });
                }
                Some(_) => {}
            }
        }
        made.extend(&bytes[..length]);
        if has_newline {
            // A newline in a string is escaped, so each of these is between two tokens.
            let newlines = made.as_mut_slice().iter_mut().filter(|byte| **byte == b'\n');
            newlines.for_each(|byte| *byte = b' ');
        }
        made.push(b'\n');
        Step::Made { end: length }
    }
}

impl Default for JsonValues {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer for JsonValues {
    fn step(&mut self, bytes: &[u8], is_last: bool, made: &mut Record) -> Step {
        if let Some(step) = self.mark.step(bytes, is_last) {
            return step;
        }
        let space = bytes
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .count();
        if space > 0 {
            return Step::Skipped { end: space };
        }
        if let Some(step) = self.step_to_item(bytes[0]) {
            return step;
        }
        match self.scanner.scan(bytes, is_last) {
            Ok(Some(length)) => self.step_over(bytes, length, made),
            Ok(None) => Step::Incomplete,
            Err(Invalid { at, why }) => Step::Bad(Fault { at, why: why.into() }),
        }
    }

    fn restart(&mut self) {
        self.scanner.restart();
        if let Some(Items::First | Items::Item | Items::Rest) = self.items {
            self.items = Some(Items::Resumed);
        }
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        match self.items {
            None | Some(Items::Behind) => Ok(()),
            Some(Items::Before) => Err("there is no array"),
            Some(_) => Err("the array has no end"),
        }
    }
}
