//! Fake endpoints that are not descriptors, as source and sink of a whole run: they read and write random amounts, fail
//! at every call, refuse to commit, and are slow to roll back.

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::fakes::{AtFirst, Case, Tally};
use super::interrupt::Interrupt;
use super::{Ending, Settings, conduct};
use crate::error::{Failure, Kind, Stop};
use crate::graph::{Graph, Id};
use crate::plan::{Plan, StagePlan};
use crate::stage::{
    BoxFuture, Cancel, Endpoint, OpenReader, OpenWriter, Outcome, Phase, Reach, Rollback, Settle, Settled, Source,
    StreamReader, StreamWriter,
};

/// How many bytes the source gives.
const BYTES: usize = 20_000;

/// What the fake endpoints of a run do, and their results.
#[derive(Default)]
struct Script {
    /// Calls of any kind so far, and the one that fails.
    calls: AtomicUsize,
    fails_at: Option<usize>,
    /// The seed of the sizes of reads and writes.
    seed: AtomicUsize,
    phase: Option<Phase>,
    taken: Mutex<Vec<u8>>,
    is_opened: AtomicBool,
    is_committed: AtomicBool,
    rollbacks: AtomicUsize,
    settled: Mutex<Vec<Settled>>,
}

impl Script {
    /// Counts a call, and fails if it is the chosen one.
    fn call(&self) -> Result<(), Failure> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.fails_at == Some(call) {
            return Err(Failure::because(Kind::Other, "cannot go on", "it was told so"));
        }
        Ok(())
    }

    /// The next of a series of pseudo-random numbers below `bound` (the generator of POSIX's example of `rand`).
    fn next(&self, bound: usize) -> usize {
        let seed = self.seed.load(Ordering::Relaxed);
        let seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        self.seed.store(seed, Ordering::Relaxed);
        (seed >> 8) % bound
    }

    /// Whether nothing is available now; then the task is woken at once.
    fn is_pending(&self, context: &task::Context<'_>) -> bool {
        let is_pending = self.next(3) == 0;
        if is_pending {
            context.waker().wake_by_ref();
        }
        is_pending
    }
}

fn byte(at: usize) -> u8 {
    u8::try_from(at % 251).unwrap_or(0)
}

/// An endpoint that is not a descriptor.
struct Fake(Arc<Script>);

struct Reader {
    script: Arc<Script>,
    given: usize,
}

struct Writer(Arc<Script>);

impl Endpoint for Fake {
    fn shown(&self) -> String {
        "fake:".to_owned()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            self.0.call()?;
            let script = self.0;
            Ok(OpenReader::Stream(Box::new(Reader { script, given: 0 })))
        })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            self.0.call()?;
            self.0.is_opened.store(true, Ordering::Relaxed);
            Ok(OpenWriter::Stream(Box::new(Writer(self.0))))
        })
    }
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut task::Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        if self.script.is_pending(context) {
            return Poll::Pending;
        }
        self.script.call()?;
        let count = (1 + self.script.next(3000)).min(buffer.len()).min(BYTES - self.given);
        for (at, place) in buffer[..count].iter_mut().enumerate() {
            *place = byte(self.given + at);
        }
        self.given += count;
        Poll::Ready(Ok(count))
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        Some(self.script.clone())
    }
}

impl Settle for Script {
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            self.settled.lock().expect("no panic").push(how);
            Ok(())
        })
    }
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut task::Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        if self.0.is_pending(context) {
            return Poll::Pending;
        }
        self.0.call()?;
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let count = (1 + self.0.next(2000)).min(all.len());
        self.0.taken.lock().expect("no panic").extend(&all[..count]);
        Poll::Ready(Ok(count))
    }

    fn phase(&self) -> Phase {
        self.0.phase.unwrap_or(Phase::Remote)
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(self.0.call()?) })
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            self.0.call()?;
            self.0.is_committed.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.0.clone())
    }
}

