//! A check as JSON lines: what is checked, each sample, and the verdict.

use crate::grammar::human_size;
use crate::view::json::{Exit, line};
use crate::view::record::{CheckEnd, CheckSample, Event, Header};

use super::Report;
use super::series::Sample;

/// The first line: what is checked.
#[must_use]
pub fn check(text: &str) -> String {
    line(&Header::now("check", text))
}

/// One sample. What a server has taken cannot be known, and is null.
#[must_use]
pub fn sample(sample: &Sample, is_server: bool) -> String {
    let known = |bytes| (!is_server).then_some(bytes);
    line(&Event {
        event: "check-sample",
        object: CheckSample {
            elapsed_s: seconds(sample),
            rss_bytes: sample.rss,
            memory_bytes: sample.memory,
            disk_bytes: sample.disk,
            accepted_bytes: known(sample.accepted),
            returned_bytes: sample.returned,
            backlog_bytes: known(sample.backlog()),
        },
    })
}

/// The last line: the verdict.
#[must_use]
pub fn end(report: &Report) -> String {
    let verdict = &report.verdict;
    let last = report.samples.last().copied().unwrap_or_default();
    line(&Event {
        event: "check-end",
        object: CheckEnd {
            elapsed_s: seconds(&last),
            verdict: verdict.finding.word().into(),
            sentence: verdict.sentence.as_str().into(),
            advice: verdict.advice.into(),
            memory_peak_bytes: report.peak.map_or(0, |peak| peak.memory),
            disk_bytes: last.disk,
            largest: report.holder.clone(),
            error_line: report.error_line.as_deref().map(Into::into),
            exit: Exit {
                code: verdict.finding.exit_code(),
                error: None,
            },
        },
    })
}

/// The last line of a check that a signal ended, without a verdict.
#[must_use]
pub fn interrupted(signal: i32, last: &Sample) -> String {
    line(&Event {
        event: "check-end",
        object: CheckEnd {
            elapsed_s: seconds(last),
            verdict: "interrupted".into(),
            sentence: interrupted_sentence(last).into(),
            advice: "".into(),
            memory_peak_bytes: last.memory,
            disk_bytes: last.disk,
            largest: None,
            error_line: None,
            exit: Exit {
                code: u8::try_from(128 + signal).unwrap_or(u8::MAX),
                error: None,
            },
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

/// To a millisecond: more is noise.
fn seconds(sample: &Sample) -> f64 {
    (sample.elapsed.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Certainty, Finding, Verdict};
    use super::*;
    use crate::view::record::Process;
    use snapbox::{assert_data_eq, str};
    use std::time::Duration;

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
            holder: Some(Process {
                pid: 4711,
                name: "node".into(),
            }),
            error_line: Some("no memory".to_owned()),
        };
        let text = [
            sample(&one, false),
            sample(&one, true),
            end(&report),
            interrupted(2, &one),
        ];
        assert_data_eq!(
            text.concat(),
            str![[r#"
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"memory_bytes":4,"disk_bytes":3,"accepted_bytes":100,"returned_bytes":60,"backlog_bytes":10}
{"event":"check-sample","elapsed_s":1.234,"rss_bytes":5,"memory_bytes":4,"disk_bytes":3,"accepted_bytes":null,"returned_bytes":60,"backlog_bytes":null}
{"event":"check-end","elapsed_s":1.234,"verdict":"buffers","sentence":"It took in much.","advice":"Wait.","memory_peak_bytes":4,"disk_bytes":3,"largest":{"pid":4711,"name":"node"},"error_line":"no memory","exit":{"code":1,"error":null}}
{"event":"check-end","elapsed_s":1.234,"verdict":"interrupted","sentence":"Interrupted after 1.2 s without a verdict: 100 B accepted, 60 B returned, 4 B of memory.","advice":"","memory_peak_bytes":4,"disk_bytes":3,"largest":null,"error_line":null,"exit":{"code":130,"error":null}}

"#]]
        );
    }
}
