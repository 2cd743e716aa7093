//! What `?` shows: what the columns and lines of the picture mean, with what they say now.

use crate::engine::Share;
use crate::view::live::{KeyLine, Line, Meaning, Paint, usable};

use super::entry::Outcome;
use super::look::Sight;
use super::picture::{Columns, PARTS};

/// What is on the screen, a sign or word at a time.
pub fn explanation(sight: &Sight, keys: &KeyLine, columns: &Columns) -> Vec<Line> {
    let mut all = Vec::new();
    if !sight.rows.is_empty() {
        all.extend(cells(columns));
        all.extend(sources(sight));
    }
    all.extend(totals(sight));
    all.extend(usable(keys));
    all.iter().flat_map(|meaning| meaning.lines(columns.whole)).collect()
}

/// The cells of a row.
fn cells(columns: &Columns) -> Vec<Meaning> {
    let mut all = vec![Meaning::new(
        Paint::Faint,
        "client, route",
        "a row is one request's run: who has asked, and for which path",
    )];
    if columns.has_size {
        let text = "what the client has taken; what waits for it in the kernel is not counted";
        all.push(Meaning::new(Paint::Plain, "moved", text));
    }
    all.push(Meaning::new(
        Paint::Plain,
        "rate",
        "the same a second, over the last 5 s",
    ));
    if columns.link > 0 {
        let text = "what waits for the client in the run's last link; the bar's end is its high-water mark";
        all.push(Meaning::new(Paint::Level, "link ━━━", text));
    }
    if columns.has_age {
        all.push(Meaning::new(Paint::Faint, "age", "since the request came"));
    }
    all
}

/// The parts of a source's time, and how many sources mostly spend it so.
fn sources(sight: &Sight) -> impl Iterator<Item = Meaning> {
    let words = [
        ("busy", "works, or waits for its disk or its server"),
        ("idle", "waits for what the client sends"),
        ("backpressured", "waits, because the client takes less than it gives"),
    ];
    let shares = sight.rows.iter().filter_map(|row| row.share.as_ref());
    let mostly: Vec<usize> = shares.map(mostly).collect();
    PARTS
        .into_iter()
        .zip(words)
        .enumerate()
        .map(move |(part, ((paint, glyph), (word, text)))| {
            let count = mostly.iter().filter(|most| **most == part).count();
            let text = format!("the run's source {text}: {count} of {}", mostly.len());
            Meaning::new(paint, format!("{glyph} {word}"), text)
        })
}

/// The place in [`PARTS`] of what a source does most.
pub fn mostly(share: &Share) -> usize {
    let parts = [share.busy, share.idle, share.backpressured];
    let most = parts
        .iter()
        .enumerate()
        .max_by(|(_, one), (_, other)| one.total_cmp(other));
    most.map_or(0, |(part, _)| part)
}

/// The lines below the rows.
fn totals(sight: &Sight) -> Vec<Meaning> {
    let mut all = vec![
        Meaning::new(
            Paint::Level,
            "memory",
            "what links and stages of all runs hold, against --memory; each run has a share of it",
        ),
        Meaning::new(Paint::Plain, "rss", "the memory of the whole program"),
        Meaning::new(
            Paint::Plain,
            "runs",
            format!(
                "now, of {} at once (--clients); other requests wait in line",
                sight.clients
            ),
        ),
    ];
    let ended = Outcome::EVERY
        .into_iter()
        .zip(sight.ended)
        .filter(|(_, count)| *count > 0);
    let ended: Vec<String> = ended
        .map(|(outcome, _)| format!("{}: {}", outcome.name(), told(outcome)))
        .collect();
    if !ended.is_empty() {
        all.push(Meaning::new(Paint::Plain, "so far", ended.join("; ")));
    }
    all
}

/// How such a request ended.
fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "the client has all of it",
        Outcome::Failed => "the run failed before its response began",
        Outcome::Cut => "it failed later, so the connection was cut",
        Outcome::Left => "the client went away",
        Outcome::Refused => "it had no run",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::twenty_clients;
    use super::*;

    #[test]
    fn explanation_counts_what_sources_do() {
        let said: Vec<String> = sources(&twenty_clients())
            .map(|meaning| format!("{meaning:?}"))
            .collect();
        let counts = ["8 of 20", "0 of 20", "12 of 20"];
        assert!(
            said.iter().zip(counts).all(|(said, count)| said.contains(count)),
            "{said:#?}"
        );
    }
}
