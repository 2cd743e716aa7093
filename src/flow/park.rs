//! Blocks a thread on a future, so that threads and tasks wait on the same code.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::sync::atomic::{AtomicBool, Ordering};
use super::sync::{thread, thread_local};

struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs `future` to its end on this thread, parked while it waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parking = Parking::new();
    let mut future = pin!(future);
    loop {
        match parking.poll(future.as_mut()) {
            Poll::Ready(output) => return output,
            Poll::Pending => parking.park(),
        }
    }
}

/// [`block_on`] for at most `limit`; `None` if the future has not ended by then. It is dropped, and with it its wait.
pub fn block_within<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let parking = Parking::new();
    let mut future = pin!(future);
    let mut deadline = None;
    loop {
        if let Poll::Ready(output) = parking.poll(future.as_mut()) {
            return Some(output);
        }
        let now = Instant::now();
        let left = deadline.get_or_insert(now + limit).saturating_duration_since(now);
        if left.is_zero() {
            return None;
        }
        parking.park_within(left);
    }
}

thread_local! {
    /// The parker of this thread while no wait uses it.
    static IDLE: Cell<Option<Parked>> = const { Cell::new(None) };
}

/// The waker of a waiting thread, and whether it was called.
struct Parked {
    parker: std::sync::Arc<Parker>,
    waker: Waker,
}

/// The parker of this thread, in use.
struct Parking(Option<Parked>);

impl Parking {
    fn new() -> Self {
        let idle = IDLE.with(Cell::take);
        Self(Some(idle.unwrap_or_else(Parked::new)))
    }
}

impl std::ops::Deref for Parking {
    type Target = Parked;

    fn deref(&self) -> &Parked {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Parking {
    fn drop(&mut self) {
        // A wait can begin inside of another one; then the outer one's parker stays.
        IDLE.with(|idle| idle.set(self.0.take()));
    }
}

impl Parked {
    fn new() -> Self {
        let parker = std::sync::Arc::new(Parker {
            thread: thread::current(),
            woken: AtomicBool::new(false),
        });
        Self {
            waker: Waker::from(parker.clone()),
            parker,
        }
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker))
    }

    /// Parks until the waker is called.
    fn park(&self) {
        while !self.parker.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }

    /// Parks until the waker is called, for `limit`, or for less.
    fn park_within(&self, limit: Duration) {
        if !self.parker.woken.swap(false, Ordering::Acquire) {
            thread::park_timeout(limit);
            // Swapped, not stored: the next poll must see what the waking thread did before.
            self.parker.woken.swap(false, Ordering::Acquire);
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_a_wait() {
        let begun = Instant::now();
        assert_eq!(
            block_within(std::future::pending::<()>(), Duration::from_millis(5)),
            None
        );
        assert!(begun.elapsed() >= Duration::from_millis(5));
        assert_eq!(block_within(std::future::ready(7), Duration::ZERO), Some(7));
    }

    #[test]
    fn one_park_consumes_one_wake() {
        let parking = Parking::new();
        let is_woken = || parking.parker.woken.load(Ordering::Relaxed);
        parking.waker.wake_by_ref();
        assert!(is_woken());
        parking.park();
        assert!(!is_woken());
        parking.waker.wake_by_ref();
        // A nested wait also unparks this thread.
        thread::park();
        parking.park_within(Duration::from_secs(3600));
        assert!(!is_woken());
    }

    /// The waker that a wait on this thread uses.
    fn waker() -> Waker {
        block_on(std::future::poll_fn(|context| Poll::Ready(context.waker().clone())))
    }

    #[test]
    fn a_thread_has_one_parker() {
        let first = waker();
        assert!(first.will_wake(&waker()));
        block_within(std::future::pending::<()>(), Duration::ZERO);
        assert!(first.will_wake(&waker()), "a limited wait uses it, too");
        let other = std::thread::spawn(waker).join().unwrap();
        assert!(!first.will_wake(&other));
    }

    #[test]
    fn nested_wait_keeps_the_outer_wake() {
        let mut polls = 0;
        let outer = waker();
        block_on(std::future::poll_fn(|context| {
            polls += 1;
            if polls > 1 {
                return Poll::Ready(());
            }
            assert!(outer.will_wake(context.waker()));
            context.waker().wake_by_ref();
            let mut inner_polls = 0;
            block_on(std::future::poll_fn(|inner| {
                inner_polls += 1;
                assert!(!inner.waker().will_wake(&outer));
                if inner_polls > 1 {
                    return Poll::Ready(());
                }
                inner.waker().wake_by_ref();
                Poll::Pending
            }));
            assert_eq!(inner_polls, 2);
            Poll::Pending
        }));
        assert_eq!(polls, 2);
        assert!(outer.will_wake(&waker()), "the outer parker stays");
    }
}
