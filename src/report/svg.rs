//! Writes SVG: escaped, with short numbers, and deterministic.

use std::fmt::Write;

/// Which end of a text its position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// SVG elements, one a line.
#[derive(Debug, Default)]
pub struct Svg {
    text: String,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Svg {
    /// The written elements.
    pub fn into_text(self) -> String {
        self.text
    }

    pub fn rect(&mut self, class: &str, area: Area, radius: f64) {
        let Area { x, y, width, height } = area;
        let radius = if radius > 0.0 {
            format!(" rx=\"{}\"", number(radius))
        } else {
            String::new()
        };
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{radius}/>",
            number(x),
            number(y),
            number(width.max(0.0)),
            number(height.max(0.0))
        );
    }

    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1)
        );
    }

    pub fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let _ = writeln!(
            self.text,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            number(x),
            number(y),
            number(radius)
        );
    }

    /// A path without points is left out.
    pub fn path(&mut self, class: &str, path: &Path) {
        if !path.text.is_empty() {
            let _ = writeln!(self.text, "<path class=\"{class}\" d=\"{}\"/>", path.text.trim_end());
        }
    }

    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
            number(x),
            number(y),
            escaped(text)
        );
    }

    /// Begins a group with a name for pointers and screen readers.
    pub fn begin_titled(&mut self, title: &str) {
        let _ = writeln!(self.text, "<g><title>{}</title>", escaped(title));
    }

    /// Begins a group that is shifted down.
    pub fn begin_at(&mut self, y: f64) {
        let _ = writeln!(self.text, "<g transform=\"translate(0 {})\">", number(y));
    }

    pub fn end(&mut self) {
        self.text.push_str("</g>\n");
    }

    /// Adds elements that were written before.
    pub fn add(&mut self, elements: &str) {
        self.text.push_str(elements);
    }
}

/// The `d` of a path.
#[derive(Debug, Default)]
pub struct Path {
    text: String,
}

impl Path {
    /// A line through all points.
    pub fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::default();
        for (x, y) in points {
            let command = if path.text.is_empty() { 'M' } else { 'L' };
            let _ = write!(path.text, "{command}{} {} ", number(x), number(y));
        }
        path
    }

    /// The same, closed.
    pub fn around(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::through(points);
        if !path.text.is_empty() {
            path.text.push('Z');
        }
        path
    }
}

/// With at most two decimals, which is finer than a screen.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text escaped for HTML and XML, in elements and in attributes. Characters that XML cannot hold, and those that change
/// the text direction, become a replacement character.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_becomes_markup() {
        assert_eq!(
            escaped("a<b>&\"c'\u{1b}[31m\u{202e}é"),
            "a&lt;b&gt;&amp;&quot;c&#39;\u{fffd}[31m\u{fffd}é"
        );
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (1.0 / 3.0, "0.33"),
            (-0.001, "0"),
            (120.0, "120"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_path_needs_a_point() {
        let mut svg = Svg::default();
        svg.path("a", &Path::through([]));
        assert_eq!(svg.into_text(), "");
        assert_eq!(Path::around([(0.0, 1.0), (2.0, 3.5)]).text, "M0 1 L2 3.5 Z");
    }
}
