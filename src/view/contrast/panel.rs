//! One run's resident memory over time, as an area chart.

use std::time::Duration;

use crate::grammar::human_size;
use crate::view::excess::excess;
use crate::view::live::{Line, Paint, left, right};

use super::words::{Caption, heeding_caption, ignoring_caption};
use super::{Contrast, Course, ROWS, Subject};

/// Columns of a label at the axis: `156 MiB`, with blanks around it.
pub const LABEL: usize = 10;
/// Between two panels.
pub const GAP: usize = 3;

/// The data of a panel and its scale.
pub struct Panel<'a> {
    title: &'static str,
    course: &'a Course,
    contrast: &'a Contrast,
    caption: Caption,
    /// The label of the ceiling's line.
    note: &'static str,
    /// The text in the middle of an empty plot.
    remark: Option<String>,
}

impl<'a> Panel<'a> {
    /// The run with advisory marks.
    pub fn ignoring(contrast: &'a Contrast) -> Self {
        Self {
            title: match contrast.subject {
                Subject::Backpressure => "1  Backpressure ignored",
                Subject::Records => "1  Bounded by count",
            },
            course: &contrast.ignoring,
            contrast,
            caption: match contrast.subject {
                Subject::Backpressure => ignoring_caption(&contrast.ignoring),
                Subject::Records => heeding_caption(&contrast.ignoring),
            },
            note: "",
            remark: None,
        }
    }

    /// The run with hard marks.
    pub fn heeding(contrast: &'a Contrast) -> Self {
        Self {
            title: match contrast.subject {
                Subject::Backpressure => "2  Backpressure honoured",
                Subject::Records => "2  Bounded by count and bytes",
            },
            course: &contrast.heeding,
            contrast,
            caption: heeding_caption(&contrast.heeding),
            note: "the ceiling, program and all",
            remark: less(contrast),
        }
    }

    /// The title, the plot over its axis, and the notes below it.
    pub fn lines(&self, width: usize, has_labels: bool) -> Vec<Line> {
        let rows = usize::from(ROWS);
        let mark = self.mark(rows);
        let mut lines = vec![margin("", has_labels).with(Paint::Strong, format!(" {}", self.title))];
        let drawn = self.plot(width, rows, mark);
        for (row, drawn) in drawn.into_iter().enumerate().rev() {
            let label = if row + 1 == rows {
                human_size(self.contrast.top)
            } else if row == mark {
                human_size(self.contrast.ceiling)
            } else {
                String::new()
            };
            let axis = if label.is_empty() { "│" } else { "┤" };
            lines.push(margin(&label, has_labels).with(Paint::Faint, axis).then(drawn));
        }
        let axis = format!("└{}", "─".repeat(width));
        lines.push(margin("0", has_labels).with(Paint::Faint, axis));
        let end = format!("{:.0} s", self.contrast.span.as_secs_f64());
        let times = format!(" 0 s{}", right(&end, width.saturating_sub(3)));
        lines.push(margin("", has_labels).with(Paint::Faint, times));
        let (first, second) = &self.caption;
        for (paint, text) in [(first.0, &first.1), (Paint::Faint, second)] {
            lines.push(margin("", has_labels).with(paint, format!(" {text}")));
        }
        lines
    }

    /// The row whose lower edge is the ceiling.
    fn mark(&self, rows: usize) -> usize {
        steps(self.contrast.ceiling, self.contrast.top, rows).clamp(1, rows.saturating_sub(1).max(1))
    }

