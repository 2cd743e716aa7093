//! Tests of a link: exact counts here, every schedule of small programs in [`schedules`], and long random histories
//! against a model in [`model`]. They do not sleep, and every run is the same.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::flow::{Chunk, StageMeter, Wait};

mod schedules;

mod model;

mod holding;

mod records;

mod sharing;

/// A link with its pool and the meters of its two sides.
struct Rig {
    pool: Arc<Pool>,
    link: Arc<Link>,
    producer: Arc<StageMeter>,
    consumer: Arc<StageMeter>,
}

impl Rig {
    fn new(high: u64, low: u64, chunk: usize) -> (Self, Outlet, Inlet) {
        Self::in_pool(Marks::new(high, low, chunk), Arc::new(Pool::new(high)))
    }

    /// A link with advisory marks.
    fn advisory(high: u64, low: u64, chunk: usize) -> (Self, Outlet, Inlet) {
        Self::in_pool(
            Marks::new(high, low, chunk).advisory(),
            Arc::new(Pool::advisory(high, u64::MAX)),
        )
    }

    fn in_pool(marks: Marks, pool: Arc<Pool>) -> (Self, Outlet, Inlet) {
        let link = Link::new(marks, pool.clone());
        let [producer, consumer] = [(); 2].map(|()| Arc::new(StageMeter::new(Instant::now())));
        let outlet = Outlet::new(link.clone(), producer.clone());
        let inlet = Inlet::new(link.clone(), consumer.clone());
        let rig = Self {
            pool,
            link,
            producer,
            consumer,
        };
        (rig, outlet, inlet)
    }

    fn level(&self) -> u64 {
        self.link.levels().buffered
    }

    /// Granted and buffered bytes, and the number of buffers that they are in.
    fn credit(&self) -> (u64, u64, usize) {
        let state = lock(&self.link.state);
        (state.granted.bytes, state.level.bytes, state.buffers)
    }

    fn assert_nothing_of_its_own(&self) {
        assert_eq!(self.credit(), (0, 0, 0), "credit came back");
    }

    fn assert_nothing_is_held(&self) {
        self.assert_nothing_of_its_own();
        assert_eq!(self.pool.levels().in_use, 0, "buffers came back");
        assert!(self.pool.levels().free <= self.pool.limit());
    }
}

/// Counts its wake-ups.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker, and the counter of its calls.
fn counted() -> (Arc<Wakes>, Waker) {
    let woken = Arc::new(Wakes::default());
    (woken.clone(), Waker::from(woken))
}

