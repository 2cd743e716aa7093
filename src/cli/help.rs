//! The help: one screen for `-h`, and the sections of `--help` behind the options. All of it follows from clap's
//! definitions, the catalog and the kinds of failure.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::catalog::Role;
use crate::endpoints::SCHEMES;
use crate::error::{Kind, wrapping};
use crate::plan;

use super::options;

/// Nothing is wider than this, in columns.
const COLUMNS: usize = 80;
/// Where text begins in the short help's lower part.
const INDENT: usize = 11;
const BLANK: &str = "           ";

/// The options in the short help.
const FIRST_OPTIONS: [&str; 5] = ["memory", "progress", "quiet", "stats", "timeout"];

/// Enough to run the main job, on one screen.
#[must_use]
pub fn short() -> String {
    let mut text = String::from(
        "Moves bytes through a chain of stages, keeps the memory of the whole chain under\n\
         one hard ceiling, and shows where the bytes are while it does.\n\
         \n\
         Usage      highwater [OPTIONS] 'STAGE | STAGE | …'\n           \
         … | highwater [OPTIONS] STAGE :: STAGE :: … | …\n\
         Example    highwater 'read big.iso | gzip | throttle 1MB/s | write big.iso.gz'\n",
    );
    let command = options::command();
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    text += &entry("Commands", &commands.map(clap::Command::get_name).collect::<Vec<_>>());
    text += "\n";
    let catalog = plan::catalog();
    let of = |roles: &[Role]| -> Vec<&str> {
        let stages = catalog.iter().filter(|stage| roles.contains(&stage.role));
        stages.map(|stage| stage.name).collect()
    };
    let stages = [
        of(&[Role::Source]),
        of(&[Role::Transform, Role::Branch]),
        of(&[Role::Sink]),
    ]
    .concat();
    text += &entry("Stages", &stages);
    text += &entry("Endpoints", &prefixes().iter().map(String::as_str).collect::<Vec<_>>());
    text += "Sizes      64K 1.5MiB (powers of 1024)  10MB (of 1000); rates: 1MB/s 8Mbit/s\n\n";
    text += &first_options();
    text += "  -h this help    --help all of it    COMMAND --help of one    -V the version\n";
    text
}

/// How the names of endpoints begin; `tcp[-listen]://` stands for two.
fn prefixes() -> Vec<String> {
    let listener = |prefix: &str| {
        let (name, end) = prefix.split_once(':')?;
        let listening = format!("{name}-listen:{end}");
        let is_known = SCHEMES.iter().any(|scheme| scheme.prefix == listening);
        is_known.then(|| format!("{name}[-listen]:{end}"))
    };
    let single = SCHEMES.iter().map(|scheme| scheme.prefix);
    let single = single.filter(|prefix| !prefix.contains("-listen:"));
    single
        .map(|prefix| listener(prefix).unwrap_or_else(|| prefix.to_owned()))
        .collect()
}

/// A name and words after it, wrapped.
fn entry(name: &str, words: &[&str]) -> String {
    let options = wrapping(COLUMNS).subsequent_indent(BLANK);
    let text = format!("{name:INDENT$}{}", words.join(" "));
    textwrap::fill(&text, options) + "\n"
}

fn first_options() -> String {
    let command = options::command();
    let mut text = String::new();
    for id in FIRST_OPTIONS {
        let Some(option) = command.get_arguments().find(|option| option.get_id() == id) else {
            continue;
        };
        let short = option
            .get_short()
            .map_or_else(String::new, |short| format!("-{short}, "));
        let takes_value = option.get_action().takes_values();
        let values = option
            .get_value_names()
            .filter(|_| takes_value)
            .unwrap_or_default()
            .join(" ");
        let name = format!("{short}--{id} {values}");
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "  {name:20}{help}");
    }
    text
}

/// The sections of `--help` behind the options: the grammar, the stages, the endpoints, the exit codes.
#[must_use]
pub fn details() -> String {
    let mut text = String::from(GRAMMAR);
    text += "\nStages (`highwater stages NAME` explains one):\n";
    let catalog = plan::catalog();
    let rows = catalog.iter().map(|stage| (stage.name.to_owned(), stage.summary));
    text += &table(rows.collect());
    text += "\nEndpoints, for read and write:\n";
    let rows = SCHEMES.iter().map(|scheme| (scheme.form.to_owned(), scheme.summary));
    text += &table(rows.collect());
    text += "\nExit codes:\n";
    text += &table(exit_codes());
    text
}

/// The pipeline's grammar in ten lines.
pub const GRAMMAR: &str = "\
Grammar:
  pipeline := stage ( '|' stage )*
  stage    := NAME ( word | KEY=word | '(' pipeline ')' )*
  Words are as in a POSIX shell: '…' is literal, \"…\" knows \\\" and \\\\, \\c is c.
  Nothing is expanded: no ~, no $, no globs. A pattern with | or ( is quoted.
  Words without a KEY fill the stage's parameters in order: throttle 1MB/s is
  throttle rate=1MB/s. A file named a=b is written ./a=b or path=a=b.
  In the shell's own words, :: stands between stages, and no word is read twice.
  A chain whose first stage is no source reads stdin; one whose last stage is no
  sink writes stdout. Options stand before the first word, or behind the quotes.
";

/// Every exit code, with what it means.
#[must_use]
pub fn exit_codes() -> Vec<(String, &'static str)> {
    let done = (
        "0".to_owned(),
        "success: every output is complete and durable; for `check`: the program honours backpressure",
    );
    let kinds = Kind::EVERY.map(|kind| (kind.exit_code().to_string(), kind.meaning()));
    let signals = (
        "129 130 143".to_owned(),
        "ended by SIGHUP, SIGINT or SIGTERM: incomplete output was rolled back; `batch`, `follow=` and `serve` end what they have begun first",
    );
    let mut codes: Vec<(String, &str)> = std::iter::once(done).chain(kinds).collect();
    // Before 141.
    codes.insert(codes.len() - 1, signals);
    codes
}

fn table(rows: Vec<(String, &str)>) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, what) in rows {
        let blanks = " ".repeat(width - name.width());
        let indent = " ".repeat(width + 4);
        let what = textwrap::wrap(what, wrapping(COLUMNS - indent.len())).join(&format!("\n{indent}"));
        let _ = writeln!(text, "  {name}{blanks}  {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_fits_one_screen() {
        let text = short();
        // With the command line itself and the prompt behind it.
        assert!(text.lines().count() <= 22, "{text}");
        assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
    }

    #[test]
    fn short_help_names_every_command() {
        let text = short();
        let listed = text.lines().find_map(|line| line.strip_prefix("Commands"));
        let listed: Vec<&str> = listed.unwrap_or_default().split_whitespace().collect();
        for command in options::command().get_subcommands() {
            assert_eq!(listed.contains(&command.get_name()), !command.is_hide_set(), "{text}");
        }
    }

    #[test]
    fn details_fit_the_terminal_width() {
        let text = details();
        let wide: Vec<&str> = text.lines().filter(|line| line.width() > COLUMNS).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn every_kind_has_its_own_code() {
        let mut codes: Vec<u8> = Kind::EVERY.iter().map(|kind| kind.exit_code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), Kind::EVERY.len());
    }
}
