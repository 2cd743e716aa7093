//! The connections of a server: how many there are at once, and which one gives way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// How long a connection may wait for its request, even if others want its place.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// The connections of a server.
pub struct Clients {
    most: usize,
    tasks: JoinSet<()>,
    known: Vec<(AbortHandle, Arc<Activity>)>,
}

impl Clients {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            known: Vec::with_capacity(most),
        }
    }

    /// Adds one, once there is room.
    pub fn add(&mut self, task: impl Future<Output = ()> + Send + 'static, activity: Arc<Activity>) {
        let handle = self.tasks.spawn(task);
        self.known.push((handle, activity));
    }

    /// Waits until all of them have ended.
    pub async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Waits until there is room for one more, and drops the one that has waited longest for a head if need be.
    pub async fn make_room(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.known.retain(|(task, _)| !task.is_finished());
            if self.tasks.len() < self.most {
                return;
            }
            let waiting = self
                .known
                .iter()
                .filter_map(|(task, activity)| Some((activity.waits_since()?, task)));
            let longest = waiting.min_by_key(|(since, _)| *since);
            let pause = match longest {
                Some((since, task)) => {
                    let pause = LEAST_WAIT.saturating_sub(since.elapsed());
                    if pause.is_zero() {
                        task.abort();
                    }
                    pause
                }
                None => LEAST_WAIT,
            };
            // One that is told to end does so at once.
            let limit = if pause.is_zero() { LEAST_WAIT } else { pause };
            let _ = timeout(limit, self.tasks.join_next()).await;
        }
    }
}

/// Since when a connection waits for the head of a request.
#[derive(Debug)]
pub struct Activity(Mutex<Option<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }
}

impl Activity {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while it is being answered.
    pub fn waits_since(&self) -> Option<Instant> {
        *self.since()
    }

    /// A whole head has come.
    pub fn begin_request(&self) {
        *self.since() = None;
    }

    /// The next request may come.
    pub fn end_request(&self) {
        *self.since() = Some(Instant::now());
    }
}
