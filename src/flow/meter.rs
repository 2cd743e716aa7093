//! What a stage did with its time and how many bytes it moved.
//!
//! One writer (the stage), any number of readers. The clock is read only when a stage really waits; what is not a wait
//! is busy, so the shares add up to one by construction. It is tokio's clock, which is the system's, unless a test
//! pauses it.

use std::time::Duration;

use tokio::time::Instant;

use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a stage waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For its input link.
    Idle,
    /// For room in its output link.
    Backpressured,
    /// For a disk, a peer or a terminal.
    Outside,
    /// For a throttle's tokens.
    Throttling,
}

impl Wait {
    const ALL: [Self; 4] = [Self::Idle, Self::Backpressured, Self::Outside, Self::Throttling];
}

/// Time spent in each kind of wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// When this was read, counted from the chain's start.
    pub at: Duration,
    /// Waiting for the input link.
    pub idle: Duration,
    /// Waiting for room in the output link.
    pub backpressured: Duration,
    /// Waiting for a disk, a peer or a terminal.
    pub outside: Duration,
    /// Waiting for a throttle's tokens.
    pub throttling: Duration,
    /// Since when the stage has been ended, counted from the chain's start; `None` while it runs.
    pub ended_at: Option<Duration>,
}

/// The counters of one stage.
#[derive(Debug)]
pub struct StageMeter {
    start: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    settled: AtomicU64,
    is_committing: AtomicBool,
    /// Odd while the writer changes `waited` and `open` together.
    version: AtomicU64,
    /// Nanoseconds, in the order of [`Wait::ALL`].
    waited: [AtomicU64; 4],
    /// Nanoseconds from `start` to the beginning of the wait that is open, times 8, plus 1 + its kind; 0 if none is.
    open: AtomicU64,
    /// Nanoseconds from `start` to the stage's end, plus 1; 0 while it runs.
    ended: AtomicU64,
}

impl StageMeter {
    /// A meter at zero whose chain started at `start`.
    #[must_use]
    pub fn new(start: impl Into<Instant>) -> Self {
        Self {
            start: start.into(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            is_committing: AtomicBool::new(false),
            version: AtomicU64::new(0),
            waited: [const { AtomicU64::new(0) }; 4],
            open: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Begins a wait, which lasts until the answer is dropped. Waits do not nest.
    pub fn wait(&self, kind: Wait) -> Waiting<'_> {
        self.open.store(self.now() << 3 | (1 + kind as u64), Ordering::Release);
        Waiting { meter: self, kind }
    }

    /// Counts `count` bytes received from the input link, or, for a source, from outside.
    pub fn add_in(&self, count: u64) {
        bump(&self.bytes_in, count);
    }

    /// Counts `count` bytes sent to the output link, or, for a sink, to the outside.
    pub fn add_out(&self, count: u64) {
        bump(&self.bytes_out, count);
    }

    /// Bytes received so far. Whoever asks the stage before this one afterwards is told of no fewer that were sent.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Acquire)
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Acquire)
    }

    /// Counts `count` bytes that were taken care of beside those that moved: taken out of the system's queue by a peer, in
    /// the unit that the queue is counted in, or read back. It shows that something still happens.
    pub fn add_settled(&self, count: u64) {
        bump(&self.settled, count);
    }

    /// What was taken care of so far, beside what moved.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Says that a sink has written its last byte: what is left is to make them complete.
    pub fn begin_commit(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
    }

    /// Whether a sink has written its last byte.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Says that the stage has nothing left to do.
    pub fn end(&self) {
        let _ = self
            .ended
            .compare_exchange(0, self.now() + 1, Ordering::Release, Ordering::Relaxed);
    }

    /// What it waits for at this moment; `None` while it works.
    #[must_use]
    pub fn open_wait(&self) -> Option<Wait> {
        let open = self.open.load(Ordering::Acquire) & 7;
        Wait::ALL.into_iter().find(|kind| 1 + *kind as u64 == open)
    }

