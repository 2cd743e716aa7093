//! Threads that work on jobs in parallel and give them back in order.
//!
//! Whoever employs a pool waits for its next finished job in the same way as for its links: through a waker. So one
//! thread can wait for input and for a job at once.

use std::any::Any;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Failure, Kind};
use crate::flow::{Chunk, Closed, Inlet, StageMeter, Wait, block_on, block_within};
use crate::platform;

/// A job that is done, or the panic that its worker died of.
type Done<J> = Result<J, Box<dyn Any + Send>>;

/// What is done with a job.
type Work<J> = Box<dyn FnMut(&mut J) + Send>;

/// What an owner may have to see to.
#[derive(Debug)]
pub enum Event<J> {
    /// The oldest job is done.
    Done(J),
    /// A chunk, or the end.
    Input(Option<Chunk>),
    /// Neither came in time.
    Late,
}

/// Some threads and the jobs in their hands.
pub struct WorkerPool<J> {
    shared: Arc<Shared<J>>,
    threads: Vec<JoinHandle<()>>,
    /// What [`WorkerPool::submit`] does with a job where there are no threads.
    work: Option<Work<J>>,
}

#[derive(Debug)]
struct Shared<J> {
    state: Mutex<State<J>>,
    /// Tells the workers that there is a job, or that there will be none.
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    /// Jobs that nobody has begun, with their numbers.
    waiting: VecDeque<(u64, J)>,
    /// Results from `first` on; `None` for a job that is not done.
    results: VecDeque<Option<Done<J>>>,
    /// The number of the oldest job that was not given back.
    first: u64,
    is_closed: bool,
    owner: Option<Waker>,
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static> WorkerPool<J> {
    /// Hires `count` threads named `name`; each works with a function of its own, made by `make`.
    ///
    /// # Errors
    /// If a thread cannot be had.
    pub fn spawn<W: FnMut(&mut J) + Send + 'static>(
        name: &str,
        count: usize,
        make: impl Fn() -> W,
    ) -> Result<Self, Failure> {
        let mut pool = Self::new(None);
        for _ in 0..count {
            let shared = pool.shared.clone();
            let work = make();
            let spawned = platform::spawn(name, 256 << 10, move || shared.work(work));
            let spawned = spawned.map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?;
            pool.threads.push(spawned);
        }
        Ok(pool)
    }

    /// A pool without threads: [`WorkerPool::submit`] does the work.
    pub fn alone(work: impl FnMut(&mut J) + Send + 'static) -> Self {
        Self::new(Some(Box::new(work)))
    }

