//! The two kinds of error: an invalid pipeline ([`ChainError`]), and a run that failed ([`Failure`]).

use textwrap::{Options, WordSplitter};

mod failure;
mod panic;
mod problem;

pub use failure::{Failure, Kind, Stop};
pub use panic::{bug, keep_panics};
pub use problem::{ChainError, Problem, brief, shown, shown_lines};

/// Options for `textwrap`: lines of at most `columns`, broken at spaces only. A longer word, such as a path, stays whole so
/// that it can be copied.
#[must_use]
pub fn wrapping(columns: usize) -> Options<'static> {
    Options::new(columns)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
}