impl Rollback for Script {
    /// Takes a second.
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            if !self.is_committed() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.rollbacks.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    fn is_committed(&self) -> bool {
        self.is_committed.load(Ordering::Relaxed)
    }

    fn name(&self) -> String {
        "fake:".to_owned()
    }
}

/// A fake endpoint, a transform and a fork into two fake endpoints.
fn plan(source: &Arc<Script>, sinks: [&Arc<Script>; 2]) -> Plan {
    let mut graph = Graph::chain(2);
    let fork = graph.append(Id::numbered(1), crate::graph::Port::Bytes);
    for _ in sinks {
        graph.append(fork, crate::graph::Port::Bytes);
    }
    let case = Case {
        // On a paused clock time passes whenever the reactor is idle, whatever threads do.
        alternates: false,
        ..Case::of(graph, None)
    };
    let mut plan = case.plan(&Arc::<Tally>::default());
    let stages = plan.stages.values_mut();
    stages[0].plan = StagePlan::Source(Source::of(Box::new(Fake(source.clone()))));
    stages[3].plan = StagePlan::Sink(Box::new(Fake(sinks[0].clone())));
    stages[4].plan = StagePlan::Sink(Box::new(Fake(sinks[1].clone())));
    plan
}

async fn run(plan: Plan, owner: Arc<Cancel>) -> Ending {
    conduct(
        plan,
        Settings::default(),
        &mut AtFirst::default(),
        &mut Interrupt::by(owner, None),
    )
    .await
}

fn script(fails_at: Option<usize>) -> Arc<Script> {
    Arc::new(Script {
        fails_at,
        seed: AtomicUsize::new(20_261_126),
        ..Script::default()
    })
}

fn count(script: &Script) -> usize {
    script.calls.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn streams_carry_every_byte_and_commit() {
    let (source, sinks) = (script(None), [script(None), script(None)]);
    let ending = run(plan(&source, [&sinks[0], &sinks[1]]), Arc::default()).await;
    assert_eq!(ending.exit_code(), 0, "{ending:?}");
    let sent: Vec<u8> = (0..BYTES).map(byte).collect();
    for sink in sinks {
        assert!(*sink.taken.lock().expect("no panic") == sent);
        assert!(sink.is_committed() && sink.rollbacks.load(Ordering::Relaxed) == 0);
    }
    assert_eq!(*source.settled.lock().expect("no panic"), [Settled::Committed]);
}

#[tokio::test(start_paused = true)]
async fn failure_at_any_call_rolls_back() {
    let whole = [script(None), script(None), script(None)];
    run(plan(&whole[0], [&whole[1], &whole[2]]), Arc::default()).await;
    for failing in 0..3 {
        for call in 0..count(&whole[failing]) {
            let scripts = [0, 1, 2].map(|at| script((at == failing).then_some(call)));
            let begun = Instant::now();
            let ending = run(plan(&scripts[0], [&scripts[1], &scripts[2]]), Arc::default()).await;
            let about = format!("call {call} of place {failing}: {ending:?}");
            assert_eq!(ending.exit_code(), 1, "{about}");
            assert!(begun.elapsed() <= Duration::from_secs(2), "{about}");
            for sink in &scripts[1..] {
                let ended = (sink.is_committed(), sink.rollbacks.load(Ordering::Relaxed));
                // The other one may have committed before the commit of this one failed.
                let is_fair =
                    ended == (false, usize::from(sink.is_opened.load(Ordering::Relaxed))) || ended == (true, 0);
                assert!(is_fair, "{about}: {ended:?}");
            }
            assert!(!scripts[failing.max(1)].is_committed(), "{about}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_stream_ends_its_wait() {
    let (source, sinks) = (script(None), [script(None), script(None)]);
    let owner = Arc::<Cancel>::default();
    owner.trip();
    let ending = run(plan(&source, [&sinks[0], &sinks[1]]), owner).await;
    assert!(!ending.is_good() && !sinks[0].is_committed() && !sinks[1].is_committed());
}
