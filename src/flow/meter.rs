//! Measures how a stage spends its time and how many bytes it moves.
//!
//! One writer (the stage), any number of readers. The clock is read only when a stage really waits; all other time
//! counts as busy, so the shares add up to one. The clock is tokio's, which is the system's unless a test pauses it.

use std::time::Duration;

use tokio::time::Instant;

use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use super::sync::{Mutex, lock};

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
    records_in: AtomicU64,
    records_out: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    settled: AtomicU64,
    is_committing: AtomicBool,
    /// Odd while the writer changes `waited` and `open` together.
    version: AtomicU64,
    /// Nanoseconds, in the order of [`Wait::ALL`].
    waited: [AtomicU64; 4],
    /// Nanoseconds from `start` to the beginning of the current wait, times 8, plus 1 + its kind; 0 if there is none.
    open: AtomicU64,
    /// Nanoseconds from `start` to the stage's end, plus 1; 0 while it runs.
    ended: AtomicU64,
    held_up: Mutex<HeldUp>,
}

/// For how long the stage was held up, as its consumer has counted it. In nanoseconds.
#[derive(Debug, Default)]
struct HeldUp {
    total: u64,
    /// From `start` to the beginning of the current time.
    since: Option<u64>,
}

impl StageMeter {
    /// A meter at zero for a pipeline that started at `start`.
    #[must_use]
    pub fn new(start: impl Into<Instant>) -> Self {
        Self {
            start: start.into(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            is_committing: AtomicBool::new(false),
            version: AtomicU64::new(0),
            waited: [const { AtomicU64::new(0) }; 4],
            open: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            held_up: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Begins a wait, which ends when the returned value is dropped. Waits do not nest.
    pub fn wait(&self, kind: Wait) -> Waiting<'_> {
        self.open.store(self.now() << 3 | (1 + kind as u64), Ordering::Release);
        Waiting { meter: self, kind }
    }

    /// Begins a time that counts as backpressured, whatever the stage itself waits for. The consumer calls this where only
    /// it can tell that there is no room: see [`Outlet::lend`](super::Outlet::lend).
    pub fn hold_up(&self) {
        let now = self.now();
        lock(&self.held_up).since.get_or_insert(now);
    }

    /// Ends that time.
    pub fn release(&self) {
        let mut held_up = lock(&self.held_up);
        if let Some(since) = held_up.since.take() {
            held_up.total += self.now().saturating_sub(since);
        }
    }

    /// Nanoseconds for which its consumer has held it up until `now`.
    fn held_up(&self, now: u64) -> u64 {
        let held_up = lock(&self.held_up);
        held_up.total + held_up.since.map_or(0, |since| now.saturating_sub(since))
    }

    /// Counts `count` bytes received from the input link, or, for a source, from outside.
    pub fn add_in(&self, count: u64) {
        bump(&self.bytes_in, count);
    }

    /// Counts `count` bytes sent to the output link, or, for a sink, to the outside.
    pub fn add_out(&self, count: u64) {
        bump(&self.bytes_out, count);
    }

    /// Bytes received so far. A reader that then reads the count of the stage before this one gets no smaller number.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Acquire)
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Acquire)
    }

    /// Counts records received from the input link.
    pub fn add_records_in(&self, count: u64) {
        bump(&self.records_in, count);
    }

    /// Counts records sent to the output link.
    pub fn add_records_out(&self, count: u64) {
        bump(&self.records_out, count);
    }

    /// Counts a record that was not passed on because it is bad.
    pub fn add_rejected(&self) {
        bump(&self.rejected, 1);
    }

    /// Counts good records that were not passed on because a link was full.
    pub fn add_dropped(&self, count: u64) {
        bump(&self.dropped, count);
    }

    /// Records received so far.
    #[must_use]
    pub fn records_in(&self) -> u64 {
        self.records_in.load(Ordering::Acquire)
    }

    /// Records sent so far.
    #[must_use]
    pub fn records_out(&self) -> u64 {
        self.records_out.load(Ordering::Acquire)
    }

    /// Bad records so far.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Acquire)
    }

    /// Good records that were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    /// Counts `count` units of progress besides bytes that moved: taken from the system's queue by a peer, in the unit
    /// of the queue, or read back. It shows that the stage is not stalled.
    pub fn add_settled(&self, count: u64) {
        bump(&self.settled, count);
    }

    /// The progress counted so far besides bytes that moved.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Records that a sink has written its last byte and begins to make its output complete.
    pub fn begin_commit(&self) {
        self.is_committing.store(true, Ordering::Relaxed);
    }

    /// Whether a sink has written its last byte.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.is_committing.load(Ordering::Relaxed)
    }

    /// Records that the stage has nothing left to do.
    pub fn end(&self) {
        let _ = self
            .ended
            .compare_exchange(0, self.now() + 1, Ordering::Release, Ordering::Relaxed);
    }

    /// The current wait; `None` while the stage works.
    #[must_use]
    pub fn open_wait(&self) -> Option<Wait> {
        let open = self.open.load(Ordering::Acquire) & 7;
        Wait::ALL.into_iter().find(|kind| 1 + *kind as u64 == open)
    }

    /// Whether it waits for a throttle's tokens now.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        self.open_wait() == Some(Wait::Throttling)
    }

    /// The times so far, including the current wait.
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
            // If a wait began or ended between the sums and the clock, its time would be attributed wrongly.
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
            let held_up = self.held_up(now);
            let outside = nanos[Wait::Outside as usize].saturating_sub(held_up);
            return StageTimes {
                at: Duration::from_nanos(now),
                idle: Duration::from_nanos(nanos[Wait::Idle as usize]),
                backpressured: Duration::from_nanos(nanos[Wait::Backpressured as usize] + held_up),
                outside: Duration::from_nanos(outside),
                throttling: Duration::from_nanos(nanos[Wait::Throttling as usize]),
                ended_at: (ended != 0).then(|| Duration::from_nanos(ended - 1)),
            };
        }
    }
}

/// Adds without a read-modify-write cycle: there is one writer. Released, so that a reader of the new count also sees
/// what was counted before it upstream.
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
    /// The kind of the wait.
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
        // Released, so that a reader of the new sum also sees the odd version and tries again.
        let sum = &meter.waited[self.kind as usize];
        sum.store(sum.load(Ordering::Relaxed) + waited, Ordering::Release);
        meter.version.store(version + 2, Ordering::Release);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn wait_is_counted_once() {
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
    async fn times_are_read_at_one_moment() {
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
    async fn end_at_the_start_is_exact() {
        let meters = [(); 2].map(|()| StageMeter::new(Instant::now()));
        meters[0].end();
        tokio::time::advance(Duration::from_millis(26)).await;
        meters[1].end();
        let ends = meters.map(|meter| meter.times().ended_at);
        assert_eq!(ends, [0, 26].map(|millis| Some(Duration::from_millis(millis))));
    }

    #[test]
    fn meter_version_never_repeats() {
        let meter = StageMeter::new(Instant::now());
        for version in [2, 4, 6] {
            drop(meter.wait(Wait::Idle));
            assert_eq!(meter.version.load(Ordering::Relaxed), version);
        }
    }

    #[test]
    fn first_end_is_kept() {
        let meter = StageMeter::new(Instant::now());
        assert_eq!(meter.times().ended_at, None);
        meter.end();
        let first = meter.times().ended_at;
        meter.end();
        assert_eq!(meter.times().ended_at, first);
        assert!(first.is_some());
    }
}
