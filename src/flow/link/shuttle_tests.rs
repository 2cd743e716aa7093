//! The link between real threads that block, under schedulers that choose every interleaving of its locks, atomics and
//! parked threads: at random, and few preemptions at chosen places (PCT). The seeds are fixed. A lost wake-up is a
//! deadlock, which shuttle reports with the schedule to replay.

use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

use super::*;
use crate::flow::{Chunk, StageMeter, block_on};

const ITERATIONS: usize = 2000;
/// For programs of several links, which take longer.
const FEWER: usize = 250;
const PREEMPTIONS: usize = 4;
const SEED: u64 = 0x6869_6768;

/// Runs `test` in many interleavings of both kinds.
fn interleave(test: impl Fn() + Send + Sync + Copy + 'static) {
    interleave_in(ITERATIONS, test);
}

fn interleave_in(iterations: usize, test: impl Fn() + Send + Sync + Copy + 'static) {
    run(RandomScheduler::new_from_seed(SEED, iterations), iterations, test);
    run(
        PctScheduler::new_from_seed(SEED, PREEMPTIONS, iterations),
        iterations,
        test,
    );
}

fn run(scheduler: impl Scheduler + 'static, iterations: usize, test: impl Fn() + Send + Sync + 'static) {
    let ran = Runner::new(scheduler, shuttle::Config::default()).run(test);
    assert_eq!(ran, iterations, "every iteration was run");
}

fn link(pool: &Arc<Pool>, (high, low, chunk): (u64, u64, usize)) -> (Arc<Link>, Outlet, Inlet) {
    link_of(pool, Marks::new(high, low, chunk))
}

fn link_of(pool: &Arc<Pool>, marks: Marks) -> (Arc<Link>, Outlet, Inlet) {
    let link = Link::new(marks, pool.clone());
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    let outlet = Outlet::new(link.clone(), meter());
    let inlet = Inlet::new(link.clone(), meter());
    (link, outlet, inlet)
}

