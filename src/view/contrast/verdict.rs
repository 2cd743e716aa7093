//! The results of both runs.

use crate::grammar::human_size;
use crate::view::clock::passing;
use crate::view::excess::excess;
use crate::view::live::{Line, Paint, right};

use super::panel::cell;
use super::words::{speed, wrapped};
use super::{Contrast, End, Subject};

/// Columns of a run's name, and of each of its numbers.
const NAME: usize = 22;
const NUMBER: usize = 12;
/// Below this width a run has a line for each number.
const NARROW: usize = 2 + NAME + 4 * NUMBER;

/// A table of both runs, the error of the first one, and the conclusion; wrapped to `columns`. Empty before both have
/// ended.
#[must_use]
pub fn verdict(contrast: &Contrast, columns: usize) -> Vec<Line> {
    let columns = columns.saturating_sub(1).min(110);
    let (Some(ignoring), Some(heeding)) = (&contrast.ignoring.end, &contrast.heeding.end) else {
        return Vec::new();
    };
    let mut lines = vec![Line::default()];
    let names = match contrast.subject {
        Subject::Backpressure => ["backpressure ignored", "backpressure honoured"],
        Subject::Records => ["by count", "by count and bytes"],
    };
    let courses = names.into_iter().zip([ignoring, heeding]);
    if columns >= NARROW {
        let head: String = HEADS.iter().map(|head| right(head, NUMBER)).collect();
        lines.push(Line::default().with(Paint::Faint, cell("", 2 + NAME) + &head));
        for (name, end) in courses {
            let numbers: String = numbers(end)[1..].iter().map(|number| right(number, NUMBER)).collect();
            let [peak, ..] = self::numbers(end);
            lines.push(
                Line::default()
                    .with(Paint::Plain, format!("  {}", cell(name, NAME)))
                    .with(paint(contrast, end), right(&peak, NUMBER))
                    .with(Paint::Plain, numbers),
            );
        }
    } else {
        for (name, end) in courses {
            lines.push(Line::default().with(Paint::Strong, format!("  {name}")));
            for (head, number) in HEADS.iter().zip(numbers(end)) {
                lines.push(Line::default().with(Paint::Plain, format!("  {} {number}", right(head, NUMBER))));
            }
        }
    }
    lines.push(Line::default());
    if let Some(error) = &ignoring.error {
        lines.extend(
            wrapped(&format!("highwater: {error}"), columns)
                .into_iter()
                .map(reddened),
        );
        lines.push(Line::default());
    }
    lines.extend(wrapped(&conclusion(contrast, ignoring, heeding), columns));
    lines
}

const HEADS: [&str; 4] = ["peak rss", "time", "delivered", "speed"];

fn numbers(end: &End) -> [String; 4] {
    let delivered = end.last.delivered;
    [
        human_size(end.peak),
        passing(end.last.at),
        human_size(delivered),
        speed(delivered, end.last.at.as_secs_f64()),
    ]
}

fn paint(contrast: &Contrast, end: &End) -> Paint {
    if end.peak > contrast.ceiling {
        Paint::Busy
    } else {
        Paint::Level
    }
}

fn reddened(line: Line) -> Line {
    let pieces = line.pieces.into_iter().map(|(_, text)| (Paint::Busy, text));
    Line {
        pieces: pieces.collect(),
    }
}

/// The conclusion that the numbers allow.
#[allow(clippy::cast_precision_loss, reason = "compared within a tenth")]
fn conclusion(contrast: &Contrast, ignoring: &End, heeding: &End) -> String {
    let mut text = String::new();
    let speeds = [ignoring, heeding].map(|end| end.last.delivered as f64 / end.last.at.as_secs_f64().max(1e-3));
    if speeds[0] < speeds[1] * 1.1 {
        text += "The reader got its bytes no faster: it is the slow one, either way. ";
    }
    if let Some(times) = excess(ignoring.peak, heeding.peak) {
        let (what, more) = match contrast.subject {
            Subject::Backpressure => ("Ignoring that", "the longer it lasts, the more"),
            Subject::Records => ("A bound on their number alone", "the larger the records, the more"),
        };
        text = format!("{text}{what} took {times} the memory, and {more}.");
    }
    if heeding.code == 0 && heeding.peak <= contrast.ceiling {
        text += match contrast.subject {
            Subject::Backpressure => " With backpressure, the level stays.",
            Subject::Records => " With one in bytes as well, the level stays.",
        };
    }
    text.trim_start().to_owned()
}