fn poll_with<F: Future>(future: F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

/// The result of a future that is ready at once, else `None`; the future is dropped.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match poll_with(future, Waker::noop()) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Sends `bytes` in a buffer of `size`; `false` if the producer is paused instead.
fn send_in(outlet: &mut Outlet, size: usize, bytes: &[u8]) -> bool {
    let Some(buffer) = now(outlet.reserve(size)) else {
        return false;
    };
    let mut buffer = buffer.expect("the link is open");
    assert_eq!(buffer.fill_from(bytes), bytes.len());
    outlet.send(buffer).expect("the link is open");
    true
}

/// Sends full buffers of `size` until the producer is paused; returns the number of bytes.
fn fill_up(outlet: &mut Outlet, size: usize) -> u64 {
    let bytes = vec![b'x'; size];
    let mut sent = 0;
    while send_in(outlet, size, &bytes) {
        sent += size as u64;
    }
    sent
}

fn receive(inlet: &mut Inlet) -> Chunk {
    now(inlet.receive())
        .expect("something waits")
        .expect("the producer is there")
        .expect("the stream goes on")
}

#[test]
fn grants_whole_chunks_up_to_the_mark() {
    for (high, chunk, sent) in [
        (1, 1, 1),
        (1, 100, 1),
        (2, 1, 2),
        (3, 9, 3),
        (4, 1, 4),
        (7, 9, 7),
        (10, 2, 10),
        (11, 2, 10),
        (64, 1, 64),
        (100, 25, 100),
        (103, 25, 100),
        (103, 26, 100),
        (1 << 20, 1 << 20, 1 << 20),
        ((1 << 20) - 1, 1 << 20, 4 * 0x3_ffff),
    ] {
        for low in [0, high / 2, high] {
            let (rig, mut outlet, inlet) = Rig::new(high, low, chunk);
            let size = outlet.largest();
            assert_eq!(fill_up(&mut outlet, size), sent, "high {high} low {low} chunk {chunk}");
            assert_eq!(rig.credit(), (0, sent, usize::try_from(sent).unwrap() / size));
            let levels = rig.link.levels();
            assert_eq!((levels.buffered, levels.peak), (sent, sent));
            assert_eq!((levels.times_full, levels.drains), (1, 0));
            assert_eq!(rig.pool.levels().in_use, sent);
            drop((outlet, inlet));
            rig.assert_nothing_is_held();
        }
    }
}

/// An advisory link with `count` chunks that were not received.
fn overfilled(count: u64) -> (Rig, Outlet, Inlet) {
    let (rig, mut outlet, inlet) = Rig::advisory(100, 50, 25);
    for _ in 0..count {
        assert!(send_in(&mut outlet, 25, &[b'x'; 25]), "advisory marks never pause");
    }
    (rig, outlet, inlet)
}

#[test]
fn advisory_mark_only_counts_when_passed() {
    const COUNT: u64 = 5000;
    let (rig, mut outlet, mut inlet) = overfilled(COUNT);
    assert_eq!(rig.credit(), (0, COUNT * 25, 5000));
    let levels = rig.link.levels();
    assert_eq!((levels.buffered, levels.peak), (COUNT * 25, COUNT * 25));
    assert_eq!((levels.high, levels.low), (100, 50), "the marks are what they would be");
    assert_eq!((levels.times_full, levels.drains), (1, 0));
    assert_eq!(levels.longest_pause, Duration::ZERO);
    assert_eq!(rig.producer.times().backpressured, Duration::ZERO);
    assert_eq!((rig.pool.levels().in_use, rig.pool.levels().free), (COUNT * 25, 0));
    for left in (0..COUNT).rev() {
        assert_eq!(receive(&mut inlet).as_slice(), [b'x'; 25]);
        assert_eq!(rig.level(), left * 25);
        assert!(
            rig.pool.levels().free <= rig.pool.limit(),
            "no more is kept than in a bounded run"
        );
    }
    assert_eq!(fill_some(&mut outlet, 4), (1, 100), "at the mark is not above it");
    assert_eq!(fill_some(&mut outlet, 1), (2, 125));
    drop((outlet, inlet));
    rig.assert_nothing_is_held();
}

/// Sends `count` more chunks; returns how often the mark was passed so far, and the level.
fn fill_some(outlet: &mut Outlet, count: usize) -> (u64, u64) {
    for _ in 0..count {
        assert!(send_in(outlet, 25, &[b'x'; 25]));
    }
    let levels = outlet.link.levels();
    (levels.times_full, levels.buffered)
}

#[test]
fn exhausted_pool_holds_the_producer() {
    let marks = Marks::new(100, 50, 25).advisory();
    // Below the mark, at it, and far above it.
    for most in [0, 50, 100, 1000] {
        let (rig, mut outlet, _inlet) = Rig::in_pool(marks, Arc::new(Pool::advisory(100, most)));
        assert!(!rig.pool.is_exhausted());
        assert_eq!(fill_up(&mut outlet, 25), most);
        assert!(rig.pool.is_exhausted());
        let (woken, waker) = counted();
        assert!(poll_with(outlet.reserve(25), &waker).is_pending());
        rig.link.cancel();
        assert_eq!(woken.get(), 1);
        assert_eq!(now(outlet.reserve(25)).expect("no wait").err(), Some(Closed));
        rig.assert_nothing_is_held();
    }
}

#[test]
fn unbounded_link_gives_all_credit_back() {
    let (rig, outlet, inlet) = overfilled(1000);
    rig.link.cancel();
    assert_eq!((rig.level(), rig.pool.levels().in_use), (0, 0), "cancelled");
    drop((outlet, inlet));
    rig.assert_nothing_is_held();

    let (rig, outlet, inlet) = overfilled(1000);
    drop(inlet);
    rig.assert_nothing_is_held();
    drop(outlet);

    let (rig, outlet, mut inlet) = overfilled(1000);
    outlet.finish();
    let mut count = 0;
    while let Some(Ok(Some(chunk))) = now(inlet.receive()) {
        count += chunk.len();
    }
    assert_eq!(count, 25_000, "nothing is lost");
    rig.assert_nothing_is_held();
}

#[test]
fn full_link_is_three_quarters_full() {
    for high in 1..=48 {
        for size in 1..=usize::try_from(high).unwrap() {
            let (rig, mut outlet, _inlet) = Rig::new(high, high / 2, size);
            let size = size.min(outlet.largest());
            fill_up(&mut outlet, size);
            assert!(rig.level() * 4 >= high * 3, "{} of {high} with {size}", rig.level());
            assert!(rig.level() <= high);
        }
    }
}

#[test]
fn producer_resumes_exactly_at_low_mark() {
    for (low, resumes_at) in [
        (100, 75),
        (75, 75),
        (74, 50),
        (50, 50),
        (49, 25),
        (25, 25),
        (24, 0),
        (0, 0),
    ] {
        let (rig, mut outlet, mut inlet) = Rig::new(100, low, 25);
        assert_eq!(fill_up(&mut outlet, 25), 100);
        let (woken, waker) = counted();
        assert!(poll_with(outlet.reserve(25), &waker).is_pending());
        let mut level = 100;
        while level > 0 {
            let chunk = receive(&mut inlet);
            assert_eq!(
                woken.get(),
                usize::from(level <= resumes_at),
                "a chunk in the consumer's hand still counts"
            );
            drop(chunk);
            level -= 25;
            assert_eq!(rig.level(), level);
            assert_eq!(woken.get(), usize::from(level <= resumes_at), "low {low} at {level}");
            assert_eq!(rig.link.levels().drains, u64::from(level <= resumes_at));
        }
        assert!(now(outlet.reserve(25)).is_some(), "the pause is over");
        assert_eq!(rig.link.levels().times_full, 1);
    }
}

#[test]
fn producer_resumes_when_its_request_fits() {
    let (rig, mut outlet, mut inlet) = Rig::new(100, 100, 25);
    assert_eq!(fill_up(&mut outlet, 1), 100);
    drop(receive(&mut inlet));
    drop(receive(&mut inlet));
    assert!(send_in(&mut outlet, 1, b"x"), "the first release ended the pause");
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve(25), &waker).is_pending());
    for level in (76..99).rev() {
        drop(receive(&mut inlet));
        assert_eq!((rig.level(), woken.get()), (level, 0));
    }
    drop(receive(&mut inlet));
    assert_eq!((rig.level(), woken.get()), (75, 1));
    assert!(now(outlet.reserve(25)).is_some());
}

