//! The result of a check for people: the verdict, a table of the evidence, and what to change.

use unicode_width::UnicodeWidthStr;

use crate::error::wrapping;
use crate::grammar::human_size;
use crate::view::clock::clock;
use crate::view::live::{Line, Paint, Style, squeezed};

use super::Report;
use super::picture::{drawn, stretched};
use super::series::{Sample, quarters, second_half, slope};
use super::verdict::{Finding, NOISE, transforms};

/// The widest result.
const COLUMNS: usize = 79;
/// Columns of a row's name, of each of its numbers, and of its curve.
const NAME: usize = 13;
const NUMBER: usize = 11;
const CURVE: usize = 18;
/// The least columns for the name beside the finding.
const TITLE: usize = 24;

/// The result, at most `columns` wide. The input of a server is not known, so it is not shown.
#[must_use]
pub fn text(what: &str, report: &Report, is_server: bool, style: Style, columns: usize) -> String {
    let columns = columns.min(COLUMNS);
    let verdict = &report.verdict;
    let (sign, word, paint) = match verdict.finding {
        Finding::Honours => ("✓", "honours backpressure".to_owned(), Paint::Level),
        // A bound above that would not have been seen.
        Finding::Buffers => {
            let word = format!("buffers, no bound seen up to {}", human_size(verdict.seen));
            ("✗", word, Paint::Busy)
        }
        Finding::Unclear => ("?", "cannot tell".to_owned(), Paint::Strong),
    };
    let finding = Line::default().with(paint, format!("{sign} {word}"));
    let room = columns.saturating_sub(finding.columns() + 2);
    let mut lines = if room >= TITLE.min(what.width()) {
        vec![finding.with(Paint::Faint, format!("  {}", title(what, room)))]
    } else {
        let name = title(what, columns.saturating_sub(2));
        vec![finding, Line::default().with(Paint::Faint, format!("  {name}"))]
    };
    lines.push(Line::default());
    lines.extend(wrapped("  ", &verdict.sentence, Paint::Plain, columns));
    lines.push(Line::default());
    let table = table(report, is_server, columns);
    if !table.is_empty() {
        lines.extend(table);
        lines.push(Line::default());
    }
    if let Some(error_line) = &report.error_line {
        lines.push(Line::default().with(Paint::Faint, "  it said"));
        lines.extend(wrapped("    ", error_line, Paint::Plain, columns));
        lines.push(Line::default());
    }
    if !verdict.advice.is_empty() {
        lines.push(Line::default().with(Paint::Strong, "  What to change"));
        lines.extend(wrapped("  ", verdict.advice, Paint::Plain, columns));
    }
    while lines.last() == Some(&Line::default()) {
        lines.pop();
    }
    lines.iter().map(|line| style.text(line) + "\n").collect()
}

/// A command or a URL in `columns`. A program's path is cut before its name.
#[must_use]
pub fn title(what: &str, columns: usize) -> String {
    let (program, rest) = what.split_at(what.find(' ').unwrap_or(what.len()));
    match program.rsplit_once('/') {
        Some((_, name)) if what.width() > columns && !program.contains("://") => {
            squeezed(&format!("…/{name}{rest}"), columns)
        }
        _ => squeezed(what, columns),
    }
}

