//! The stats object: one JSON object a line, as the contract has it.

use serde::Serialize;

use crate::engine::{LinkSample, Moment, Snapshot, StageSample};
use crate::stage::Hashed;

/// How a run ended, for the end object.
#[derive(Debug, Clone, Serialize)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// The one error, as standard error has it without the program's name.
    pub error: Option<String>,
}

/// The version of this format. A field may be added without a new one.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Stats<'a> {
    schema: u32,
    event: &'static str,
    elapsed_s: f64,
    rss_bytes: u64,
    rss_peak_bytes: u64,
    buffered_bytes: u64,
    buffered_peak_bytes: u64,
    pool_free_bytes: u64,
    state_bytes: u64,
    memory_limit_bytes: u64,
    expected_bytes: Option<u64>,
    paused: bool,
    bottleneck: Option<Bottleneck>,
    stages: Vec<Stage<'a>>,
    links: Vec<Link>,
    lane: &'static str,
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<&'a Exit>,
}

#[derive(Serialize)]
struct Bottleneck {
    stage: usize,
    name: &'static str,
}

#[derive(Serialize)]
struct Stage<'a> {
    index: usize,
    name: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    listening: &'a [String],
    bytes_in: u64,
    bytes_out: u64,
    busy: Option<f64>,
    idle: Option<f64>,
    backpressured: Option<f64>,
    waiting_outside: Option<f64>,
    throttling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_bytes_per_s: Option<u64>,
    ended: bool,
}

#[derive(Serialize)]
struct Link {
    from: usize,
    to: usize,
    buffered_bytes: u64,
    peak_bytes: u64,
    high_bytes: u64,
    low_bytes: u64,
    times_full: u64,
    times_empty: u64,
    drains: u64,
    longest_pause_s: f64,
    fill_bytes_per_s: f64,
    full_in_s: Option<f64>,
}

#[derive(Serialize)]
struct Hash<'a> {
    algo: &'static str,
    hex: Option<&'a str>,
    label: &'a str,
    bytes: u64,
}

impl<'a> Hash<'a> {
    fn of(hashed: &'a Hashed) -> Self {
        Self {
            algo: hashed.algo,
            hex: hashed.hex.as_deref(),
            label: &hashed.label,
            bytes: hashed.bytes,
        }
    }
}

/// One sample of a running chain, with its newline.
#[must_use]
pub fn sample(snapshot: &Snapshot) -> String {
    line(&stats(snapshot, None))
}

/// The end object, with its newline. A run that ended before its stages were started has no snapshot.
#[must_use]
pub fn end(snapshot: Option<&Snapshot>, exit: &Exit) -> String {
    match snapshot {
        Some(snapshot) => line(&stats(snapshot, Some(exit))),
        None => line(&Stats {
            schema: SCHEMA,
            event: "end",
            elapsed_s: 0.0,
            rss_bytes: 0,
            rss_peak_bytes: 0,
            buffered_bytes: 0,
            buffered_peak_bytes: 0,
            pool_free_bytes: 0,
            state_bytes: 0,
            memory_limit_bytes: 0,
            expected_bytes: None,
            paused: false,
            bottleneck: None,
            stages: Vec::new(),
            links: Vec::new(),
            lane: "linked",
            hashes: Vec::new(),
            exit: Some(exit),
        }),
    }
}

fn line(stats: &Stats<'_>) -> String {
    // A map of numbers and strings always has a JSON form.
    let mut text = serde_json::to_string(stats).unwrap_or_default();
    text.push('\n');
    text
}

fn stats<'a>(snapshot: &'a Snapshot, exit: Option<&'a Exit>) -> Stats<'a> {
    Stats {
        schema: SCHEMA,
        event: match snapshot.moment {
            Moment::Running => "sample",
            Moment::Ended => "end",
        },
        elapsed_s: rounded(snapshot.elapsed.as_secs_f64()),
        rss_bytes: snapshot.rss,
        rss_peak_bytes: snapshot.rss_peak,
        buffered_bytes: snapshot.buffered,
        buffered_peak_bytes: snapshot.buffered_peak,
        pool_free_bytes: snapshot.pool_free,
        state_bytes: snapshot.state,
        memory_limit_bytes: snapshot.limit,
        expected_bytes: snapshot.expected,
        paused: snapshot.paused,
        bottleneck: snapshot.bottleneck.map(|stage| Bottleneck {
            stage,
            name: snapshot.stages[stage].name,
        }),
        stages: snapshot
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| Stage::of(index, stage, snapshot.has_shares()))
            .collect(),
        links: snapshot
            .links
            .iter()
            .enumerate()
            .map(|(from, link)| Link::of(from, link))
            .collect(),
        lane: snapshot.lane,
        hashes: snapshot.hashes.iter().map(Hash::of).collect(),
        exit,
    }
}

impl<'a> Stage<'a> {
    /// Where one call reads and writes, nobody can tell the shares.
    fn of(index: usize, stage: &'a StageSample, has_shares: bool) -> Self {
        let share = |part| has_shares.then(|| rounded(part));
        Self {
            index,
            name: stage.name,
            text: &stage.text,
            listening: &stage.listening,
            bytes_in: stage.bytes_in,
            bytes_out: stage.bytes_out,
            busy: share(stage.share.busy),
            idle: share(stage.share.idle),
            backpressured: share(stage.share.backpressured),
            waiting_outside: share(stage.share.outside),
            throttling: share(stage.share.throttling),
            limit_bytes_per_s: stage.limit.map(|limit| limit.now),
            ended: stage.ended,
        }
    }
}

impl Link {
    fn of(from: usize, link: &LinkSample) -> Self {
        Self {
            from,
            to: from + 1,
            buffered_bytes: link.buffered,
            peak_bytes: link.peak,
            high_bytes: link.high,
            low_bytes: link.low,
            times_full: link.times_full,
            times_empty: link.times_empty,
            drains: link.drains,
            longest_pause_s: rounded(link.longest_pause.as_secs_f64()),
            fill_bytes_per_s: rounded(link.fill_rate),
            full_in_s: link.full_in.map(|time| rounded(time.as_secs_f64())),
        }
    }
}

/// To six digits behind the point: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
