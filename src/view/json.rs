//! The stats object: one JSON object a line. Its types are also used to read recordings.
//!
//! The numbers and their keys are in [`RunSample`], [`StageSample`] and [`LinkSample`]; this adds the structure of the
//! graph.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use crate::engine::{Fate, LinkSample, Moment, RunSample, Snapshot, StageSample};
use crate::graph::{Graph, Id, NodeId};
use crate::stage::Hashed;

/// How a run ended, for the end object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// The one error, as on standard error without the program's name.
    pub error: Option<String>,
}

/// The version of this format. Adding a field does not change it.
pub const SCHEMA: u32 = 1;

/// The whole object. Sizes in bytes, times in seconds, shares 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats<'a> {
    /// The version of the format.
    pub schema: u32,
    /// `sample` or `end`.
    pub event: Cow<'a, str>,
    /// The numbers of the whole run.
    #[serde(flatten)]
    pub run: RunSample,
    /// The bottleneck.
    pub bottleneck: Option<Bottleneck<'a>>,
    /// In the order of their indices.
    pub stages: Vec<Stage<'a>>,
    /// In the order of the stages that empty them.
    pub links: Vec<Link>,
    /// `linked`, or the name of the direct path's method.
    pub lane: Cow<'a, str>,
    /// The checksums so far.
    #[serde(default)]
    pub hashes: Cow<'a, [Hashed]>,
    /// The state of each output, in the end object of a run that has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output<'a>>,
    /// In the end object only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Cow<'a, Exit>>,
}

/// The bottleneck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck<'a> {
    /// Its index.
    pub stage: usize,
    /// Its name in the catalog.
    pub name: Cow<'a, str>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage<'a> {
    /// Its index in the list, from 0.
    pub index: usize,
    /// Its numbers.
    #[serde(flatten)]
    pub sample: Cow<'a, StageSample>,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The index of the stage that fills it.
    pub from: usize,
    /// The index of the stage that empties it.
    pub to: usize,
    /// Its numbers.
    #[serde(flatten)]
    pub sample: LinkSample,
}

/// The state of the output of one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output<'a> {
    /// The sink's index.
    pub stage: usize,
    /// Its name in the catalog.
    pub name: Cow<'a, str>,
    /// Whether it is complete, and durable if the sink promises that.
    pub committed: bool,
}

impl Stats<'_> {
    /// The object of a run whose stages were never started.
    fn nothing() -> Self {
        Self {
            schema: SCHEMA,
            event: "end".into(),
            lane: "linked".into(),
            ..Self::default()
        }
    }

    /// How the stages are joined. Without links they are in a row.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let links: Vec<(usize, usize)> = self.links.iter().map(|link| (link.from, link.to)).collect();
        Graph::joined(self.stages.len(), &links).unwrap_or_else(|| Graph::chain(self.stages.len().max(1)))
    }
}

/// One sample of a running pipeline, with its newline.
#[must_use]
pub fn sample(snapshot: &Snapshot) -> String {
    line(&stats(snapshot))
}

/// The end object, with its newline. A run that ended before its stages were started has no snapshot and no `outputs`.
#[must_use]
pub fn end(snapshot: Option<&Snapshot>, outputs: &[(NodeId, Fate)], exit: &Exit) -> String {
    let mut stats = snapshot.map_or_else(Stats::nothing, stats);
    stats.outputs = snapshot.map_or_else(Vec::new, |snapshot| fates(snapshot, outputs));
    if exit.code == 0 {
        // An output that was smaller than expected is complete, too.
        stats.run.progress = stats.run.progress.map(|_| 1.0);
    }
    stats.exit = Some(Cow::Borrowed(exit));
    line(&stats)
}

/// An object as a line.
pub(crate) fn line(object: &impl Serialize) -> String {
    let mut line = Vec::new();
    // Serialising numbers and strings to memory cannot fail.
    let _ = object.serialize(&mut Serializer::with_formatter(&mut line, SixDigits));
    line.push(b'\n');
    String::from_utf8(line).unwrap_or_default()
}

/// Writes six decimals: more are noise.
struct SixDigits;

impl Formatter for SixDigits {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        CompactFormatter.write_f64(writer, (number * 1e6).round() / 1e6)
    }
}

