//! A pipeline of fake stages on a paused clock: links, meters and the sampler are the real ones; stages are tasks that
//! take a given number of milliseconds for each chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::stall::Stall;
use crate::engine::watch::{Watch, WatchedStage};
use crate::engine::{Controls, Sampler, Snapshot};
use crate::flow::{Closed, Inlet, Link, Marks, Outlet, Pool, StageMeter, Wait};
use crate::graph::{EdgeMap, Graph, NodeMap};
use crate::stage::{Budget, OutputSize};

/// Bytes of every chunk, and chunks of a full link.
const CHUNK: usize = 4 << 10;
const HIGH: u64 = 16;

/// How a stage spends its time.
#[derive(Clone, Copy)]
pub struct Fake {
    name: &'static str,
    /// The kind of wait that its work counts as; `None` for computing.
    wait: Option<Wait>,
    pace: Pace,
}

/// How long chunks take, in milliseconds.
#[derive(Clone, Copy)]
pub enum Pace {
    Each(u64),
    /// This many chunks at once, and then nothing for this long.
    Burst {
        chunks: u64,
        millis: u64,
    },
    /// Alternates between two costs, each for this many seconds.
    Alternating {
        seconds: u64,
        millis: [u64; 2],
    },
}

impl Fake {
    /// Works on its `nth` chunk, `start` being when the chain was started.
    async fn work(self, nth: u64, start: Instant, meter: &StageMeter) {
        let millis = match self.pace {
            Pace::Each(millis) => millis,
            Pace::Burst { chunks, millis } if nth.is_multiple_of(chunks) => millis,
            Pace::Burst { .. } => 0,
            Pace::Alternating { seconds, millis } => {
                millis[usize::from(!(start.elapsed().as_secs() / seconds).is_multiple_of(2))]
            }
        };
        if millis > 0 {
            let _wait = self.wait.map(|kind| meter.wait(kind));
            sleep(Duration::from_millis(millis)).await;
        }
    }
}

pub fn disk(millis: u64) -> Fake {
    with("read", Some(Wait::Outside), Pace::Each(millis))
}

pub fn codec(millis: u64) -> Fake {
    with("codec", None, Pace::Each(millis))
}

pub fn throttle(millis: u64) -> Fake {
    with("throttle", Some(Wait::Throttling), Pace::Each(millis))
}

pub fn peer(millis: u64) -> Fake {
    with("write", Some(Wait::Outside), Pace::Each(millis))
}

pub fn with(name: &'static str, wait: Option<Wait>, pace: Pace) -> Fake {
    Fake { name, wait, pace }
}

/// The fakes' own counts: chunks sent into each link, and chunks that its consumer has finished.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    done: AtomicU64,
}

/// A pipeline of fakes that runs forever.
struct Bench {
    watch: Arc<Watch>,
    tallies: Vec<Arc<Tally>>,
}

impl Bench {
    /// Starts the chain; must be called on a runtime whose clock is paused.
    fn start(fakes: &[Fake]) -> Self {
        let start = Instant::now();
        let high = HIGH * CHUNK as u64;
        let between = fakes.len() - 1;
        let pool = Arc::new(Pool::new(high * between as u64));
        let graph = Graph::chain(fakes.len());
        let links: EdgeMap<Arc<Link>> = graph
            .edges()
            .map(|_| Link::new(Marks::new(high, high / 2, CHUNK), pool.clone()))
            .collect();
        let stages: NodeMap<WatchedStage> = fakes
            .iter()
            .map(|fake| WatchedStage {
                output_size: OutputSize::Same,
                is_optional: false,
                is_lost: AtomicBool::default(),
                name: fake.name,
                text: fake.name.to_owned(),
                listening: Vec::new(),
                outside: None,
                meter: Arc::new(StageMeter::new(start)),
                findings: Arc::default(),
                external_fd: Arc::default(),
            })
            .collect();
        let tallies: Vec<Arc<Tally>> = links.values().iter().map(|_| Arc::default()).collect();
        for (at, fake) in fakes.iter().copied().enumerate() {
            let meter = stages.values()[at].meter.clone();
            let input = at.checked_sub(1).map(|before| {
                let inlet = Inlet::new(links.values()[before].clone(), meter.clone());
                (inlet, tallies[before].clone())
            });
            let out = links.values().get(at).map(|link| {
                let outlet = Outlet::new(link.clone(), meter.clone());
                (outlet, tallies[at].clone())
            });
            tokio::spawn(run(fake, input, out, meter, start));
        }
        let watch = Arc::new(Watch {
            start,
            lane: None,
            graph: Arc::new(graph),
            stages,
            links,
            budget: Arc::new(Budget::new(high * between as u64, high * between as u64, true)),
            pool,
            expected: None,
            resumed: 0,
            is_unbounded: false,
            is_draining: Arc::default(),
            controls: Controls::detached(&[]),
        });
        Self { watch, tallies }
    }

