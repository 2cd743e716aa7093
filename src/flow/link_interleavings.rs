//! The link between real threads that block, under schedulers that choose every interleaving of its locks, atomics and
//! parked threads: at random, and few preemptions at chosen places (PCT). The seeds are fixed. A lost wake-up is a
//! deadlock, which shuttle reports with the schedule to replay.

use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

use super::*;
use crate::flow::{StageMeter, block_on};

const ITERATIONS: usize = 2000;
const PREEMPTIONS: usize = 4;
const SEED: u64 = 0x6869_6768;

/// Runs `test` in many interleavings of both kinds.
fn interleave(test: impl Fn() + Send + Sync + Copy + 'static) {
    run(RandomScheduler::new_from_seed(SEED, ITERATIONS), test);
    run(PctScheduler::new_from_seed(SEED, PREEMPTIONS, ITERATIONS), test);
}

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) {
    let iterations = Runner::new(scheduler, shuttle::Config::default()).run(test);
    assert_eq!(iterations, ITERATIONS, "every iteration was run");
}

fn link(pool: &Arc<Pool>, (high, low, chunk): (u64, u64, usize)) -> (Arc<Link>, Outlet, Inlet) {
    let link = Link::new(Marks::new(high, low, chunk), pool.clone());
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    let outlet = Outlet::new(link.clone(), meter());
    let inlet = Inlet::new(link.clone(), meter());
    (link, outlet, inlet)
}

fn assert_bounded(link: &Link) {
    let state = lock(&link.state);
    assert!((state.granted + state.level).is_within(link.marks.high_load()));
    assert!(state.peak <= link.marks.high);
}

fn assert_nothing_is_held(link: &Link, pool: &Pool) {
    let state = lock(&link.state);
    assert_eq!(
        (state.granted, state.level, state.buffers),
        (Load::default(), Load::default(), 0)
    );
    assert_eq!(pool.levels().in_use, 0);
    assert!(pool.levels().free <= pool.limit());
    assert!(pool.levels().peak <= pool.limit());
}

/// Sends the bytes 0, 1, 2, … in buffers of `size`, one each; `false` if the consumer wanted no more.
fn produce(mut outlet: Outlet, link: &Link, count: u8, size: usize, finish: bool) -> bool {
    for byte in 0..count {
        let Ok(mut buffer) = outlet.reserve_blocking(size) else {
            return false;
        };
        assert_bounded(link);
        buffer.fill_from(&[byte]);
        if outlet.send(buffer).is_err() {
            return false;
        }
    }
    if finish {
        outlet.finish();
    }
    true
}

/// Receives until the end or until `leave` chunks came; answers how many bytes came, which are in order, and the end.
fn consume(mut inlet: Inlet, link: &Link, leave: usize) -> (u8, Result<(), Closed>) {
    let mut count = 0;
    for _ in 0..leave {
        match inlet.receive_blocking() {
            Ok(Some(chunk)) => {
                for &byte in chunk.as_slice() {
                    assert_eq!(byte, count, "in order, once");
                    count += 1;
                }
                assert_bounded(link);
            }
            Ok(None) => return (count, Ok(())),
            Err(Closed) => return (count, Err(Closed)),
        }
    }
    (count, Ok(()))
}

/// A producer in a thread of its own and a consumer here.
fn transfer(marks: (u64, u64, usize), finish: bool) {
    let pool = Arc::new(Pool::new(marks.0));
    let (link, outlet, inlet) = link(&pool, marks);
    let producer = {
        let link = link.clone();
        thread::spawn(move || produce(outlet, &link, 6, marks.2, finish))
    };
    assert_eq!(
        consume(inlet, &link, usize::MAX),
        (6, if finish { Ok(()) } else { Err(Closed) })
    );
    assert!(producer.join().unwrap(), "everything was wanted");
    let state = lock(&link.state);
    if finish {
        assert_eq!(state.drains, state.times_full, "every pause ended in a drain");
    }
    drop(state);
    assert_nothing_is_held(&link, &pool);
}

#[test]
fn what_is_finished_arrives() {
    interleave(|| transfer((1, 0, 1), true));
    interleave(|| transfer((2, 1, 1), true));
    interleave(|| transfer((3, 3, 1), true));
}

#[test]
fn short_sends_arrive_however_they_are_appended() {
    interleave(|| transfer((32 << 10, 8 << 10, 8 << 10), true));
}

#[test]
fn what_is_aborted_says_so_behind_the_bytes() {
    interleave(|| transfer((2, 1, 1), false));
}

