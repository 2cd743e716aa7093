//! The contents of a report in their order, independent of its format.

use super::chart::Picture;
use super::charts::{chain, check, memory, rates};
use super::moments::{self, Moment};
use super::recording::{Body, Check, Recording, Run};
use super::scale::seconds;
use super::series::window;
use super::summary::{self, CHECK_COLUMNS, RUN_COLUMNS, Summary};
use super::verdict;

/// A whole report.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Every recording, in the order in which they were named.
    pub entries: Vec<Entry>,
    pub tables: Vec<Table>,
    pub sections: Vec<Section>,
}

/// One recording in the list of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file's name.
    pub name: String,
    /// The pipeline or the command.
    pub text: String,
    /// When it was recorded, and by which version.
    pub origin: String,
    pub sentences: Vec<String>,
}

/// Numbers of recordings of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub columns: [&'static str; 8],
    /// Each with the number of its recording.
    pub rows: Vec<(usize, [String; 8])>,
}

/// A heading, a picture and its explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub heading: String,
    /// The one run that it shows, if there are several in the report.
    pub run: Option<usize>,
    pub note: String,
    /// Whether the picture shows shares, whose colours need a key.
    pub has_shares: bool,
    pub picture: Picture,
    /// What the numbers in the picture stand for.
    pub moments: Vec<Moment>,
}

/// What a picture of a chain shows.
const FLOW: &str = "From top to bottom as the bytes flow. What stands before the bottleneck is backpressured, its links \
                    are full; what stands behind it is idle.";
/// The same for a direct path, which has little to show.
const DIRECT: &str = "No link was needed: one system call reads and writes, so the times of the two stages are not \
                      known separately.";

/// Composes a report.
pub fn of(recordings: &[Recording]) -> Document {
    let summaries: Vec<Summary> = recordings.iter().map(summary::of).collect();
    let entries = recordings.iter().zip(&summaries).map(|(recording, summary)| Entry {
        name: recording.name.clone(),
        text: recording.header.text.clone().into_owned(),
        origin: format!("{} · highwater {}", recording.header.started, recording.header.version),
        sentences: summary.sentences.clone(),
    });
    let runs: Vec<(usize, &Run)> = recordings
        .iter()
        .enumerate()
        .filter_map(|(number, recording)| match &recording.body {
            Body::Run(run) => Some((number, run)),
            Body::Check(_) => None,
        })
        .collect();
    let checks: Vec<(usize, &Check)> = recordings
        .iter()
        .enumerate()
        .filter_map(|(number, recording)| match &recording.body {
            Body::Check(check) => Some((number, check)),
            Body::Run(_) => None,
        })
        .collect();
    let table = |columns, numbers: Vec<usize>| {
        let rows: Vec<(usize, [String; 8])> = numbers
            .into_iter()
            .map(|number| (number, summaries[number].cells.clone()))
            .collect();
        (!rows.is_empty()).then_some(Table { columns, rows })
    };
    let tables = [
        table(RUN_COLUMNS, runs.iter().map(|(number, _)| *number).collect()),
        table(CHECK_COLUMNS, checks.iter().map(|(number, _)| *number).collect()),
    ];
    let is_alone = recordings.len() == 1;
    let mut sections = of_runs(&runs, is_alone);
    sections.extend(of_checks(&checks, is_alone));
    Document {
        entries: entries.collect(),
        tables: tables.into_iter().flatten().collect(),
        sections,
    }
}

fn of_runs(runs: &[(usize, &Run)], is_alone: bool) -> Vec<Section> {
    // A run that ended before its stages were started has nothing to draw.
    let runs: Vec<(usize, &Run)> = runs
        .iter()
        .filter(|(_, run)| !run.last.stages.is_empty())
        .copied()
        .collect();
    if runs.is_empty() {
        return Vec::new();
    }
    let of_one: Vec<Moment> = match runs.as_slice() {
        [(_, run)] => moments::of(run),
        _ => Vec::new(),
    };
    let chain = |(number, run): &(usize, &Run)| {
        let moments = moments::of(run);
        let has_shares = verdict::shares(run, 0).is_some();
        Section {
            heading: "The chain over time".to_owned(),
            run: (!is_alone).then_some(*number),
            note: if has_shares { FLOW } else { DIRECT }.to_owned(),
            has_shares,
            picture: chain::picture(run, &moments),
            moments,
        }
    };
    let longest = runs.iter().map(|(_, run)| run.duration()).fold(0.0, f64::max);
    let memory = Section {
        heading: "Memory against the ceiling".to_owned(),
        run: None,
        note: "Held: buffers and codec state, which the ceiling bounds. RSS: all resident memory, with the program itself \
               on top."
            .to_owned(),
        has_shares: false,
        picture: memory::picture(&runs, &of_one),
        moments: Vec::new(),
    };
    let rates = Section {
        heading: "Rates".to_owned(),
        run: None,
        note: format!(
            "Bytes in at the source, dashed, and out at the sinks together, each averaged over the last {}.",
            seconds(window(longest))
        ),
        has_shares: false,
        picture: rates::picture(&runs, &of_one),
        moments: Vec::new(),
    };
    std::iter::once(memory)
        .chain(runs.iter().map(chain))
        .chain([rates])
        .collect()
}

fn of_checks(checks: &[(usize, &Check)], is_alone: bool) -> Vec<Section> {
    let checks: Vec<(usize, &Check)> = checks
        .iter()
        .filter(|(_, check)| !check.samples.is_empty())
        .copied()
        .collect();
    if checks.is_empty() {
        return Vec::new();
    }
    let section = |heading: &str, run, note: &str, picture| Section {
        heading: heading.to_owned(),
        run,
        note: note.to_owned(),
        has_shares: false,
        picture,
        moments: Vec::new(),
    };
    let bytes = checks.iter().map(|(number, check)| {
        section(
            "Accepted and returned",
            (!is_alone).then_some(*number),
            "A program that honours backpressure stops accepting when its output is not read: its backlog levels off.",
            check::bytes(check),
        )
    });
    let memory = section(
        "Memory of the program",
        None,
        "Private and shared memory of all its processes, and their files in memory.",
        check::memory(&checks),
    );
    bytes.chain([memory]).collect()
}
