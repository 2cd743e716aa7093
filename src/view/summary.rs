//! The summary of a run, on one screen.

use std::io;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::engine::Snapshot;
use crate::error::wrapping;
use crate::grammar::{human_count, human_size};
use crate::platform::terminal_size;

use super::clock::clock;
use super::excess::excess;
use super::live::{Line, Paint, Style, squeezed};
use super::plain::{human_rate, human_record_rate};
use super::sentence::{Sentence, blame, processors};

/// The largest width of the summary.
const COLUMNS: usize = 79;
/// Columns of a row's name, of its number, and of its rate.
const NAME: usize = 14;
const NUMBER: usize = 9;
const RATE: usize = 13;
/// Columns of a note behind a number, and behind a rate.
const BEHIND_NUMBER: usize = COLUMNS - 2 - NAME - NUMBER - 2;
const BEHIND_RATE: usize = BEHIND_NUMBER - RATE;
/// Columns of the stage that a branch begins with.
const BRANCH: usize = 16;
/// Columns before what continues a row.
const HANGING: usize = 4;

/// How wide the summary may be on standard error.
#[must_use]
pub fn columns() -> usize {
    terminal_size(io::stderr()).map_or(COLUMNS, |(columns, _)| usize::from(columns).saturating_sub(1))
}