#[test]
fn a_consumer_that_leaves_stops_the_producer() {
    interleave(|| {
        let pool = Arc::new(Pool::new(2));
        let (link, outlet, inlet) = link(&pool, (2, 0, 1));
        let producer = {
            let link = link.clone();
            thread::spawn(move || produce(outlet, &link, 6, 1, true))
        };
        assert_eq!(consume(inlet, &link, 2), (2, Ok(())));
        assert!(!producer.join().unwrap(), "six bytes do not fit");
        assert_nothing_is_held(&link, &pool);
    });
}

#[test]
fn cancelling_reaches_both_threads_at_any_moment() {
    interleave(|| {
        let pool = Arc::new(Pool::new(2));
        let (link, outlet, inlet) = link(&pool, (2, 1, 1));
        let producer = {
            let link = link.clone();
            thread::spawn(move || produce(outlet, &link, 4, 1, true))
        };
        let canceller = {
            let link = link.clone();
            thread::spawn(move || link.cancel())
        };
        let (count, end) = consume(inlet, &link, usize::MAX);
        let sent_all = producer.join().unwrap();
        canceller.join().unwrap();
        if end == Ok(()) {
            assert_eq!((count, sent_all), (4, true), "cancelled too late");
        }
        assert_nothing_is_held(&link, &pool);
    });
}

#[test]
fn nobody_is_seen_to_have_received_more_than_was_sent() {
    interleave(|| {
        let link = Link::new(Marks::new(2, 1, 1), Arc::new(Pool::new(2)));
        let [sender, receiver] = [(); 2].map(|()| Arc::new(StageMeter::new(Instant::now())));
        let outlet = Outlet::new(link.clone(), sender.clone());
        let inlet = Inlet::new(link.clone(), receiver.clone());
        let producer = {
            let link = link.clone();
            thread::spawn(move || produce(outlet, &link, 3, 1, true))
        };
        let watcher = {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    let received = receiver.bytes_in();
                    assert!(received <= sender.bytes_out(), "the consumer is asked first");
                }
            })
        };
        assert_eq!(consume(inlet, &link, usize::MAX), (3, Ok(())));
        producer.join().unwrap();
        watcher.join().unwrap();
        assert_eq!((sender.bytes_out(), receiver.bytes_in()), (3, 3));
    });
}

#[test]
fn a_buffer_that_is_dropped_elsewhere_is_back_before_its_credit() {
    interleave(|| {
        let pool = Arc::new(Pool::new(2));
        let (link, mut outlet, inlet) = link(&pool, (2, 2, 1));
        let [first, second] = [(); 2].map(|()| outlet.reserve_blocking(1).unwrap());
        let helper = thread::spawn(move || drop(first));
        drop(outlet.reserve_blocking(1).unwrap());
        helper.join().unwrap();
        drop((outlet, inlet, second));
        assert_nothing_is_held(&link, &pool);
    });
}

/// Passes chunks on, and the end as it found it.
fn pass_on(mut inlet: Inlet, mut outlet: Outlet) {
    loop {
        match inlet.receive_blocking() {
            Ok(Some(chunk)) => {
                if block_on(outlet.forward(chunk)).is_err() {
                    return;
                }
            }
            Ok(None) => return outlet.finish(),
            Err(Closed) => return,
        }
    }
}

/// Two links with a thread between them that forwards; with a canceller where `cancel` says so.
fn chain(cancel: bool) {
    let pool = Arc::new(Pool::new(2));
    let (first, outlet, middle) = link(&pool, (1, 0, 1));
    let (second, onwards, inlet) = link(&pool, (1, 0, 1));
    let producer = {
        let first = first.clone();
        thread::spawn(move || produce(outlet, &first, 4, 1, true))
    };
    let middle = thread::spawn(move || pass_on(middle, onwards));
    let canceller = cancel.then(|| {
        let links = [first.clone(), second.clone()];
        thread::spawn(move || {
            for link in &links {
                link.cancel();
            }
        })
    });
    let (count, end) = consume(inlet, &second, usize::MAX);
    producer.join().unwrap();
    middle.join().unwrap();
    if let Some(canceller) = canceller {
        canceller.join().unwrap();
    }
    assert!(cancel || end == Ok(()));
    assert!(end.is_err() || count == 4);
    assert_nothing_is_held(&first, &pool);
    assert_nothing_is_held(&second, &pool);
}

#[test]
fn a_forwarding_chain_delivers_everything() {
    interleave(|| chain(false));
}

#[test]
fn a_forwarding_chain_can_be_cancelled() {
    interleave(|| chain(true));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_that_never_comes_is_seen() {
    interleave(|| {
        let pool = Arc::new(Pool::new(1));
        let (_link, _outlet, mut inlet) = link(&pool, (1, 0, 1));
        let _ = inlet.receive_blocking();
    });
}
