//! What is true beside what was said.

use std::fmt;

use super::Said;
use super::case::Truth;

/// The head of the table.
pub const HEAD: &str = "| checked | is | said | s | accepted | returned | peak memory | disk | why |\n\
                        |---|---|---|---:|---:|---:|---:|---:|---|";

/// One command or server.
pub struct Row {
    name: &'static str,
    truth: Truth,
    said: Said,
}

impl Row {
    pub fn new(name: &'static str, truth: Truth, said: Said) -> Self {
        Self { name, truth, said }
    }

    pub fn is_right(&self) -> bool {
        self.said.verdict == self.truth.word()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, truth, said } = self;
        let mark = if self.is_right() { "" } else { " **wrong**" };
        let accepted = said.accepted.map_or_else(|| "–".to_owned(), mebibytes);
        write!(
            f,
            "| {name} | {} | {}{mark} | {:.1} | {accepted} | {} | {} | {} | {} |",
            truth.word(),
            said.verdict,
            said.seconds,
            mebibytes(said.returned),
            mebibytes(said.memory),
            mebibytes(said.disk),
            said.sentence
        )
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
