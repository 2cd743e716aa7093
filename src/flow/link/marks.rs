//! The bounds of a link.

use super::SMALLEST;
use crate::flow::Load;

/// The bounds of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Bytes that the link never exceeds; a grant that would exceed them pauses the producer. At least 1.
    pub high: u64,
    /// Bytes at which a paused producer resumes. At most `high`.
    pub low: u64,
    /// Bytes of the largest buffer that is granted: at most a quarter of `high`, but 1 at least, so that a full link
    /// is at least three quarters full. A single record may take a buffer of up to `high`.
    pub chunk: usize,
    /// The bound on records, where there is one.
    pub records: Option<RecordMarks>,
    /// Whether the marks are advisory: the producer is never paused, and nothing bounds the link. Only for showing the
    /// consequences.
    pub is_advisory: bool,
}

/// The bounds of a link in records, besides those in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMarks {
    /// Records that the link never exceeds. At least 1.
    pub high: u64,
    /// Records at which a paused producer resumes. At most `high`.
    pub low: u64,
}

impl Marks {
    /// A link of no more than 4 MiB holds at most this many chunks, however small they are, which bounds the memory of
    /// their bookkeeping.
    pub const MOST_CHUNKS: usize = 1024;

    /// Marks with the largest chunk cut to what the high-water mark allows, and without a bound on records.
    ///
    /// # Panics
    /// If `high` is 0 or `low` is above it.
    #[must_use]
    pub fn new(high: u64, low: u64, chunk: usize) -> Self {
        assert!(high > 0 && low <= high, "marks need 0 <= low <= high and 0 < high");
        let quarter = usize::try_from(high / 4).unwrap_or(usize::MAX);
        Self {
            high,
            low,
            chunk: chunk.min(quarter).max(1),
            records: None,
            is_advisory: false,
        }
    }

    /// The same marks with a bound on records.
    ///
    /// # Panics
    /// If `high` is 0 or `low` is above it.
    #[must_use]
    pub fn with_records(self, high: u64, low: u64) -> Self {
        assert!(high > 0 && low <= high, "marks need 0 <= low <= high and 0 < high");
        Self {
            records: Some(RecordMarks { high, low }),
            ..self
        }
    }

    /// The same marks, advisory.
    #[must_use]
    pub fn advisory(self) -> Self {
        Self {
            is_advisory: true,
            ..self
        }
    }

    /// How many chunks the link holds at most: one for each 4 KiB, so that a large link can be filled by short reads.
    #[must_use]
    pub fn most_chunks(&self) -> usize {
        usize::try_from(self.high / SMALLEST as u64).map_or(usize::MAX, |count| count.max(Self::MOST_CHUNKS))
    }

    /// The most records of one chunk: a quarter of the mark, as for bytes, but at least 1.
    #[must_use]
    pub fn most_records(&self) -> u64 {
        self.records.map_or(u64::MAX, |records| (records.high / 4).max(1))
    }

    pub(super) fn high_load(&self) -> Load {
        Load {
            bytes: self.high,
            records: self.records.map_or(u64::MAX, |records| records.high),
        }
    }

    pub(super) fn low_load(&self) -> Load {
        Load {
            bytes: self.low,
            records: self.records.map_or(u64::MAX, |records| records.low),
        }
    }
}
