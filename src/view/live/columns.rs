//! The layout of the columns, by the width of the terminal and the content.

use unicode_width::UnicodeWidthStr;

use crate::engine::Snapshot;

/// Columns of a size: `1023 KiB`.
pub const SIZE: usize = 8;
/// Columns of a rate: `1023 KiB/s`.
pub const RATE: usize = 10;
/// Columns of a rate in records: `12.3k/s`.
pub const RECORD_RATE: usize = 9;
/// Columns of a share: `100 %`.
pub const PERCENT: usize = 5;
/// Columns of a stage's main state: `backpressured`.
pub const WORD: usize = 13;
/// The marker in front of the bottleneck.
pub const MARKER: usize = 2;
/// The line along a branch, in front of its stages and links.
pub const RAIL: usize = 3;
/// Between two columns.
pub const GAP: usize = 2;

/// The layout. All in terminal columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one thing that there is room for or not"
)]
pub struct Columns {
    /// The width of the whole view. The last column of the terminal stays free, so that no line can wrap.
    pub whole: usize,
    /// Whether a stage needs a second line for its numbers.
    pub is_narrow: bool,
    /// Of a stage's text.
    pub text: usize,
    /// Of a stage's bar.
    pub bar: usize,
    /// Whether there is room for a stage's input as well as its output.
    pub has_input: bool,
    /// Whether a stage has records, whose rate gets a column.
    pub has_records: bool,
    /// Whether there is room for a word for what a stage mostly does.
    pub has_word: bool,
}

impl Columns {
    /// Below this width the numbers of a stage are in a line of their own.
    const NARROW: usize = 68;
    /// A larger width has no use.
    const MOST: usize = 140;

    /// The columns for a terminal of `width`.
    #[must_use]
    pub fn new(snapshot: &Snapshot, width: usize) -> Self {
        let whole = width.saturating_sub(1).min(Self::MOST);
        let rails = |node| snapshot.graph.branch_depth(node) * RAIL;
        let shown = snapshot.stages.iter();
        let shown = shown.map(|(node, stage)| rails(node) + stage.shown().width());
        let longest = shown.max().unwrap_or(0);
        let has_records = snapshot.stages.values().iter().any(|stage| stage.records.is_some());
        if whole < Self::NARROW {
            return Self {
                whole,
                is_narrow: true,
                has_records,
                text: whole.saturating_sub(MARKER),
                bar: whole.saturating_sub(MARKER + SIZE + 1 + RATE + 1 + 1 + PERCENT),
                has_input: false,
                has_word: false,
            };
        }
        let (has_input, has_word) = (whole >= 110, whole >= 95);
        let input = if has_input { SIZE + GAP } else { 0 };
        let word = if has_word { 1 + WORD } else { 0 };
        let records = if has_records { GAP + RECORD_RATE } else { 0 };
        let room = whole - (MARKER + GAP + SIZE + GAP + RATE + GAP + 1 + PERCENT) - input - word - records;
        let least_bar = match (has_input, has_records) {
            (true, _) => 24,
            (false, false) => 20,
            (false, true) => 14,
        };
        let text = longest.clamp(16, room - least_bar);
        Self {
            whole,
            is_narrow: false,
            text,
            bar: (room - text).min(40),
            has_input,
            has_records,
            has_word,
        }
    }

    /// Where the column of a stage's bar begins.
    #[must_use]
    pub fn bars(&self) -> usize {
        let records = if self.has_records { GAP + RECORD_RATE } else { 0 };
        self.output() + SIZE + GAP + RATE + records + GAP
    }

    /// Where the column of a stage's output begins.
    #[must_use]
    pub fn output(&self) -> usize {
        MARKER + self.text + GAP + if self.has_input { SIZE + GAP } else { 0 }
    }
}
