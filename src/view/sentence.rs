//! The sentence that names the bottleneck, with the evidence.

use std::borrow::Cow;

use crate::engine::{Moment, Origin, Share, Snapshot, StageSample};
use crate::flow::LinkLevels;
use crate::grammar::human_size;
use crate::graph::{Graph, NodeId, NodeMap};
use crate::platform::KernelQueue;
use crate::stage::Outside;

use super::excess::excess;
use super::levels::full_by;
use super::plain::{human_rate, human_record_rate};

/// A stage and a statement about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The stage's text.
    pub subject: String,
    /// Which branch that stage is in, where the stream forks before it: `its branch of tee`.
    pub branch: Option<String>,
    /// What it says of it.
    pub what: String,
    /// The evidence, the nearest neighbour last.
    pub evidence: Vec<String>,
}

/// Above this share of its time a stage is named by that state alone.
const MOST: f64 = 0.5;

/// Whether all is read and passed on, and only the sink still makes it durable. Of another program that is not known: it
/// may sort its input now.
#[must_use]
pub fn is_finishing(snapshot: &Snapshot) -> bool {
    if snapshot.origin == Origin::Processes {
        return false;
    }
    let is_drained = snapshot.links.values().iter().all(|link| link.levels.buffered == 0);
    let is_writing = |node| !snapshot.stages[node].ended;
    let mut others = snapshot.graph.nodes().filter(|node| !snapshot.graph.is_sink(*node));
    is_drained && !others.any(is_writing) && snapshot.graph.sinks().any(is_writing)
}

/// The bottleneck of this moment, or of the whole run at its end.
#[must_use]
pub fn sentence(snapshot: &Snapshot) -> Option<Sentence> {
    if snapshot.run.paused {
        return Some(held(snapshot));
    }
    if let Some(draining) = draining(snapshot) {
        return Some(draining);
    }
    let (_, sink) = snapshot.slowest_sink();
    if is_finishing(snapshot) {
        let mut sinks = snapshot.graph.sinks().map(|sink| &snapshot.stages[sink]);
        let sink = sinks.find(|sink| !sink.ended).unwrap_or(sink);
        return Some(plain(
            sink,
            "finishing writes; all bytes are there, and it makes them durable",
        ));
    }
    if !snapshot.has_shares() {
        return Some(plain(sink, "copied straight from the source; no link could fill"));
    }
    blame(snapshot)
}

/// What is left to commit after a signal has ended the source.
fn draining(snapshot: &Snapshot) -> Option<Sentence> {
    if !snapshot.run.is_draining || snapshot.moment == Moment::Ended {
        return None;
    }
    let mut stages = snapshot.stages.values().iter();
    let (stage, open) = stages.find_map(|stage| Some((stage, stage.batches.as_ref()?.open())))?;
    let batches = if open == 1 { "batch" } else { "batches" };
    let what = format!("finishing: {open} {batches} to commit; another signal rolls them back");
    Some(plain(stage, &what))
}

/// What is known of a stage that may be the bottleneck, or be evidence for another one.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// Its name in the catalog.
    pub name: &'a str,
    /// Its call.
    pub text: &'a str,
    /// What it waits for outside of the pipeline.
    pub outside: Option<Outside>,
    /// How it spent its time; unknown on a direct path.
    pub share: Share,
    /// Whether it has nothing left to do.
    pub ended: bool,
    /// What waits in the kernel on its outer side.
    pub kernel_queue: Option<KernelQueue>,
    /// How many processors its program keeps busy, if it has one and that is known.
    pub cores: Option<f64>,
    /// Records per second that it passes, where it works on records.
    pub record_rate: Option<f64>,
}

/// The bottleneck, and the evidence for it.
#[must_use]
pub fn blame(snapshot: &Snapshot) -> Option<Sentence> {
    let at = snapshot.bottleneck.filter(|_| snapshot.has_shares())?;
    if snapshot.run.is_unbounded {
        return Some(overwhelmed(snapshot, at));
    }
    let shown = snapshot.stages.map(|_, stage| stage.shown());
    let witnesses = witnesses(snapshot, &shown);
    let mut sentence = blame_one(&snapshot.graph, &witnesses, at, snapshot.moment);
    let input = snapshot.graph.input(at).and_then(|edge| snapshot.links.get(edge));
    sentence
        .evidence
        .extend(input.and_then(|link| full_link(&link.levels, snapshot.moment)));
    Some(sentence)
}

/// By which mark the link before the bottleneck is full, or was.
#[must_use]
pub fn full_link(levels: &LinkLevels, moment: Moment) -> Option<String> {
    let is_over = moment == Moment::Ended;
    let tense = if is_over { "its link was" } else { "its link is" };
    Some(format!("{tense} {}", full_by(levels, is_over)?))
}

