//! A recording for drawing: typed, checked, and reduced to its numbers.

use crate::view::json::Stats;
use crate::view::record::{CheckEnd, CheckSample, Header};

mod reading;
mod trouble;

pub use reading::{read, shares};
pub use trouble::Trouble;

/// One recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The file's name without its folder.
    pub name: String,
    /// Its first line.
    pub header: Header<'static>,
    /// What follows it.
    pub body: Body,
}

/// What was recorded.
#[allow(clippy::large_enum_variant, reason = "a report is of a few recordings")]
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A chain.
    Run(Run),
    /// A check of another program.
    Check(Check),
}

/// A chain's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// In the order of time. The end object is the last one, without shares.
    pub points: Vec<Point>,
    /// The end object; where there is none, the last sample.
    pub last: Stats<'static>,
}

/// A chain at one moment. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Seconds since the start.
    pub at: f64,
    pub rss: u64,
    /// Buffers and codec state, which the ceiling bounds.
    pub held: u64,
    /// Bytes received by the source and sent by all sinks together.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// For each stage: busy, backpressured and idle, since the previous point. `None` if unknown.
    pub shares: Vec<Option<[f64; 3]>>,
    pub ended: Vec<bool>,
    pub links: Vec<Level>,
    /// The index of the bottleneck.
    pub bottleneck: Option<usize>,
}

/// A link at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub buffered: u64,
    /// 0 where nothing bounds their number.
    pub records: u64,
    pub times_full: u64,
    pub drains: u64,
}

impl Run {
    /// Whether its end was recorded.
    pub fn has_end(&self) -> bool {
        self.last.exit.is_some()
    }

    /// The samples without the end object, in which the buffers are freed already.
    pub fn sampled(&self) -> &[Point] {
        let samples = self.points.len() - usize::from(self.has_end());
        &self.points[..samples]
    }

    /// Seconds from the start to the last line.
    pub fn duration(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.at)
    }
}

/// A check's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// In the order of time.
    pub samples: Vec<CheckSample>,
    /// Missing if it was killed.
    pub end: Option<CheckEnd<'static>>,
}
