//! Amounts of credit: bytes, and records on record links.

use std::ops::{Add, AddAssign, SubAssign};

/// An amount that a link holds, grants or is bounded by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of memory: the capacity of buffers, however few bytes they carry.
    pub bytes: u64,
    /// Records; 0 where only bytes flow.
    pub records: u64,
}

impl Load {
    /// So many bytes, and no record.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, records: 0 }
    }

    /// Whether neither exceeds `bound`.
    #[must_use]
    pub fn is_within(self, bound: Self) -> bool {
        self.bytes <= bound.bytes && self.records <= bound.records
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            records: self.records.saturating_add(other.records),
        }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.records -= other.records;
    }
}