    fn new(work: Option<Work<J>>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                results: VecDeque::new(),
                first: 0,
                is_closed: false,
                owner: None,
            }),
            changed: Condvar::new(),
        });
        Self {
            shared,
            threads: Vec::new(),
            work,
        }
    }

    /// Hands a job to the next worker that is free, or does it where there are no threads.
    pub fn submit(&mut self, mut job: J) {
        if let Some(work) = &mut self.work {
            work(&mut job);
            self.shared.lock().results.push_back(Some(Ok(job)));
            return;
        }
        let mut state = self.shared.lock();
        let number = state.first + state.results.len() as u64;
        state.results.push_back(None);
        state.waiting.push_back((number, job));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// How many jobs were submitted and not given back.
    pub fn in_flight(&self) -> usize {
        self.shared.lock().results.len()
    }

    /// The oldest job, waited for; `None` if there is none.
    ///
    /// # Panics
    /// With the panic of its worker, if that died.
    pub fn wait_for_oldest(&mut self) -> Option<J> {
        (self.in_flight() > 0).then(|| block_on(poll_fn(|context| self.poll_oldest(context))))
    }

    /// Makes a job that was just given back the oldest again.
    pub fn put_back(&mut self, job: J) {
        let mut state = self.shared.lock();
        state.first -= 1;
        state.results.push_front(Some(Ok(job)));
    }

    /// What comes first: the oldest job, a chunk of input or its end, or the end of `limit`. Only where there is no job is
    /// the wait one for input.
    ///
    /// # Errors
    /// [`Closed`] when the producer stopped before the end.
    ///
    /// # Panics
    /// With the panic of the oldest job's worker, if that died.
    pub fn next_or_input(
        &mut self,
        input: &mut Inlet,
        meter: &StageMeter,
        limit: Option<Duration>,
    ) -> Result<Event<J>, Closed> {
        if let Some(chunk) = input.try_receive() {
            return Ok(Event::Input(Some(chunk)));
        }
        let _idle = (self.in_flight() == 0).then(|| meter.wait(Wait::Idle));
        let event = poll_fn(|context| match self.poll_oldest(context) {
            Poll::Ready(job) => Poll::Ready(Ok(Event::Done(job))),
            Poll::Pending => input.poll_next(context).map_ok(Event::Input),
        });
        match limit {
            Some(limit) => block_within(event, limit).unwrap_or(Ok(Event::Late)),
            None => block_on(event),
        }
    }

    /// The oldest job, when it is done. Pending for good while there is none.
    ///
    /// # Panics
    /// With the panic of its worker, if that died.
    pub fn poll_oldest(&mut self, context: &mut Context<'_>) -> Poll<J> {
        let mut state = self.shared.lock();
        if let Some(Some(_)) = state.results.front() {
            state.first += 1;
            let done = state.results.pop_front().flatten();
            drop(state);
            match done {
                Some(Ok(job)) => return Poll::Ready(job),
                Some(Err(payload)) => resume_unwind(payload),
                None => unreachable!("the oldest job was just seen to be done"),
            }
        }
        state.owner = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<J> Shared<J> {
    fn work(&self, mut work: impl FnMut(&mut J)) {
        while let Some((number, mut job)) = self.next() {
            let done = match catch_unwind(AssertUnwindSafe(|| work(&mut job))) {
                Ok(()) => Ok(job),
                Err(payload) => Err(payload),
            };
            let owner = {
                let mut state = self.lock();
                let at = usize::try_from(number - state.first).unwrap_or(usize::MAX);
                if let Some(slot) = state.results.get_mut(at) {
                    *slot = Some(done);
                }
                // Only the oldest is waited for.
                if at == 0 { state.owner.take() } else { None }
            };
            if let Some(owner) = owner {
                owner.wake();
            }
        }
    }

    fn next(&self) -> Option<(u64, J)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J> Drop for WorkerPool<J> {
    /// Dismisses the workers: jobs that nobody has begun are dropped, those begun are finished first.
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic has been given to the owner as its job's result.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_back_in_order_whoever_is_faster() {
        let mut pool = WorkerPool::spawn("worker", 3, || {
            |job: &mut (u64, u64)| {
                // Early jobs take longer.
                job.1 = (0..(20 - job.0) * 1000).fold(job.0, |sum, step| sum.wrapping_add(step ^ sum));
            }
        })
        .expect("threads");
        for number in 0..20 {
            pool.submit((number, 0));
        }
        assert_eq!(pool.in_flight(), 20);
        for number in 0..20 {
            assert_eq!(block_on(poll_fn(|context| pool.poll_oldest(context))).0, number);
        }
        assert_eq!(pool.in_flight(), 0);
    }

    #[test]
    #[should_panic(expected = "the third")]
    fn a_workers_panic_reaches_the_employer_in_its_turn() {
        let mut pool =
            WorkerPool::spawn("worker", 2, || |job: &mut u32| assert!(*job != 3, "the third")).expect("threads");
        for job in 1..=4 {
            pool.submit(job);
        }
        for job in 1..=3 {
            assert_eq!(block_on(poll_fn(|context| pool.poll_oldest(context))), job);
        }
    }

    #[test]
    fn without_threads_submitting_does_the_work() {
        let submitter = std::thread::current().id();
        let mut pool =
            WorkerPool::alone(|job: &mut Option<std::thread::ThreadId>| *job = Some(std::thread::current().id()));
        pool.submit(None);
        pool.submit(None);
        assert_eq!(pool.in_flight(), 2);
        assert_eq!(pool.wait_for_oldest(), Some(Some(submitter)));
        assert_eq!(pool.wait_for_oldest(), Some(Some(submitter)));
        assert_eq!(pool.wait_for_oldest(), None);
    }

    #[test]
    fn a_crew_with_jobs_left_can_be_dismissed() {
        let mut pool = WorkerPool::spawn("worker", 1, || |_: &mut u32| {}).expect("threads");
        for job in 0..100 {
            pool.submit(job);
        }
        drop(pool);
    }
}
