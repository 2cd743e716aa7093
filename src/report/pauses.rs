//! Long pauses of a link's producer.

use super::recording::Run;

/// A period in which a link was full and had not drained, as exact as the samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pause {
    /// The first sample in it, in seconds since the start.
    pub from: f64,
    /// The first sample after it, or the last one of all.
    pub to: f64,
    /// How it ended.
    pub end: PauseEnd,
}

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseEnd {
    /// The link fell to its low mark, and the producer resumed.
    Drained,
    /// The producer had ended, so the link's level no longer pauses it.
    ProducerEnded,
    /// It was not over at the end of the recording.
    Open,
}

/// Shorter pauses are normal in a bounded pipeline, in seconds.
pub const LONG: f64 = 1.0;

impl Pause {
    /// Seconds.
    pub fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Whether two pauses overlap, for the larger part of both.
    pub fn is_with(&self, other: &Self) -> bool {
        let common = self.to.min(other.to) - self.from.max(other.from);
        common > 0.8 * self.length().max(other.length())
    }
}

/// The long pauses of a link, in the order of time.
///
/// It is paused in a sample in which it was full once more often than it has drained, and in the same pause as long as
/// neither number grows. A producer that has ended is not paused, however full its link is.
pub fn pauses(run: &Run, link: usize) -> Vec<Pause> {
    if run.last.run.is_unbounded {
        // A producer that passes an advisory mark is not paused.
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut open: Option<(u64, f64)> = None;
    let producer = run.last.links[link].from;
    for point in &run.points {
        let level = &point.links[link];
        let has_ended = point.ended[producer];
        let paused = (level.times_full > level.drains && !has_ended).then_some(level.times_full);
        let is_same = open.is_some_and(|(times, _)| paused == Some(times));
        if !is_same {
            let drained = |times| level.times_full > times || level.drains >= times;
            found.extend(open.map(|(times, from)| Pause {
                from,
                to: point.at,
                end: if has_ended && !drained(times) {
                    PauseEnd::ProducerEnded
                } else {
                    PauseEnd::Drained
                },
            }));
            open = paused.map(|times| (times, point.at));
        }
    }
    found.extend(open.map(|(_, from)| Pause {
        from,
        to: run.duration(),
        end: PauseEnd::Open,
    }));
    found.retain(|pause| pause.length() >= LONG);
    found
}