#[test]
fn pauses_drains_and_peak_are_counted() {
    let (rig, mut outlet, mut inlet) = Rig::new(8, 4, 2);
    for round in 1..=3 {
        assert!(now(inlet.receive()).is_none());
        assert!(now(inlet.receive()).is_none(), "the same wait");
        assert_eq!(fill_up(&mut outlet, 2), 8);
        assert!(now(outlet.reserve(2)).is_none(), "the same pause");
        for _ in 0..4 {
            drop(receive(&mut inlet));
        }
        let levels = rig.link.levels();
        assert_eq!(
            (levels.times_full, levels.times_empty, levels.drains),
            (round, round, round)
        );
        assert_eq!((levels.buffered, levels.peak), (0, 8));
        assert!(levels.longest_pause > Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn longest_pause_includes_the_current_one() {
    let (rig, mut outlet, mut inlet) = Rig::new(4, 3, 1);
    let millis = Duration::from_millis;
    for (pause, longest) in [(5, 5), (3, 5), (9, 9)] {
        fill_up(&mut outlet, 1);
        tokio::time::advance(millis(pause)).await;
        assert_eq!(rig.link.levels().longest_pause, millis(longest), "it still lasts");
        drop(receive(&mut inlet));
        tokio::time::advance(millis(100)).await;
        assert_eq!(rig.link.levels().longest_pause, millis(longest), "it is over");
    }
}

#[test]
fn try_receive_ends_the_wait() {
    let (rig, mut outlet, mut inlet) = Rig::new(8, 4, 2);
    assert!(inlet.try_receive().is_none());
    assert_eq!(rig.link.levels().times_empty, 0, "looking is not waiting");
    for round in 1..=2 {
        assert!(now(inlet.receive()).is_none());
        assert!(send_in(&mut outlet, 1, b"x"));
        assert_eq!(inlet.try_receive().unwrap().as_slice(), b"x");
        assert_eq!(rig.link.levels().times_empty, round);
    }
}

#[test]
fn a_pause_ends_with_its_producer() {
    for finish in [true, false] {
        let (rig, mut outlet, mut inlet) = Rig::new(4, 2, 1);
        fill_up(&mut outlet, 1);
        if finish {
            outlet.finish();
        } else {
            drop(outlet);
        }
        let longest = rig.link.levels().longest_pause;
        assert!(longest > Duration::ZERO);
        for _ in 0..4 {
            drop(receive(&mut inlet));
        }
        let levels = rig.link.levels();
        assert_eq!((levels.drains, levels.longest_pause), (0, longest), "no resume");
    }
}

#[test]
fn only_finish_ends_a_stream() {
    for finish in [true, false] {
        let (rig, mut outlet, mut inlet) = Rig::new(8, 4, 2);
        assert!(send_in(&mut outlet, 2, b"ab") && send_in(&mut outlet, 2, b"cd"));
        if finish {
            outlet.finish();
        } else {
            drop(outlet);
        }
        assert_eq!(receive(&mut inlet).as_slice(), b"ab");
        assert_eq!(receive(&mut inlet).as_slice(), b"cd");
        for _ in 0..2 {
            let end = now(inlet.receive()).expect("the end is known");
            assert_eq!(
                end.map(|chunk| chunk.is_none()),
                if finish { Ok(true) } else { Err(Closed) }
            );
        }
        rig.assert_nothing_is_held();
    }
}

#[test]
fn the_end_wakes_a_waiting_consumer() {
    for finish in [true, false] {
        let (_rig, outlet, mut inlet) = Rig::new(8, 4, 2);
        let (woken, waker) = counted();
        assert!(poll_with(inlet.receive(), &waker).is_pending());
        if finish {
            outlet.finish();
        } else {
            drop(outlet);
        }
        assert_eq!(woken.get(), 1);
    }
}

#[test]
fn closing_consumer_wakes_the_paused_producer() {
    let (rig, mut outlet, mut inlet) = Rig::new(8, 4, 2);
    let held = now(outlet.reserve(2)).unwrap().unwrap();
    assert_eq!(fill_up(&mut outlet, 2), 6);
    let chunk = receive(&mut inlet);
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve(2), &waker).is_pending());
    drop(inlet);
    assert_eq!(woken.get(), 1);
    assert_eq!(rig.credit(), (2, 2, 2), "one buffer in each hand");
    assert_eq!(now(outlet.reserve(2)).unwrap().err(), Some(Closed));
    let mut held = held;
    held.fill_from(b"x");
    assert_eq!(outlet.send(held), Err(Closed));
    assert_eq!(now(outlet.forward(chunk)), Some(Err(Closed)));
    rig.assert_nothing_is_held();
    let levels = rig.link.levels();
    assert_eq!((levels.times_full, levels.drains), (1, 0), "leaving is not draining");
    assert_eq!(rig.producer.bytes_out(), 6);
}

#[test]
fn cancelling_wakes_both_sides_and_frees_everything() {
    let (rig, mut outlet, mut inlet) = Rig::new(4, 2, 1);
    let (producer, waker) = counted();
    assert_eq!(fill_up(&mut outlet, 1), 4);
    assert!(poll_with(outlet.reserve(1), &waker).is_pending());
    let chunk = receive(&mut inlet);
    rig.link.cancel();
    rig.link.cancel();
    assert_eq!(producer.get(), 1);
    assert_eq!(
        (rig.credit(), rig.pool.levels().in_use),
        ((0, 1, 1), 1),
        "but for the chunk in hand"
    );
    assert_eq!(chunk.as_slice(), b"x", "which is still whole");
    drop(chunk);
    assert_eq!(now(inlet.receive()).unwrap().err(), Some(Closed));
    assert_eq!(now(outlet.reserve(1)).unwrap().err(), Some(Closed));
    outlet.finish();
    assert_eq!(
        now(inlet.receive()).unwrap().err(),
        Some(Closed),
        "a late finish changes nothing"
    );
    rig.assert_nothing_is_held();

    let (rig, outlet, mut inlet) = Rig::new(4, 2, 1);
    let (consumer, waker) = counted();
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    rig.link.cancel();
    assert_eq!(consumer.get(), 1);
    drop(outlet);
    assert_eq!(consumer.get(), 1, "one wait, one wake");
}

#[test]
fn unsent_buffer_returns_its_credit() {
    let (rig, mut outlet, mut inlet) = Rig::new(4, 4, 1);
    let held = now(outlet.reserve(1)).unwrap().unwrap();
    assert_eq!(fill_up(&mut outlet, 1), 3);
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve(1), &waker).is_pending());
    drop(held);
    assert_eq!(woken.get(), 1, "the room that it took is what the producer waited for");
    let empty = now(outlet.reserve(1)).unwrap().unwrap();
    outlet.send(empty).unwrap();
    assert_eq!(rig.credit(), (0, 3, 3));
    for _ in 0..3 {
        drop(receive(&mut inlet));
    }
    assert!(now(inlet.receive()).is_none(), "no chunk is empty");
    rig.assert_nothing_is_held();
}

