//! The summary of each run: one row of a table, and what there is to say in whole sentences.

use crate::engine::Moment;
use crate::grammar::human_size;
use crate::view::plain::human_rate;

use super::recording::{Body, Check, Recording, Run};
use super::scale::{float, seconds};
use super::verdict;

/// The columns of a table about runs, and of one about checks.
pub const RUN_COLUMNS: [&str; 8] = [
    "in",
    "out",
    "time",
    "rate out",
    "peak RSS",
    "peak held",
    "ceiling",
    "exit",
];
pub const CHECK_COLUMNS: [&str; 8] = [
    "accepted",
    "returned",
    "backlog",
    "time",
    "peak memory",
    "memory at end",
    "verdict",
    "exit",
];

/// A recording in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its values, in the order of the columns.
    pub cells: [String; 8],
    /// What it came to, the most important first.
    pub sentences: Vec<String>,
}

/// The summary of a recording.
pub fn of(recording: &Recording) -> Summary {
    match &recording.body {
        Body::Run(run) => of_run(run),
        Body::Check(check) => of_check(check),
    }
}

fn of_run(run: &Run) -> Summary {
    let last = &run.last;
    let bytes = |get: fn(&super::recording::Point) -> u64| run.points.last().map_or(0, get);
    let out = bytes(|point| point.bytes_out);
    let time = run.duration();
    let rate = if time > 0.0 { float(out) / time } else { 0.0 };
    let exit = match last.exit.as_deref() {
        Some(exit) => exit.code.to_string(),
        None => "killed".to_owned(),
    };
    let mut sentences = Vec::new();
    match last.exit.as_deref() {
        Some(exit) if exit.code != 0 => {
            let error = exit.error.as_deref().unwrap_or("ended by a signal");
            sentences.push(format!("It failed with exit code {}: {error}.", exit.code));
        }
        None => sentences.push(
            "The recording stops without an end: the program was killed, or the recording's disk was full.".to_owned(),
        ),
        Some(_) => {}
    }
    let is_whole = last.exit.as_deref().is_some_and(|exit| exit.code == 0);
    if let Some(percent) = last.run.percent(Moment::Ended).filter(|_| !is_whole) {
        sentences.push(format!("{percent} % of what was expected had reached the sinks."));
    }
    if last.stages.is_empty() {
        sentences.push("It ended before its stages were started.".to_owned());
    } else {
        let direct = format!("No stage waited in between: {} copied it directly", last.lane);
        let blame = verdict::blame(run).map(|blame| format!("The bottleneck is {blame}"));
        let blame = blame.or_else(|| (last.lane != "linked").then_some(direct));
        sentences.extend(blame.map(|blame| blame + "."));
        sentences.push(verdict::memory(run));
    }
    Summary {
        cells: [
            human_size(bytes(|point| point.bytes_in)),
            human_size(out),
            seconds(time),
            format!("{}/s", human_rate(rate)),
            human_size(verdict::rss_peak(run)),
            human_size(verdict::held_peak(run)),
            human_size(last.run.limit),
            exit,
        ],
        sentences,
    }
}

fn of_check(check: &Check) -> Summary {
    let last = check.samples.last();
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), human_size);
    let peak = check.samples.iter().map(|sample| sample.memory_bytes).max();
    let time = check
        .end
        .as_ref()
        .map(|end| end.elapsed_s)
        .or(last.map(|last| last.elapsed_s));
    let (verdict, exit, sentence) = match &check.end {
        Some(end) => {
            let error = end.exit.error.as_ref().map(|error| format!(" {error}."));
            let sentence = format!("{}{}", end.sentence, error.unwrap_or_default());
            (end.verdict.to_string(), end.exit.code.to_string(), sentence)
        }
        None => (
            "–".to_owned(),
            "killed".to_owned(),
            "The recording stops without a verdict: the check was killed, or the recording's disk was full.".to_owned(),
        ),
    };
    Summary {
        cells: [
            size(last.and_then(|last| last.accepted_bytes)),
            size(last.map(|last| last.returned_bytes)),
            size(last.and_then(|last| last.backlog_bytes)),
            seconds(time.unwrap_or(0.0)),
            size(peak),
            size(last.map(|last| last.memory_bytes)),
            verdict,
            exit,
        ],
        sentences: vec![sentence],
    }
}
