//! When a link's producer was paused for long.

use super::recording::Run;

/// A stretch of time in which a link was full and had not drained, as exact as the samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pause {
    /// The first sample that saw it, in seconds since the start.
    pub from: f64,
    /// The first sample that saw it over, or the last one of all.
    pub to: f64,
    /// Whether it was over before the recording was.
    pub is_over: bool,
}

/// Shorter pauses are how a bounded chain breathes, in seconds.
pub const LONG: f64 = 1.0;

impl Pause {
    /// Seconds.
    pub fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Whether two pauses are at the same time, for the most part of both.
    pub fn is_with(&self, other: &Self) -> bool {
        let common = self.to.min(other.to) - self.from.max(other.from);
        common > 0.8 * self.length().max(other.length())
    }
}

/// The long pauses of a link, in the order of time.
///
/// It is paused in a sample in which it was full once more often than it has drained, and in the same pause as long as
/// neither number grows.
pub fn pauses(run: &Run, link: usize) -> Vec<Pause> {
    if run.last.unbounded {
        // What passes a mark that is only advice is not paused.
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut open: Option<(u64, f64)> = None;
    for point in &run.points {
        let level = &point.links[link];
        let paused = (level.times_full > level.drains).then_some(level.times_full);
        let is_same = open.is_some_and(|(times, _)| paused == Some(times));
        if !is_same {
            found.extend(open.map(|(_, from)| Pause {
                from,
                to: point.at,
                is_over: true,
            }));
            open = paused.map(|times| (times, point.at));
        }
    }
    found.extend(open.map(|(_, from)| Pause {
        from,
        to: run.duration(),
        is_over: false,
    }));
    found.retain(|pause| pause.length() >= LONG);
    found
}