#[test]
fn few_bytes_do_not_pin_many() {
    const LARGEST: usize = 256 << 10;
    let (rig, mut outlet, mut inlet) = Rig::new(1 << 20, 1 << 19, LARGEST);
    for (count, pinned) in [
        (1, SMALLEST),
        (SMALLEST + 1, 2 * SMALLEST),
        (LARGEST / 2, LARGEST / 2),
        (LARGEST / 2 + 1, LARGEST),
        (LARGEST, LARGEST),
    ] {
        let bytes = vec![7; count];
        assert!(send_in(&mut outlet, LARGEST, &bytes));
        assert_eq!(rig.level(), pinned as u64, "{count} bytes");
        let chunk = receive(&mut inlet);
        assert_eq!((chunk.capacity(), chunk.as_slice()), (pinned, &bytes[..]));
    }
    rig.assert_nothing_is_held();
}

#[test]
fn short_send_is_appended_where_room() {
    let (rig, mut outlet, mut inlet) = Rig::new(256 << 10, 0, 64 << 10);
    let size = outlet.largest();
    let mut expected = Vec::new();
    for byte in 0..=250 {
        let bytes = [byte; 16];
        assert!(send_in(&mut outlet, size, &bytes));
        expected.extend_from_slice(&bytes);
        assert_eq!(rig.level(), SMALLEST as u64, "still one chunk");
    }
    let rest = vec![1; SMALLEST - expected.len() + 1];
    assert!(send_in(&mut outlet, size, &rest), "one byte too long for the room");
    assert_eq!(rig.credit(), (0, 2 * SMALLEST as u64, 2));
    assert_eq!(receive(&mut inlet).as_slice(), expected);
    assert!(send_in(&mut outlet, size, b"y"), "the last chunk is the other one now");
    let chunk = receive(&mut inlet);
    assert_eq!(chunk.as_slice(), [&rest[..], b"y"].concat());
    assert!(send_in(&mut outlet, size, b"z"));
    assert!(
        chunk.as_slice().ends_with(b"y"),
        "nothing is appended to a chunk in hand"
    );
    assert_eq!(receive(&mut inlet).as_slice(), b"z");
    assert_eq!(rig.producer.bytes_out(), rig.consumer.bytes_in());
}

