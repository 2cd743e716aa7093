//! One stream into several.

use crate::flow::{Chunk, Closed, Outlet};

/// The outlets of a stage with several outputs. Each takes every chunk, in memory that all share; the slowest governs.
#[derive(Debug)]
pub struct Fan(Vec<Outlet>);

impl Fan {
    /// A fan of these outlets.
    #[must_use]
    pub fn new(outlets: Vec<Outlet>) -> Self {
        Self(outlets)
    }

    /// Sends a chunk to every branch that wants more.
    ///
    /// # Errors
    /// [`Closed`] when none of them does.
    pub async fn send(&mut self, mut chunk: Chunk) -> Result<(), Closed> {
        let mut index = 0;
        while let Some(outlet) = self.0.get_mut(index) {
            if outlet.share(&mut chunk).await.is_ok() {
                index += 1;
            } else {
                self.0.remove(index);
            }
        }
        if self.0.is_empty() { Err(Closed) } else { Ok(()) }
    }

    /// Ends the stream of every branch.
    pub fn finish(self) {
        self.0.into_iter().for_each(Outlet::finish);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::sync::Arc;
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

    #[test]
    fn a_fan_that_is_dropped_aborts_every_branch() {
        let pool = Arc::new(Pool::new(64));
        let [(_, a, mut from_a), (_, b, mut from_b)] = [(); 2].map(|()| link(&pool, 32));
        drop(Fan::new(vec![a, b]));
        assert_eq!(from_a.receive_blocking().err(), Some(Closed));
        assert_eq!(from_b.receive_blocking().err(), Some(Closed));
    }
}
