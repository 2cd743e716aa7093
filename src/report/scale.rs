//! Maps values to pixels, and chooses round values for the ticks of an axis.

use std::time::Duration;

use crate::view::clock;

/// A number of bytes as a coordinate.
#[allow(clippy::cast_precision_loss, reason = "drawn with a thousand pixels")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// Values from zero to `max`, along the pixels `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    pub max: f64,
    pub from: f64,
    pub to: f64,
}

impl Axis {
    /// The position of a value; a value out of range is at the end.
    pub fn at(&self, value: f64) -> f64 {
        let part = if self.max > 0.0 { value / self.max } else { 0.0 };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

/// A tick: its value and its label.
pub type Tick = (f64, String);

/// Steps of seconds; above a minute, divisors of hours and days.
const SECONDS: [f64; 24] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
    7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0,
];

/// Times up to `max` seconds, at most eight of them after zero.
pub fn time_ticks(max: f64) -> Vec<Tick> {
    const MOST: f64 = 8.0;
    let step = SECONDS.into_iter().find(|step| max / step <= MOST);
    let step = step.unwrap_or_else(|| (max / MOST / 86_400.0).ceil() * 86_400.0);
    let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    steps(max, step)
        .map(|at| {
            let text = if max < 120.0 {
                format!("{at:.digits$} s")
            } else {
                seconds(at).replace("0.00 s", "0")
            };
            (at, text)
        })
        .collect()
}

/// Sizes up to at least `max` bytes, in three to five steps of a power of two.
pub fn byte_ticks(max: f64) -> Vec<Tick> {
    const MOST: f64 = 5.0;
    let mut step = 1.0_f64;
    while max / step > MOST {
        step *= 2.0;
    }
    let top = (max / step).ceil().max(1.0) * step;
    steps(top, step).map(|at| (at, power_of_two(at))).collect()
}

/// A time in the format of the run summary.
pub fn seconds(time: f64) -> String {
    // A hundred years, because a recording may contain any number.
    clock::clock(Duration::from_secs_f64(time.clamp(0.0, 3.2e9)))
}

fn steps(max: f64, step: f64) -> impl Iterator<Item = f64> {
    // A little more, because a hundred tenths are not quite ten.
    let reach = max * (1.0 + 1e-9);
    (0..=1000_u32)
        .map(move |count| f64::from(count) * step)
        .take_while(move |at| *at <= reach)
}

/// `0`, `512 KiB`, `4 MiB`
fn power_of_two(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes <= 0.0 {
        return "0".to_owned();
    }
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.2}");
    format!("{} {}", text.trim_end_matches('0').trim_end_matches('.'), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn times_are_round() {
        assert_eq!(
            texts(&time_ticks(0.35)),
            [
                "0.00 s", "0.05 s", "0.10 s", "0.15 s", "0.20 s", "0.25 s", "0.30 s", "0.35 s"
            ]
        );
        assert_eq!(texts(&time_ticks(10.1)), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(
            texts(&time_ticks(200.0)),
            ["0", "30.0 s", "1:00", "1:30", "2:00", "2:30", "3:00"]
        );
        assert_eq!(
            texts(&time_ticks(7300.0)),
            ["0", "30:00", "1:00:00", "1:30:00", "2:00:00"]
        );
        assert_eq!(texts(&time_ticks(0.0)), ["0.00 s"]);
        assert!(time_ticks(1e9).len() <= 9);
    }

    #[test]
    fn sizes_reach_above_the_largest() {
        assert_eq!(
            texts(&byte_ticks(9.3 * 1_048_576.0)),
            ["0", "2 MiB", "4 MiB", "6 MiB", "8 MiB", "10 MiB"]
        );
        assert_eq!(
            texts(&byte_ticks(1_048_577.0)),
            ["0", "256 KiB", "512 KiB", "768 KiB", "1 MiB", "1.25 MiB"]
        );
        assert_eq!(texts(&byte_ticks(0.0)), ["0", "1 B"]);
        assert!(byte_ticks(1.8e19).len() <= 6);
    }

    #[test]
    fn values_out_of_range_are_clamped() {
        let axis = Axis {
            max: 10.0,
            from: 100.0,
            to: 0.0,
        };
        assert_eq!(
            [0.0, 5.0, 20.0].map(|value| super::super::svg::number(axis.at(value))),
            ["100", "50", "0"]
        );
        assert!((Axis { max: 0.0, ..axis }.at(3.0) - 100.0).abs() < f64::EPSILON);
    }
}
