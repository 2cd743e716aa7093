//! The table in BENCHMARKS.md.

use std::fmt::Write;

use crate::run::{Took, Verdict};
use crate::scenario::{Measured, Scenario};

/// Rows so far.
#[derive(Default)]
pub struct Table {
    rows: String,
    after: String,
}

fn cell(took: Took) -> String {
    format!("{:.1} MB, {:.2} s", took.peak, took.wall)
}

fn said(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Honours) => "honours",
        Some(Verdict::Buffers) => "buffers",
        Some(Verdict::None) => "no verdict",
        None => "–",
    }
}

impl Table {
    /// Adds a row.
    pub fn add(&mut self, scenario: &Scenario, measured: &Measured) {
        let [ours, good, broken] = measured.took.map(cell);
        let [right, wrong] = measured.verdicts.map(said);
        let _ = writeln!(
            self.rows,
            "| {} | {ours} | {good} | {broken} | {right}, {wrong} |",
            scenario.name
        );
    }

    /// Adds what is open after a failure.
    pub fn add_failures(&mut self, [pipe, pipeline]: &[String; 2]) {
        let _ = writeln!(
            self.after,
            "After a stage in the middle has failed, source and sink are still open: {pipe} with pipe(), {pipeline} with \
             pipeline()."
        );
    }

    /// All of it, as Markdown.
    pub fn text(&self) -> String {
        format!(
            "| pipeline | highwater | Node, as it should be | Node, as it often is | `check` of the two |\n\
             |---|---|---|---|---|\n{}\n{}",
            self.rows, self.after
        )
    }
}
