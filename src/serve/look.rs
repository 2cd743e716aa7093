//! What the live view shows: a row for each client, and totals.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::{Observed, Share, share};
use crate::flow::StageTimes;
use crate::platform::ResidentMemory;

use super::entry::Outcome;
use super::handler::Shared;
use super::live::LiveRun;

/// The time over which rates and shares are averaged.
const SPAN: Duration = Duration::from_secs(5);

/// One client.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its address.
    pub client: String,
    /// The path that it asked for.
    pub route: String,
    /// Bytes that it has taken, or sent where there is no output.
    pub bytes: u64,
    /// The same per second.
    pub rate: f64,
    /// What the link at its side holds, and its high-water mark.
    pub level: Option<(u64, u64)>,
    /// How the source spends its time; `None` while it is being opened.
    pub share: Option<Share>,
    /// The share of the time in which the run waits for the client.
    pub client_wait: f64,
    /// Since the request came.
    pub age: Duration,
}

/// The whole service at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// The clients, the oldest first.
    pub rows: Vec<Row>,
    /// Requests in the line.
    pub waiting: usize,
    /// The most runs at once.
    pub clients: usize,
    /// Bytes that buffers and stages hold.
    pub held: u64,
    /// The ceiling over them.
    pub memory: u64,
    /// Resident memory.
    pub rss: u64,
    /// Requests so far, by how they ended, in the order of [`Outcome::EVERY`].
    pub ended: [u64; Outcome::EVERY.len()],
    /// Since the start.
    pub age: Duration,
    /// Whether no more requests are taken.
    pub is_draining: bool,
}

/// Takes a [`Sight`] again and again.
#[derive(Debug)]
pub struct Looker {
    begun: Instant,
    memory: ResidentMemory,
    past: HashMap<u64, VecDeque<Past>>,
}

/// The counters of a run at one moment.
#[derive(Debug, Clone, Copy)]
struct Past {
    at: Duration,
    bytes: u64,
    source: StageTimes,
    client: StageTimes,
}

impl Looker {
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            memory: ResidentMemory::open(),
            past: HashMap::new(),
        }
    }

    /// Looks at everything.
    pub fn look(&mut self, shared: &Shared) -> Sight {
        let runs = shared.live.all();
        self.past
            .retain(|number, _| runs.binary_search_by_key(number, |run| run.0).is_ok());
        let rows = runs.iter().map(|(number, run)| {
            let past = self.past.entry(*number).or_default();
            row(run, &shared.routes[run.route].path, past)
        });
        let rows = rows.collect();
        let counters = &shared.journal.counters;
        Sight {
            rows,
            waiting: shared.admission.waiting(),
            clients: shared.clients,
            held: shared.live.held_bytes(),
            memory: shared.memory,
            rss: self.memory.now(),
            ended: counters.ended(),
            age: self.begun.elapsed(),
            is_draining: shared.is_over.is_cancelled(),
        }
    }
}

fn row(run: &LiveRun, route: &str, past: &mut VecDeque<Past>) -> Row {
    let mut row = Row {
        client: run.client.to_string(),
        route: route.to_owned(),
        bytes: 0,
        rate: 0.0,
        level: None,
        share: None,
        client_wait: 0.0,
        age: run.begun.elapsed(),
    };
    let Some(watch) = &run.watch else { return row };
    let Some(at_client) = run.sink.or(run.source) else {
        return row;
    };
    let reading = watch.read();
    let graph = watch.graph();
    let stage = &reading.stages[at_client];
    let moved = match run.sink {
        // What still waits in the kernel is not the client's yet. The number never falls, although the queue may grow
        // before it is seen that more was sent.
        Some(_) => {
            let queued = stage.queue.map_or(0, |queue| queue.bytes);
            let taken = stage.bytes_out.saturating_sub(queued);
            past.back().map_or(taken, |last| taken.max(last.bytes))
        }
        None => stage.bytes_in,
    };
    let now = Past {
        at: reading.at,
        bytes: moved,
        source: reading.stages[graph.root()].times,
        client: stage.times,
    };
    past.push_back(now);
    while past
        .get(1)
        .is_some_and(|second| now.at.saturating_sub(second.at) >= SPAN)
    {
        past.pop_front();
    }
    // A run that has just begun is seen from its start.
    let zero = Past {
        at: Duration::ZERO,
        bytes: 0,
        source: StageTimes::default(),
        client: StageTimes::default(),
    };
    let before = past.front().copied().filter(|_| past.len() > 1).unwrap_or(zero);
    let seconds = now.at.saturating_sub(before.at).as_secs_f64();
    row.bytes = now.bytes;
    row.rate = per_second(now.bytes.saturating_sub(before.bytes), seconds);
    row.share = Some(share(&before.source, &now.source));
    row.client_wait = share(&before.client, &now.client).outside;
    let link = match run.sink {
        Some(sink) => graph.input(sink),
        None => graph.outputs(at_client).first().copied(),
    };
    row.level = link
        .and_then(|edge| reading.links.get(edge))
        .map(|levels| (levels.buffered, levels.high));
    row
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn per_second(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}
