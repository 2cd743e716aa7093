//! Two runs of one pipeline side by side: one with advisory marks, and one with hard marks.
//!
//! All of it is pure: numbers in, lines out. The demo, which runs the pipelines, fills in a [`Contrast`].

use std::time::Duration;

use super::live::Line;

mod panel;
pub mod sample;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

pub use verdict::verdict;
pub use words::{introduction, story};

use panel::Panel;

/// What the two runs differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The first one ignores backpressure.
    Backpressure,
    /// The links of the first one are bounded by a number of records alone. Rates are in records per second.
    Records,
}

/// Both runs, and what they have in common. Sizes in bytes, rates in bytes per second.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// What they show.
    pub subject: Subject,
    /// The most that a bounded run uses, including the program.
    pub ceiling: u64,
    /// Where the unbounded run is stopped: the top of the picture.
    pub top: u64,
    /// The time that is shown from left to right.
    pub span: Duration,
    /// The rate of the source.
    pub source_rate: u64,
    /// The rate of the reader.
    pub sink_rate: u64,
    /// The run that ignores backpressure.
    pub ignoring: Course,
    /// The run with backpressure.
    pub heeding: Course,
}

/// The observations of one run.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// In the order of time.
    pub points: Vec<Point>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// A run at one moment. Sizes in bytes, since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Point {
    /// Since the start.
    pub at: Duration,
    /// Resident memory.
    pub rss: u64,
    /// Bytes that the source has given.
    pub given: u64,
    /// Bytes that have reached the reader.
    pub delivered: u64,
    /// The share of its time for which the source was paused.
    pub paused: f64,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The exit code.
    pub code: u8,
    /// The one error.
    pub error: Option<String>,
    /// The state at the end; its share is that of the whole run.
    pub last: Point,
    /// The most that was resident, in bytes.
    pub peak: u64,
}

impl Course {
    /// The last observation.
    fn last(&self) -> Option<&Point> {
        self.end.as_ref().map(|end| &end.last).or(self.points.last())
    }
}

impl Point {
    /// Bytes that the source has given and the reader has not received.
    fn held(&self) -> u64 {
        self.given.saturating_sub(self.delivered)
    }
}

/// Which panels are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Both, with their final state.
    Both,
    /// The running one, if both do not fit beside each other.
    Running,
}

/// Below this width the panels are one below the other.
const NARROW: usize = 70;
/// Rows of a panel's plot. If memory allows, each stands for one ceiling.
pub const ROWS: u8 = 12;

/// The picture in `columns`, and, while it is not complete, the current state in words.
#[must_use]
pub fn frame(contrast: &Contrast, columns: usize, shown: Shown) -> Vec<Line> {
    let columns = columns.saturating_sub(1).min(110);
    let ignoring = Panel::ignoring(contrast);
    let heeding = Panel::heeding(contrast);
    let mut lines = if columns >= NARROW {
        let width = (columns - panel::LABEL - 3 - panel::GAP) / 2;
        panel::beside(ignoring.lines(width, true), heeding.lines(width, false), width)
    } else {
        let width = columns.saturating_sub(panel::LABEL + 2).max(8);
        match shown {
            Shown::Running if contrast.ignoring.end.is_none() => ignoring.lines(width, true),
            Shown::Running => heeding.lines(width, true),
            Shown::Both => {
                let mut lines = ignoring.lines(width, true);
                lines.push(Line::default());
                lines.extend(heeding.lines(width, true));
                lines
            }
        }
    };
    let story = words::story(contrast, columns + 1);
    if !story.is_empty() {
        lines.push(Line::default());
        lines.extend(story);
    }
    lines.into_iter().map(|line| line.cut_to(columns)).collect()
}