fn witnesses<'a>(snapshot: &'a Snapshot, shown: &'a NodeMap<Cow<'_, str>>) -> NodeMap<Witness<'a>> {
    snapshot.stages.map(|node, stage| Witness {
        name: &stage.name,
        text: &shown[node],
        outside: stage.outside,
        share: stage.share.unwrap_or_default(),
        ended: stage.ended,
        kernel_queue: stage.kernel_queue.map(|bytes| KernelQueue {
            bytes,
            capacity: stage.kernel_queue_capacity,
        }),
        // That is said of a child which a stage waits for.
        cores: stage.cores().filter(|_| snapshot.origin == Origin::Run),
        record_rate: stage.records.map(|_| stage.record_rate),
    })
}

/// Sinks that were paused on purpose.
fn held(snapshot: &Snapshot) -> Sentence {
    let shown = snapshot.stages.map(|_, stage| stage.shown());
    let stages = witnesses(snapshot, &shown);
    let above = stages.iter().filter(|(node, _)| !snapshot.graph.is_sink(*node));
    let above: Vec<&Witness<'_>> = above.map(|(_, stage)| stage).collect();
    let evidence = waiting(|stage| stage.share.backpressured, "backpressured", &above);
    let mut sinks = snapshot.graph.sinks();
    let what = match (sinks.next(), sinks.next()) {
        (Some(only), None) => format!("{} takes nothing more until it is resumed", shown[only]),
        _ => "the sinks take nothing more until they are resumed".to_owned(),
    };
    Sentence {
        subject: "paused".to_owned(),
        branch: None,
        what,
        evidence,
    }
}

/// The stages that spend most of their time in one state, with its name said once.
fn waiting(share: fn(&Witness<'_>) -> f64, word: &str, stages: &[&Witness<'_>]) -> Vec<String> {
    let most = stages.iter().filter(|stage| share(stage) > MOST);
    most.enumerate()
        .map(|(place, stage)| {
            let word = if place == 0 { format!("{word} ") } else { String::new() };
            format!("{} {word}{}", stage.name, percent(share(stage)))
        })
        .collect()
}

/// The evidence that a stage is the bottleneck of a pipeline.
#[must_use]
pub fn blame_one(graph: &Graph, stages: &NodeMap<Witness<'_>>, node: NodeId, moment: Moment) -> Sentence {
    let stage = &stages[node];
    let why = reason(stage, graph.is_sink(node));
    let branch = branch_of(graph, stages, node);
    let governs = (branch.as_ref()).map_or_else(String::new, |branch| format!("{branch} is the bottleneck, and "));
    let is_over = moment == Moment::Ended;
    let is_seen = |stage: &&Witness<'_>| is_over || !stage.ended;
    let mut held: Vec<&Witness<'_>> = graph.before(node).map(|before| &stages[before]).collect();
    held.reverse();
    let mut evidence = waiting(|stage| stage.share.backpressured, "backpressured", &held);
    let what = if evidence.is_empty() {
        let below: Vec<&Witness<'_>> = graph
            .behind(node)
            .map(|behind| &stages[behind])
            .filter(is_seen)
            .collect();
        evidence = waiting(|stage| stage.share.idle, "idle", &below);
        if evidence.is_empty() {
            format!("{governs}nothing holds it back{why}")
        } else {
            format!("{governs}everything downstream waits for it{why}")
        }
    } else {
        // A stage that a branch holds up passes less to the other branches, too.
        let others = graph.sinks().filter(|sink| graph.fork(node, *sink) != Some(node));
        let others = others
            .filter(|sink| *sink != node)
            .map(|sink| &stages[sink])
            .filter(is_seen);
        let idle = others.filter(|sink| sink.share.idle > MOST);
        evidence.extend(idle.map(|sink| format!("{} idle {}", sink.text, percent(sink.share.idle))));
        format!("{governs}everything upstream waits for it{why}")
    };
    Sentence {
        subject: stage.text.to_owned(),
        branch,
        what,
        evidence,
    }
}

/// Which branch a stage is in, where the stream forks before it: `the branch of tee to write slow.img`.
fn branch_of(graph: &Graph, stages: &NodeMap<Witness<'_>>, node: NodeId) -> Option<String> {
    let fork = graph.before(node).find(|before| graph.outputs(*before).len() > 1)?;
    let name = stages[fork].name;
    if graph.is_sink(node) {
        return Some(format!("its branch of {name}"));
    }
    let first = graph.edge(graph.towards(fork, node)?).to;
    let mut sinks = graph.behind(first).filter(|behind| graph.is_sink(*behind));
    let to = match (sinks.next(), sinks.next()) {
        (Some(only), None) => only,
        _ => first,
    };
    Some(format!("the branch of {name} to {}", stages[to].text))
}