#[test]
fn crowded_link_keeps_short_sends_separate() {
    let (rig, mut outlet, mut inlet) = Rig::new(32 << 10, 0, 8 << 10);
    for _ in 0..3 {
        assert!(send_in(&mut outlet, 8 << 10, &[1; 8 << 10]));
    }
    assert!(
        send_in(&mut outlet, 8 << 10, b"s"),
        "no room for a smaller one beside it"
    );
    assert_eq!(rig.credit(), (0, 32 << 10, 4));
    let lengths: Vec<usize> = (0..4).map(|_| receive(&mut inlet).len()).collect();
    assert_eq!(lengths, [8 << 10, 8 << 10, 8 << 10, 1]);
    rig.assert_nothing_is_held();
}

#[test]
fn forward_moves_the_buffer_without_a_copy() {
    let pool = Arc::new(Pool::new(16));
    let marks = Marks::new(8, 8, 2);
    let (first, mut outlet, mut middle) = Rig::in_pool(marks, pool.clone());
    let (second, mut onwards, mut inlet) = Rig::in_pool(marks, pool.clone());
    assert_eq!(fill_up(&mut outlet, 2), 8);
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve(2), &waker).is_pending());
    let mut chunk = receive(&mut middle);
    chunk.advance(1);
    let place = chunk.as_slice().as_ptr();
    assert_eq!(now(onwards.forward(chunk)), Some(Ok(())));
    assert_eq!((first.level(), second.level(), pool.levels().in_use), (6, 2, 8));
    assert_eq!(woken.get(), 1, "the credit came back to the first link");
    let chunk = receive(&mut inlet);
    assert_eq!((chunk.as_slice().as_ptr(), chunk.as_slice()), (place, &b"x"[..]));
    assert_eq!((second.producer.bytes_out(), second.consumer.bytes_in()), (1, 1));
    drop(chunk);
    for _ in 0..3 {
        assert_eq!(now(onwards.forward(receive(&mut middle))), Some(Ok(())));
    }
    let mut spent = receive_sent(&mut outlet, &mut middle);
    spent.advance(1);
    assert_eq!(now(onwards.forward(spent)), Some(Ok(())), "nothing to pass on");
    assert_eq!((first.level(), second.level(), pool.levels().in_use), (0, 6, 6));
}

