//! The moments of a run that its pictures point at: a first full link, a long pause, an end.

use crate::graph::Id;
use crate::view::json::Link;

use super::pauses::{LONG, Pause, PauseEnd, pauses};
use super::recording::Run;
use super::scale::seconds;

/// Something that happened at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Seconds since the start.
    pub at: f64,
    pub kind: Kind,
    /// What happened, for people.
    pub text: String,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link was full, and its producer paused.
    Paused,
    /// A link fell to its low mark after a long pause.
    Drained,
    /// A stage had nothing left to do.
    StageEnded,
    /// No sample came for a long time.
    Silent,
    /// The run ended well.
    Ended,
    /// The run failed, or its recording stopped.
    Failed,
}

/// More long pauses than this are named only in the picture itself.
const PAUSES: usize = 6;

/// All moments in the order of time.
pub fn of(run: &Run) -> Vec<Moment> {
    let mut moments = first_full(run);
    moments.extend(long_pauses(run));
    let graph = run.last.graph();
    // The end of a chain's sink is that of the run.
    let ends = graph.nodes().filter(|node| !graph.is_chain() || !graph.is_sink(*node));
    moments.extend(ends.filter_map(|node| stage_ended(run, node.number())));
    moments.extend(silence(run));
    // What happens together stands in the order of the chain.
    moments.sort_by(|a, b| a.at.total_cmp(&b.at));
    moments.push(end(run));
    moments
}

/// The name of a stage, or its call where several have that name.
fn name(run: &Run, stage: usize) -> &str {
    let sample = &run.last.stages[stage].sample;
    let same = run.last.stages.iter().filter(|other| other.sample.name == sample.name);
    if same.count() > 1 { &sample.text } else { &sample.name }
}

/// When producers paused for the first time, or should have; those that did so between the same two samples together.
fn first_full(run: &Run) -> Vec<Moment> {
    let mut firsts: Vec<(f64, Vec<&Link>)> = Vec::new();
    for (at, link) in run.last.links.iter().enumerate() {
        let Some(point) = run.points.iter().find(|point| point.links[at].times_full > 0) else {
            continue;
        };
        match firsts.iter_mut().find(|(first, _)| first.total_cmp(&point.at).is_eq()) {
            Some((_, links)) => links.push(link),
            None => firsts.push((point.at, vec![link])),
        }
    }
    let moment = |(at, links): (f64, Vec<&Link>)| {
        let mut names: Vec<&str> = links.iter().map(|link| name(run, link.from)).collect();
        names.dedup();
        let fed: Vec<&str> = links.iter().map(|link| name(run, link.to)).collect();
        let text = match links.as_slice() {
            _ if run.last.run.is_unbounded => format!("{} passed the mark, and nothing paused it", names.join(", ")),
            [_] => format!("{} paused for the first time: the link to {} is full", names[0], fed[0]),
            _ if names.len() == 1 => format!(
                "{} paused for the first time: the links to {} are full",
                names[0],
                fed.join(", ")
            ),
            _ => format!(
                "{} paused for the first time: the links behind them are full",
                names.join(", ")
            ),
        };
        Moment {
            at,
            kind: Kind::Paused,
            text,
        }
    };
    firsts.into_iter().map(moment).collect()
}

/// The longest of the long pauses, with their ends. Where a whole row of links stood still, the last one is the cause.
fn long_pauses(run: &Run) -> Vec<Moment> {
    let graph = run.last.graph();
    let leads = |link: &Link, to: &Link| graph.is_before(Id::numbered(link.from), Id::numbered(to.from));
    let mut found: Vec<(Pause, &Link)> = Vec::new();
    for (at, link) in run.last.links.iter().enumerate().rev() {
        for pause in pauses(run, at) {
            let is_caused = |(known, below): &(Pause, &Link)| known.is_with(&pause) && leads(link, below);
            if !found.iter().any(is_caused) {
                found.push((pause, link));
            }
        }
    }
    found.sort_by(|a, b| b.0.length().total_cmp(&a.0.length()));
    found.truncate(PAUSES);
    let both = |(pause, link): (Pause, &Link)| {
        let (from, to, time) = (name(run, link.from), name(run, link.to), seconds(pause.length()));
        let still = if pause.end == PauseEnd::Open { "still " } else { "" };
        let paused = Moment {
            at: pause.from,
            kind: Kind::Paused,
            text: format!("{from} {still}paused for {time}: {to} took nothing, or too little"),
        };
        let drained = (pause.end == PauseEnd::Drained).then(|| Moment {
            at: pause.to,
            kind: Kind::Drained,
            text: format!("{from} goes on: the link to {to} has drained"),
        });
        std::iter::once(paused).chain(drained)
    };
    found.into_iter().flat_map(both).collect()
}

/// Only where it is worth a mark: not together with the run's own end.
fn stage_ended(run: &Run, stage: usize) -> Option<Moment> {
    let point = run.points.iter().find(|point| point.ended[stage])?;
    let is_early = point.at < run.duration() * 0.98;
    is_early.then_some(Moment {
        at: point.at,
        kind: Kind::StageEnded,
        text: format!("{} has ended", name(run, stage)),
    })
}

/// The longest time without a sample, where that cannot be chance.
fn silence(run: &Run) -> Option<Moment> {
    let gaps = run.points.windows(2).map(|pair| (pair[1].at - pair[0].at, pair[0].at));
    let (gap, at) = gaps.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (gap >= LONG).then(|| Moment {
        at,
        kind: Kind::Silent,
        text: format!(
            "no sample for {}: the program was stopped, or had no processor",
            seconds(gap)
        ),
    })
}

fn end(run: &Run) -> Moment {
    let (kind, text) = match run.last.exit.as_deref() {
        Some(exit) if exit.code == 0 => (Kind::Ended, "ended with exit code 0".to_owned()),
        Some(exit) => {
            let error = exit.error.as_deref().unwrap_or("by a signal");
            (Kind::Failed, format!("ended with exit code {}: {error}", exit.code))
        }
        None => (
            Kind::Failed,
            "the recording stops here: the program was killed, or its disk was full".to_owned(),
        ),
    };
    Moment {
        at: run.duration(),
        kind,
        text,
    }
}
