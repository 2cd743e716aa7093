//! The reactor of tasks, and signals as tasks await them.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fault::{self, Operation};
use super::signals::{TERMINATING, is_ignored};

/// A runtime on the calling thread.
pub fn reactor() -> io::Result<Runtime> {
    fault::point(Operation::Reactor)?;
    check_descriptors()?;
    Builder::new_current_thread().enable_all().build()
}

/// Checks that enough descriptors are left for a runtime, which panics if there are none for its signals.
fn check_descriptors() -> io::Result<()> {
    /// Its epoll twice, its waker, a pair for signals and one end of that again.
    const TAKEN: usize = 6;
    let (first, second) = UnixStream::pair()?;
    let others = (2..TAKEN).map(|_| first.try_clone());
    let others = others.collect::<io::Result<Vec<_>>>()?;
    drop((first, second, others));
    Ok(())
}

/// The same signal within this time of the first counts as one: GNU timeout sends it to a program and to its group.
pub const REPEATED: Duration = Duration::from_millis(500);

/// The terminating signals, as a task awaits them. By default none are.
#[derive(Debug, Default)]
pub struct Signals {
    streams: Vec<(i32, Signal)>,
    last: Option<(i32, Instant)>,
}

impl Signals {
    /// Starts to listen for them; they lose their default action. A signal that was ignored when the process started
    /// stays ignored.
    ///
    /// # Errors
    /// If that fails.
    pub fn listen() -> io::Result<Self> {
        let heeded = TERMINATING.into_iter().filter(|number| !is_ignored(*number));
        let streams = heeded.map(|number| {
            fault::point(Operation::Signal)?;
            Ok((number, signal(SignalKind::from_raw(number))?))
        });
        Ok(Self {
            streams: streams.collect::<io::Result<_>>()?,
            last: None,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> i32 {
        loop {
            let streams = &mut self.streams;
            let number = poll_fn(|context| {
                for (number, signal) in streams.iter_mut() {
                    if signal.poll_recv(context).is_ready() {
                        return Poll::Ready(*number);
                    }
                }
                Poll::Pending
            });
            let number = number.await;
            if self.counts(number, Instant::now()) {
                return number;
            }
        }
    }

    /// Whether a signal that comes now is not a repetition of the last one.
    fn counts(&mut self, number: i32, now: Instant) -> bool {
        let is_repeated = |(last, at)| last == number && now.duration_since(at) < REPEATED;
        if self.last.is_some_and(is_repeated) {
            return false;
        }
        self.last = Some((number, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_signal_at_once_counts_once() {
        let (term, int) = (TERMINATING[1], TERMINATING[0]);
        let begun = Instant::now();
        let counted = |others: &[(i32, u64)]| {
            let mut signals = Signals::default();
            assert!(signals.counts(term, begun));
            let at = |(number, ms): &(i32, u64)| signals.counts(*number, begun + Duration::from_millis(*ms));
            others.iter().map(at).collect::<Vec<bool>>()
        };
        assert_eq!(counted(&[(term, 0), (term, 300), (term, 500)]), [false, false, true]);
        assert_eq!(counted(&[(int, 0), (int, 1)]), [true, false]);
    }
}