#[test]
fn forward_copies_small_rests_of_chunks() {
    const LARGEST: usize = 4 * SMALLEST;
    let pool = Arc::new(Pool::new(2 << 20));
    let marks = Marks::new(1 << 20, 1 << 19, LARGEST);
    for (left, pinned) in [
        (1, SMALLEST),
        (2 * SMALLEST, 2 * SMALLEST),
        (2 * SMALLEST + 1, LARGEST),
        (LARGEST, LARGEST),
    ] {
        let (first, mut outlet, mut middle) = Rig::in_pool(marks, pool.clone());
        let (second, mut onwards, _inlet) = Rig::in_pool(marks, pool.clone());
        assert!(send_in(&mut outlet, LARGEST, &[7; LARGEST]));
        let mut chunk = receive(&mut middle);
        chunk.advance(LARGEST - left);
        assert_eq!(now(onwards.forward(chunk)), Some(Ok(())));
        assert_eq!((first.level(), second.level()), (0, pinned as u64), "{left} bytes");
    }
}

#[test]
fn copy_appends_only_short_pieces() {
    const LARGEST: usize = 64 << 10;
    for (count, chunks) in [(1, 1), (APPEND, 1), (APPEND + 1, 2)] {
        let (rig, mut outlet, _inlet) = Rig::new(1 << 20, 1 << 19, LARGEST);
        assert!(send_in(&mut outlet, LARGEST, &vec![7; LARGEST / 2 + 1]));
        assert_eq!(now(outlet.copy(&vec![8; count])), Some(Ok(())));
        assert_eq!(rig.credit().2, chunks, "{count} bytes");
        assert_eq!(rig.producer.bytes_out(), (LARGEST / 2 + 1 + count) as u64);
    }
}

