//! A check as JSON lines: what is checked, each sample, and the verdict.

use std::time::SystemTime;

use serde::Serialize;

use crate::grammar::human_size;

use super::series::Sample;
use super::{INTERVAL, Report};

/// The version of this format. A field may be added without a new one.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Check<'a> {
    schema: u32,
    event: &'static str,
    text: &'a str,
    started: String,
    version: &'static str,
    interval_s: f64,
}

#[derive(Serialize)]
struct CheckSample {
    event: &'static str,
    elapsed_s: f64,
    rss_bytes: u64,
    memory_bytes: u64,
    disk_bytes: u64,
    accepted_bytes: Option<u64>,
    returned_bytes: u64,
    backlog_bytes: Option<u64>,
}

#[derive(Serialize)]
struct CheckEnd<'a> {
    event: &'static str,
    elapsed_s: f64,
    verdict: &'static str,
    sentence: &'a str,
    advice: &'a str,
    memory_peak_bytes: u64,
    disk_bytes: u64,
    largest: Option<Largest<'a>>,
    complaint: Option<&'a str>,
    exit: Exit,
}

#[derive(Serialize)]
struct Largest<'a> {
    pid: i32,
    name: &'a str,
}

#[derive(Serialize)]
struct Exit {
    code: u8,
    error: Option<String>,
}

/// The first line: what is checked.
#[must_use]
pub fn check(text: &str, started: SystemTime) -> String {
    line(&Check {
        schema: SCHEMA,
        event: "check",
        text,
        started: humantime::format_rfc3339_seconds(started).to_string(),
        version: env!("CARGO_PKG_VERSION"),
        interval_s: INTERVAL,
    })
}

/// One sample. What a server has taken cannot be known, and is null.
#[must_use]
pub fn sample(sample: &Sample, is_server: bool) -> String {
    let known = |bytes| (!is_server).then_some(bytes);
    line(&CheckSample {
        event: "check-sample",
        elapsed_s: rounded(sample.elapsed.as_secs_f64()),
        rss_bytes: sample.rss,
        memory_bytes: sample.memory,
        disk_bytes: sample.disk,
        accepted_bytes: known(sample.accepted),
        returned_bytes: sample.returned,
        backlog_bytes: known(sample.backlog()),
    })
}

/// The last line: the verdict.
#[must_use]
pub fn end(report: &Report) -> String {
    let verdict = &report.verdict;
    let last = report.samples.last();
    line(&CheckEnd {
        event: "check-end",
        elapsed_s: rounded(last.map_or(0.0, |last| last.elapsed.as_secs_f64())),
        verdict: verdict.finding.word(),
        sentence: &verdict.sentence,
        advice: verdict.advice,
        memory_peak_bytes: report.peak.map_or(0, |peak| peak.memory),
        disk_bytes: last.map_or(0, |last| last.disk),
        largest: report.holder.as_ref().map(|holder| Largest {
            pid: holder.pid,
            name: &holder.name,
        }),
        complaint: report.complaint.as_deref(),
        exit: Exit {
            code: verdict.finding.exit_code(),
            error: None,
        },
    })
}

/// The last line of a check that a signal ended: what was seen until then, and no verdict.
#[must_use]
pub fn interrupted(signal: i32, last: Option<&Sample>) -> String {
    let last = last.copied().unwrap_or_default();
    line(&CheckEnd {
        event: "check-end",
        elapsed_s: rounded(last.elapsed.as_secs_f64()),
        verdict: "interrupted",
        sentence: &interrupted_sentence(&last),
        advice: "",
        memory_peak_bytes: last.memory,
        disk_bytes: last.disk,
        largest: None,
        complaint: None,
        exit: Exit {
            code: u8::try_from(128 + signal).unwrap_or(u8::MAX),
            error: None,
        },
    })
}

/// What was seen until a signal came.
#[must_use]
pub fn interrupted_sentence(last: &Sample) -> String {
    format!(
        "Interrupted after {:.1} s without a verdict: {} accepted, {} returned, {} of memory.",
        last.elapsed.as_secs_f64(),
        human_size(last.accepted),
        human_size(last.returned),
        human_size(last.memory)
    )
}

fn line(object: &impl Serialize) -> String {
    // A map of numbers and strings always has a JSON form.
    let mut text = serde_json::to_string(object).unwrap_or_default();
    text.push('\n');
    text
}

/// To a millisecond: more is noise.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::Holder;
    use super::super::verdict::{Certainty, Finding, Verdict};
    use super::*;
    use snapbox::{assert_data_eq, str};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_lines_of_a_recording() {
        let one = Sample {
            elapsed: Duration::from_millis(1234),
            rss: 5,
            memory: 4,
            disk: 3,
            accepted: 100,
            returned: 60,
            waiting: 30,
            ..Sample::default()
        };
        let report = Report {
            verdict: Verdict {
                finding: Finding::Buffers,
                sentence: "It took in much.".to_owned(),
                advice: "Wait.",
                certainty: Certainty::Enough,
                seen: 4,
            },
            samples: vec![one],
            peak: Some(one),
            holder: Some(Holder {
                pid: 4711,
                name: "node".to_owned(),
            }),
            complaint: Some("no memory".to_owned()),
        };
        let text = [
            check("node copy.js", UNIX_EPOCH + Duration::from_secs(1_795_255_200)),
            sample(&one, false),
            sample(&one, true),
            end(&report),
            interrupted(2, Some(&one)),
        ];
        assert_data_eq!(
            text.concat(),
            str![[r#"
{"schema":1,"event":"check","text":"node copy.js","started":"2026-11-21T10:00:00Z","version":"0.1.0","interval_s":0.1}
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"memory_bytes":4,"disk_bytes":3,"accepted_bytes":100,"returned_bytes":60,"backlog_bytes":10}
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"memory_bytes":4,"disk_bytes":3,"accepted_bytes":null,"returned_bytes":60,"backlog_bytes":null}
{"event":"check-end","elapsed_s":1.234,"verdict":"buffers","sentence":"It took in much.","advice":"Wait.","memory_peak_bytes":4,"disk_bytes":3,"largest":{"pid":4711,"name":"node"},"complaint":"no memory","exit":{"code":1,"error":null}}
{"event":"check-end","elapsed_s":1.234,"verdict":"interrupted","sentence":"Interrupted after 1.2 s without a verdict: 100 B accepted, 60 B returned, 4 B of memory.","advice":"","memory_peak_bytes":4,"disk_bytes":3,"largest":null,"complaint":null,"exit":{"code":130,"error":null}}

"#]]
        );
    }
}
