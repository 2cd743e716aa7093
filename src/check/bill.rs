//! What a check came to, on one screen: the verdict, the evidence, and what to change.

use unicode_width::UnicodeWidthStr;

use crate::grammar::human_size;
use crate::view::clock::clock;
use crate::view::live::{Line, Paint, Style, squeezed};

use super::Report;
use super::picture::{drawn, stretched};
use super::series::{Sample, quarters, second_half, slope};
use super::verdict::Finding;

/// The screen is no wider.
const COLUMNS: usize = 79;
/// Columns of a row's name, of each of its numbers, and of its curve.
const NAME: usize = 13;
const NUMBER: usize = 11;
const CURVE: usize = 18;
/// Lines of a program's complaint.
const MOST_COMPLAINTS: usize = 8;

/// The screen. A server's input is not known, so only its memory and what its clients got are shown.
#[must_use]
pub fn text(what: &str, report: &Report, is_server: bool, style: Style) -> String {
    let verdict = &report.verdict;
    let (sign, word, paint) = match verdict.finding {
        Finding::Honours => ("✓", "honours backpressure", Paint::Level),
        Finding::Buffers => ("✗", "buffers without bound", Paint::Busy),
        Finding::Unclear => ("?", "cannot tell", Paint::Strong),
    };
    let room = COLUMNS - 8 - word.len();
    let mut lines = vec![
        Line::default()
            .with(paint, format!("{sign} {word}"))
            .with(Paint::Faint, format!("  {}", squeezed(what, room))),
        Line::default(),
    ];
    lines.extend(wrapped("  ", &verdict.sentence, Paint::Plain));
    lines.push(Line::default());
    let table = table(&report.samples, is_server);
    if !table.is_empty() {
        lines.extend(table);
        lines.push(Line::default());
    }
    if !report.complaint.is_empty() {
        lines.push(Line::default().with(Paint::Faint, "  it said"));
        let said: Vec<&str> = report.complaint.lines().collect();
        for line in &said[said.len().saturating_sub(MOST_COMPLAINTS)..] {
            lines.push(
                Line::default()
                    .with(Paint::Plain, format!("    {line}"))
                    .cut_to(COLUMNS),
            );
        }
        lines.push(Line::default());
    }
    if !verdict.advice.is_empty() {
        lines.push(Line::default().with(Paint::Strong, "  What to change"));
        lines.extend(wrapped("  ", verdict.advice, Paint::Plain));
    }
    while lines.last() == Some(&Line::default()) {
        lines.pop();
    }
    lines.iter().map(|line| style.text(line) + "\n").collect()
}

