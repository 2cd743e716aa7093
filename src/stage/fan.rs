//! Copies one stream into several.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::flow::{Chunk, Closed, Inlet, Outlet, StageMeter};

use super::Notices;

/// The outlets of a stage with several outputs. Each gets every chunk, in shared memory; the slowest limits the rate.
#[derive(Debug)]
pub struct Fan {
    outlets: Vec<Numbered>,
    full_limit: Option<FullLimit>,
    dropping: Option<Dropping>,
}

/// An outlet, and the index of the stage's output that it is.
#[derive(Debug)]
struct Numbered {
    number: usize,
    outlet: Outlet,
}

/// How long some outputs may accept nothing before they are detached.
#[derive(Debug)]
struct FullLimit {
    /// Applies to the outputs below this index.
    count: usize,
    limit: Duration,
    notices: Notices,
}

/// Some outputs that lose records instead of waiting.
#[derive(Debug)]
struct Dropping {
    /// Applies to the outputs below this index.
    count: usize,
    meter: Arc<StageMeter>,
}

impl Fan {
    /// A fan of these outlets.
    #[must_use]
    pub fn new(outlets: Vec<Outlet>) -> Self {
        let numbered = outlets.into_iter().enumerate();
        let outlets = numbered.map(|(number, outlet)| Numbered { number, outlet }).collect();
        Self {
            outlets,
            full_limit: None,
            dropping: None,
        }
    }

    /// Detaches each of the first `count` outputs that accepts nothing for longer than `limit`, and reports it to
    /// `notices`.
    #[must_use]
    pub fn detaching(mut self, count: usize, limit: Duration, notices: Notices) -> Self {
        self.full_limit = Some(FullLimit { count, limit, notices });
        self
    }

    /// Drops the records for which one of the first `count` outputs has no room, and counts them on `meter`.
    #[must_use]
    pub fn dropping(mut self, count: usize, meter: Arc<StageMeter>) -> Self {
        self.dropping = Some(Dropping { count, meter });
        self
    }

