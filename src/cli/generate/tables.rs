//! The tables of the documents, between markers.

use std::fmt::Write;
use std::time::Duration;

use crate::catalog::{Topic, positional_form};
use crate::cli::help::exit_codes;
use crate::endpoints::SCHEMES;
use crate::plan;
use crate::view::live::{Background, History, Size, Style, frame, sample};
use crate::view::metrics::{Field, LINK, RUN, STAGE};

/// The name in a table's markers, and the function that makes the table.
type Table = (&'static str, fn() -> String);

/// A document that has generated tables.
pub struct Document {
    /// Its path below the project's directory.
    pub path: &'static str,
    tables: &'static [Table],
}

/// Every document that has generated tables.
pub const DOCUMENTS: [Document; 4] = [
    Document {
        path: "README.md",
        tables: &[("exit-codes", codes)],
    },
    Document {
        path: "docs/NUMBERS.md",
        tables: &[
            ("run", || numbers(RUN)),
            ("stage", || numbers(STAGE)),
            ("link", || numbers(LINK)),
        ],
    },
    Document {
        path: "docs/RUNNING.md",
        tables: &[("programs", programs)],
    },
    Document {
        path: "docs/STAGES.md",
        tables: &[("stages", stages), ("endpoints", endpoints)],
    },
];

impl Document {
    /// The document's text with its tables regenerated.
    ///
    /// # Errors
    /// If a marker is missing.
    pub fn renewed(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for (name, table) in self.tables {
            let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
            let missing = || format!("it has no `{}` with `{end}` after it", begin.trim());
            let from = text.find(&begin).ok_or_else(missing)? + begin.len();
            let to = from + text[from..].find(&end).ok_or_else(missing)?;
            text.replace_range(from..to, &format!("\n{}\n", table()));
        }
        Ok(text)
    }
}

fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: impl IntoIterator<Item = [String; COLUMNS]>) -> String {
    let mut text = format!("| {} |\n{}|\n", head.join(" | "), "|---".repeat(COLUMNS));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

fn stages() -> String {
    let catalog = plan::catalog();
    let rows = Topic::ALL.into_iter().flat_map(|topic| {
        let heading = [format!("**{}**", topic.heading()), String::new()];
        let stages = catalog.iter().filter(move |stage| stage.topic == topic);
        let stages = stages.map(|stage| [format!("`{}`", positional_form(stage)), stage.summary.to_owned()]);
        std::iter::once(heading).chain(stages)
    });
    table(["stage", "what it does"], rows)
}

fn endpoints() -> String {
    let rows = SCHEMES
        .iter()
        .map(|scheme| [format!("`{}`", scheme.form), scheme.summary.to_owned()]);
    table(["endpoint", "what it is"], rows)
}

/// The numbers of the stats object, and the metrics that they are.
fn numbers(fields: &[Field]) -> String {
    let rows = fields.iter().map(|field| {
        let (key, name, help) = (field.key, field.family.name, field.family.help);
        let label = field
            .label
            .map_or_else(String::new, |(label, value)| format!("{{{label}=\"{value}\"}}"));
        [format!("`{key}`"), format!("`{name}{label}`"), help.to_owned()]
    });
    table(["key", "metric", "what it is"], rows)
}

/// The live view of a pipeline of programs, as text.
fn programs() -> String {
    let style = Style {
        colour: false,
        background: Background::Unknown,
    };
    let snapshot = sample::programs();
    let mut history = History::default();
    (0..=5).for_each(|second| history.add(Duration::from_secs(second), snapshot.run.rss));
    let lines = frame(&snapshot, &history, Size { columns: 90, rows: 40 });
    let lines = lines.iter().map(|line| style.text(line) + "\n");
    format!("```text\n{}```\n", lines.collect::<String>())
}

fn codes() -> String {
    let rows = exit_codes()
        .into_iter()
        .map(|(code, meaning)| [code.replace(' ', ", "), meaning.to_owned()]);
    table(["code", "meaning"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_marker_is_named() {
        for document in DOCUMENTS {
            let name = document.tables[0].0;
            let error = document.renewed(&format!("<!-- {name} -->\n")).expect_err("no end");
            assert!(error.contains(&format!("<!-- end of {name} -->")), "{error}");
        }
    }
}