#[test]
fn a_chunk_loses_bytes_at_either_end() {
    let (_rig, mut outlet, mut inlet) = Rig::new(32, 16, 8);
    assert!(send_in(&mut outlet, 8, b"abcdefgh"));
    let mut chunk = receive(&mut inlet);
    chunk.advance(2);
    chunk.truncate(5);
    chunk.advance(1);
    assert_eq!((chunk.as_slice(), chunk.len(), chunk.capacity()), (&b"defg"[..], 4, 8));
    chunk.truncate(0);
    assert!(chunk.is_empty());
}

/// One byte sent and received.
fn receive_sent(outlet: &mut Outlet, inlet: &mut Inlet) -> Chunk {
    assert!(send_in(outlet, 1, b"x"));
    receive(inlet)
}

#[test]
fn waiting_forward_keeps_its_credit() {
    let pool = Arc::new(Pool::new(2));
    let marks = Marks::new(1, 0, 1);
    let (first, mut outlet, mut middle) = Rig::in_pool(marks, pool.clone());
    let (second, mut onwards, mut inlet) = Rig::in_pool(marks, pool.clone());
    let chunk = receive_sent(&mut outlet, &mut middle);
    assert_eq!(now(onwards.forward(chunk)), Some(Ok(())));
    let chunk = receive_sent(&mut outlet, &mut middle);
    let mut forward = Box::pin(onwards.forward(chunk));
    let (woken, waker) = counted();
    assert!(poll_with(forward.as_mut(), &waker).is_pending());
    assert_eq!((first.level(), second.level(), pool.levels().in_use), (1, 1, 2));
    drop(receive(&mut inlet));
    assert_eq!(woken.get(), 1);
    assert_eq!(now(forward.as_mut()), Some(Ok(())));
    drop(forward);
    assert_eq!((first.level(), second.level(), pool.levels().in_use), (0, 1, 1));
    let chunk = receive_sent(&mut outlet, &mut middle);
    let mut given_up = Box::pin(onwards.forward(chunk));
    assert!(poll_with(given_up.as_mut(), &waker).is_pending());
    drop(given_up);
    first.assert_nothing_of_its_own();
    assert_eq!(pool.levels().in_use, 1, "a forward that is given up frees its chunk");
}

#[test]
fn forward_cuts_chunks_for_smaller_links() {
    let pool = Arc::new(Pool::new(32 + 16));
    let (first, mut outlet, mut middle) = Rig::in_pool(Marks::new(32, 16, 8), pool.clone());
    let (second, mut onwards, mut inlet) = Rig::in_pool(Marks::new(16, 16, 3), pool.clone());
    assert!(send_in(&mut outlet, 8, b"abcdefgh"));
    assert_eq!(now(onwards.forward(receive(&mut middle))), Some(Ok(())));
    first.assert_nothing_of_its_own();
    assert_eq!(second.credit(), (0, 9, 3), "three buffers of the largest size");
    for piece in ["abc", "def", "gh"] {
        assert_eq!(receive(&mut inlet).as_slice(), piece.as_bytes());
    }
    assert_eq!((second.producer.bytes_out(), pool.levels().in_use), (8, 0));
}

#[test]
fn link_bounds_its_number_of_chunks() {
    let (rig, mut outlet, mut inlet) = Rig::new(1 << 20, 1 << 19, 1);
    assert_eq!(fill_up(&mut outlet, 1), Marks::MOST_CHUNKS as u64);
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve(1), &waker).is_pending());
    let held: Vec<Chunk> = (0..10).map(|_| receive(&mut inlet)).collect();
    assert_eq!(
        rig.credit().2,
        Marks::MOST_CHUNKS,
        "those in the consumer's hand included"
    );
    drop(held);
    while rig.credit().2 > Marks::MOST_CHUNKS / 2 {
        assert_eq!(woken.get(), 0);
        drop(receive(&mut inlet));
    }
    assert_eq!(
        (woken.get(), rig.link.levels().drains),
        (1, 1),
        "half of them is the low mark"
    );
    assert_eq!(fill_up(&mut outlet, 1), Marks::MOST_CHUNKS as u64 / 2);
}

