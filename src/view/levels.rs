//! The levels of a link that is bounded both by bytes and by a number of records.

use crate::flow::{LinkLevels, RecordLevels};
use crate::grammar::{human_count, human_size};

/// `312 of 500 records · 1.20 MiB of 4.00 MiB`
#[must_use]
pub fn both(levels: &LinkLevels, records: &RecordLevels) -> String {
    format!(
        "{} of {} records · {} of {}",
        human_count(records.buffered),
        human_count(records.high),
        human_size(levels.buffered),
        human_size(levels.high)
    )
}

/// By which of its two marks a link is full now, or, `at_peak`, was: `full by count: 500 records, 2.00 MiB of 4.00 MiB`.
/// `None` if it never was, or has one mark only.
#[must_use]
pub fn full_by(levels: &LinkLevels, at_peak: bool) -> Option<String> {
    /// A full link holds at least three quarters of a mark: the next chunk did not fit.
    const FULL: f64 = 0.75;
    let records = levels.records?;
    if levels.times_full == 0 || (!at_peak && levels.fullness() < FULL) {
        return None;
    }
    let (bytes, count) = if at_peak {
        (levels.peak, records.peak)
    } else {
        (levels.buffered, records.buffered)
    };
    let (bytes, count) = (human_size(bytes), human_count(count));
    Some(match levels.nearer_in_records(at_peak) {
        Some(_) => format!("full by count: {count} records, {bytes} of {}", human_size(levels.high)),
        None => format!(
            "full by bytes: {bytes}, {count} of {} records",
            human_count(records.high)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(bytes: u64, count: u64) -> LinkLevels {
        LinkLevels {
            buffered: bytes << 20,
            peak: 4 << 20,
            high: 4 << 20,
            times_full: 1,
            records: Some(RecordLevels {
                buffered: count,
                peak: 450,
                high: 500,
                low: 250,
            }),
            ..LinkLevels::default()
        }
    }

    #[test]
    fn full_mark_is_named() {
        let said = |bytes, count| full_by(&levels(bytes, count), false);
        assert_eq!(
            said(2, 500).as_deref(),
            Some("full by count: 500 records, 2.00 MiB of 4.00 MiB")
        );
        assert_eq!(
            said(4, 499).as_deref(),
            Some("full by bytes: 4.00 MiB, 499 of 500 records")
        );
        assert_eq!(said(2, 374), None, "not full now");
        assert_eq!(
            full_by(&levels(0, 0), true).as_deref(),
            Some("full by bytes: 4.00 MiB, 450 of 500 records")
        );
    }

    #[test]
    fn link_of_one_mark_has_nothing_to_tell_apart() {
        let bytes = LinkLevels {
            records: None,
            ..levels(4, 0)
        };
        assert_eq!(full_by(&bytes, false), None);
        let never = LinkLevels {
            times_full: 0,
            ..levels(4, 500)
        };
        assert_eq!(full_by(&never, true), None);
    }
}
