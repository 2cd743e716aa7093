//! The picture of a running check: four curves and what is being done.

use crate::grammar::{format_rate, human_size};
use crate::view::clock::passing;
use crate::view::live::{Line, Paint, curve, curve_below};

use super::series::{Sample, Series};
use super::summary::title;
use super::verdict::NOISE;
use super::{Moment, Settings};

/// Columns of a curve's name, and of its number.
const NAME: usize = 12;
const NUMBER: usize = 9;
/// Columns of what stands behind a curve, and how wide a terminal must be for that.
const NOTES: usize = 26;
const WITH_NOTES: usize = 70;
/// The widest curve.
const CURVE: usize = 44;

/// What is drawn.
#[derive(Debug)]
pub struct Picture {
    /// The program and its arguments, or the server.
    text: String,
    settings: Settings,
    is_server: bool,
    series: Series,
}

impl Picture {
    /// A picture of nothing yet.
    #[must_use]
    pub fn new(text: String, settings: Settings, is_server: bool) -> Self {
        Self {
            text,
            settings,
            is_server,
            series: Series::default(),
        }
    }

    /// Takes in a sample.
    pub fn add(&mut self, sample: &Sample) {
        self.series.add(*sample);
    }

    /// The lines, none wider than `columns`.
    #[must_use]
    pub fn lines(&self, moment: Moment, columns: usize) -> Vec<Line> {
        let Some(last) = self.series.last() else {
            return Vec::new();
        };
        let samples = self.series.samples();
        let has_notes = columns >= WITH_NOTES;
        // One scale for all bytes of the stream, one for the memory.
        let top = last.accepted.max(last.returned);
        let row = |name: &str, value: fn(&Sample) -> u64, top: Option<u64>, note: String| {
            let shown = human_size(value(&last));
            let notes = if has_notes { NOTES } else { 3 };
            let width = columns.saturating_sub(NAME + NUMBER + notes).min(CURVE);
            let values = stretched(&samples, value, width, moment.progress);
            let blanks = NUMBER.saturating_sub(shown.chars().count());
            let line = Line::default()
                .with(Paint::Faint, format!("  {name}"))
                .up_to(NAME + blanks)
                .with(Paint::Strong, shown)
                .with(Paint::Plain, "  ")
                .with(Paint::Level, drawn(&values, top));
            if has_notes && !note.is_empty() {
                line.up_to(NAME + NUMBER + 2 + width).with(Paint::Faint, note)
            } else {
                line
            }
        };
        let time = if last.elapsed > self.settings.length {
            format!("{}, undecided", passing(last.elapsed))
        } else {
            format!("{} of {}", passing(last.elapsed), passing(self.settings.length))
        };
        let room = columns.saturating_sub(time.chars().count() + 12);
        let mut lines = vec![
            Line::default()
                .with(Paint::Faint, "  check  ")
                .with(Paint::Strong, title(&self.text, room))
                .up_to(columns.saturating_sub(time.chars().count() + 1))
                .with(Paint::Plain, time),
        ];
        if !self.is_server {
            lines.push(row("accepted", |sample| sample.accepted, Some(top), String::new()));
        }
        let rate = format!("  up to {}", format_rate(self.settings.rate));
        let each = if self.is_server { " each" } else { "" };
        lines.push(row("returned", |sample| sample.returned, Some(top), rate + each));
        if !self.is_server {
            lines.push(row("backlog", Sample::backlog, Some(top), String::new()));
        }
        let limit = format!("  of {}", human_size(self.settings.max_rss));
        lines.push(row("memory", |sample| sample.memory, None, limit));
        if last.disk >= NOISE {
            let limit = format!("  of {}", human_size(self.settings.max_disk));
            lines.push(row("disk", |sample| sample.disk, None, limit));
        }
        lines.push(Line::default().with(Paint::Faint, format!("  {}", moment.doing)));
        lines
            .into_iter()
            .map(|line| line.cut_to(columns.saturating_sub(1)))
            .collect()
    }
}

/// A curve up to `top`, or on its own scale.
#[must_use]
pub fn drawn(values: &[u64], top: Option<u64>) -> String {
    match top {
        Some(top) => curve_below(values, top),
        None => curve(values, values.len()),
    }
}

/// One value for each column of `width`, as far as the check has come.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few dozen columns"
)]
pub fn stretched(samples: &[Sample], value: fn(&Sample) -> u64, width: usize, progress: f64) -> Vec<u64> {
    let columns = ((width as f64 * progress.clamp(0.0, 1.0)).ceil() as usize).clamp(1, width.max(1));
    (0..columns)
        .filter_map(|column| samples.get(((column + 1) * samples.len() / columns).saturating_sub(1)))
        .map(value)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::live::{Background, Style};
    use snapbox::{assert_data_eq, str};
    use std::time::Duration;

    fn shown(is_server: bool, columns: usize) -> String {
        let settings = Settings {
            length: Duration::from_secs(20),
            rate: 64 << 10,
            max_rss: 4 << 30,
            max_disk: 1 << 30,
        };
        let name = "node a/long/way/to/a/program/that/exports.js --all".to_owned();
        let mut picture = Picture::new(name, settings, is_server);
        for t in 1..=100 {
            picture.add(&Sample {
                elapsed: Duration::from_millis(t * 100),
                memory: (40 << 20) + t * 100_000,
                accepted: t * 20_000,
                returned: t * 6400,
                ..Sample::default()
            });
        }
        let moment = Moment {
            doing: "reading slowly",
            progress: 0.5,
        };
        let style = Style {
            colour: false,
            background: Background::Unknown,
        };
        let lines = picture.lines(moment, columns);
        assert!(lines.iter().all(|line| line.columns() < columns));
        lines.iter().map(|line| style.text(line) + "\n").collect()
    }

    #[test]
    fn a_program_at_half_time() {
        assert_data_eq!(
            shown(false, 80),
            str![[r#"
  check  node a/long/way/to/a/program/that/exports.js --all    10.0 s of 20.0 s
  accepted   1.91 MiB  ▁▁▁▂▂▃▃▄▄▅▅▆▆▇▇██
  returned    625 KiB  ▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▃                  up to 64KiB/s
  backlog    1.30 MiB  ▁▁▁▁▂▂▂▃▃▃▃▄▄▄▅▅▅
  memory     49.5 MiB  ▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅                  of 4.00 GiB
  reading slowly

"#]]
        );
    }

    #[test]
    fn a_narrow_terminal() {
        assert_data_eq!(
            shown(false, 40),
            str![[r#"
  check  node a…--all  10.0 s of 20.0 s
  accepted   1.91 MiB  ▁▂▃▄▅▆▇█
  returned    625 KiB  ▁▁▁▁▂▂▂▃
  backlog    1.30 MiB  ▁▁▂▃▃▄▅▅
  memory     49.5 MiB  ▄▄▄▅▅▅▅▅
  reading slowly

"#]]
        );
    }

    #[test]
    fn a_server_at_half_time() {
        assert_data_eq!(
            shown(true, 120),
            str![[r#"
  check  node a/long/way/to/a/program/that/exports.js --all                                            10.0 s of 20.0 s
  returned    625 KiB  ▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▃                        up to 64KiB/s each
  memory     49.5 MiB  ▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▅                        of 4.00 GiB
  reading slowly

"#]]
        );
    }
}
