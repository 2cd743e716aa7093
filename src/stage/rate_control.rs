//! A rate that can be changed while the stage that keeps it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// The rate of one throttle, in bytes per second, 1 at least. Set from outside; the stage looks before every piece that it
/// passes, so a new rate holds after 5 ms, or after one byte's time where that is longer.
#[derive(Debug)]
pub struct RateControl {
    initial: u64,
    rate: AtomicU64,
}

impl RateControl {
    /// A rate control at `rate` bytes per second.
    ///
    /// # Panics
    /// If that is 0: nothing would ever pass.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        assert!(rate > 0, "a rate of 0 lets nothing pass");
        Self {
            initial: rate,
            rate: AtomicU64::new(rate),
        }
    }

    /// What the pipeline's text says.
    #[must_use]
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// What holds now.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Changes the rate; answers what it was. A rate of 0 is taken as 1: stopping is what a pause is for.
    pub fn set(&self, rate: u64) -> u64 {
        self.rate.swap(rate.max(1), Ordering::Relaxed)
    }
}
