//! Whether a link fills steadily, and when it will be full.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::{LinkLevels, Load, seconds};

use super::share::ratio;

/// One link at one moment. The graph has its stages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkSample {
    /// Its levels, and its counters since the start.
    #[serde(flatten)]
    pub levels: LinkLevels,
    /// By how many bytes per second its level rose over the last seconds; negative if it fell.
    #[serde(rename = "fill_bytes_per_s", default)]
    pub fill_rate: f64,
    /// When it will be full at that rate; `None` if it is not filling.
    #[serde(rename = "full_in_s", with = "seconds::optional", default)]
    pub full_in: Option<Duration>,
}

impl LinkSample {
    /// A link that held `before` a `time` ago.
    pub(super) fn new(levels: LinkLevels, before: Load, time: Duration) -> Self {
        let (fill_rate, full_in) = filling(levels.buffered, before.bytes, levels.high, time);
        let in_records = levels.records.and_then(|records| {
            let (_, full_in) = filling(records.buffered, before.records, records.high, time);
            full_in
        });
        Self {
            levels,
            fill_rate,
            full_in: full_in.into_iter().chain(in_records).min(),
        }
    }
}

/// By how much a level rises in a second, and when it reaches `high`.
#[allow(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
fn filling(held: u64, before: u64, high: u64, time: Duration) -> (f64, Option<Duration>) {
    let rate = ratio(held as f64 - before as f64, time.as_secs_f64());
    let room = high.saturating_sub(held) as f64;
    let full_in = (rate > 0.0).then(|| Duration::try_from_secs_f64(room / rate).ok());
    (rate, full_in.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::RecordLevels;

    fn sample(before: u64, buffered: u64, time: Duration) -> LinkSample {
        let levels = LinkLevels {
            buffered,
            high: 1000,
            ..LinkLevels::default()
        };
        LinkSample::new(levels, Load::bytes(before), time)
    }

    const WINDOW: Duration = Duration::from_secs(5);

    #[test]
    fn filling_link_predicts_when_full() {
        let link = sample(100, 600, WINDOW);
        assert_eq!(format!("{}", link.fill_rate), "100");
        assert_eq!(link.full_in, Some(Duration::from_secs(4)));
    }

    #[test]
    fn nearer_bound_predicts_when_full() {
        let levels = LinkLevels {
            buffered: 600,
            high: 1000,
            records: Some(RecordLevels {
                buffered: 30,
                peak: 30,
                high: 40,
                low: 20,
            }),
            ..LinkLevels::default()
        };
        let before = Load { bytes: 100, records: 5 };
        let link = LinkSample::new(levels, before, WINDOW);
        assert_eq!(link.full_in, Some(Duration::from_secs(2)));
    }

    #[test]
    fn draining_link_predicts_nothing() {
        assert_eq!(format!("{}", sample(600, 100, WINDOW).fill_rate), "-100");
        assert_eq!(sample(600, 100, WINDOW).full_in, None);
        assert_eq!(sample(1000, 1000, WINDOW).full_in, None);
    }

    #[test]
    fn zero_time_has_no_fill_rate() {
        let link = sample(100, 600, Duration::ZERO);
        assert_eq!((format!("{}", link.fill_rate), link.full_in), ("0".to_owned(), None));
    }
}
