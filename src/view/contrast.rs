//! Two courses of one chain side by side: one whose links never say no, and one whose marks are heeded.
//!
//! All of it is pure: numbers in, lines out. Who runs the chains fills in a [`Contrast`] as they go.

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

/// Both courses, and what they have in common. Sizes in bytes, rates in bytes per second.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// What a bounded run takes at most, the program included.
    pub ceiling: u64,
    /// Where the run without a bound is stopped: the top of the picture.
    pub top: u64,
    /// What is shown from left to right.
    pub span: Duration,
    /// What the source can give.
    pub source_rate: u64,
    /// What the reader takes.
    pub sink_rate: u64,
    /// The course of the run that ignores backpressure.
    pub ignoring: Course,
    /// The course of the run that supports it.
    pub heeding: Course,
}

/// What was seen of one run.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// What was seen, in the order of time.
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
    /// What the source has given.
    pub given: u64,
    /// What has reached the reader.
    pub delivered: u64,
    /// The share of its time for which the source was held back.
    pub paused: f64,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The exit code.
    pub code: u8,
    /// The one error.
    pub error: Option<String>,
    /// What was seen at the end; its share is that of the whole run.
    pub last: Point,
    /// The most that was ever resident, in bytes.
    pub peak: u64,
}

impl Course {
    /// What was seen last.
    fn last(&self) -> Option<&Point> {
        self.end.as_ref().map(|end| &end.last).or(self.points.last())
    }
}

impl Point {
    /// What the source has given and the reader has not got, in bytes.
    fn held(&self) -> u64 {
        self.given.saturating_sub(self.delivered)
    }
}

/// Which panels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Both, as they are at the end.
    Both,
    /// The one that runs, where both do not fit beside each other.
    Running,
}

/// Below this width the panels stand one below the other.
const NARROW: usize = 70;
/// Rows of a panel's plot. Where memory allows, each stands for one ceiling.
pub const ROWS: u8 = 12;

/// The picture in `columns`, and, while it is not complete, what is going on.
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
