//! A report as one page: no scripts, no network, for screens in light and dark and for paper.

use std::fmt::Write;

use super::chart::{self, Picture, WIDTH};
use super::charts::pins;
use super::document::{Document, Entry, Section, Table};
use super::palette::style;
use super::scale::seconds;
use super::svg::{Area, Svg, escaped, number};

/// The style of everything around the pictures. The pictures use the rules of the palette.
const PAGE: &str = include_str!("page.css");

/// The page.
pub fn page(document: &Document) -> String {
    let is_alone = document.entries.len() == 1;
    let title = match document.entries.as_slice() {
        [entry] => entry.text.clone(),
        entries => format!("{} runs compared", entries.len()),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{} – highwater report</title>\n<style>\n{}{PAGE}</style>\n</head>\n<body>\n<main>\n",
        escaped(&title),
        style(true)
    );
    page += "<header>\n<p class=\"brand\">highwater report</p>\n";
    if is_alone {
        let _ = writeln!(page, "<h1><code>{}</code></h1>", escaped(&title));
    } else {
        let _ = writeln!(page, "<h1>{}</h1>", escaped(&title));
    }
    for (run, entry) in document.entries.iter().enumerate() {
        page += &introduction(entry, (!is_alone).then_some(run));
    }
    page += "</header>\n";
    for table in &document.tables {
        page += &tabulated(table, is_alone);
    }
    for section in &document.sections {
        page += &shown(section, document);
    }
    page += "</main>\n</body>\n</html>\n";
    page
}

/// The letter of a run in its colour.
fn chip(run: usize) -> String {
    let mut svg = Svg::default();
    chart::chip(&mut svg, run, (0.0, 8.0));
    symbol(16.0, svg)
}

/// A small inline picture, in the colours of the large ones.
fn symbol(width: f64, svg: Svg) -> String {
    let body = svg.into_text().replace('\n', "");
    format!(
        "<svg class=\"symbol\" style=\"width:{0}px\" viewBox=\"0 0 {0} 16\">{body}</svg> ",
        number(width)
    )
}

fn introduction(entry: &Entry, run: Option<usize>) -> String {
    let mut text = String::from("<section class=\"run\">\n");
    if let Some(run) = run {
        let _ = writeln!(text, "<h2>{}<code>{}</code></h2>", chip(run), escaped(&entry.text));
    }
    for (place, sentence) in entry.sentences.iter().enumerate() {
        let class = if place == 0 { " class=\"first\"" } else { "" };
        // A number and its unit stay on one line.
        let sentence = escaped(sentence).replace(" %", "\u{a0}%");
        let _ = writeln!(text, "<p{class}>{sentence}</p>");
    }
    let _ = writeln!(
        text,
        "<p class=\"origin\">{} · {}</p>\n</section>",
        escaped(&entry.name),
        escaped(&entry.origin)
    );
    text
}

fn tabulated(table: &Table, is_alone: bool) -> String {
    let class = if is_alone { " class=\"alone\"" } else { "" };
    let mut text = format!("<table{class}>\n<thead><tr>");
    if !is_alone {
        text += "<th scope=\"col\">run</th>";
    }
    for column in table.columns {
        let _ = write!(text, "<th scope=\"col\">{column}</th>");
    }
    text += "</tr></thead>\n<tbody>\n";
    for (run, cells) in &table.rows {
        text += "<tr>";
        if !is_alone {
            let _ = write!(text, "<th scope=\"row\">{}</th>", chip(*run).trim_end());
        }
        for cell in cells {
            let _ = write!(text, "<td>{}</td>", escaped(cell));
        }
        text += "</tr>\n";
    }
    text + "</tbody>\n</table>\n"
}

/// What the colours mean.
fn key() -> String {
    let mut text = String::from("<p class=\"key\">");
    for (class, meaning) in chart::KEY {
        let mut svg = Svg::default();
        let area = Area {
            x: 0.0,
            y: 2.0,
            width: 14.0,
            height: 11.0,
        };
        svg.rect(class, area, 2.0);
        let _ = write!(text, "<span>{}{meaning}</span>", symbol(14.0, svg));
    }
    text + "</p>\n"
}

fn shown(section: &Section, document: &Document) -> String {
    let chip = section.run.map_or_else(String::new, chip);
    let mut text = format!(
        "<section class=\"figure\">\n<h2>{chip}{}</h2>\n",
        escaped(&section.heading)
    );
    if let Some(run) = section.run {
        let _ = writeln!(
            text,
            "<p class=\"note\"><code>{}</code></p>",
            escaped(&document.entries[run].text)
        );
    }
    let _ = writeln!(text, "<p class=\"note\">{}</p>", escaped(&section.note));
    if section.has_shares {
        text += &key();
    }
    text += &drawn(&section.picture);
    if !section.moments.is_empty() {
        text += "<ol class=\"moments\">\n";
        for (number, moment) in section.moments.iter().enumerate() {
            let mut svg = Svg::default();
            pins::head(&mut svg, moment.kind, number, (8.0, 8.0));
            let _ = writeln!(
                text,
                "<li>{}<span class=\"at\">{}</span><span>{}</span></li>",
                symbol(16.0, svg),
                seconds(moment.at),
                escaped(&moment.text)
            );
        }
        text += "</ol>\n";
    }
    text + "</section>\n"
}

fn drawn(picture: &Picture) -> String {
    format!(
        "<div class=\"scroll\"><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{}</svg></div>\n",
        number(WIDTH),
        number(picture.height),
        escaped(&picture.label),
        picture.body
    )
}