#[test]
fn reserved_buffers_count_as_chunks() {
    let (rig, mut outlet, inlet) = Rig::new(1 << 20, 1 << 19, 1);
    let mut held = Vec::new();
    while let Some(buffer) = now(outlet.reserve(1)) {
        let mut buffer = buffer.unwrap();
        buffer.fill_from(b"x");
        held.push(buffer);
    }
    assert_eq!(held.len(), Marks::MOST_CHUNKS);
    for buffer in held {
        outlet.send(buffer).unwrap();
    }
    assert_eq!(lock(&rig.link.state).queue.len(), Marks::MOST_CHUNKS);
    drop((outlet, inlet));
    rig.assert_nothing_is_held();
}

#[test]
fn meters_count_bytes_and_waits() {
    let (rig, mut outlet, mut inlet) = Rig::new(8, 0, 2);
    assert!(now(inlet.receive()).is_none());
    assert_eq!(fill_up(&mut outlet, 2), 8);
    assert_eq!((rig.producer.bytes_out(), rig.consumer.bytes_in()), (8, 0));
    drop((receive(&mut inlet), receive(&mut inlet)));
    assert_eq!((rig.producer.bytes_out(), rig.consumer.bytes_in()), (8, 4));
    assert_eq!((rig.producer.bytes_in(), rig.consumer.bytes_out()), (0, 0));
    let (producer, consumer) = (rig.producer.times(), rig.consumer.times());
    assert!(producer.backpressured > Duration::ZERO && producer.idle.is_zero());
    assert!(consumer.idle > Duration::ZERO && consumer.backpressured.is_zero());
    let later = rig.producer.times().backpressured;
    assert_eq!(producer.backpressured, later, "no wait is left open");
}

/// Reads the producer's count when it is woken.
struct Asks(Arc<StageMeter>, AtomicUsize);

impl Wake for Asks {
    fn wake(self: std::sync::Arc<Self>) {
        let sent = usize::try_from(self.0.bytes_out()).unwrap();
        self.1.store(sent, Ordering::Relaxed);
    }
}

#[test]
fn bytes_are_counted_before_they_arrive() {
    let (rig, mut outlet, mut inlet) = Rig::new(8, 4, 2);
    let asks = Arc::new(Asks(rig.producer.clone(), AtomicUsize::new(0)));
    assert!(poll_with(inlet.receive(), &Waker::from(asks.clone())).is_pending());
    assert!(send_in(&mut outlet, 2, b"ab"));
    assert_eq!(asks.1.load(Ordering::Relaxed), 2);
}

#[test]
fn two_threads_move_ten_thousand_chunks() {
    const CHUNKS: u64 = 10_000;
    let checksum = |sum: u64, bytes: &[u8]| {
        bytes
            .iter()
            .fold(sum, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte) + 1))
    };
    let (rig, mut outlet, mut inlet) = Rig::new(256, 128, 64);
    let producer = std::thread::spawn(move || {
        let mut sum = 0;
        for index in 0..CHUNKS {
            let bytes = &index.to_le_bytes()[..=usize::try_from(index % 8).unwrap()];
            let mut buffer = outlet
                .reserve_blocking(1 + usize::try_from(index * 7 % 64).unwrap())
                .unwrap();
            let count = buffer.fill_from(bytes);
            sum = checksum(sum, &bytes[..count]);
            outlet.send(buffer).unwrap();
        }
        outlet.finish();
        sum
    });
    let mut sum = 0;
    while let Some(chunk) = inlet.receive_blocking().unwrap() {
        sum = checksum(sum, chunk.as_slice());
    }
    assert_eq!(producer.join().unwrap(), sum);
    assert!(rig.pool.levels().peak <= 256 && rig.link.levels().peak <= 256);
    let levels = rig.link.levels();
    assert_eq!(levels.drains, levels.times_full, "every pause ended in a drain");
    assert_eq!(rig.producer.bytes_out(), rig.consumer.bytes_in());
    rig.assert_nothing_is_held();
}