fn stats(snapshot: &Snapshot) -> Stats<'_> {
    let stages = snapshot.stages.iter().map(|(node, stage)| Stage {
        index: node.number(),
        sample: Cow::Borrowed(stage),
    });
    let links = snapshot.links.iter().map(|(edge, link)| {
        let edge = snapshot.graph.edge(edge);
        Link {
            from: edge.from.number(),
            to: edge.to.number(),
            sample: *link,
        }
    });
    Stats {
        schema: SCHEMA,
        event: match snapshot.moment {
            Moment::Running => "sample".into(),
            Moment::Ended => "end".into(),
        },
        run: snapshot.run,
        bottleneck: snapshot.bottleneck.map(|node| Bottleneck {
            stage: node.number(),
            name: Cow::Borrowed(&snapshot.stages[node].name),
        }),
        stages: stages.collect(),
        links: links.collect(),
        lane: snapshot.lane.into(),
        hashes: Cow::Borrowed(&snapshot.hashes),
        ..Stats::default()
    }
}

/// The state of several outputs; for a single one the exit code is enough.
fn fates<'a>(snapshot: &'a Snapshot, outputs: &[(NodeId, Fate)]) -> Vec<Output<'a>> {
    if snapshot.graph.sinks().count() < 2 {
        return Vec::new();
    }
    let output = |(node, fate): &(NodeId, Fate)| Output {
        stage: node.number(),
        name: Cow::Borrowed(&snapshot.stages[*node].name),
        committed: *fate == Fate::Committed,
    };
    outputs.iter().map(output).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use snapbox::{IntoData, assert_data_eq, str};

    use super::*;
    use crate::engine::RateLimit;
    use crate::graph::Port;
    use crate::view::live::sample::{direct, throttled};

    /// A run with every optional value.
    fn full() -> Snapshot {
        let mut snapshot = throttled();
        snapshot.moment = Moment::Ended;
        snapshot.run.elapsed = Duration::new(37, 16_123_456);
        snapshot.run.is_unbounded = true;
        let stages = snapshot.stages.values_mut();
        stages[2].limit = Some(RateLimit {
            now: 1_250_000,
            initial: 1_000_000,
        });
        stages[3].listening = vec!["tcp://127.0.0.1:9000".to_owned()];
        (stages[3].kernel_queue, stages[3].kernel_queue_capacity) = (Some(7), Some(70));
        let links = snapshot.links.values_mut();
        (links[0].fill_rate, links[1].fill_rate) = (-1.234_567_89, 2e7 / 3.0);
        links[1].full_in = Some(Duration::new(1, 500_000_400));
        snapshot.hashes = vec![Hashed {
            algo: "crc32c".into(),
            hex: None,
            label: "a\"b".to_owned(),
            bytes: 9,
        }];
        snapshot
    }

    #[test]
    fn a_chain_is_written_byte_for_byte() {
        let exit = Exit {
            code: 4,
            error: Some("no".to_owned()),
        };
        let lines = [end(Some(&full()), &[], &exit), sample(&direct()), end(None, &[], &exit)];
        // One object on a line, for readability.
        let shown = lines.concat().replace('{', "\n{");
        assert_data_eq!(shown, str![[r#"

{"schema":1,"event":"end","elapsed_s":37.016123,"rss_bytes":13615104,"rss_peak_bytes":13623296,"buffered_bytes":1048576,"buffered_peak_bytes":1130496,"pool_free_bytes":81920,"state_bytes":2933600,"memory_limit_bytes":8388608,"unbounded":true,"expected_bytes":73400320,"progress":0.747049,"remaining_s":12.259517,"paused":false,"bottleneck":
{"stage":2,"name":"throttle"},"stages":[
{"index":0,"name":"read","text":"read big.iso","bytes_in":55967744,"bytes_out":55967744,"busy":0.0002,"idle":0.0,"backpressured":0.9998,"waiting_outside":0.0,"throttling":0.0,"limit_bytes_per_s":null,"kernel_queue_bytes":null,"kernel_queue_capacity_bytes":null,"ended":false},
{"index":1,"name":"gzip","text":"gzip","bytes_in":55574528,"bytes_out":36700160,"busy":0.0005,"idle":0.0,"backpressured":0.9995,"waiting_outside":0.0,"throttling":0.0,"limit_bytes_per_s":null,"kernel_queue_bytes":null,"kernel_queue_capacity_bytes":null,"ended":false},
{"index":2,"name":"throttle","text":"throttle 1MB/s","bytes_in":36306944,"bytes_out":36210872,"busy":1.0,"idle":0.0,"backpressured":0.0,"waiting_outside":0.0,"throttling":1.0,"limit_bytes_per_s":1250000,"kernel_queue_bytes":null,"kernel_queue_capacity_bytes":null,"ended":false},
{"index":3,"name":"write","text":"write tcp://127.0.0.1:9000","listening":["tcp://127.0.0.1:9000"],"bytes_in":36210872,"bytes_out":36210872,"busy":0.0086,"idle":0.9914,"backpressured":0.0,"waiting_outside":0.0,"throttling":0.0,"limit_bytes_per_s":null,"kernel_queue_bytes":7,"kernel_queue_capacity_bytes":70,"ended":false}],"links":[
{"from":0,"to":1,"buffered_bytes":524288,"peak_bytes":524288,"high_bytes":524288,"low_bytes":262144,"times_full":144,"times_empty":0,"drains":144,"longest_pause_s":0.367,"fill_bytes_per_s":-1.234568,"full_in_s":null},
{"from":1,"to":2,"buffered_bytes":524288,"peak_bytes":524288,"high_bytes":524288,"low_bytes":262144,"times_full":139,"times_empty":0,"drains":139,"longest_pause_s":0.367,"fill_bytes_per_s":6666666.666667,"full_in_s":1.5},
{"from":2,"to":3,"buffered_bytes":0,"peak_bytes":122880,"high_bytes":524288,"low_bytes":262144,"times_full":0,"times_empty":6962,"drains":0,"longest_pause_s":0.0,"fill_bytes_per_s":0.0,"full_in_s":null}],"lane":"linked","hashes":[
{"algo":"crc32c","hex":null,"label":"a\"b","bytes":9}],"exit":
{"code":4,"error":"no"}}

{"schema":1,"event":"sample","elapsed_s":2.351,"rss_bytes":13615104,"rss_peak_bytes":13623296,"buffered_bytes":0,"buffered_peak_bytes":0,"pool_free_bytes":81920,"state_bytes":0,"memory_limit_bytes":8388608,"expected_bytes":4294967296,"progress":0.5,"remaining_s":2.354023,"paused":false,"bottleneck":
{"stage":0,"name":"read"},"stages":[
{"index":0,"name":"read","text":"read big.iso","bytes_in":2147483648,"bytes_out":2147483648,"busy":null,"idle":null,"backpressured":null,"waiting_outside":null,"throttling":null,"limit_bytes_per_s":null,"kernel_queue_bytes":null,"kernel_queue_capacity_bytes":null,"ended":false},
{"index":1,"name":"write","text":"write copy.iso","bytes_in":2147483648,"bytes_out":2147483648,"busy":null,"idle":null,"backpressured":null,"waiting_outside":null,"throttling":null,"limit_bytes_per_s":null,"kernel_queue_bytes":null,"kernel_queue_capacity_bytes":null,"ended":false}],"links":[],"lane":"copy_file_range","hashes":[]}

{"schema":1,"event":"end","elapsed_s":0.0,"rss_bytes":0,"rss_peak_bytes":0,"buffered_bytes":0,"buffered_peak_bytes":0,"pool_free_bytes":0,"state_bytes":0,"memory_limit_bytes":0,"expected_bytes":null,"progress":null,"remaining_s":null,"paused":false,"bottleneck":null,"stages":[],"links":[],"lane":"linked","hashes":[],"exit":
{"code":4,"error":"no"}}

"#]].raw());
    }

    #[test]
    fn several_outputs_are_told_apart() {
        let mut snapshot = throttled();
        snapshot.moment = Moment::Ended;
        let exit = Exit { code: 4, error: None };
        let sinks = |snapshot: &Snapshot| -> Vec<(NodeId, Fate)> {
            let fates = [Fate::Committed, Fate::RolledBack];
            snapshot.graph.sinks().zip(fates).collect()
        };
        assert!(!end(Some(&snapshot), &sinks(&snapshot), &exit).contains("outputs"));
        let mut graph = Graph::chain(3);
        graph.append(graph.root(), Port::Bytes);
        snapshot.graph = Arc::new(graph);
        let line = end(Some(&snapshot), &sinks(&snapshot), &exit);
        let said = r#""hashes":[],"outputs":[{"stage":2,"name":"throttle","committed":true},{"stage":3,"name":"write","committed":false}],"exit":{"code":4,"error":null}}"#;
        assert!(line.ends_with(&format!("{said}\n")), "{line}");
        let read: Stats<'_> = serde_json::from_str(&line).expect("stats");
        assert!(!read.outputs[1].committed);
        assert_eq!(super::line(&read), line);
        assert!(!sample(&snapshot).contains("outputs"));
    }
}
