//! A document of the project as a manual page: headings, paragraphs, code, lists and tables of Markdown.

use roff::{Inline, Roff, bold, roman};

/// A page of section 7 that has a document's text.
pub fn page(name: &str, summary: &str, markdown: &str) -> String {
    let mut roff = Roff::new();
    let source = concat!("highwater ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name, "7", "", source, "highwater"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {summary}"))]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut lines = markdown.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            roff.control("SH", [heading.to_uppercase().as_str()]);
        } else if line.starts_with("```") {
            roff.control("RS", ["4"]);
            roff.control("nf", []);
            for line in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
            roff.control("RE", []);
        } else if line.starts_with('|') {
            // The head of a table is no entry of its own.
            if !lines.peek().is_some_and(|next| next.starts_with("|---")) {
                row(&mut roff, line);
            }
        } else if !line.is_empty() {
            let mut paragraph = line.to_owned();
            while let Some(line) = lines.next_if(|line| !line.is_empty() && !line.starts_with(['|', '`', '#'])) {
                paragraph = paragraph + " " + line;
            }
            roff.control("PP", []);
            roff.text(inline(&paragraph));
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("highwater"), roman("(1), "), bold("highwater-check"), roman("(1)")]);
    roff.to_roff()
}

/// A row of two cells, as an entry. The line below the head of a table is none.
fn row(roff: &mut Roff, line: &str) {
    let line = line.replace("\\|", "\u{1}");
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    if let [name, text] = cells[..]
        && !name.starts_with("---")
    {
        roff.control("TP", []);
        for cell in [name, text] {
            roff.text(inline(&cell.replace('\u{1}', "|")));
        }
    }
}

/// Code and emphasis are bold; of a link only its text is left.
fn inline(text: &str) -> Vec<Inline> {
    let mut parts = Vec::new();
    let mut is_emphasis = false;
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            parts.push(bold(part));
            continue;
        }
        for (at, part) in part.split("**").enumerate() {
            is_emphasis ^= at > 0;
            let part = without_targets(part);
            parts.push(if is_emphasis { bold(part) } else { roman(part) });
        }
    }
    parts
}

/// `[text](target)` becomes `text`.
fn without_targets(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, behind)) = rest.split_once('[') {
        let Some((name, (_, after))) = behind
            .split_once("](")
            .and_then(|(name, rest)| Some((name, rest.split_once(')')?)))
        else {
            break;
        };
        plain = plain + before + name;
        rest = after;
    }
    plain + rest
}
