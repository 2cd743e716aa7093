//! What the view keeps from frame to frame.

use std::collections::VecDeque;
use std::time::Duration;

/// Resident memory over time, one value each half second.
#[derive(Debug, Clone, Default)]
pub struct History {
    rss: VecDeque<u64>,
    next: Duration,
}

impl History {
    /// As many columns as the widest curve has.
    const MOST: usize = 64;
    const STEP: Duration = Duration::from_millis(500);

    /// Adds what was resident `elapsed` after the start.
    pub fn add(&mut self, elapsed: Duration, rss: u64) {
        if elapsed < self.next {
            // The newest column is updated at once.
            if let Some(newest) = self.rss.back_mut() {
                *newest = rss;
            }
            return;
        }
        self.next = elapsed + Self::STEP;
        self.rss.push_back(rss);
        if self.rss.len() > Self::MOST {
            self.rss.pop_front();
        }
    }

    /// The values, the oldest first.
    #[must_use]
    pub fn rss(&self) -> Vec<u64> {
        self.rss.iter().copied().collect()
    }
}
