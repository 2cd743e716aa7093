//! A frame as a picture for pages that cannot run anything.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::line::{Line, Paint};

/// Columns and rows in pixels.
const CELL: (usize, usize) = (9, 20);
/// The margin around the text, in pixels; above it is a title bar.
const MARGIN: (usize, usize) = (24, 52);

/// The meaning of block characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Bars of one line each, with space between the lines.
    Bars,
    /// One shape over many lines, with an axis beside it.
    Area,
}

/// A terminal window with `command` and, below it, the lines; `label` describes it.
#[must_use]
pub fn svg(label: &str, command: &str, lines: &[Line], blocks: Blocks) -> String {
    let columns = lines
        .iter()
        .map(Line::columns)
        .chain([command.width() + 2])
        .max()
        .unwrap_or(80);
    let (width, height) = (
        columns * CELL.0 + 2 * MARGIN.0,
        (lines.len() + 2) * CELL.1 + MARGIN.1 + MARGIN.0 / 2,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{label}\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#14181f\"/>\n\
         <circle cx=\"24\" cy=\"22\" r=\"6\" fill=\"#ff5f57\"/><circle cx=\"44\" cy=\"22\" r=\"6\" fill=\"#febc2e\"/>\
         <circle cx=\"64\" cy=\"22\" r=\"6\" fill=\"#28c840\"/>\n\
         <g font-family=\"ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"15\">\n"
    );
    let prompt = Line::default().with(Paint::Faint, "$ ").with(Paint::Strong, command);
    let shown = std::iter::once(prompt)
        .chain([Line::default()])
        .chain(lines.iter().cloned());
    for (row, line) in shown.enumerate() {
        draw(&mut svg, &line, MARGIN.1 + row * CELL.1, blocks);
    }
    svg += "</g>\n</svg>\n";
    svg
}

/// One line whose cells begin at `top`.
fn draw(svg: &mut String, line: &Line, top: usize, blocks: Blocks) {
    let mut column = 0;
    for (paint, piece) in &line.pieces {
        let mut chars = piece.chars().peekable();
        while let Some(first) = chars.next() {
            let is_drawn = cell(first, blocks).is_some();
            let mut run = String::from(first);
            // Equal cells are one shape; other text is one text up to the next shape or gap.
            while let Some(next) = chars.next_if(|next| {
                if is_drawn {
                    *next == first
                } else {
                    cell(*next, blocks).is_none() && !(run.ends_with(' ') && *next == ' ')
                }
            }) {
                run.push(next);
            }
            let width = run.width();
            let left = MARGIN.0 + column * CELL.0;
            match cell(first, blocks) {
                Some(shape) => shapes(svg, *paint, &shape, left, top, width),
                None if run.trim().is_empty() => {}
                None => text(svg, *paint, &run, left, top + 15),
            }
            column += width;
        }
    }
}

fn text(svg: &mut String, paint: Paint, text: &str, x: usize, y: usize) {
    let weight = if paint == Paint::Strong {
        " font-weight=\"bold\""
    } else {
        ""
    };
    // Blanks before a text are dropped by what draws it, and would be missing from its length.
    let (indent, text) = (text.width() - text.trim_start().width(), text.trim());
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    // The length is given, so that every font keeps the columns.
    let (x, length) = (x + indent * CELL.0, text.width() * CELL.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" fill=\"{}\" textLength=\"{length}\"{weight}>{escaped}</text>",
        colour(paint)
    );
}

/// A glyph as rectangles: its top and height in twentieths of a cell, whether it leaves a gap at the cell's end, its
/// opacity, and whether it has a vertical mark, or is part of a vertical axis.
struct Shape {
    top: usize,
    height: usize,
    gap: usize,
    opacity: &'static str,
    has_mark: bool,
    has_axis: bool,
}

/// The shape of a glyph that is not left to a font.
fn cell(glyph: char, blocks: Blocks) -> Option<Shape> {
    let bar = |top, height, gap, opacity| Shape {
        top,
        height,
        gap,
        opacity,
        has_mark: false,
        has_axis: false,
    };
    let shape = match glyph {
        '│' | '┤' if blocks == Blocks::Area => Shape {
            has_axis: true,
            ..bar(0, 0, 0, "1")
        },
        '└' | '─' if blocks == Blocks::Area => bar(0, 1, 0, "1"),
        '▁'..='█' if blocks == Blocks::Area => {
            let eighths = glyph as usize - '▁' as usize + 1;
            let height = CELL.1 * eighths / 8;
            bar(CELL.1 - height, height, 0, "1")
        }
        '█' => bar(3, 14, 0, "1"),
        '▒' => bar(3, 14, 0, "0.55"),
        '·' => bar(9, 3, 6, "1"),
        '━' => bar(8, 5, 0, "1"),
        '─' => bar(10, 1, 0, "1"),
        '┿' => Shape {
            has_mark: true,
            ..bar(8, 5, 0, "1")
        },
        '┼' => Shape {
            has_mark: true,
            ..bar(10, 1, 0, "1")
        },
        '▁'..='▇' => {
            let eighths = glyph as usize - '▁' as usize + 1;
            bar(18 - 2 * eighths, 2 * eighths, 1, "1")
        }
        _ => return None,
    };
    Some(shape)
}

fn shapes(svg: &mut String, paint: Paint, shape: &Shape, left: usize, top: usize, count: usize) {
    let fill = colour(paint);
    let mut rectangle = |x: usize, y: usize, width: usize, height: usize| {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" fill-opacity=\"{}\"/>",
            shape.opacity
        );
    };
    if shape.gap > 0 {
        for at in 0..count {
            let x = left + at * CELL.0 + shape.gap / 2;
            rectangle(x, top + shape.top, CELL.0 - shape.gap, shape.height);
        }
        return;
    }
    if shape.has_axis {
        rectangle(left + CELL.0 - 1, top, 1, CELL.1);
        return;
    }
    rectangle(left, top + shape.top, count * CELL.0, shape.height);
    if shape.has_mark {
        rectangle(left + CELL.0 / 2 - 1, top + 4, 2, 13);
    }
}

fn colour(paint: Paint) -> &'static str {
    match paint {
        Paint::Plain => "#d7dce5",
        Paint::Strong => "#ffffff",
        Paint::Faint => "#7d8799",
        Paint::Busy => "#ff5c57",
        Paint::Idle => "#4d9fff",
        Paint::Backpressured => "#c9d1de",
        Paint::Level => "#3ecfcf",
    }
}
