//! What is printed, and kept in a file beside the data.

use std::fmt::Write as _;
use std::path::Path;

/// Whether a goal was reached.
#[derive(Debug)]
pub enum Verdict {
    Reached,
    Missed,
    /// It could not be told.
    Unknown(String),
    /// There is no such goal.
    None,
}

impl From<bool> for Verdict {
    fn from(is_reached: bool) -> Self {
        if is_reached { Self::Reached } else { Self::Missed }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Reached => f.write_str("reached"),
            Self::Missed => f.write_str("**missed**"),
            Self::Unknown(why) => write!(f, "not measured: {why}"),
            Self::None => f.write_str("–"),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    rows: String,
    notes: Vec<String>,
}

impl Report {
    /// Prints it, and keeps it.
    pub fn table(&mut self, table: &str) {
        println!("{table}");
        self.text.push_str(table);
        self.text.push('\n');
    }

    /// One line of the summary: what was measured against what must be and what is aimed at.
    pub fn row(&mut self, work: &str, figure: &str, must: &(&str, Verdict), aim: &(&str, Verdict)) {
        let _ = writeln!(
            self.rows,
            "| {} | {figure} | {} | {} | {} | {} |",
            work.replace('|', "\\|"),
            must.0,
            must.1,
            aim.0,
            aim.1
        );
    }

    /// Something that the reader of the tables has to know.
    pub fn note(&mut self, note: String) {
        eprintln!("{note}");
        self.notes.push(note);
    }

    /// What is being done, for who waits.
    #[expect(clippy::unused_self, reason = "the report is who speaks")]
    pub fn progress(&self, what: &str) {
        eprintln!("… {what}");
    }

    /// Prints the summary; everything goes to `file`.
    pub fn end(mut self, file: &Path) -> std::io::Result<()> {
        let head = "| work | measured: median (min–max) | must | | aim | |\n|---|---|---|---|---|---|\n";
        let mut summary = format!("## Against the table\n\n{head}{}\n", self.rows);
        for note in &self.notes {
            let _ = writeln!(summary, "- {note}");
        }
        self.table(&summary);
        std::fs::write(file, &self.text)?;
        eprintln!("kept in {}", file.display());
        Ok(())
    }
}