/// The summary: bytes, time, memory, the longest pause and the bottleneck. For a failed run it shows what got through.
#[must_use]
pub fn text(snapshot: &Snapshot, is_complete: bool, style: Style, columns: usize) -> String {
    let source = snapshot.source();
    let rate = |bytes| human_rate(per_second(bytes, snapshot.run.elapsed)) + "/s";
    let mut rows = Vec::new();
    if !is_complete {
        rows.push(Line::default().with(Paint::Strong, "  not complete; this is what got through"));
    }
    let flow = |name, bytes, note: &str| row(name, human_size(bytes), &rate(bytes), note);
    // A row that is continued has more room for a name.
    let behind_rate = if columns < COLUMNS {
        columns.saturating_sub(HANGING)
    } else {
        BEHIND_RATE
    };
    let read = squeezed(&source.text, behind_rate);
    if snapshot.run.resumed > 0 {
        let resumed = human_size(snapshot.run.resumed);
        rows.push(row("before", resumed, "", "of the source, in an earlier run"));
    }
    rows.extend(snapshot.bytes_read().map(|bytes| flow("in", bytes, &read)));
    for sink in snapshot.graph.sinks().map(|sink| &snapshot.stages[sink]) {
        let ratio = percent(sink.bytes_out, source.bytes_in)
            .map_or_else(String::new, |percent| format!("  {percent} of the input"));
        let taken = if columns < COLUMNS { 0 } else { ratio.width() };
        let text = squeezed(&sink.text, behind_rate - taken);
        rows.push(flow("out", sink.bytes_out, &(text + &ratio)));
    }
    rows.extend(records(snapshot, behind_rate));
    let lane = match snapshot.lane {
        "linked" => String::new(),
        lane => format!("copied directly: {lane}"),
    };
    rows.push(row("time", clock(snapshot.run.elapsed), "", &lane));
    // The ceiling bounds both, but each peaks at a moment of its own, so their sum is unknown.
    let stages = match snapshot.run.state_peak {
        0 => String::new(),
        state => format!("+ stages {}, ", human_size(state)),
    };
    let ceiling = format!("{stages}of {}", human_size(snapshot.run.limit));
    let note = excess(snapshot.run.buffered_peak, snapshot.run.limit)
        .map_or_else(String::new, |times| format!("{times}, backpressure ignored"));
    rows.push(row(
        "peak buffers",
        human_size(snapshot.run.buffered_peak),
        &ceiling,
        &note,
    ));
    rows.push(row("peak rss", human_size(snapshot.run.rss_peak), "", ""));
    let paused = snapshot.links.iter().max_by_key(|(_, link)| link.levels.longest_pause);
    if let Some((edge, link)) = paused.filter(|(_, link)| link.levels.times_full > 0 && !snapshot.run.is_unbounded) {
        let times = match link.levels.times_full {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let edge = snapshot.graph.edge(edge);
        let towards = match snapshot.graph.outputs(edge.from) {
            [_] => String::new(),
            _ => format!(" to {}", squeezed(&snapshot.stages[edge.to].shown(), BRANCH)),
        };
        let mark = match (&link.levels.records, link.levels.nearer_in_records(true)) {
            (None, _) => "",
            (Some(_), Some(_)) => " by count",
            (Some(_), None) => " by bytes",
        };
        let full = format!("; its link{towards} was full{mark} {times}");
        let room = BEHIND_NUMBER.saturating_sub(full.width()).max(BRANCH / 2);
        let note = squeezed(&snapshot.stages[edge.from].shown(), room) + &full;
        rows.push(row("longest pause", clock(link.levels.longest_pause), "", &note));
    }
    if let Some(blame) = blame(snapshot) {
        let cores = snapshot.bottleneck.and_then(|node| snapshot.stages[node].cores());
        rows.push(row("bottleneck", String::new(), "", &culprit(&blame, cores)));
    }
    let columns = columns.min(COLUMNS);
    let lines = rows.into_iter().flat_map(|row| wrapped(row, columns));
    lines.map(|line| style.text(&line) + "\n").collect()
}

/// A row, continued on further lines if it is too long. A number and its unit stay together.
fn wrapped(row: Line, columns: usize) -> Vec<Line> {
    if row.columns() <= columns {
        return vec![row];
    }
    let mut first = Line::default();
    let mut pieces = row.pieces.into_iter().peekable();
    let room = |first: &Line, text: &str| first.columns() + text.width() <= columns;
    while let Some((paint, text)) = pieces.next_if(|(_, text)| room(&first, text)) {
        first = first.with(paint, text);
    }
    while first.pieces.last().is_some_and(|(_, text)| text.trim().is_empty()) {
        first.pieces.pop();
    }
    let paint = pieces.peek().map_or(Paint::Plain, |(paint, _)| *paint);
    let rest: String = pieces.map(|(_, text)| text).collect();
    let mut is_behind_digit = false;
    let bound = rest.trim().chars().map(|c| {
        let bound = if c == ' ' && is_behind_digit { '\u{a0}' } else { c };
        is_behind_digit = c.is_ascii_digit();
        bound
    });
    let bound: String = bound.collect();
    let begun = (first.columns() > 0).then_some(first);
    let indent = if begun.is_some() { HANGING } else { 2 };
    let parts = textwrap::wrap(&bound, wrapping(columns.saturating_sub(indent).max(1)));
    let parts = parts.iter().map(|part| {
        let text = squeezed(&part.replace('\u{a0}', " "), columns.saturating_sub(indent));
        Line::default().with(paint, " ".repeat(indent) + &text)
    });
    begun.into_iter().chain(parts).collect()
}

/// The records that each sink got, and those that stages took out.
fn records(snapshot: &Snapshot, behind_rate: usize) -> Vec<Line> {
    let sinks = snapshot.graph.sinks();
    let counted = sinks.filter_map(|sink| Some((sink, snapshot.last_with_records(sink)?.1)));
    let mut rows: Vec<Line> = counted
        .map(|(sink, count)| {
            let rate = human_record_rate(per_second(count, snapshot.run.elapsed)) + "/s";
            let text = squeezed(&snapshot.stages[sink].text, behind_rate);
            row("records", human_count(count), &rate, &text)
        })
        .collect();
    for stage in snapshot.stages.values() {
        let records = stage.records.unwrap_or_default();
        for (name, count) in [("rejected", records.rejected), ("dropped", records.dropped)] {
            if count > 0 {
                let text = squeezed(&stage.text, BEHIND_NUMBER);
                rows.push(row(name, human_count(count), "", &text));
            }
        }
    }
    rows
}

/// The bottleneck, its branch and what its program takes of the processors, with as much evidence as fits.
fn culprit(blame: &Sentence, cores: Option<f64>) -> String {
    let mut subject = match &blame.branch {
        Some(branch) => format!("{} in {branch}", blame.subject),
        None => blame.subject.clone(),
    };
    if let Some(cores) = cores {
        subject = format!("{subject}, using {}", processors(cores));
    }
    let whole = (0..=blame.evidence.len()).rev().find_map(|count| {
        let evidence = blame.evidence[..count].join(", ");
        let gap = if count > 0 { "; " } else { "" };
        let note = format!("{subject}{gap}{evidence}");
        (note.width() <= BEHIND_NUMBER).then_some(note)
    });
    whole.unwrap_or_else(|| squeezed(&subject, BEHIND_NUMBER))
}

/// A row: a name, a number, an optional rate, an optional note.
fn row(name: &str, number: String, rate: &str, note: &str) -> Line {
    let blanks = NUMBER.saturating_sub(number.chars().count());
    let line = Line::default()
        .with(Paint::Faint, format!("  {name}"))
        .up_to(2 + NAME + blanks)
        .with(Paint::Strong, number);
    if note.is_empty() {
        return line.with(Paint::Plain, format!("  {rate}"));
    }
    if rate.is_empty() {
        return line.with(Paint::Plain, format!("  {note}"));
    }
    let blanks = RATE.saturating_sub(rate.chars().count());
    line.with(Paint::Plain, format!("{}{rate}", " ".repeat(blanks)))
        .with(Paint::Plain, format!("  {note}"))
}

#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
fn per_second(bytes: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

/// The share of the input that was passed on, if it is not all of it.
#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0 && part != whole).then(|| format!("{:.1} %", part as f64 * 100.0 / whole as f64))
}

#[cfg(test)]
mod tests {
    use super::super::live::{Background, sample};
    use super::*;
    use crate::engine::{ChildSample, Moment};
    use crate::graph::Id;
    use snapbox::{assert_data_eq, str};

    const STYLE: Style = Style {
        colour: false,
        background: Background::Unknown,
    };

    fn ended(mut snapshot: Snapshot) -> Snapshot {
        snapshot.moment = Moment::Ended;
        snapshot
            .stages
            .values_mut()
            .iter_mut()
            .for_each(|stage| stage.ended = true);
        snapshot
    }

    #[test]
    fn a_bill() {
        assert_data_eq!(
            text(&ended(sample::throttled()), true, STYLE, 80),
            str![[r#"
  in             53.4 MiB   1.44 MiB/s  read big.iso
  out            34.5 MiB    953 KiB/s  write tcp…0.1:9000  64.7 % of the input
  time             37.1 s
  peak buffers   1.08 MiB  + stages 2.80 MiB, of 8.00 MiB
  peak rss       13.0 MiB
  longest pause    0.37 s  gzip; its link was full 139 times
  bottleneck               throttle 1MB/s; read backpressured 100 %, gzip 100 %

"#]]
        );
    }

    #[test]
    fn what_an_earlier_run_has_read_is_told() {
        let mut snapshot = ended(sample::throttled());
        snapshot.run.resumed = 128 << 20;
        let summary = text(&snapshot, true, STYLE, 80);
        let first = summary.lines().next().expect("a row");
        assert!(first.contains("before") && first.contains("128 MiB"), "{summary}");
    }

    #[test]
    fn a_failed_run_says_what_got_through() {
        let mut snapshot = ended(sample::throttled());
        snapshot.stages.values_mut()[3].text =
            "write /srv/archive/with/a/very/long/name/that/does/not/fit.iso.gz".to_owned();
        snapshot
            .links
            .values_mut()
            .iter_mut()
            .for_each(|link| link.levels.times_full = 1);
        assert_data_eq!(
            text(&snapshot, false, STYLE, 80),
            str![[r#"
  not complete; this is what got through
  in             53.4 MiB   1.44 MiB/s  read big.iso
  out            34.5 MiB    953 KiB/s  write /sr…t.iso.gz  64.7 % of the input
  time             37.1 s
  peak buffers   1.08 MiB  + stages 2.80 MiB, of 8.00 MiB
  peak rss       13.0 MiB
  longest pause    0.37 s  gzip; its link was full once
  bottleneck               throttle 1MB/s; read backpressured 100 %, gzip 100 %

"#]]
        );
    }

    #[test]
    fn narrow_terminal_continues_rows() {
        assert_data_eq!(
            text(&ended(sample::throttled()), false, STYLE, 39),
            str![[r#"
  not complete; this is what got
  through
  in             53.4 MiB   1.44 MiB/s
    read big.iso
  out            34.5 MiB    953 KiB/s
    write tcp://127.0.0.1:9000  64.7 %
    of the input
  time             37.1 s
  peak buffers   1.08 MiB
    + stages 2.80 MiB, of 8.00 MiB
  peak rss       13.0 MiB
  longest pause    0.37 s
    gzip; its link was full 139 times
  bottleneck
    throttle 1MB/s; read backpressured
    100 %, gzip 100 %

"#]]
        );
        for columns in 0..39 {
            let summary = text(&ended(sample::records()), false, STYLE, columns);
            let widest = summary.lines().map(UnicodeWidthStr::width).max();
            assert!(widest <= Some(columns.max(25)), "{columns}: {summary}");
        }
    }

    #[test]
    fn a_run_without_a_bound() {
        assert_data_eq!(
            text(&ended(sample::unbounded()), false, STYLE, 80),
            str![[r#"
  not complete; this is what got through
  in              146 MiB   23.5 MiB/s  read -
  out            11.8 MiB   1.91 MiB/s  write /dev/null  8.1 % of the input
  time             6.20 s
  peak buffers    134 MiB  of 8.00 MiB  17×, backpressure ignored
  peak rss        139 MiB
  bottleneck               throttle 2MB/s; 134 MiB held for it, 268× the mark

"#]]
        );
    }

    #[test]
    fn several_outputs() {
        assert_data_eq!(
            text(&ended(sample::branched()), true, STYLE, 80),
            str![[r#"
  in             34.0 MiB    938 KiB/s  read big.iso
  out            20.0 MiB    552 KiB/s  write a.gz  58.8 % of the input
  out            32.0 MiB    883 KiB/s  write slow.img  94.1 % of the input
  out            33.0 MiB    911 KiB/s  write copy.iso  97.1 % of the input
  time             37.1 s
  peak buffers   1.08 MiB  + stages 2.80 MiB, of 8.00 MiB
  peak rss       13.0 MiB
  longest pause    0.99 s  read big.iso; its link was full 32 times
  bottleneck               write slow.img in its branch of tee

"#]]
        );
    }

    #[test]
    fn records_and_their_mark_are_told() {
        assert_data_eq!(
            text(&ended(sample::records()), true, STYLE, 80),
            str![[r#"
  in             86.0 MiB   8.59 MiB/s  read run.jsonl
  out            20.0 MiB   2.00 MiB/s  write errors.jsonl  23.3 % of the input
  records            5000        499/s  write errors.jsonl
  rejected              3  from-json high-records=500
  time             10.0 s
  peak buffers   1.08 MiB  + stages 2.80 MiB, of 8.00 MiB
  peak rss       13.0 MiB
  longest pause    0.51 s  where l…= error; its link was full by count 12 times
  bottleneck               throttle 500records/s; read backpressured 99 %

"#]]
        );
    }

    #[test]
    fn processors_of_the_bottleneck_are_told() {
        let mut snapshot = ended(sample::throttled());
        snapshot.stages.values_mut()[2].children = vec![ChildSample {
            pid: 1,
            rss: 0,
            cpu: Duration::from_secs(73),
            cores: 1.97,
        }];
        let bill = text(&snapshot, true, STYLE, 80);
        assert_eq!(
            bill.lines().last().expect("a row"),
            "  bottleneck               throttle 1MB/s, using 2.0 cores"
        );
    }

    #[test]
    fn a_bottleneck_within_a_branch() {
        let mut snapshot = ended(sample::branched());
        snapshot.bottleneck = Some(Id::numbered(2));
        let bill = text(&snapshot, true, STYLE, 80);
        let row = bill.lines().last().expect("a row");
        assert_eq!(
            row.trim_start(),
            "bottleneck               gzip in the branch of tee to write a.gz"
        );
    }

    #[test]
    fn a_direct_lane() {
        assert_data_eq!(
            text(&ended(sample::direct()), true, STYLE, 80),
            str![[r#"
  in             2.00 GiB    871 MiB/s  read big.iso
  out            2.00 GiB    871 MiB/s  write copy.iso
  time             2.35 s  copied directly: copy_file_range
  peak buffers        0 B  of 8.00 MiB
  peak rss       13.0 MiB

"#]]
        );
    }
}
