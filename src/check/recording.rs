//! A check as JSON lines: what is checked, each sample, and the verdict.

use std::time::SystemTime;

use serde::Serialize;

use super::INTERVAL;
use super::series::Sample;
use super::verdict::Verdict;

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
    exit: Exit,
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
        accepted_bytes: known(sample.accepted),
        returned_bytes: sample.returned,
        backlog_bytes: known(sample.backlog()),
    })
}

/// The last line: the verdict.
#[must_use]
pub fn end(verdict: &Verdict, last: Option<&Sample>) -> String {
    line(&CheckEnd {
        event: "check-end",
        elapsed_s: rounded(last.map_or(0.0, |last| last.elapsed.as_secs_f64())),
        verdict: verdict.finding.word(),
        sentence: &verdict.sentence,
        advice: verdict.advice,
        exit: Exit {
            code: verdict.finding.exit_code(),
            error: None,
        },
    })
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
    use super::*;
    use snapbox::{assert_data_eq, str};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_lines_of_a_recording() {
        let one = Sample {
            elapsed: Duration::from_millis(1234),
            rss: 5,
            accepted: 100,
            returned: 60,
            waiting: 30,
            ..Sample::default()
        };
        let verdict = Verdict {
            finding: super::super::verdict::Finding::Buffers,
            sentence: "It took in much.".to_owned(),
            advice: "Wait.",
        };
        let text = [
            check("node copy.js", UNIX_EPOCH + Duration::from_secs(1_795_255_200)),
            sample(&one, false),
            sample(&one, true),
            end(&verdict, Some(&one)),
        ];
        assert_data_eq!(
            text.concat(),
            str![[r#"
{"schema":1,"event":"check","text":"node copy.js","started":"2026-11-21T10:00:00Z","version":"0.1.0","interval_s":0.1}
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"accepted_bytes":100,"returned_bytes":60,"backlog_bytes":10}
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"accepted_bytes":null,"returned_bytes":60,"backlog_bytes":null}
{"event":"check-end","elapsed_s":1.234,"verdict":"buffers","sentence":"It took in much.","advice":"Wait.","exit":{"code":1,"error":null}}

"#]]
        );
    }
}