/// A stage that is too slow while no stage is backpressured, and the consequences.
fn overwhelmed(snapshot: &Snapshot, node: NodeId) -> Sentence {
    let stage = &snapshot.stages[node];
    let is_over = snapshot.moment == Moment::Ended;
    let link = snapshot.graph.input(node).and_then(|edge| snapshot.links.get(edge));
    let held = link.map(|link| {
        (
            link,
            if is_over {
                link.levels.peak
            } else {
                link.levels.buffered
            },
        )
    });
    let past = held.and_then(|(link, held)| Some((link, held, excess(held, link.levels.high)?)));
    let Some((link, held, times)) = past else {
        return plain(stage, "backpressure is ignored, and no link is past its mark so far");
    };
    let mut evidence = vec![format!("{} held for it", human_size(held)), format!("{times} the mark")];
    if !is_over && link.fill_rate >= 1.0 {
        evidence.push(format!("rising by {}/s", human_rate(link.fill_rate)));
    }
    let what = if is_over {
        "too slow, and no stage waited for it"
    } else {
        "too slow, and no stage waits for it"
    };
    Sentence {
        evidence,
        ..plain(stage, what)
    }
}

fn plain(stage: &StageSample, what: &str) -> Sentence {
    Sentence {
        subject: stage.shown().into_owned(),
        branch: None,
        what: what.to_owned(),
        evidence: Vec::new(),
    }
}

/// What the bottleneck does, if its name does not tell.
fn reason(stage: &Witness<'_>, is_sink: bool) -> String {
    let share = &stage.share;
    if share.throttling > MOST {
        String::new()
    } else if share.outside > MOST {
        let queued = if is_sink { queued(stage) } else { String::new() };
        if stage.outside == Some(Outside::Sleep) {
            return format!(", it sleeps {}", percent(share.outside));
        }
        let place = stage.outside.map_or("other side", Outside::name);
        let waits = format!(", it waits for its {place} {}{queued}", percent(share.outside));
        match stage.cores {
            Some(cores) if cores >= WHOLE => format!(", it uses {}", processors(cores)),
            Some(cores) => format!("{waits}, which uses {}", processors(cores)),
            None => waits,
        }
    } else if share.busy > MOST {
        let records = stage.record_rate.map_or_else(String::new, |rate| {
            format!(" with {} records/s", human_record_rate(rate))
        });
        format!(", it is busy {}{records}", percent(share.busy))
    } else {
        String::new()
    }
}

/// From here on a program is limited by its processor rather than by what it waits for.
const WHOLE: f64 = 0.95;

/// `97 % of a core`, `a whole core`, `2.0 cores`
#[must_use]
pub fn processors(cores: f64) -> String {
    if cores < WHOLE {
        format!("{} of a core", percent(cores))
    } else if cores < 1.05 {
        "a whole core".to_owned()
    } else {
        format!("{cores:.1} cores")
    }
}

/// What a sink has written and its other side has not read, if that is a good part of the queue's capacity.
fn queued(stage: &Witness<'_>) -> String {
    let queue = stage
        .kernel_queue
        .filter(|queue| queue.bytes > 0 && queue.capacity.is_none_or(|most| queue.bytes >= most / 4));
    queue.map_or_else(String::new, |queue| {
        format!(" with {} of ours in the kernel", human_size(queue.bytes))
    })
}

/// `97 %`
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

