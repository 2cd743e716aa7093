//! Samples over time, and their slope.

use std::time::Duration;

/// One measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Since the check began.
    pub elapsed: Duration,
    /// Bytes that its processes have resident, the pages of mapped files included.
    pub rss: u64,
    /// Bytes of memory that are its own: private, shared, and in files that live in memory.
    pub memory: u64,
    /// Bytes that it has written to files on storage since the check began.
    pub disk: u64,
    /// Bytes that the program has read. 0 of a server.
    pub accepted: u64,
    /// Bytes that the check has read from it.
    pub returned: u64,
    /// Bytes in its output pipe.
    pub waiting: u64,
    /// Whether one of its processes runs or would if a processor were free.
    pub is_running: bool,
    /// Whether its output is not read at all.
    pub is_held: bool,
}

impl Sample {
    /// Bytes that it has written, read or not.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.returned + self.waiting
    }

    /// The time from an earlier sample to this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        self.elapsed.saturating_sub(earlier.elapsed)
    }

    /// Bytes that it has read beyond what it has written.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.accepted.saturating_sub(self.given())
    }
}

/// Samples in the order of time, evenly thinned so that memory is bounded.
#[derive(Debug, Clone)]
pub struct Series {
    kept: Vec<Sample>,
    /// Only every so many samples are kept.
    every: usize,
    seen: usize,
    last: Option<Sample>,
    peak: Option<Sample>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            every: 1,
            seen: 0,
            last: None,
            peak: None,
        }
    }
}

impl Series {
    /// The most samples that are kept.
    const MOST: usize = 512;

    /// Adds a sample.
    pub fn add(&mut self, sample: Sample) {
        if self.seen.is_multiple_of(self.every) {
            self.kept.push(sample);
        }
        self.seen += 1;
        self.last = Some(sample);
        if self.peak.is_none_or(|peak| sample.memory > peak.memory) {
            self.peak = Some(sample);
        }
        if self.kept.len() == Self::MOST {
            let mut at = 0;
            self.kept.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// The kept samples and the newest.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = self.kept.clone();
        samples.extend(self.last.filter(|last| self.kept.last() != Some(last)));
        samples
    }

    /// The one with the most memory, whether or not it was kept.
    #[must_use]
    pub fn peak(&self) -> Option<Sample> {
        self.peak
    }

    /// The newest.
    #[must_use]
    pub fn last(&self) -> Option<Sample> {
        self.last
    }
}

/// The samples that stand at 25, 50, 75 and 100 % of the time; `None` of no samples.
#[must_use]
pub fn quarters(samples: &[Sample]) -> Option<[Sample; 4]> {
    let (first, last) = (samples.first()?, samples.last()?);
    let at = |quarter: u32| {
        let time = first.elapsed + last.since(first) * quarter / 4;
        let index = samples.partition_point(|sample| sample.elapsed <= time);
        samples[index.saturating_sub(1)]
    };
    Some([at(1), at(2), at(3), *last])
}

/// The samples of the second half of the time: what comes first is warming up.
#[must_use]
pub fn second_half(samples: &[Sample]) -> &[Sample] {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return samples;
    };
    let middle = first.elapsed + last.since(first) / 2;
    &samples[samples.partition_point(|sample| sample.elapsed < middle)..]
}

/// The slope of a value per second: the median of the slopes of all pairs of points, which a quarter of the points can
/// lie about without being believed. Theil, "A rank-invariant method of linear and polynomial regression analysis",
/// 1950; Sen, 1968. 0 of fewer than two points in time.
#[must_use]
pub fn slope(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> f64 {
    // All pairs of more would take long, and say the same.
    const POINTS: usize = 128;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .step_by(samples.len().div_ceil(POINTS).max(1))
        .map(|sample| (sample.elapsed.as_secs_f64(), float(value(sample))))
        .collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, (x, y)) in points.iter().enumerate() {
        let later = points[at + 1..].iter().filter(|(later, _)| later > x);
        slopes.extend(later.map(|(later, value)| (value - y) / (later - x)));
    }
    median(&mut slopes)
}

/// How much a value rises over the samples' time, by its [`slope`].
#[must_use]
pub fn rise(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> f64 {
    match samples {
        [first, .., last] => slope(samples, value) * last.since(first).as_secs_f64(),
        _ => 0.0,
    }
}

/// The middle one; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count.is_multiple_of(2) => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        count => values[count / 2],
    }
}

/// Bytes, to reckon with.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "exact below 2^53 bytes")]
pub fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tenths: u64, memory: u64) -> Sample {
        Sample {
            elapsed: Duration::from_millis(tenths * 100),
            memory,
            ..Sample::default()
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn a_slope_is_not_misled_by_a_few_points() {
        let mut line: Vec<Sample> = (0..21).map(|t| at(t, 1000 + 50 * t)).collect();
        assert!(close(slope(&line, |sample| sample.memory), 500.0));
        assert!(close(rise(&line, |sample| sample.memory), 1000.0));
        for spike in [3, 9, 15] {
            line[spike].memory = 1 << 40;
        }
        let bent = slope(&line, |sample| sample.memory);
        assert!((480.0..560.0).contains(&bent), "{bent}");
    }

    #[test]
    fn too_few_points_have_no_slope() {
        assert!(close(slope(&[], |sample| sample.memory), 0.0));
        assert!(close(slope(&[at(1, 5)], |sample| sample.memory), 0.0));
        assert!(close(slope(&[at(1, 5), at(1, 9)], |sample| sample.memory), 0.0));
    }

    #[test]
    fn a_long_series_is_thinned_and_keeps_its_ends() {
        let mut series = Series::default();
        for t in 0..10_000 {
            series.add(at(t, t));
        }
        let samples = series.samples();
        assert!(samples.len() <= Series::MOST + 1, "{} samples", samples.len());
        assert_eq!(series.peak().map(|peak| peak.memory), Some(9_999));
        assert_eq!(
            (samples[0].memory, samples.last().map(|last| last.memory)),
            (0, Some(9_999))
        );
        let gaps: Vec<u64> = samples.windows(2).map(|pair| pair[1].memory - pair[0].memory).collect();
        assert!(gaps[..gaps.len() - 1].iter().all(|gap| *gap == gaps[0]), "{gaps:?}");
        assert_eq!(second_half(&samples).first().map(|first| first.memory), Some(5_024));
    }

    #[test]
    fn quarters_stand_where_the_time_has_them() {
        let samples: Vec<Sample> = (0..=40).map(|t| at(t, t)).collect();
        assert_eq!(
            quarters(&samples).map(|four| four.map(|one| one.memory)),
            Some([10, 20, 30, 40])
        );
        assert_eq!(quarters(&[]), None);
        assert_eq!(
            quarters(&samples[..1]).map(|four| four.map(|one| one.memory)),
            Some([0; 4])
        );
    }

    #[test]
    fn what_waits_in_the_output_pipe_is_no_backlog() {
        let sample = Sample {
            accepted: 100,
            returned: 60,
            waiting: 30,
            ..Sample::default()
        };
        assert_eq!(sample.backlog(), 10);
        assert_eq!(Sample { waiting: 90, ..sample }.backlog(), 0);
    }
}