fn table(samples: &[Sample], is_server: bool) -> Vec<Line> {
    let (Some(quarters), true) = (quarters(samples), samples.len() >= 4) else {
        return Vec::new();
    };
    if !is_server && quarters[3].accepted == 0 {
        return Vec::new();
    }
    let mut head = Line::default().up_to(NAME);
    for quarter in [25, 50, 75, 100] {
        head = head.with(Paint::Faint, right(&format!("{quarter} %"), NUMBER));
    }
    let time = quarters[3].elapsed;
    let mut lines = vec![head.with(Paint::Faint, format!("   of {}", clock(time)))];
    // One scale for all bytes of the stream, one for the memory.
    let top = quarters[3].accepted.max(quarters[3].returned);
    let row = |name: &str, value: fn(&Sample) -> u64, top: Option<u64>| {
        let mut line = Line::default().with(Paint::Faint, format!("  {name}")).up_to(NAME);
        for (at, sample) in quarters.iter().enumerate() {
            let paint = if at == 3 { Paint::Strong } else { Paint::Plain };
            line = line.with(paint, right(&human_size(value(sample)), NUMBER));
        }
        let values = stretched(samples, value, CURVE, 1.0);
        line.with(Paint::Plain, "   ").with(Paint::Level, drawn(&values, top))
    };
    if !is_server {
        lines.push(row("accepted", |sample| sample.accepted, Some(top)));
    }
    lines.push(row("returned", |sample| sample.returned, Some(top)));
    if !is_server {
        lines.push(row("backlog", Sample::backlog, Some(top)));
    }
    lines.push(row("rss", |sample| sample.rss, None));
    let late = second_half(samples);
    let mut slopes = Line::default()
        .with(Paint::Faint, "  rss slope")
        .up_to(NAME + 2)
        .with(Paint::Strong, per_second(slope(late, |sample| sample.rss)))
        .with(Paint::Plain, " in the second half");
    if !is_server {
        slopes = slopes
            .with(Paint::Plain, ", backlog ")
            .with(Paint::Strong, per_second(slope(late, Sample::backlog)));
    }
    lines.push(slopes);
    lines
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

/// Words in lines behind an indent.
fn wrapped(indent: &str, text: &str, paint: Paint) -> Vec<Line> {
    // A number and its unit stay together.
    let mut lines = Vec::new();
    let mut current = String::new();
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "s"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        match words.last_mut() {
            Some(last) if units.contains(&bare) => *last = format!("{last} {word}"),
            _ => words.push(word.to_owned()),
        }
    }
    for word in words {
        let gap = usize::from(!current.is_empty());
        if !current.is_empty() && indent.width() + current.width() + gap + word.width() > COLUMNS {
            lines.push(std::mem::take(&mut current));
        } else if gap > 0 {
            current.push(' ');
        }
        current.push_str(&word);
    }
    lines.push(current);
    lines
        .into_iter()
        .map(|line| Line::default().with(Paint::Plain, indent).with(paint, line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;
    use crate::view::live::Background;
    use snapbox::{assert_data_eq, str};
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn report(finding: Finding, accepted: u64) -> Report {
        let sample = |t| Sample {
            elapsed: Duration::from_millis(t * 100),
            rss: 40 * MIB + t * accepted,
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
            },
            samples: (1..=20).map(sample).collect(),
            complaint: String::new(),
        }
    }

    fn shown(report: &Report, is_server: bool) -> String {
        let style = Style {
            colour: false,
            background: Background::Unknown,
        };
        let text = text("node export.js", report, is_server, style);
        assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
        text
    }

    #[test]
    fn a_program_that_buffers() {
        assert_data_eq!(
            shown(&report(Finding::Buffers, MIB), false),
            str![[r#"
✗ buffers without bound  node export.js

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

                    25 %       50 %       75 %      100 %   of 2.00 s
  accepted      5.00 MiB   10.0 MiB   15.0 MiB   20.0 MiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  returned      31.3 KiB   62.5 KiB   93.8 KiB    125 KiB   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
  backlog       4.97 MiB   9.94 MiB   14.9 MiB   19.9 MiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  rss           45.0 MiB   50.0 MiB   55.0 MiB   60.0 MiB   ▃▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅
  rss slope    +10.0 MiB/s in the second half, backlog +9.94 MiB/s

  What to change
  Stop reading while the output is not taken, and then read on when it is taken
  again, and so on.

"#]]
        );
    }

    #[test]
    fn a_server() {
        assert_data_eq!(
            shown(&report(Finding::Unclear, 0), true),
            str![[r#"
? cannot tell  node export.js

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

                    25 %       50 %       75 %      100 %   of 2.00 s
  returned      31.3 KiB   62.5 KiB   93.8 KiB    125 KiB   ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇█
  rss           40.0 MiB   40.0 MiB   40.0 MiB   40.0 MiB   ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅
  rss slope    0 B/s in the second half

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
        report.complaint = "a very long line ".repeat(9) + "\nand another";
        assert_data_eq!(
            shown(&report, false),
            str![[r#"
? cannot tell  node export.js

  It took in 20.0 MiB and could give back only 125 KiB; its memory rose with
  the difference to 60.0 MiB.

  it said
    a very long line a very long line a very long line a very long line a very…
    and another

  What to change
  Stop reading while the output is not taken, and then read on when it is taken
  again, and so on.

"#]]
        );
    }
}
