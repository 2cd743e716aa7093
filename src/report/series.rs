//! Prepares samples for drawing: rates over a window, and no more points than a picture has pixels.

use super::recording::Point;
use super::scale::float;

/// A value at a time, in seconds.
pub type Sample = (f64, f64);

/// The period of a rate, in seconds: long enough to smooth a pipeline that drains and refills, and no longer than a
/// fifth of the run.
pub fn window(duration: f64) -> f64 {
    (duration / 5.0).min(1.0)
}

/// The number of columns in which points are thinned.
const COLUMNS: usize = 400;

/// Bytes per second at each sample: what has passed in the `window` of seconds before it, with zero before the start.
pub fn rates(points: &[Point], window: f64, bytes: impl Fn(&Point) -> u64) -> Vec<Sample> {
    let mut from = 0;
    let mut rates = vec![(0.0, 0.0)];
    let read: Vec<(f64, u64)> = std::iter::once((0.0, 0))
        .chain(points.iter().map(|point| (point.at, bytes(point))))
        .collect();
    for now in read.iter().skip(1).filter(|_| window > 0.0) {
        let begin = now.0 - window;
        while read[from + 1].0 <= begin {
            from += 1;
        }
        // Between two samples, bytes are assumed to pass evenly.
        let (before, after) = (read[from], read[from + 1]);
        let part = ((begin - before.0) / (after.0 - before.0)).clamp(0.0, 1.0);
        let passed = float(before.1) + part * float(after.1.saturating_sub(before.1));
        rates.push((now.0, (float(now.1) - passed).max(0.0) / window));
    }
    rates
}

/// At most four points for each column, its first, lowest, highest and last, in the order of time: the line looks the
/// same as through all of them. (M4; Jugel, Jerzak, Hackenbroich and Markl, VLDB 2014.)
pub fn thinned(samples: &[Sample]) -> Vec<Sample> {
    if samples.len() <= COLUMNS * 4 {
        return samples.to_vec();
    }
    let mut kept = Vec::new();
    for column in samples.chunks(samples.len().div_ceil(COLUMNS)) {
        let by = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let lowest = (0..column.len()).min_by(by).unwrap_or(0);
        let highest = (0..column.len()).max_by(by).unwrap_or(0);
        let mut places = [0, lowest, highest, column.len() - 1];
        places.sort_unstable();
        let mut before = None;
        for place in places {
            if before != Some(place) {
                kept.push(column[place]);
            }
            before = Some(place);
        }
    }
    kept
}

/// How a stage spent a period of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    pub from: f64,
    pub to: f64,
    /// Busy, backpressured and idle.
    pub shares: [f64; 3],
}

/// The shares of a stage, in as many periods as a picture has room for; means of the samples in them, weighted by their
/// time.
pub fn stretches(points: &[Point], stage: usize) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    let mut from = 0.0;
    for point in points {
        if let Some(shares) = point.shares.get(stage).copied().flatten()
            && point.at > from
        {
            all.push(Stretch {
                from,
                to: point.at,
                shares,
            });
        }
        from = point.at;
    }
    all.chunks(all.len().div_ceil(COLUMNS).max(1))
        .filter_map(mean)
        .collect()
}

/// Merges consecutive periods into one.
pub fn mean(stretches: &[Stretch]) -> Option<Stretch> {
    let (first, last) = (stretches.first()?, stretches.last()?);
    let time: f64 = stretches.iter().map(|stretch| stretch.to - stretch.from).sum();
    let share = |part: usize| {
        let sum: f64 = stretches
            .iter()
            .map(|stretch| stretch.shares[part] * (stretch.to - stretch.from))
            .sum();
        sum / time
    };
    Some(Stretch {
        from: first.from,
        to: last.to,
        shares: [share(0), share(1), share(2)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: f64, bytes: u64, share: [f64; 3]) -> Point {
        Point {
            at,
            rss: 0,
            held: 0,
            bytes_in: bytes,
            bytes_out: bytes,
            shares: vec![Some(share)],
            ended: vec![false],
            links: Vec::new(),
            bottleneck: None,
        }
    }

    #[test]
    fn a_rate_is_of_the_last_second() {
        let points: Vec<Point> = (1..=30_u32)
            .map(|tenth| {
                let bytes = if tenth <= 10 { u64::from(tenth) * 100 } else { 1000 };
                point(f64::from(tenth) / 10.0, bytes, [1.0, 0.0, 0.0])
            })
            .collect();
        let rates = rates(&points, 1.0, |point: &Point| point.bytes_out);
        let at = |tenth: usize| rates[tenth].1.round();
        let tenths = [0, 5, 10, 15, 20, 30].map(at).map(|rate| format!("{rate}"));
        assert_eq!(tenths, ["0", "500", "1000", "500", "0", "0"]);
    }

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let samples: Vec<Sample> = (0..100_000_u32)
            .map(|at| (f64::from(at), if at == 77_777 { 9.0 } else { f64::from(at % 2) }))
            .collect();
        let kept = thinned(&samples);
        assert!(kept.len() <= 1600, "{}", kept.len());
        assert!(kept.contains(&(77_777.0, 9.0)));
        assert_eq!((kept.first(), kept.last()), (samples.first(), samples.last()));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_mean_is_weighted_by_time() {
        let points = [point(1.0, 0, [1.0, 0.0, 0.0]), point(4.0, 0, [0.0, 1.0, 0.0])];
        let stretches = stretches(&points, 0);
        assert_eq!(stretches.len(), 2);
        let mean = mean(&stretches).expect("there are some");
        assert_eq!((mean.from, mean.to, mean.shares), (0.0, 4.0, [0.25, 0.75, 0.0]));
    }
}
