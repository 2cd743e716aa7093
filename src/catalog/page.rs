//! Formats the output of `highwater stages`, at most 80 columns wide.

use super::form::{all_params, headed_params, positional_form, word_form};
use super::{Definition, Example, Param, Topic};
use crate::error::wrapping;

/// The maximum width, in columns.
const COLUMNS: usize = 80;

/// All stages, grouped by topic, each with its positional form and its summary. Ends in a newline.
#[must_use]
pub fn list(catalog: &[&Definition]) -> String {
    let width = catalog
        .iter()
        .map(|def| columns(&positional_form(def)))
        .max()
        .unwrap_or(0);
    let group = |topic: Topic| {
        let stages = catalog.iter().filter(|def| def.topic == topic);
        let rows: String = stages
            .map(|def| row(&[(positional_form(def), width)], def.summary))
            .collect();
        (!rows.is_empty()).then(|| format!("{}\n{rows}", topic.heading()))
    };
    let groups: Vec<String> = Topic::ALL.into_iter().filter_map(group).collect();
    groups.join("\n")
}

/// The description of one stage. Ends in a newline.
#[must_use]
pub fn describe(def: &Definition) -> String {
    let mut sections = vec![usage(def), paragraph(&format!("{}.", def.summary))];
    let details = def.details.split("\n\n");
    sections.extend(details.filter(|text| !text.trim().is_empty()).map(paragraph));
    let groups = headed_params(def).into_iter();
    sections.extend(groups.map(|(heading, params)| format!("{}\n{}", paragraph(&heading).trim_end(), table(&params))));
    if !def.examples.is_empty() {
        let examples: String = def.examples.iter().map(example).collect();
        sections.push(format!("Examples\n{examples}"));
    }
    sections.join("\n")
}

fn paragraph(text: &str) -> String {
    wrap(text, 0) + "\n"
}

/// The command is not wrapped, so that it can be copied.
fn example(example: &Example) -> String {
    let command = shell_quoted(example.text);
    format!("  highwater {command}\n      {}\n", wrap(example.about, 6))
}

/// `throttle RATE [burst=SIZE] [high=SIZE] [low=SIZE]`
fn usage(def: &Definition) -> String {
    let indent = columns(def.name) + 1;
    let words: Vec<String> = all_params(def).map(word_form).collect();
    let text = format!("{} {}", def.name, wrap(&words.join(" "), indent));
    text.trim_end().to_owned() + "\n"
}

fn table(params: &[&Param]) -> String {
    let widest = |texts: &dyn Fn(&Param) -> String| {
        let widths = params.iter().map(|param| columns(&texts(param)));
        // A long list of choices must leave room for the help.
        widths.filter(|width| *width <= 24).max().unwrap_or(0)
    };
    let kind = |param: &Param| param.kind.placeholder();
    let names = widest(&|param| param.name.to_owned());
    let kinds = widest(&kind);
    params
        .iter()
        .map(|param| row(&[(param.name.to_owned(), names), (kind(param), kinds)], &help(param)))
        .collect()
}

fn help(param: &Param) -> String {
    match (param.default, param.required) {
        (Some(default), _) => format!("{} (default: {default})", param.help),
        (None, true) => format!("{} (required)", param.help),
        (None, false) => param.help.to_owned(),
    }
}

/// One row of a table: cells, each padded to its width, then `text`, wrapped in the remaining width. If a cell is wider
/// than its column, the text starts on the next line.
fn row(cells: &[(String, usize)], text: &str) -> String {
    let indent = cells.iter().map(|(_, width)| width + 2).sum::<usize>() + 2;
    let mut line = String::from("  ");
    for (cell, width) in cells {
        line += cell;
        line += &" ".repeat((width + 2).saturating_sub(columns(cell)));
    }
    if columns(&line) > indent {
        line = format!("{}\n{}", line.trim_end(), " ".repeat(indent));
    }
    format!("{line}{}\n", wrap(text, indent))
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Wraps `text`; all lines but the first are indented by `indent` columns.
fn wrap(text: &str, indent: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let lines = textwrap::wrap(&text, wrapping(COLUMNS - indent));
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// Quotes `text` as one word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::CATALOG;
    use super::*;
    use snapbox::{IntoData, assert_data_eq, str};

    #[test]
    fn the_list_is_grouped_and_aligned() {
        assert_data_eq!(
            list(CATALOG),
            str![[r#"
Read and write
  read PATH…          reads files, one after the other
  write PATH          writes a file

Write to several outputs
  tee (PIPELINE)…     parts the stream

Compress and decompress
  gzip [LEVEL]        compresses

Limit, pace and check
  throttle RATE       lets no more than so many bytes a second through, and says
                      so in a summary that needs two lines
  sum SIZE            has a parameter of every kind

Run programs
  run PROGRAM [ARG…]  runs a program

"#]]
            .raw()
        );
    }

    #[test]
    fn a_page_tells_all() {
        let sum = CATALOG.iter().find(|def| def.name == "sum").unwrap();
        assert_data_eq!(
            describe(sum),
            str![[r#"
sum SIZE [rate=RATE] [wait=DURATION] [label=TEXT] [quiet=true|false]
    [level=1..9] [algo=crc32|sha256] [high=SIZE] [low=SIZE] [high-records=1..]
    [low-records=0..]

has a parameter of every kind.

A first paragraph that is long enough to be wrapped, because it goes on and on
beyond eighty columns.

A second one.

Parameters
  size          SIZE          a parameter of the sample (required)
  rate          RATE          a parameter of the sample
  wait          DURATION      a parameter of the sample
  label         TEXT          what to call it, in a text so long that it needs a
                              second line in the table
  quiet         true|false    a parameter of the sample
  level         1..9          a parameter of the sample
  algo          crc32|sha256  a parameter of the sample (default: sha256)
  high          SIZE          high-water mark of the link behind this stage
  low           SIZE          low-water mark of that link; half of high unless
                              given
  high-records  1..           high-water mark of that link in records, beside
                              the one in bytes; none unless given
  low-records   0..           low-water mark of that link in records; half of
                              high-records unless given

Examples
  highwater 'read a | sum 1 label='\''a b'\'''
      sums it up

"#]]
            .raw()
        );
    }

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let pages = CATALOG.iter().map(|def| describe(def)).chain([list(CATALOG)]);
        for page in pages {
            assert!(page.lines().all(|line| columns(line) <= COLUMNS), "{page}");
        }
    }
}