    /// Whether it waits for a throttle's tokens at this moment.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        self.open_wait() == Some(Wait::Throttling)
    }

    /// The times so far, the wait that is still open included.
    #[must_use]
    pub fn times(&self) -> StageTimes {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let mut nanos = [0; 4];
            for kind in Wait::ALL {
                nanos[kind as usize] = self.waited[kind as usize].load(Ordering::Acquire);
            }
            let open = self.open.load(Ordering::Acquire);
            let now = self.now();
            // No wait may have begun or ended between the sums and the clock: its time would be on the wrong side.
            let is_torn = before % 2 == 1
                || self.open.load(Ordering::Acquire) != open
                || self.version.load(Ordering::Acquire) != before;
            if is_torn {
                std::hint::spin_loop();
                continue;
            }
            if open != 0 {
                let kind = usize::try_from(open & 7).unwrap_or(1) - 1;
                nanos[kind] += now.saturating_sub(open >> 3);
            }
            let ended = self.ended.load(Ordering::Acquire);
            return StageTimes {
                at: Duration::from_nanos(now),
                idle: Duration::from_nanos(nanos[Wait::Idle as usize]),
                backpressured: Duration::from_nanos(nanos[Wait::Backpressured as usize]),
                outside: Duration::from_nanos(nanos[Wait::Outside as usize]),
                throttling: Duration::from_nanos(nanos[Wait::Throttling as usize]),
                ended_at: (ended != 0).then(|| Duration::from_nanos(ended - 1)),
            };
        }
    }
}

/// Adds without a read-modify-write cycle: there is one writer. Released, so that who sees the new count also sees what
/// was counted before it farther up the chain.
fn bump(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Release);
}

/// A wait that lasts until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    meter: &'a StageMeter,
    kind: Wait,
}

impl Waiting<'_> {
    /// What is waited for.
    #[must_use]
    pub fn kind(&self) -> Wait {
        self.kind
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let meter = self.meter;
        let waited = meter.now().saturating_sub(meter.open.load(Ordering::Relaxed) >> 3);
        let version = meter.version.load(Ordering::Relaxed);
        meter.version.store(version + 1, Ordering::Release);
        meter.open.store(0, Ordering::Release);
        // Released, so that a reader who sees the new sum also sees the odd version and tries again.
        let sum = &meter.waited[self.kind as usize];
        sum.store(sum.load(Ordering::Relaxed) + waited, Ordering::Release);
        meter.version.store(version + 2, Ordering::Release);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_once_while_open_and_once_after() {
        let meter = StageMeter::new(Instant::now());
        let wait = meter.wait(Wait::Backpressured);
        let open = meter.times();
        assert_eq!(open.idle, Duration::ZERO);
        drop(wait);
        let closed = meter.times();
        assert!(closed.backpressured >= open.backpressured);
        assert_eq!(
            closed.backpressured,
            meter.times().backpressured,
            "a closed wait does not grow"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn times_are_exact_and_read_at_one_moment() {
        let pass = async |millis| tokio::time::sleep(Duration::from_millis(millis)).await;
        let meter = StageMeter::new(Instant::now());
        pass(3).await;
        let wait = meter.wait(Wait::Outside);
        pass(5).await;
        let open = meter.times();
        pass(7).await;
        drop(wait);
        pass(11).await;
        let closed = meter.times();
        let millis = [open.at, open.outside, closed.at, closed.outside].map(|time| time.as_millis());
        assert_eq!(millis, [8, 5, 26, 12]);
        assert_eq!(
            [closed.idle, closed.backpressured, closed.throttling],
            [Duration::ZERO; 3]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_exact_even_at_the_very_start() {
        let meters = [(); 2].map(|()| StageMeter::new(Instant::now()));
        meters[0].end();
        tokio::time::advance(Duration::from_millis(26)).await;
        meters[1].end();
        let ends = meters.map(|meter| meter.times().ended_at);
        assert_eq!(ends, [0, 26].map(|millis| Some(Duration::from_millis(millis))));
    }

    #[test]
    fn a_reader_can_tell_that_a_wait_has_ended_by_a_version_that_never_comes_again() {
        let meter = StageMeter::new(Instant::now());
        for version in [2, 4, 6] {
            drop(meter.wait(Wait::Idle));
            assert_eq!(meter.version.load(Ordering::Relaxed), version);
        }
    }

    #[test]
    fn the_end_is_kept_as_it_was_first_said() {
        let meter = StageMeter::new(Instant::now());
        assert_eq!(meter.times().ended_at, None);
        meter.end();
        let first = meter.times().ended_at;
        meter.end();
        assert_eq!(meter.times().ended_at, first);
        assert!(first.is_some());
    }
}
