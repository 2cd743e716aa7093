//! The stats object: one JSON object a line, as the contract has it. Its types are also what a recording is read with.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::engine::{LinkSample, Moment, Snapshot, StageSample};
use crate::graph::{Edge, Graph, Id};
use crate::stage::Hashed;

/// How a run ended, for the end object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// The one error, as standard error has it without the program's name.
    pub error: Option<String>,
}

/// The version of this format. A field may be added without a new one.
pub const SCHEMA: u32 = 1;

/// The whole object. Sizes in bytes, times in seconds, shares 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats<'a> {
    /// The version of the format.
    pub schema: u32,
    /// `sample` or `end`.
    pub event: Cow<'a, str>,
    /// Since the stages were started.
    pub elapsed_s: f64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// The most that was ever resident.
    pub rss_peak_bytes: u64,
    /// Buffers that chunks pin.
    pub buffered_bytes: u64,
    /// The most that was ever pinned.
    pub buffered_peak_bytes: u64,
    /// Buffers that wait for reuse.
    #[serde(default)]
    pub pool_free_bytes: u64,
    /// What stages hold besides.
    pub state_bytes: u64,
    /// The ceiling over the chain.
    pub memory_limit_bytes: u64,
    /// Whether the marks are only advice, so that links may hold more than the ceiling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbounded: bool,
    /// What the source is expected to give.
    pub expected_bytes: Option<u64>,
    /// Whether the sink is paused.
    #[serde(default)]
    pub paused: bool,
    /// The stage that everything waits for.
    pub bottleneck: Option<Bottleneck<'a>>,
    /// In the order of the chain.
    pub stages: Vec<Stage<'a>>,
    /// In the order of the chain.
    pub links: Vec<Link>,
    /// `linked`, or the direct lane's name.
    pub lane: Cow<'a, str>,
    /// The sums that were said so far.
    #[serde(default)]
    pub hashes: Vec<Hash<'a>>,
    /// In the end object only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Cow<'a, Exit>>,
}

impl Stats<'_> {
    /// How the stages hang together. Without links they are in a row.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let links: Vec<(usize, usize)> = self.links.iter().map(|link| (link.from, link.to)).collect();
        Graph::joined(self.stages.len(), &links).unwrap_or_else(|| Graph::chain(self.stages.len().max(1)))
    }
}

/// The stage that everything waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck<'a> {
    /// Its index.
    pub stage: usize,
    /// Its name in the catalog.
    pub name: Cow<'a, str>,
}

/// One stage. Where one call reads and writes, its shares are not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage<'a> {
    /// Its place in the chain, from 0.
    pub index: usize,
    /// Its name in the catalog.
    pub name: Cow<'a, str>,
    /// Its call, normalised.
    pub text: Cow<'a, str>,
    /// The addresses that it listens on.
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    pub listening: Cow<'a, [String]>,
    /// Since the start.
    pub bytes_in: u64,
    /// Since the start.
    pub bytes_out: u64,
    /// Neither of the next two.
    pub busy: Option<f64>,
    /// Waiting for the input link, or ended.
    pub idle: Option<f64>,
    /// Waiting for room in the output link.
    pub backpressured: Option<f64>,
    /// Busy waiting for a disk, a peer or a terminal.
    pub waiting_outside: Option<f64>,
    /// Busy waiting for a throttle's tokens.
    pub throttling: Option<f64>,
    /// The rate that it keeps now, if it keeps one.
    #[serde(default)]
    pub limit_bytes_per_s: Option<u64>,
    /// What waits in the kernel in a source's or a sink's pipe or socket.
    #[serde(default)]
    pub kernel_queue_bytes: Option<u64>,
    /// How much can wait there.
    #[serde(default)]
    pub kernel_queue_capacity_bytes: Option<u64>,
    /// Whether it has nothing left to do.
    pub ended: bool,
}

