//! Whether a link is filling for good, and when it will be full.

use std::time::Duration;

use crate::flow::LinkLevels;

/// One link at one moment. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSample {
    /// Pinned by chunks that wait in the link or are in the consumer's hand.
    pub buffered: u64,
    /// The highest `buffered` ever.
    pub peak: u64,
    /// The high-water mark.
    pub high: u64,
    /// The low-water mark.
    pub low: u64,
    /// How often the producer was paused because the link was full.
    pub times_full: u64,
    /// How often the consumer found nothing and waited.
    pub times_empty: u64,
    /// How often the full link fell to its low-water mark and the producer resumed.
    pub drains: u64,
    /// The longest time that the producer was paused.
    pub longest_pause: Duration,
    /// By how many bytes per second its level rose over the last seconds; negative where it fell.
    pub fill_rate: f64,
    /// When it will be full if that goes on; `None` where it is not filling.
    pub full_in: Option<Duration>,
}

impl LinkSample {
    /// A link that held `before` bytes so much `time` ago.
    #[allow(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
    pub(super) fn new(levels: &LinkLevels, before: u64, time: Duration) -> Self {
        let risen = levels.buffered as f64 - before as f64;
        let fill_rate = if time.is_zero() {
            0.0
        } else {
            risen / time.as_secs_f64()
        };
        let room = levels.high.saturating_sub(levels.buffered) as f64;
        let full_in = (fill_rate > 0.0).then(|| Duration::try_from_secs_f64(room / fill_rate).ok());
        Self {
            buffered: levels.buffered,
            peak: levels.peak,
            high: levels.high,
            low: levels.low,
            times_full: levels.times_full,
            times_empty: levels.times_empty,
            drains: levels.drains,
            longest_pause: levels.longest_pause,
            fill_rate,
            full_in: full_in.flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(before: u64, buffered: u64) -> LinkSample {
        let levels = LinkLevels {
            buffered,
            peak: 1000,
            high: 1000,
            low: 500,
            times_full: 0,
            times_empty: 0,
            drains: 0,
            longest_pause: Duration::ZERO,
            records: 0,
            peak_records: 0,
            record_marks: None,
        };
        LinkSample::new(&levels, before, Duration::from_secs(5))
    }

    #[test]
    fn a_link_that_fills_says_when_it_will_be_full() {
        let link = sample(100, 600);
        assert_eq!(format!("{}", link.fill_rate), "100");
        assert_eq!(link.full_in, Some(Duration::from_secs(4)));
    }

    #[test]
    fn a_link_that_drains_or_rests_never_will() {
        assert_eq!(format!("{}", sample(600, 100).fill_rate), "-100");
        assert_eq!(sample(600, 100).full_in, None);
        assert_eq!(sample(1000, 1000).full_in, None);
    }

    #[test]
    fn in_no_time_nothing_fills() {
        let levels = LinkLevels {
            buffered: 600,
            peak: 600,
            high: 1000,
            low: 500,
            times_full: 0,
            times_empty: 0,
            drains: 0,
            longest_pause: Duration::ZERO,
            records: 0,
            peak_records: 0,
            record_marks: None,
        };
        let link = LinkSample::new(&levels, 100, Duration::ZERO);
        assert_eq!((format!("{}", link.fill_rate), link.full_in), ("0".to_owned(), None));
    }
}
