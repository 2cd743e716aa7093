//! A rate that can be changed while its stage runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    /// Bytes.
    Bytes,
    /// Records.
    Records,
}

/// The rate of one throttle, in bytes or records per second, at least 1. The stage reads it before every piece that it
/// passes, so a new rate holds after 5 ms, or after one byte's or record's time if that is longer.
#[derive(Debug)]
pub struct RateControl {
    unit: RateUnit,
    initial: u64,
    rate: AtomicU64,
}

impl RateControl {
    /// A rate control at `rate` per second.
    ///
    /// # Panics
    /// If `rate` is 0: nothing would ever pass.
    #[must_use]
    pub fn new(rate: u64, unit: RateUnit) -> Self {
        assert!(rate > 0, "a rate of 0 lets nothing pass");
        Self {
            unit,
            initial: rate,
            rate: AtomicU64::new(rate),
        }
    }

    /// What it counts.
    #[must_use]
    pub fn unit(&self) -> RateUnit {
        self.unit
    }

    /// The rate that the pipeline's text sets.
    #[must_use]
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// The current rate.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Changes the rate; returns the previous one. A rate of 0 is taken as 1: to stop a stage is what a pause is for.
    pub fn set(&self, rate: u64) -> u64 {
        self.rate.swap(rate.max(1), Ordering::Relaxed)
    }
}