/// One link: its level and its marks, and what it has gone through since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The index of the stage that fills it.
    pub from: usize,
    /// The index of the stage that empties it.
    pub to: usize,
    /// The level.
    pub buffered_bytes: u64,
    /// The highest level.
    pub peak_bytes: u64,
    /// The mark at which its producer pauses.
    pub high_bytes: u64,
    /// The mark at which a paused producer resumes.
    pub low_bytes: u64,
    /// How often it became full.
    pub times_full: u64,
    /// How often it became empty.
    pub times_empty: u64,
    /// How often it fell from full to its low mark.
    pub drains: u64,
    /// The longest time for which its producer was paused.
    pub longest_pause_s: f64,
    /// How fast the level rises; negative where it falls.
    #[serde(default)]
    pub fill_bytes_per_s: f64,
    /// When it would be full if that went on.
    pub full_in_s: Option<f64>,
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash<'a> {
    /// The algorithm.
    pub algo: Cow<'a, str>,
    /// The sum; none where the reader ended early.
    pub hex: Option<Cow<'a, str>>,
    /// Whose sum it is.
    pub label: Cow<'a, str>,
    /// Bytes that were summed.
    pub bytes: u64,
}

impl<'a> Hash<'a> {
    fn of(hashed: &'a Hashed) -> Self {
        Self {
            algo: hashed.algo.into(),
            hex: hashed.hex.as_deref().map(Cow::Borrowed),
            label: Cow::Borrowed(&hashed.label),
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
            event: "end".into(),
            elapsed_s: 0.0,
            rss_bytes: 0,
            rss_peak_bytes: 0,
            buffered_bytes: 0,
            buffered_peak_bytes: 0,
            pool_free_bytes: 0,
            state_bytes: 0,
            memory_limit_bytes: 0,
            unbounded: false,
            expected_bytes: None,
            paused: false,
            bottleneck: None,
            stages: Vec::new(),
            links: Vec::new(),
            lane: "linked".into(),
            hashes: Vec::new(),
            exit: Some(Cow::Borrowed(exit)),
        }),
    }
}

/// An object as a line.
pub(super) fn line(object: &impl Serialize) -> String {
    // A map of numbers and strings always has a JSON form.
    let mut text = serde_json::to_string(object).unwrap_or_default();
    text.push('\n');
    text
}

fn stats<'a>(snapshot: &'a Snapshot, exit: Option<&'a Exit>) -> Stats<'a> {
    Stats {
        schema: SCHEMA,
        event: match snapshot.moment {
            Moment::Running => "sample".into(),
            Moment::Ended => "end".into(),
        },
        elapsed_s: rounded(snapshot.elapsed.as_secs_f64()),
        rss_bytes: snapshot.rss,
        rss_peak_bytes: snapshot.rss_peak,
        buffered_bytes: snapshot.buffered,
        buffered_peak_bytes: snapshot.buffered_peak,
        pool_free_bytes: snapshot.pool_free,
        state_bytes: snapshot.state,
        memory_limit_bytes: snapshot.limit,
        unbounded: snapshot.is_unbounded,
        expected_bytes: snapshot.expected,
        paused: snapshot.paused,
        bottleneck: snapshot.bottleneck.map(|node| Bottleneck {
            stage: node.number(),
            name: snapshot.stages[node].name.into(),
        }),
        stages: snapshot
            .stages
            .iter()
            .map(|(node, stage)| Stage::of(node.number(), stage, snapshot.has_shares()))
            .collect(),
        links: snapshot
            .links
            .iter()
            .map(|(edge, link)| Link::of(snapshot.graph.edge(edge), link))
            .collect(),
        lane: snapshot.lane.into(),
        hashes: snapshot.hashes.iter().map(Hash::of).collect(),
        exit: exit.map(Cow::Borrowed),
    }
}

impl<'a> Stage<'a> {
    /// Where one call reads and writes, nobody can tell the shares.
    fn of(index: usize, stage: &'a StageSample, has_shares: bool) -> Self {
        let share = |part| has_shares.then(|| rounded(part));
        Self {
            index,
            name: stage.name.into(),
            text: Cow::Borrowed(&stage.text),
            listening: Cow::Borrowed(&stage.listening),
            bytes_in: stage.bytes_in,
            bytes_out: stage.bytes_out,
            busy: share(stage.share.busy),
            idle: share(stage.share.idle),
            backpressured: share(stage.share.backpressured),
            waiting_outside: share(stage.share.outside),
            throttling: share(stage.share.throttling),
            limit_bytes_per_s: stage.limit.map(|limit| limit.now),
            kernel_queue_bytes: stage.kernel_queue.map(|queue| queue.bytes),
            kernel_queue_capacity_bytes: stage.kernel_queue.and_then(|queue| queue.capacity),
            ended: stage.ended,
        }
    }
}

impl Link {
    fn of(edge: Edge, link: &LinkSample) -> Self {
        Self {
            from: edge.from.number(),
            to: edge.to.number(),
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