impl Sentence {
    /// As text, with as much evidence as fits: `throttle 1MB/s: everything upstream waits for it; read backpressured
    /// 99 %, gzip 97 %`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.subject, self.what);
        for (place, evidence) in self.evidence.iter().enumerate() {
            text += if place == 0 { "; " } else { ", " };
            text += evidence;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::sample::{branched, records, stage, throttled};
    use super::*;
    use crate::engine::ChildSample;
    use crate::graph::Id;
    use crate::stage::Outside;
    use std::time::Duration;

    fn said(snapshot: &Snapshot) -> String {
        sentence(snapshot).expect("there is something to say").text()
    }

    #[test]
    fn the_branch_of_a_bottleneck_is_named() {
        let mut snapshot = branched();
        assert_eq!(
            said(&snapshot),
            "write slow.img: its branch of tee is the bottleneck, and everything upstream waits for it, it waits for its \
             disk 98 %; read backpressured 99 %, tee 99 %, write a.gz idle 99 %, write copy.iso idle 97 %"
        );
        let stages = snapshot.stages.values_mut();
        stages[4].share = stages[6].share;
        stages[2].share = stage("", "", [0, 0], 0.0, [1.0, 0.0]).share;
        snapshot.bottleneck = Some(Id::numbered(2));
        assert_eq!(
            said(&snapshot),
            "gzip: the branch of tee to write a.gz is the bottleneck, and everything upstream waits for it, it is busy \
             100 %; read backpressured 99 %, tee 99 %, write slow.img idle 97 %, write copy.iso idle 97 %"
        );
        snapshot.bottleneck = Some(Id::numbered(1));
        assert!(!said(&snapshot).contains("branch"), "it is in none");
    }

    #[test]
    fn full_mark_of_records_is_named() {
        let mut snapshot = records();
        assert_eq!(
            said(&snapshot),
            "throttle 500records/s: everything upstream waits for it; read backpressured 99 %, from-json 97 %, where \
             98 %, its link is full by count: 388 records, 1.20 MiB of 4.00 MiB"
        );
        let stages = snapshot.stages.values_mut();
        (stages[2].share, stages[3].share) = (stages[3].share, stages[4].share);
        stages[2].share.get_or_insert_default().throttling = 0.0;
        snapshot.bottleneck = Some(Id::numbered(2));
        assert_eq!(
            said(&snapshot),
            "where level == error: everything upstream waits for it, it is busy 100 % with 512 records/s; read \
             backpressured 99 %, from-json 97 %, its link is full by count: 500 records, 2.03 MiB of 4.00 MiB"
        );
    }

    #[test]
    fn several_sinks_are_paused_together() {
        let (mut one, mut several) = (throttled(), branched());
        (one.run.paused, several.run.paused) = (true, true);
        assert_eq!(
            said(&one),
            "paused: write tcp://127.0.0.1:9000 takes nothing more until it is resumed; read backpressured 100 %, gzip 100 %"
        );
        assert_eq!(
            said(&several),
            "paused: the sinks take nothing more until they are resumed; read backpressured 99 %, tee 99 %"
        );
    }

    #[test]
    fn syncing_sink_is_finishing() {
        let mut snapshot = branched();
        snapshot
            .links
            .values_mut()
            .iter_mut()
            .for_each(|link| link.levels.buffered = 0);
        snapshot
            .stages
            .values_mut()
            .iter_mut()
            .for_each(|stage| stage.ended = true);
        snapshot.stages.values_mut()[3].ended = false;
        assert!(
            said(&snapshot).starts_with("write a.gz: finishing writes"),
            "{}",
            said(&snapshot)
        );
    }

    #[test]
    fn processors_of_a_program_are_named() {
        let mut snapshot = throttled();
        snapshot.bottleneck = Some(Id::numbered(1));
        let stages = snapshot.stages.values_mut();
        stages[1].outside = Some(Outside::Child);
        stages[1].share = Some(Share {
            busy: 1.0,
            outside: 0.98,
            ..Share::default()
        });
        stages[1].children = vec![ChildSample {
            pid: 1,
            rss: 0,
            cpu: Duration::ZERO,
            cores: 0.0,
        }];
        for (cores, expected) in [
            (0.0, "it waits for its child 98 %;"),
            (0.12, "it waits for its child 98 %, which uses 12 % of a core;"),
            (0.97, "it uses a whole core;"),
            (1.96, "it uses 2.0 cores;"),
        ] {
            let child = &mut snapshot.stages.values_mut()[1].children[0];
            (child.cores, child.cpu) = (cores, Duration::from_secs_f64(cores * 5.0));
            let said = said(&snapshot);
            assert!(
                said.contains(&format!("everything upstream waits for it, {expected}")),
                "{said}"
            );
        }
    }

    #[test]
    fn file_named_like_scheme_waits_for_disk() {
        let witness = |text, busy, outside| Witness {
            name: "read",
            text,
            outside: Some(Outside::Disk),
            share: Share {
                busy,
                idle: 1.0 - busy,
                outside,
                ..Share::default()
            },
            ended: false,
            kernel_queue: None,
            cores: None,
            record_rate: None,
        };
        let stages = [witness("read unix.tar", 1.0, 0.9), witness("write b", 0.1, 0.0)];
        let stages = stages.into_iter().collect();
        let blamed = blame_one(&Graph::chain(2), &stages, Id::numbered(0), Moment::Running);
        assert_eq!(
            blamed.what,
            "everything downstream waits for it, it waits for its disk 90 %"
        );
    }
}