    /// What waits in each link or is held by its consumer, by the fakes' own counts.
    fn levels(&self) -> Vec<u64> {
        let chunks = |tally: &Arc<Tally>| tally.sent.load(Ordering::Relaxed) - tally.done.load(Ordering::Relaxed);
        self.tallies.iter().map(|tally| chunks(tally) * CHUNK as u64).collect()
    }
}

type Side<T> = Option<(T, Arc<Tally>)>;

async fn run(
    fake: Fake,
    mut input: Side<Inlet>,
    mut out: Side<Outlet>,
    meter: Arc<StageMeter>,
    start: Instant,
) -> Result<(), Closed> {
    for nth in 0.. {
        // A source reserves before it reads; a stage with an input works on it first.
        let chunk = match &mut input {
            Some((input, _)) => input.receive().await?,
            None => None,
        };
        let early = match &mut out {
            Some((out, _)) if input.is_none() => Some(out.reserve(CHUNK).await?),
            _ => None,
        };
        fake.work(nth, start, &meter).await;
        if let Some((_, tally)) = &input {
            drop(chunk);
            tally.done.fetch_add(1, Ordering::Relaxed);
        }
        if let Some((out, tally)) = &mut out {
            let mut buffer = match early {
                Some(buffer) => buffer,
                None => out.reserve(CHUNK).await?,
            };
            buffer.fill_from(&[7; CHUNK]);
            out.send(buffer)?;
            tally.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Runs a pipeline for `seconds` and looks at it ten times a second; `see` gets every look and its time in tenths of a
/// second.
pub fn observe(fakes: &[Fake], seconds: u64, mut see: impl FnMut(u64, &Snapshot)) {
    on_a_paused_clock(async {
        let bench = Bench::start(fakes);
        let mut sampler = Sampler::new(bench.watch.clone());
        for tenth in 1..=seconds * 10 {
            sleep(Duration::from_millis(100)).await;
            let snapshot = sampler.recent();
            let seen: Vec<u64> = snapshot
                .links
                .values()
                .iter()
                .map(|link| link.levels.buffered)
                .collect();
            assert_eq!(seen, bench.levels(), "levels after {tenth} tenths of a second");
            assert!(
                snapshot
                    .links
                    .values()
                    .iter()
                    .all(|link| link.levels.peak <= link.levels.high)
            );
            see(tenth, &snapshot);
        }
    });
}

/// Runs a pipeline under a stall timeout, for at most `seconds`; returns after how many it has stalled.
pub fn stalls_after(fakes: &[Fake], limit: Duration, seconds: u64) -> Option<u64> {
    on_a_paused_clock(async {
        let bench = Bench::start(fakes);
        let mut stall = Stall::new(Some(limit));
        loop {
            stall.tick().await;
            let elapsed = bench.watch.start.elapsed().as_secs();
            if stall.look(&bench.watch).is_some() {
                return Some(elapsed);
            }
            if elapsed >= seconds {
                return None;
            }
        }
    })
}

fn on_a_paused_clock<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(work)
}
