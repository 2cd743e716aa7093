//! What finds the records of a byte stream.

use std::borrow::Cow;

use memchr::memchr;

use super::Record;

/// The result of one step of a [`Framer`]. `end` counts from the beginning of the slice that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The bytes up to `end` are whole records as they are, each with its newline.
    Kept {
        /// Where they end.
        end: usize,
        /// Their number.
        records: u64,
    },
    /// The bytes up to `end` are one record, which was written with its newline to the given [`Record`].
    Made {
        /// Where it ends.
        end: usize,
    },
    /// The bytes up to `end` belong to no record.
    Skipped {
        /// Where they end.
        end: usize,
    },
    /// No record ends in the slice. The next call has the same bytes and more of them.
    Incomplete,
    /// The record that begins here is none.
    Bad(Fault),
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, counted from the beginning of the slice that was given.
    pub at: usize,
    /// Why, as in `a value is expected`.
    pub why: Cow<'static, str>,
}

/// Finds the records of a byte stream, and checks them where its format has rules.
///
/// It is called with what is left of the stream: the bytes from the end of the last step on. So it keeps no bytes, only
/// how far it has looked.
pub trait Framer: Send {
    /// Looks for the next record in `bytes`, which are not empty. `is_last` says that the stream ends with them. A record
    /// that does not stand there as it has to be is written to `made`, which is empty.
    fn step(&mut self, bytes: &[u8], is_last: bool, made: &mut Record) -> Step;

    /// Forgets the record that it was looking at.
    fn restart(&mut self);

    /// Looks for the end of a record that is dropped; returns the offset behind it, or `None` if the record goes on behind
    /// `bytes`. It is called once the record was forgotten, with its beginning, and then with what follows, until it
    /// returns an offset. Unless the format says otherwise, a record that is dropped is the line on which it begins.
    fn skip(&mut self, bytes: &[u8]) -> Option<usize> {
        memchr(b'\n', bytes).map(|newline| newline + 1)
    }

    /// Checks the end of the stream, once all bytes were used up.
    ///
    /// # Errors
    /// Why the stream must not end here.
    fn finish(&mut self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Bytes of memory that it holds.
    fn state_bytes(&self) -> u64 {
        0
    }
}

/// Skips the byte order mark that may begin a stream.
#[derive(Debug, Default)]
pub(super) struct ByteOrderMark {
    is_behind: bool,
}

impl ByteOrderMark {
    const MARK: &[u8] = b"\xef\xbb\xbf";

    /// The step over the mark, if the stream begins here and has one.
    pub(super) fn step(&mut self, bytes: &[u8], is_last: bool) -> Option<Step> {
        if self.is_behind {
            return None;
        }
        if bytes.len() < Self::MARK.len() && !is_last && Self::MARK.starts_with(bytes) {
            return Some(Step::Incomplete);
        }
        self.is_behind = true;
        bytes
            .starts_with(Self::MARK)
            .then_some(Step::Skipped { end: Self::MARK.len() })
    }
}
