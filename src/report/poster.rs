//! A report as one SVG: all sections of the page, one below the other.

use std::borrow::Cow;

use crate::error::wrapping;

use super::chart::{KEY, WIDTH, chip};
use super::charts::pins;
use super::document::{Document, Entry, Section, Table};
use super::palette::style;
use super::scale::seconds;
use super::svg::{Anchor, Area, Svg, number};

/// The margin, in pixels.
const MARGIN: f64 = 28.0;
/// The width in characters of the first sentence, of another one, of a small note and of a heading.
const LEAD: usize = 104;
const SENTENCE: usize = 122;
const NOTE: usize = 150;
const HEADING: usize = 72;

/// The picture; `with_dark` if it may be shown on a dark screen.
pub fn poster(document: &Document, with_dark: bool) -> String {
    let mut pen = Pen {
        svg: Svg::default(),
        y: MARGIN,
    };
    let is_alone = document.entries.len() == 1;
    pen.row("f", 8.0, 16.0, "highwater report");
    if !is_alone {
        pen.row(
            "title",
            18.0,
            34.0,
            &format!("{} runs compared", document.entries.len()),
        );
    }
    for (run, entry) in document.entries.iter().enumerate() {
        pen.introduction(entry, (!is_alone).then_some(run));
    }
    for table in &document.tables {
        pen.table(table, is_alone);
    }
    for section in &document.sections {
        pen.section(section, document);
    }
    let (width, height) = (WIDTH + 2.0 * MARGIN, pen.y + MARGIN);
    let ground = Area {
        x: 0.0,
        y: 0.0,
        width,
        height,
    };
    let mut svg = Svg::default();
    svg.rect("bg", ground, 0.0);
    let (width, height) = (number(width), number(height));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" role=\"img\" aria-label=\"highwater report\">\n\
         <style>\n{}</style>\n{}<g transform=\"translate({} 0)\">\n{}</g>\n</svg>\n",
        style(with_dark),
        svg.into_text(),
        number(MARGIN),
        pen.svg.into_text()
    )
}

/// Writes from top to bottom.
struct Pen {
    svg: Svg,
    /// Where the next line begins.
    y: f64,
}

impl Pen {
    /// One line of text whose letters stand at `base`, in a row of this height.
    fn row(&mut self, class: &str, base: f64, height: f64, text: &str) {
        self.svg.text(class, (0.0, self.y + base), Anchor::Start, text);
        self.y += height;
    }

    fn lines(&mut self, class: &str, height: f64, columns: usize, text: &str) {
        for line in wrapped(text, columns) {
            self.row(class, height - 6.0, height, &line);
        }
    }

    fn introduction(&mut self, entry: &Entry, run: Option<usize>) {
        match run {
            Some(run) => {
                self.y += 8.0;
                chip(&mut self.svg, run, (0.0, self.y + 8.0));
                for line in wrapped(&entry.text, HEADING + 30) {
                    self.svg.text("head", (24.0, self.y + 13.0), Anchor::Start, &line);
                    self.y += 21.0;
                }
            }
            None => {
                for line in wrapped(&entry.text, HEADING) {
                    self.row("title", 20.0, 30.0, &line);
                }
            }
        }
        for (place, sentence) in entry.sentences.iter().enumerate() {
            let (class, columns) = if place == 0 { ("lead", LEAD) } else { ("say", SENTENCE) };
            self.lines(class, 20.0, columns, sentence);
        }
        self.lines("f", 18.0, NOTE, &format!("{} · {}", entry.name, entry.origin));
    }

    fn table(&mut self, table: &Table, is_alone: bool) {
        self.y += 14.0;
        let from = if is_alone { 0.0 } else { 40.0 };
        let step = (WIDTH - from) / 8.0;
        let places = || (1..=8_u32).map(|column| from + f64::from(column) * step - 12.0);
        for (x, name) in places().zip(table.columns) {
            self.svg.text("f", (x, self.y + 12.0), Anchor::End, name);
        }
        self.y += 18.0;
        for (run, cells) in &table.rows {
            self.svg.line("grid", (0.0, self.y), (WIDTH, self.y));
            if !is_alone {
                chip(&mut self.svg, *run, (0.0, self.y + 13.0));
            }
            for (x, cell) in places().zip(cells) {
                self.svg.text("s", (x, self.y + 17.0), Anchor::End, cell);
            }
            self.y += 25.0;
        }
        self.svg.line("grid", (0.0, self.y), (WIDTH, self.y));
    }

    fn section(&mut self, section: &Section, document: &Document) {
        self.y += 28.0;
        let indent = match section.run {
            Some(run) => {
                chip(&mut self.svg, run, (0.0, self.y + 9.0));
                24.0
            }
            None => 0.0,
        };
        self.svg
            .text("head", (indent, self.y + 14.0), Anchor::Start, &section.heading);
        self.y += 22.0;
        if let Some(run) = section.run {
            self.lines("f", 17.0, NOTE, &document.entries[run].text);
        }
        self.lines("f", 17.0, NOTE, &section.note);
        if section.has_shares {
            self.key();
        }
        self.y += 8.0;
        self.svg.begin_at(self.y);
        self.svg.add(&section.picture.body);
        self.svg.end();
        self.y += section.picture.height;
        for (number, moment) in section.moments.iter().enumerate() {
            self.y += 4.0;
            pins::head(&mut self.svg, moment.kind, number, (8.0, self.y + 9.0));
            self.svg
                .text("f", (76.0, self.y + 13.0), Anchor::End, &seconds(moment.at));
            for line in wrapped(&moment.text, SENTENCE) {
                self.svg.text("t", (86.0, self.y + 13.0), Anchor::Start, &line);
                self.y += 17.0;
            }
        }
    }

    /// What the colours mean.
    fn key(&mut self) {
        let mut x = 0.0;
        for (class, text) in KEY {
            let area = Area {
                x,
                y: self.y + 3.0,
                width: 14.0,
                height: 11.0,
            };
            self.svg.rect(class, area, 2.0);
            self.svg.text("f", (x + 20.0, self.y + 13.0), Anchor::Start, text);
            #[allow(clippy::cast_precision_loss, reason = "a few letters")]
            let width = text.len() as f64 * 5.9;
            x += 40.0 + width;
        }
        self.y += 18.0;
    }
}

/// Lines of at most so many columns; a longer word is broken as well.
fn wrapped(text: &str, columns: usize) -> Vec<Cow<'_, str>> {
    textwrap::wrap(text, wrapping(columns).break_words(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_breaks_between_words() {
        assert_eq!(
            wrapped("read a | gzip | write b", 10),
            ["read a |", "gzip |", "write b"]
        );
        assert_eq!(
            wrapped("read 日本語のファイル名です x", 6),
            ["read", "日本語", "のファ", "イル名", "です x"]
        );
        assert_eq!(wrapped("", 6), [""]);
    }
}