    /// The next chunk of the input, or `None` at its end, as [`Inlet::receive`] has it. A branch whose consumer stops
    /// is dropped at once.
    pub async fn receive(&mut self, input: &mut Inlet) -> Result<Option<Chunk>, Closed> {
        let mut closed = pin!(Self::all_closed(&mut self.outlets));
        let mut received = pin!(input.receive());
        poll_fn(|context| match closed.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(Closed)),
            Poll::Pending => received.as_mut().poll(context),
        })
        .await
    }

    /// Drops each branch as soon as it is closed, until none is left.
    async fn all_closed(outlets: &mut Vec<Numbered>) {
        poll_fn(|context| {
            outlets.retain(|numbered| pin!(numbered.outlet.closed()).poll(context).is_pending());
            if outlets.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Sends a chunk to every open branch.
    pub async fn send(&mut self, mut chunk: Chunk) -> Result<(), Closed> {
        let mut index = 0;
        while let Some(Numbered { number, outlet }) = self.outlets.get_mut(index) {
            if let Some(dropping) = self.dropping.as_ref().filter(|dropping| *number < dropping.count) {
                match outlet.share_or_drop(&mut chunk) {
                    Ok(dropped) => {
                        dropping.meter.add_dropped(dropped);
                        index += 1;
                    }
                    Err(Closed) => {
                        self.outlets.remove(index);
                    }
                }
                continue;
            }
            let shared = outlet.share(&mut chunk);
            let is_taken = match self.full_limit.as_ref().filter(|full_limit| *number < full_limit.count) {
                None => shared.await.is_ok(),
                Some(full_limit) => match tokio::time::timeout(full_limit.limit, shared).await {
                    Ok(shared) => shared.is_ok(),
                    Err(_) => {
                        full_limit.notices.detached(*number, full_limit.limit);
                        false
                    }
                },
            };
            if is_taken {
                index += 1;
            } else {
                self.outlets.remove(index);
            }
        }
        // A stage that never waits would never let the other tasks of its thread run.
        tokio::task::coop::consume_budget().await;
        if self.outlets.is_empty() { Err(Closed) } else { Ok(()) }
    }

    /// Ends the stream of every branch.
    pub fn finish(self) {
        self.outlets.into_iter().for_each(|numbered| numbered.outlet.finish());
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Instant;

    use super::*;
    use crate::flow::{Inlet, Link, Marks, Pool, Position, StageMeter, block_on};

    fn link(pool: &Arc<Pool>, high: u64) -> (Arc<Link>, Outlet, Inlet) {
        let link = Link::new(Marks::new(high, 0, 8), pool.clone());
        let meter = || Arc::new(StageMeter::new(Instant::now()));
        (
            link.clone(),
            Outlet::new(link.clone(), meter()),
            Inlet::new(link, meter()),
        )
    }

    /// A chunk of eight bytes with a position.
    fn chunk(outlet: &mut Outlet, inlet: &mut Inlet) -> Chunk {
        let mut buffer = outlet.reserve_blocking(8).unwrap();
        buffer.fill_from(b"abcdefgh");
        buffer.mark(Position(7));
        outlet.send(buffer).unwrap();
        inlet.receive_blocking().unwrap().unwrap()
    }

    /// The number of wake-ups.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn assert_has_it(inlet: &mut Inlet) {
        let chunk = inlet.receive_blocking().unwrap().unwrap();
        assert_eq!(
            (chunk.as_slice(), chunk.position()),
            (&b"abcdefgh"[..], Some(Position(7)))
        );
    }

    #[test]
    fn every_branch_gets_every_chunk() {
        let pool = Arc::new(Pool::new(128));
        let (_, mut source, mut middle) = link(&pool, 32);
        let [(_, a, mut from_a), (_, b, mut from_b), (_, c, mut from_c)] = [(); 3].map(|()| link(&pool, 32));
        let mut fan = Fan::new(vec![a, b, c]);
        for _ in 0..3 {
            block_on(fan.send(chunk(&mut source, &mut middle))).unwrap();
        }
        assert_eq!(pool.levels().in_use, 24, "one block for all three");
        fan.finish();
        for inlet in [&mut from_a, &mut from_b, &mut from_c] {
            (0..3).for_each(|_| assert_has_it(inlet));
            assert!(inlet.receive_blocking().unwrap().is_none());
        }
        assert_eq!(pool.levels().in_use, 0);
    }

    #[test]
    fn branches_leave_one_by_one() {
        let pool = Arc::new(Pool::new(128));
        let (_, mut source, mut middle) = link(&pool, 32);
        let [(_, a, from_a), (cancelled, b, from_b), (_, c, mut from_c)] = [(); 3].map(|()| link(&pool, 32));
        let mut fan = Fan::new(vec![a, b, c]);
        drop(from_a);
        block_on(fan.send(chunk(&mut source, &mut middle))).unwrap();
        cancelled.cancel();
        block_on(fan.send(chunk(&mut source, &mut middle))).unwrap();
        assert_has_it(&mut from_c);
        assert_has_it(&mut from_c);
        drop(from_c);
        assert_eq!(block_on(fan.send(chunk(&mut source, &mut middle))), Err(Closed));
        drop(from_b);
        assert_eq!(pool.levels().in_use, 0);
    }

    #[test]
    fn a_fan_without_branches_waits_no_longer() {
        let pool = Arc::new(Pool::new(128));
        let (_, mut source, mut middle) = link(&pool, 32);
        let [(_, a, from_a), (cancelled, b, from_b), (_, c, from_c)] = [(); 3].map(|()| link(&pool, 32));
        let mut fan = Fan::new(vec![a, b, c]);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = std::task::Context::from_waker(&waker);
        {
            let mut received = pin!(fan.receive(&mut middle));
            assert!(received.as_mut().poll(&mut context).is_pending());
            drop(from_a);
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
            assert!(received.as_mut().poll(&mut context).is_pending());
            cancelled.cancel();
            assert_eq!(woken.0.load(Ordering::Relaxed), 2);
            assert!(received.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(fan.outlets.len(), 1);
        // A send that was dropped has lost nothing.
        let mut buffer = source.reserve_blocking(1).unwrap();
        buffer.fill_from(b"x");
        source.send(buffer).unwrap();
        let chunk = block_on(fan.receive(&mut middle)).unwrap().unwrap();
        assert_eq!(chunk.as_slice(), b"x");
        let mut received = pin!(fan.receive(&mut middle));
        assert!(received.as_mut().poll(&mut context).is_pending());
        let before = woken.0.load(Ordering::Relaxed);
        drop(from_c);
        assert_eq!(woken.0.load(Ordering::Relaxed), before + 1);
        assert!(matches!(received.as_mut().poll(&mut context), Poll::Ready(Err(Closed))));
        drop(from_b);
    }

    #[test]
    fn a_branch_of_one_byte_governs() {
        let pool = Arc::new(Pool::new(65));
        let (_, mut source, mut middle) = link(&pool, 32);
        let (narrow, a, mut from_a) = link(&pool, 1);
        let (_, b, mut from_b) = link(&pool, 32);
        let mut fan = Fan::new(vec![a, b]);
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut position = None;
            while let Some(chunk) = from_a.receive_blocking().unwrap() {
                bytes.extend_from_slice(chunk.as_slice());
                position = chunk.position().or(position);
            }
            (bytes, position)
        });
        block_on(fan.send(chunk(&mut source, &mut middle))).unwrap();
        fan.finish();
        assert_eq!(reader.join().unwrap(), (b"abcdefgh".to_vec(), Some(Position(7))));
        assert_has_it(&mut from_b);
        assert_eq!((narrow.levels().peak, pool.levels().in_use), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_branch_is_detached() {
        let pool = Arc::new(Pool::new(128));
        let (_, mut source, mut middle) = link(&pool, 64);
        let [(_, a, mut from_a), (_, b, mut from_b)] = [(); 2].map(|()| link(&pool, 32));
        let (sender, mut notices) = tokio::sync::mpsc::unbounded_channel();
        let node = crate::graph::Graph::new().root();
        let limit = Duration::from_secs(5);
        let mut fan = Fan::new(vec![a, b]).detaching(1, limit, Notices::new(node, sender));
        let begun = tokio::time::Instant::now();
        for _ in 0..5 {
            assert_eq!(begun.elapsed(), Duration::ZERO);
            fan.send(chunk(&mut source, &mut middle)).await.unwrap();
            assert_has_it(&mut from_b);
        }
        assert_eq!(begun.elapsed(), limit);
        let said = crate::stage::Notice::Detached {
            fork: node,
            output: 0,
            after: limit,
        };
        assert_eq!(notices.try_recv(), Ok(said));
        // What it received already is still there, followed by an abort.
        (0..4).for_each(|_| assert_has_it(&mut from_a));
        assert_eq!(from_a.receive_blocking().err(), Some(Closed));
        // The second output has no limit.
        for _ in 0..4 {
            fan.send(chunk(&mut source, &mut middle)).await.unwrap();
        }
        let held = tokio::time::timeout(limit * 2, fan.send(chunk(&mut source, &mut middle))).await;
        assert!(held.is_err());
    }

    #[test]
    fn full_branch_loses_whole_records() {
        let pool = Arc::new(Pool::new(1 << 20));
        let joined = |records| {
            let link = Link::new(Marks::new(1 << 16, 0, 1 << 14).with_records(records, 0), pool.clone());
            let meter = || Arc::new(StageMeter::new(Instant::now()));
            (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
        };
        let (mut source, mut middle) = joined(1000);
        let ((narrow, mut from_narrow), (wide, mut from_wide)) = (joined(8), joined(1000));
        let meter = Arc::new(StageMeter::new(Instant::now()));
        let mut fan = Fan::new(vec![narrow, wide]).dropping(1, meter.clone());
        for first in [0, 5, 10] {
            let lines = (first..first + 5).map(|number| format!("{number}\n"));
            let text = lines.collect::<Vec<_>>().concat();
            let mut buffer = block_on(source.reserve_records(100, 5)).unwrap();
            buffer.fill_from(text.as_bytes());
            buffer.count_records(5);
            buffer.mark(Position(first));
            source.send(buffer).unwrap();
            let chunk = middle.receive_blocking().unwrap().unwrap();
            block_on(fan.send(chunk)).unwrap();
        }
        fan.finish();
        let all = |inlet: &mut Inlet| {
            let (mut text, mut position) = (String::new(), None);
            while let Some(chunk) = inlet.receive_blocking().unwrap() {
                text += std::str::from_utf8(chunk.as_slice()).unwrap();
                position = chunk.position().or(position);
            }
            (text, position)
        };
        let (kept, position) = all(&mut from_narrow);
        assert_eq!(kept, "0\n1\n2\n3\n4\n5\n6\n9\n");
        assert_eq!((meter.dropped(), position), (7, Some(Position(10))));
        let (every, _) = all(&mut from_wide);
        assert_eq!(every.lines().count(), 15);
        assert_eq!(pool.levels().in_use, 0);
    }

    #[test]
    fn dropped_fan_aborts_every_branch() {
        let pool = Arc::new(Pool::new(64));
        let [(_, a, mut from_a), (_, b, mut from_b)] = [(); 2].map(|()| link(&pool, 32));
        drop(Fan::new(vec![a, b]));
        assert_eq!(from_a.receive_blocking().err(), Some(Closed));
        assert_eq!(from_b.receive_blocking().err(), Some(Closed));
    }
}