fn assert_bounded(link: &Link) {
    let state = lock(&link.state);
    assert!((state.granted + state.level).is_within(link.marks.high_load()));
    assert!(state.peak.is_within(link.marks.high_load()));
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

/// Sends the bytes 0, 1, 2, … in buffers of `size`, one each; `false` if the consumer closed its side.
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

/// Receives until the end or until `leave` chunks came; returns the number of bytes, which are in order, and the end.
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
fn finished_stream_arrives() {
    interleave(|| transfer((1, 0, 1), true));
    interleave(|| transfer((2, 1, 1), true));
    interleave(|| transfer((3, 3, 1), true));
}

#[test]
fn short_sends_arrive_however_they_are_appended() {
    interleave(|| transfer((32 << 10, 8 << 10, 8 << 10), true));
}

#[test]
fn abort_arrives_behind_the_bytes() {
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
fn received_count_never_exceeds_sent() {
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
fn buffer_returns_before_its_credit() {
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

/// Passes on the chunks and the kind of end.
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

/// A producer of records, which wait behind these marks; the middle one takes as much of the link as there is. They pass a
/// second link of `second` marks.
fn transfer_records(first: Marks, second: Marks) {
    const COUNT: u8 = 5;
    let pool = Arc::new(Pool::new(first.high + second.high));
    let (first, mut outlet, middle) = link_of(&pool, first);
    let (second, onwards, mut inlet) = link_of(&pool, second);
    let producer = {
        let first = first.clone();
        thread::spawn(move || {
            for byte in 0..COUNT {
                let mut buffer = if byte == COUNT / 2 {
                    let size = usize::try_from(first.marks.high).unwrap();
                    block_on(outlet.reserve_whole(size)).unwrap()
                } else {
                    block_on(outlet.reserve_records(4, 2)).unwrap()
                };
                assert_bounded(&first);
                buffer.fill_from(&[byte]);
                buffer.count_records(1);
                buffer.mark(Position(byte.into()));
                outlet.send(buffer).unwrap();
            }
            outlet.mark(Position(COUNT.into())).unwrap();
            outlet.finish();
        })
    };
    let middle = thread::spawn(move || pass_on(middle, onwards));
    let (mut bytes, mut records, mut last) = (0, 0, None);
    while let Some(chunk) = inlet.receive_blocking().unwrap() {
        for &byte in chunk.as_slice() {
            assert_eq!(byte, bytes, "in order, once");
            bytes += 1;
        }
        records += chunk.records();
        if let Some(position) = chunk.position() {
            assert!(last < Some(position), "positions rise");
            assert!(
                position.0 < bytes.into() || position.0 == COUNT.into(),
                "behind its bytes"
            );
            last = Some(position);
        }
        assert_bounded(&second);
    }
    producer.join().unwrap();
    middle.join().unwrap();
    assert_eq!(
        (bytes, records, last),
        (COUNT, COUNT.into(), Some(Position(COUNT.into())))
    );
    assert_nothing_is_held(&first, &pool);
    assert_nothing_is_held(&second, &pool);
}

#[test]
fn records_and_positions_arrive() {
    let marks = Marks::new(16, 8, 4);
    interleave_in(FEWER, move || transfer_records(marks.with_records(1, 0), marks));
    interleave_in(FEWER, move || {
        transfer_records(marks.with_records(8, 4), marks.with_records(2, 1))
    });
    // Short sends are appended, on the credit of their buffers.
    let marks = Marks::new(32 << 10, 8 << 10, 8 << 10);
    interleave_in(FEWER, move || {
        transfer_records(marks.with_records(16, 8), marks.with_records(3, 3))
    });
}

/// Which part of a fan ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Nothing,
    /// The first branch's consumer leaves after its first chunk.
    Leaves,
    /// The first branch is cancelled.
    Branch,
    /// Everything is cancelled.
    All,
}

/// Passes every chunk to all open branches, and the kind of end.
fn share_out(mut inlet: Inlet, mut outlets: Vec<Outlet>) {
    loop {
        match inlet.receive_blocking() {
            Ok(Some(mut chunk)) => outlets.retain_mut(|outlet| block_on(outlet.share(&mut chunk)).is_ok()),
            Ok(None) => return outlets.into_iter().for_each(Outlet::finish),
            Err(Closed) => return,
        }
    }
}

/// Chunks of two bytes to two branches, each on a thread of its own.
fn fan(first: (u64, u64, usize), early: Early) {
    let pool = Arc::new(Pool::new(8 + first.0 + 8));
    let (source, mut outlet, middle) = link(&pool, (8, 4, 2));
    let (a, to_a, from_a) = link(&pool, first);
    let (b, to_b, from_b) = link(&pool, (8, 0, 2));
    let mut threads = vec![
        thread::spawn(move || {
            for byte in [0, 2, 4] {
                let Ok(mut buffer) = outlet.reserve_blocking(2) else {
                    return;
                };
                buffer.fill_from(&[byte, byte + 1]);
                if outlet.send(buffer).is_err() {
                    return;
                }
            }
            outlet.finish();
        }),
        thread::spawn(move || share_out(middle, vec![to_a, to_b])),
    ];
    let cancelled = match early {
        Early::Nothing | Early::Leaves => vec![],
        Early::Branch => vec![a.clone()],
        Early::All => vec![b.clone(), source.clone(), a.clone()],
    };
    threads.push(thread::spawn(move || cancelled.iter().for_each(|link| link.cancel())));
    let leave = if early == Early::Leaves { 1 } else { usize::MAX };
    let consumer = {
        let a = a.clone();
        thread::spawn(move || consume(from_a, &a, leave))
    };
    let second = consume(from_b, &b, usize::MAX);
    let first = consumer.join().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    match early {
        Early::Nothing => assert_eq!([first, second], [(6, Ok(())); 2]),
        Early::Leaves | Early::Branch => assert_eq!(second, (6, Ok(()))),
        Early::All => {}
    }
    for link in [&source, &a, &b] {
        assert_nothing_is_held(link, &pool);
    }
}

#[test]
fn every_branch_gets_all_it_wants() {
    for early in [Early::Nothing, Early::Leaves, Early::Branch, Early::All] {
        interleave_in(FEWER, move || fan((8, 8, 2), early));
    }
    interleave_in(FEWER, || fan((1, 0, 1), Early::Nothing));
    interleave_in(FEWER, || fan((1, 0, 1), Early::Branch));
}

#[test]
fn the_last_of_two_holders_may_write() {
    interleave(|| {
        let pool = Arc::new(Pool::new(8));
        let (first, mut outlet, mut inlet) = link(&pool, (4, 0, 1));
        let (second, mut onwards, mut elsewhere) = link(&pool, (4, 0, 1));
        let mut buffer = outlet.reserve_blocking(1).unwrap();
        buffer.fill_from(&[1]);
        outlet.send(buffer).unwrap();
        let mut chunk = inlet.receive_blocking().unwrap().unwrap();
        block_on(onwards.share(&mut chunk)).unwrap();
        let write = |mut chunk: Chunk| {
            if let Some(bytes) = chunk.as_mut_slice() {
                bytes[0] += 1;
            }
            assert!(chunk.as_slice()[0] <= 2, "only one of them wrote");
        };
        let other = elsewhere.receive_blocking().unwrap().unwrap();
        let thread = thread::spawn(move || write(other));
        write(chunk);
        thread.join().unwrap();
        drop((outlet, inlet, onwards, elsewhere));
        assert_nothing_is_held(&first, &pool);
        assert_nothing_is_held(&second, &pool);
    });
}

#[test]
fn a_wait_inside_another_loses_no_wake() {
    interleave(|| {
        let pool = Arc::new(Pool::new(2));
        let [(_, mut to_outer, mut outer), (_, mut to_inner, mut inner)] = [(); 2].map(|()| link(&pool, (1, 0, 1)));
        let send = |outlet: &mut Outlet| {
            let mut buffer = outlet.reserve_blocking(1).unwrap();
            buffer.fill_from(&[1]);
            outlet.send(buffer).unwrap();
        };
        let threads = [
            thread::spawn(move || send(&mut to_outer)),
            thread::spawn(move || send(&mut to_inner)),
        ];
        let mut receiving = std::pin::pin!(outer.receive());
        let chunk = block_on(std::future::poll_fn(|context| {
            let outer = receiving.as_mut().poll(context);
            if inner.try_receive().is_none() {
                let _ = inner.receive_blocking();
            }
            outer
        }));
        assert!(chunk.is_ok());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn lost_wake_up_is_detected() {
    interleave(|| {
        let pool = Arc::new(Pool::new(1));
        let (_link, _outlet, mut inlet) = link(&pool, (1, 0, 1));
        let _ = inlet.receive_blocking();
    });
}
