//! Stops a run before it exceeds its memory limit.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Failure, Kind};
use crate::platform::{self, ResidentMemory, free_memory};

use super::Ending;
use super::overrun::Overrun;
use super::watch::Watch;

/// Measures the resident memory on a thread of its own, which no stage can block.
pub struct Guard {
    found: Arc<Found>,
    /// Dropping it ends the thread.
    _over: Option<Sender<()>>,
}

#[derive(Default)]
struct Found {
    overrun: OnceLock<Overrun>,
    told: Notify,
}

impl Guard {
    /// A guard that allows at most `limit` resident bytes, or one that never trips. `before` bytes were resident before
    /// the stages were started.
    pub fn start(limit: Option<u64>, before: u64, watch: &Arc<Watch>) -> Result<Self, Failure> {
        let found = Arc::new(Found::default());
        let Some(limit) = limit else {
            return Ok(Self { found, _over: None });
        };
        let (over, ended) = channel();
        let (teller, watch) = (found.clone(), watch.clone());
        let spawned = platform::spawn("memory guard", 64 << 10, move || {
            let memory = ResidentMemory::open();
            loop {
                let rss = memory.now();
                // Granted buffers are bounded exactly, however late this thread runs; all other memory is measured.
                if rss > limit || watch.pool.is_exhausted() {
                    let overrun = Overrun {
                        rss,
                        limit,
                        before,
                        elapsed: watch.start.elapsed(),
                        free: free_memory(),
                        ceiling: watch.budget.limit(),
                        is_unbounded: watch.is_unbounded,
                    };
                    let _ = teller.overrun.set(overrun);
                    // Done here, at once: no other thread has to be scheduled first for the memory to stop growing.
                    watch.links.values().iter().for_each(|link| link.cancel());
                    teller.told.notify_one();
                    return;
                }
                match ended.recv_timeout(until_next_look(limit - rss)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        let refused = |error| Failure::io(Kind::Resources, "cannot start a thread", error);
        spawned.map(|_| ()).map_err(refused)?;
        Ok(Self {
            found,
            _over: Some(over),
        })
    }

    /// Waits until the run has to end.
    pub async fn tripped(&self) -> Ending {
        loop {
            match self.said() {
                Some(ending) => return ending,
                None => self.found.told.notified().await,
            }
        }
    }

    /// Why the run has to end, if it has to.
    pub fn said(&self) -> Option<Ending> {
        let overrun = self.found.overrun.get()?;
        Some(Ending::failed(None, overrun.failure()))
    }
}

/// The least time until `headroom` more bytes can be resident: no current machine fills new pages, which have to be
/// cleared first, faster than 4 GiB/s.
fn until_next_look(headroom: u64) -> Duration {
    const FASTEST: u64 = 4 << 30;
    let millis = headroom.saturating_mul(1000) / FASTEST;
    Duration::from_millis(millis.clamp(1, 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Closed, Link, Marks, Outlet, Pool, block_within};

    /// Starts a guard over an unbounded link whose pool has room for `most` bytes, lets the producer exceed it, and
    /// returns the exit code.
    fn guarded(limit: u64, most: u64) -> u8 {
        let pool = Arc::new(Pool::advisory(4, most));
        let link = Link::new(Marks::new(4, 2, 1).advisory(), pool.clone());
        let watch = Arc::new(Watch {
            links: [link.clone()].into_iter().collect(),
            pool,
            is_unbounded: true,
            ..Watch::detached(2)
        });
        let mut outlet = Outlet::new(link, watch.stages.values()[0].meter.clone());
        assert_eq!(block_within(outlet.copy(b"x"), Duration::ZERO).is_none(), most == 0);
        let guard = Guard::start(Some(limit), 0, &watch).expect("a thread");
        let tripped = block_within(guard.tripped(), Duration::from_secs(60));
        assert_eq!(
            block_within(outlet.copy(b"x"), Duration::ZERO),
            Some(Err(Closed)),
            "the links are stopped before it is said"
        );
        tripped.expect("a word").exit_code()
    }

    #[test]
    fn guard_stops_links_and_run() {
        assert_eq!(guarded(0, 100), 7, "resident");
        assert_eq!(guarded(u64::MAX, 0), 7, "granted");
    }

    #[test]
    fn guard_looks_more_often_near_the_limit() {
        let looks = [0, 1 << 20, 16 << 20, 64 << 20, 1 << 30, u64::MAX].map(until_next_look);
        assert_eq!(looks.map(|look| look.as_millis()), [1, 1, 3, 15, 20, 20]);
    }
}
