//! Bars: a stage's time, a level against its mark, and the small curve of the memory.

use crate::engine::Share;

use super::line::{Line, Paint};

/// The three parts of a stage's time in the order in which they are drawn, each with its glyph, so that they can be
/// told apart without colour.
pub const PARTS: [(Paint, char, &str); 3] = [
    (Paint::Busy, '█', "busy"),
    (Paint::Idle, '·', "idle"),
    (Paint::Backpressured, '▒', "backpressured"),
];

/// The shares in the order of [`PARTS`].
#[must_use]
pub fn shares(share: &Share) -> [f64; 3] {
    [share.busy, share.idle, share.backpressured]
}

/// How a stage spent its time, in `width` columns.
#[must_use]
pub fn share(share: &Share, width: usize) -> Line {
    let mut line = Line::default();
    let (mut sum, mut drawn) = (0.0, 0);
    for ((paint, glyph, _), part) in PARTS.into_iter().zip(shares(share)) {
        sum += part;
        let end = cells(sum, width).max(drawn);
        line = line.with(paint, glyph.to_string().repeat(end - drawn));
        drawn = end;
    }
    line
}

/// How full something is, in `width` columns, with a mark at a share of it.
#[must_use]
pub fn level(value: u64, whole: u64, mark: Option<u64>, width: usize) -> Line {
    if value > whole && whole > 0 {
        // Above a mark that was only advice: full, and in the colour that the eye goes to.
        return Line::default().with(Paint::Busy, "━".repeat(width));
    }
    let part = ratio(value, whole);
    // What is not empty shows; what is not full has a gap.
    let mut filled = cells(part, width);
    if value > 0 && filled == 0 {
        filled = 1.min(width);
    } else if value < whole && filled == width {
        filled = width.saturating_sub(1);
    }
    let mark = mark
        .map(|mark| cells(ratio(mark, whole), width).min(width.saturating_sub(1)))
        .filter(|_| width > 2);
    let stretch = |from: usize, to: usize, plain: &str, marked: &str| -> String {
        (from..to)
            .map(|at| if mark == Some(at) { marked } else { plain })
            .collect()
    };
    Line::default()
        .with(Paint::Level, stretch(0, filled, "━", "┿"))
        .with(Paint::Faint, stretch(filled, width, "─", "┼"))
}

/// How much of something is done, in `width` columns.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is between 0 and 1"
)]
pub fn progress(share: f64, width: usize) -> Line {
    level((share * 1e6) as u64, 1_000_000, None, width)
}

/// The heights of a curve's columns.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last values as columns of up to eight eighths, the newest at the right. The scale begins at zero: what stays
/// the same looks the same.
#[must_use]
pub fn curve(values: &[u64], width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown.iter().copied().max().unwrap_or(0);
    // Room above, so that what stays the same does not look like a bar that is full.
    let step = |value: u64| cells(ratio(value, top) * 0.625, 8).clamp(1, 8) - 1;
    shown.iter().map(|value| EIGHTHS[step(*value)]).collect()
}

/// As [`curve`], on a scale that ends at `top`: curves of one scale can be compared.
#[must_use]
pub fn curve_below(values: &[u64], top: u64) -> String {
    let step = |value: u64| cells(ratio(value, top), 8).clamp(1, 8) - 1;
    values.iter().map(|value| EIGHTHS[step(*value)]).collect()
}

#[allow(clippy::cast_precision_loss, reason = "drawn with a hundred cells at most")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to a few hundred cells"
)]
fn cells(part: f64, width: usize) -> usize {
    (part.clamp(0.0, 1.0) * width as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> String {
        line.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_share_fills_its_width() {
        let share = |busy, idle| Share {
            busy,
            idle,
            backpressured: 1.0 - busy - idle,
            outside: 0.0,
            throttling: 0.0,
        };
        assert_eq!(text(&super::share(&share(0.1, 0.0), 10)), "█▒▒▒▒▒▒▒▒▒");
        assert_eq!(text(&super::share(&share(0.33, 0.33), 10)), "███····▒▒▒");
        assert_eq!(text(&super::share(&share(1.0, 0.0), 10)), "██████████");
    }

    #[test]
    fn a_level_shows_its_mark_and_never_lies_about_empty_and_full() {
        let level = |value, width| text(&super::level(value, 100, Some(50), width));
        assert_eq!(level(0, 10), "─────┼────");
        assert_eq!(level(1, 10), "━────┼────");
        assert_eq!(level(75, 10), "━━━━━┿━━──");
        assert_eq!(level(99, 10), "━━━━━┿━━━─");
        assert_eq!(level(100, 10), "━━━━━┿━━━━");
        assert_eq!(level(100, 0), "");
        assert_eq!(
            super::level(101, 100, Some(50), 4).pieces,
            [(Paint::Busy, "━━━━".to_owned())]
        );
    }

    #[test]
    fn a_curve_begins_at_zero_and_shows_the_newest() {
        assert_eq!(curve(&[], 4), "");
        assert_eq!(curve(&[9, 0, 4, 8, 8], 4), "▁▃▅▅");
        assert_eq!(curve_below(&[0, 1, 50, 100, 200], 100), "▁▁▄██");
    }
}
