//! The line in which requests wait for a run, and how many each address may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Shares;

/// The unit of memory in which places are counted, in bytes.
const UNIT: u64 = 1 << 10;

/// Who may run. Requests wait in the order in which they came.
#[derive(Debug)]
pub struct Admission {
    memory: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    connection: u64,
    waiting: Arc<AtomicUsize>,
    longest: usize,
    patience: Duration,
    is_over: CancellationToken,
}

/// A place of a run, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permits: [OwnedSemaphorePermit; 3],
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The line is full.
    Full,
    /// It has waited too long.
    TimedOut,
    /// The service ends.
    Ending,
}

impl Admission {
    /// Places for these shares. A request waits no longer than `patience`, and not once `is_over` is cancelled.
    pub fn new(shares: &Shares, patience: Duration, is_over: CancellationToken) -> Self {
        let units = usize::try_from(shares.runs / UNIT).unwrap_or(usize::MAX);
        Self {
            memory: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            clients: Arc::new(Semaphore::new(shares.clients.min(Semaphore::MAX_PERMITS))),
            connection: shares.connection,
            waiting: Arc::default(),
            longest: shares.line,
            patience,
            is_over,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a place of a run that uses `memory` bytes, after one in `route`.
    pub async fn enter(&self, route: Arc<Semaphore>, memory: u64) -> Result<Place, Refused> {
        if self.is_over.is_cancelled() {
            return Err(Refused::Ending);
        }
        let units = u32::try_from((memory + self.connection).div_ceil(UNIT)).unwrap_or(u32::MAX);
        // None of them is ever closed.
        let enter = async {
            let route = route.acquire_owned().await.ok()?;
            let client = self.clients.clone().acquire_owned().await.ok()?;
            let memory = self.memory.clone().acquire_many_owned(units).await.ok()?;
            Some(Place {
                _permits: [route, client, memory],
            })
        };
        let mut enter = pin!(enter);
        tokio::select! {
            biased;
            place = &mut enter => return place.ok_or(Refused::Ending),
            () = std::future::ready(()) => {}
        }
        let _waiting = Waiting::begin(&self.waiting, self.longest).ok_or(Refused::Full)?;
        tokio::select! {
            biased;
            place = timeout(self.patience, enter) => match place {
                Ok(place) => place.ok_or(Refused::Ending),
                Err(_) => Err(Refused::TimedOut),
            },
            () = self.is_over.cancelled() => Err(Refused::Ending),
        }
    }
}

/// A request in the line.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let joined = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < most).then_some(count + 1)
        });
        joined.is_ok().then(|| Self(count.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The requests of each address.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    most: Option<usize>,
    known: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One request of an address, until it is dropped.
#[derive(Debug)]
pub struct Visit {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// Admits at most `most` requests of an address at once; of IPv6, of a network of 64 bits.
    pub fn new(most: Option<usize>) -> Self {
        Self {
            most,
            known: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; `None` if there are too many.
    pub fn enter(&self, address: IpAddr) -> Option<Visit> {
        let address = network(address);
        let mut known = self.known();
        let count = known.entry(address).or_default();
        if self.most.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Visit {
            addresses: self.clone(),
            address,
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut known = self.addresses.known();
        if let Some(count) = known.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                known.remove(&self.address);
            }
        }
    }
}

/// What one client usually has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Room for two runs of 960 KiB with their connections, and a line of two.
    fn admission(is_over: &CancellationToken) -> Arc<Admission> {
        let shares = Shares {
            runs: 2 << 20,
            connection: 40 << 10,
            clients: 2,
            line: 2,
            connections: 9,
        };
        Arc::new(Admission::new(&shares, PATIENCE, is_over.clone()))
    }

    fn open() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(9))
    }

    const RUN: u64 = 960 << 10;

    #[tokio::test(start_paused = true)]
    async fn requests_are_admitted_in_order() {
        let is_over = CancellationToken::new();
        let admission = admission(&is_over);
        let (first, second) = (admission.enter(open(), RUN).await, admission.enter(open(), RUN).await);
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for name in ["third", "fourth"] {
            let (admission, said) = (admission.clone(), said.clone());
            tokio::spawn(async move {
                let place = admission.enter(open(), RUN).await;
                said.send((name, place)).expect("it is heard");
            });
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.waiting(), 2);
        assert_eq!(admission.enter(open(), RUN).await.err(), Some(Refused::Full));
        drop(first);
        let third = heard.recv().await.expect("the third");
        assert_eq!((third.0, third.1.is_ok()), ("third", true));
        drop(second);
        let fourth = heard.recv().await.expect("the fourth");
        assert_eq!((fourth.0, fourth.1.is_ok()), ("fourth", true));
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn line_is_left_in_time() {
        let is_over = CancellationToken::new();
        let admission = admission(&is_over);
        let large = admission.enter(open(), 2 * RUN).await.expect("it fits");
        let begun = tokio::time::Instant::now();
        assert_eq!(admission.enter(open(), RUN).await.err(), Some(Refused::TimedOut));
        assert_eq!(begun.elapsed(), PATIENCE);
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.enter(open(), RUN).await.err() }
        });
        tokio::task::yield_now().await;
        is_over.cancel();
        assert_eq!(waiting.await.expect("no panic"), Some(Refused::Ending));
        assert_eq!(admission.enter(open(), RUN).await.err(), Some(Refused::Ending));
        drop(large);
    }

    #[test]
    fn address_has_so_many_requests() {
        let addresses = Addresses::new(Some(2));
        let one: IpAddr = "127.0.0.1".parse().expect("an address");
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().expect("an address");
        let first = addresses.enter(one).expect("the first");
        let _second = addresses.enter(mapped).expect("the second");
        assert!(addresses.enter(one).is_none());
        assert!(addresses.enter("127.0.0.2".parse().expect("an address")).is_some());
        drop(first);
        assert!(addresses.enter(one).is_some());
        let six = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(six("2001:db8::1")), network(six("2001:db8::2")));
        assert_ne!(network(six("2001:db8::1")), network(six("2001:db8:0:1::1")));
        assert_eq!(addresses.known().len(), 1, "those without requests are forgotten");
    }
}