    /// The rows of the plot, the lowest first.
    fn plot(&self, width: usize, rows: usize, mark: usize) -> Vec<Line> {
        let levels: Vec<usize> = columns(self.course, self.contrast.span, width)
            .into_iter()
            .map(|rss| rss.map_or(0, |rss| steps(rss, self.contrast.top, rows * EIGHTHS).max(1)))
            .collect();
        let mut grid: Vec<Vec<(Paint, char)>> = (0..rows)
            .map(|row| {
                let cell = |level: &usize| match level.saturating_sub(row * EIGHTHS).min(EIGHTHS) {
                    0 if row == mark => (Paint::Faint, '▁'),
                    0 => (Paint::Plain, ' '),
                    // Below the ceiling the normal colour; above it that of a problem.
                    height => (if row < mark { Paint::Level } else { Paint::Busy }, GLYPHS[height - 1]),
                };
                levels.iter().map(cell).collect()
            })
            .collect();
        if self.course.end.as_ref().is_some_and(|end| end.code == 7) {
            let behind = levels.iter().rposition(|level| *level > 0).map_or(0, |last| last + 1);
            if !write(&mut grid[rows - 1], behind, Paint::Strong, " ✕ stopped") {
                let text = "stopped ✕ ";
                let top = grid[rows - 1].iter().position(|(_, glyph)| *glyph != ' ');
                let at = top.unwrap_or(0).saturating_sub(text.chars().count());
                write(&mut grid[rows - 1], at, Paint::Strong, text);
            }
        }
        if mark + 1 < rows {
            write(&mut grid[mark + 1], 0, Paint::Faint, &format!(" {}", self.note));
        }
        if let Some(remark) = &self.remark {
            let at = width.saturating_sub(remark.chars().count()) / 2;
            write(&mut grid[rows * 2 / 3], at, Paint::Strong, remark);
        }
        grid.into_iter().map(line).collect()
    }
}

/// How much less memory the run with hard marks used, once both are over.
fn less(contrast: &Contrast) -> Option<String> {
    let (ignoring, heeding) = (contrast.ignoring.end.as_ref()?, contrast.heeding.end.as_ref()?);
    excess(ignoring.peak, heeding.peak).map(|times| format!("{times} less"))
}

const EIGHTHS: usize = 8;
const GLYPHS: [char; EIGHTHS] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The highest level in each column; `None` where the run has not got to.
fn columns(course: &Course, span: Duration, width: usize) -> Vec<Option<u64>> {
    let mut columns = vec![None; width];
    let last = course.points.last().map_or(Duration::ZERO, |point| point.at);
    let column = |at: Duration| {
        let part = at.as_nanos() * width as u128 / span.as_nanos().max(1);
        usize::try_from(part).unwrap_or(usize::MAX)
    };
    for point in &course.points {
        if let Some(highest) = columns.get_mut(column(point.at)) {
            *highest = (*highest).max(Some(point.rss));
        }
    }
    // Between two readings the level is unchanged; before the first it is that of the first.
    let mut before = course.points.first().map(|point| point.rss);
    for highest in columns.iter_mut().take(column(last).saturating_add(1)) {
        *highest = highest.or(before);
        before = *highest;
    }
    columns
}

/// The nearest of `count` steps for a value up to the top.
fn steps(value: u64, top: u64, count: usize) -> usize {
    let steps = (u128::from(value) * count as u128 + u128::from(top) / 2) / u128::from(top.max(1));
    usize::try_from(steps).unwrap_or(usize::MAX).min(count)
}

/// Writes text over blank cells, if all of it fits; returns whether it did.
fn write(row: &mut [(Paint, char)], at: usize, paint: Paint, text: &str) -> bool {
    let blank = row.get_mut(at..at + text.chars().count());
    let Some(cells) = blank.filter(|cells| cells.iter().all(|(_, glyph)| *glyph == ' ')) else {
        return false;
    };
    for (cell, glyph) in cells.iter_mut().zip(text.chars()) {
        *cell = (paint, glyph);
    }
    true
}

/// Merges cells of the same paint into pieces.
fn line(cells: Vec<(Paint, char)>) -> Line {
    let mut line = Line::default();
    for (paint, glyph) in cells {
        match line.pieces.last_mut() {
            Some((last, text)) if *last == paint => text.push(glyph),
            _ => line = line.with(paint, glyph),
        }
    }
    line
}

fn margin(label: &str, has_labels: bool) -> Line {
    if !has_labels {
        return Line::default();
    }
    Line::default().with(Paint::Faint, right(label, LABEL - 1) + " ")
}

/// Two panels side by side; the left plot is `width` columns wide.
pub fn beside(left_lines: Vec<Line>, right_lines: Vec<Line>, width: usize) -> Vec<Line> {
    let at = LABEL + 1 + width + GAP;
    let joined = left_lines.into_iter().zip(right_lines);
    joined
        .map(|(one, other)| one.cut_to(at - 1).up_to(at).then(other))
        .collect()
}

/// `text` in a column of `width`.
pub fn cell(text: &str, width: usize) -> String {
    left(text, width)
}
