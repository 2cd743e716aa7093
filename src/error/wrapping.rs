//! Breaks text into lines.

use textwrap::{Options, WordSplitter};

/// Options for `textwrap`: lines of at most `columns`, broken at spaces only. A longer word, such as a path, stays whole so
/// that it can be copied.
#[must_use]
pub fn wrapping(columns: usize) -> Options<'static> {
    Options::new(columns)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
}