fn table(report: &Report, is_server: bool, columns: usize) -> Vec<Line> {
    let samples = report.samples.as_slice();
    let (Some(quarters), true) = (quarters(samples), samples.len() >= 4) else {
        return Vec::new();
    };
    if !is_server && quarters[3].accepted == 0 {
        return Vec::new();
    }
    // A narrow table shows the middle and the end.
    let shown: &[usize] = if columns < NAME + 4 * NUMBER {
        &[1, 3]
    } else {
        &[0, 1, 2, 3]
    };
    let has_curve = columns >= COLUMNS;
    let mut head = Line::default().up_to(NAME);
    for at in shown {
        head = head.with(Paint::Faint, right(&format!("{} %", 25 * (at + 1)), NUMBER));
    }
    if has_curve {
        head = head.with(Paint::Faint, format!("   of {}", clock(quarters[3].elapsed)));
    }
    let mut lines = vec![head];
    // One scale for all bytes of the stream, one for the memory.
    let top = quarters[3].accepted.max(quarters[3].returned);
    let row = |name: &str, value: fn(&Sample) -> u64, top: Option<u64>| {
        let mut line = Line::default().with(Paint::Faint, format!("  {name}")).up_to(NAME);
        for at in shown {
            let paint = if *at == 3 { Paint::Strong } else { Paint::Plain };
            line = line.with(paint, right(&human_size(value(&quarters[*at])), NUMBER));
        }
        if !has_curve {
            return line;
        }
        let values = stretched(samples, value, CURVE, 1.0);
        line.with(Paint::Plain, "   ").with(Paint::Level, drawn(&values, top))
    };
    if !is_server {
        lines.push(row("accepted", |sample| sample.accepted, Some(top)));
    }
    lines.push(row("returned", |sample| sample.returned, Some(top)));
    // Where the difference between input and output is not kept, it is no backlog.
    let base = samples
        .iter()
        .find(|sample| sample.accepted > 0)
        .map_or(0, |first| first.memory);
    let room = report.peak.map_or(0, |peak| peak.memory.saturating_sub(base));
    let is_smaller = report.verdict.finding == Finding::Honours && transforms(quarters[3].backlog(), room);
    let has_backlog = !is_server && !is_smaller;
    if has_backlog {
        lines.push(row("backlog", Sample::backlog, Some(top)));
    }
    lines.push(row("memory", |sample| sample.memory, None));
    if is_server || quarters[3].disk >= NOISE {
        lines.push(row("disk", |sample| sample.disk, None));
    }
    if let Some(peak) = report.peak {
        let holder = report.holder.as_ref();
        let holder = holder.map(|holder| format!(", most of it in {} ({})", holder.name, holder.pid));
        let text = format!(
            "{} after {}{}",
            human_size(peak.memory),
            clock(peak.elapsed),
            holder.unwrap_or_default()
        );
        lines.extend(fact("peak memory", &text, columns));
    }
    let late = second_half(samples);
    let mut rising = format!("{} in the second half", per_second(slope(late, |sample| sample.memory)));
    if has_backlog {
        rising += ", backlog by ";
        rising += &per_second(slope(late, Sample::backlog));
    }
    lines.extend(fact("rising by", &rising, columns));
    lines
}

/// A row of a name and a text.
fn fact(name: &str, text: &str, columns: usize) -> Vec<Line> {
    let texts = wrap(text, columns.saturating_sub(NAME + 2)).into_iter().enumerate();
    let lines = texts.map(|(at, text)| {
        let line = match at {
            0 => Line::default().with(Paint::Faint, format!("  {name}")),
            _ => Line::default(),
        };
        line.up_to(NAME + 2).with(Paint::Plain, text)
    });
    lines.collect()
}

/// `+71.0 MiB/s`, `-4.00 KiB/s`, `0 B/s`
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its sign is shown apart, and it is below 2^53"
)]
fn per_second(slope: f64) -> String {
    let size = human_size(slope.abs().round() as u64);
    match slope.round() {
        0.0 => "0 B/s".to_owned(),
        slope if slope > 0.0 => format!("+{size}/s"),
        _ => format!("-{size}/s"),
    }
}

fn right(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(text.width())) + text
}

/// Indented lines of a text.
fn wrapped(indent: &str, text: &str, paint: Paint, columns: usize) -> Vec<Line> {
    let lines = wrap(text, columns.saturating_sub(indent.width())).into_iter();
    lines
        .map(|line| Line::default().with(Paint::Plain, indent).with(paint, line))
        .collect()
}

/// Lines of so many columns. A number and its unit stay together.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "s"];
    const NO_BREAK: &str = "\u{a0}";
    let mut joined = String::new();
    for word in text.split(' ') {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        joined += if UNITS.contains(&bare) { NO_BREAK } else { " " };
        joined += word;
    }
    let lines = textwrap::wrap(joined.trim_start(), wrapping(columns)).into_iter();
    lines.map(|line| line.replace(NO_BREAK, " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Certainty, Verdict};
    use super::*;
    use crate::view::live::Background;
    use crate::view::record::Process;
    use snapbox::{assert_data_eq, str};
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn report(finding: Finding, accepted: u64) -> Report {
        let sample = |t| Sample {
            elapsed: Duration::from_millis(t * 100),
            memory: 40 * MIB + t * accepted,
            accepted: t * accepted,
            returned: t * 6400,
            ..Sample::default()
        };
        Report {
            verdict: Verdict {
                finding,
                sentence: "It took in 20.0 MiB and could give back only 125 KiB; its memory rose with the difference to 60.0 MiB."
                    .to_owned(),
                advice: "Stop reading while the output is not taken, and then read on when it is taken again, and so on.",
                certainty: Certainty::Enough,
                seen: 60 * MIB,
            },
            samples: (1..=20).map(sample).collect(),
            peak: Some(sample(20)),
            holder: Some(Process {
                pid: 4711,
                name: "node".into(),
            }),
            error_line: None,
        }
    }

    fn shown(report: &Report, is_server: bool) -> String {
        shown_in(report, is_server, 200)
    }

    fn shown_in(report: &Report, is_server: bool, columns: usize) -> String {
        let style = Style {
            colour: false,
            background: Background::Unknown,
        };
        let text = text("node export.js --all of/them", report, is_server, style, columns);
        assert!(text.lines().all(|line| line.width() <= columns.min(COLUMNS)), "{text}");
        text
    }

    #[test]
    fn a_program_that_buffers() {
        assert_data_eq!(
            shown(&report(Finding::Buffers, MIB), false),
            str![[r#"
✗ buffers, no bound seen up to 60.0 MiB  node export.js --all of/them

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

                    25 %       50 %       75 %      100 %   of 2.00 s
  accepted      5.00 MiB   10.0 MiB   15.0 MiB   20.0 MiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  returned      31.3 KiB   62.5 KiB   93.8 KiB    125 KiB   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
  backlog       4.97 MiB   9.94 MiB   14.9 MiB   19.9 MiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  memory        45.0 MiB   50.0 MiB   55.0 MiB   60.0 MiB   ▃▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅
  peak memory  60.0 MiB after 2.00 s, most of it in node (4711)
  rising by    +10.0 MiB/s in the second half, backlog by +9.94 MiB/s

  What to change
  Stop reading while the output is not taken, and then read on when it is taken
  again, and so on.

"#]]
        );
    }

    #[test]
    fn a_narrow_terminal() {
        assert_data_eq!(
            shown_in(&report(Finding::Buffers, MIB), false, 39),
            str![[r#"
✗ buffers, no bound seen up to 60.0 MiB
  node export.js --all of/them

  It took in 20.0 MiB and could give
  back only 125 KiB; its memory rose
  with the difference to 60.0 MiB.

                    50 %      100 %
  accepted      10.0 MiB   20.0 MiB
  returned      62.5 KiB    125 KiB
  backlog       9.94 MiB   19.9 MiB
  memory        50.0 MiB   60.0 MiB
  peak memory  60.0 MiB after 2.00 s,
               most of it in node
               (4711)
  rising by    +10.0 MiB/s in the
               second half, backlog by
               +9.94 MiB/s

  What to change
  Stop reading while the output is not
  taken, and then read on when it is
  taken again, and so on.

"#]]
        );
        for columns in 39..90 {
            shown_in(&report(Finding::Buffers, MIB), false, columns);
        }
    }

    #[test]
    fn a_server() {
        assert_data_eq!(
            shown(&report(Finding::Unclear, 0), true),
            str![[r#"
? cannot tell  node export.js --all of/them

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

                    25 %       50 %       75 %      100 %   of 2.00 s
  returned      31.3 KiB   62.5 KiB   93.8 KiB    125 KiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  memory        40.0 MiB   40.0 MiB   40.0 MiB   40.0 MiB   ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅
  disk               0 B        0 B        0 B        0 B   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
  peak memory  40.0 MiB after 2.00 s, most of it in node (4711)
  rising by    0 B/s in the second half

  What to change
  Stop reading while the output is not taken, and then read on when it is taken
  again, and so on.

"#]]
        );
    }

    #[test]
    fn a_program_that_ended_at_once_and_what_it_said() {
        let mut report = report(Finding::Unclear, 0);
        report.samples.truncate(1);
        report.error_line = Some("a very long line ".repeat(9));
        assert_data_eq!(
            shown(&report, false),
            str![[r#"
? cannot tell  node export.js --all of/them

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

  it said
    a very long line a very long line a very long line a very long line a very
    long line a very long line a very long line a very long line a very long
    line

  What to change
  Stop reading while the output is not taken, and then read on when it is taken
  again, and so on.

"#]]
        );
    }

    #[test]
    fn a_program_keeps_its_name_when_its_path_is_long() {
        let what = "/nix/store/a0b1c2d3e4f5-nodejs-20.11.1/bin/node export.js --all";
        assert_eq!(title(what, 80), what);
        assert_eq!(title(what, 30), "…/node export.js --all");
        assert_eq!(title(what, 12), "…/node…--all");
        assert_eq!(title("http://localhost:3000/a/long/export", 20), "http://loc…ng/export");
    }

    #[test]
    fn what_comes_out_smaller_has_no_backlog() {
        let mut report = report(Finding::Honours, MIB);
        for sample in &mut report.samples {
            sample.memory = 40 * MIB;
        }
        report.peak = report.samples.last().copied();
        let text = shown(&report, false);
        assert!(!text.contains("backlog") && text.contains("accepted"), "{text}");
    }
}
