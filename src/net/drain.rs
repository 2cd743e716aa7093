//! The end of a connection that is written to: waiting until the peer's system has everything.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use crate::error::{Failure, Kind};
use crate::platform::{sockets, unsent_bytes};

/// How often the send queue is measured, because no event announces a change.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long a peer may take to end or to reset if the system does not tell what it has: a peer that keeps its own
/// direction open sends nothing at all.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// The unit of a family's send queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Bytes, until the peer's system acknowledges them; the end counts as one more.
    Sequence,
    /// Memory, until the peer reads it.
    Buffers,
}

impl Queue {
    /// Describes what the peer has not read of a queue that is not empty.
    fn rest(self, unsent: u64) -> String {
        match (self, unsent.saturating_sub(1)) {
            (Self::Buffers, _) => "the peer did not read everything".to_owned(),
            (Self::Sequence, 0) => "the peer did not acknowledge the end".to_owned(),
            (Self::Sequence, 1) => "the peer did not acknowledge the last byte".to_owned(),
            (Self::Sequence, count) => format!("the peer did not acknowledge the last {count} bytes"),
        }
    }
}

/// A send queue that empties.
#[derive(Debug)]
pub struct Drain {
    queue: Queue,
    /// How long the peer may take; `None` waits as long as every other write does.
    linger: Option<Duration>,
    begun: Instant,
    /// The length of the queue when it was looked at last.
    last: u64,
    /// Whether the peer has ended its own direction.
    pub peer_ended: bool,
}

/// What is to be done about a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is empty, or the peer has closed.
    Done,
    /// It is to be looked at again after at most so long; what the peer sends meanwhile is of no interest, only its end.
    Wait(Duration),
}

impl Drain {
    /// Begins with the queue of a connection whose end is still to be sent.
    pub fn begin(queue: Queue, linger: Option<Duration>, connection: impl AsFd) -> Self {
        Self {
            queue,
            linger,
            begun: Instant::now(),
            last: unsent_bytes(connection.as_fd()).unwrap_or(0),
            peer_ended: false,
        }
    }

    /// Looks at the queue; returns how much shorter it is than before, too.
    ///
    /// # Errors
    /// If the connection failed, or the peer took too long.
    pub fn step(&mut self, connection: impl AsFd) -> Result<(Step, u64), Failure> {
        let unsent = unsent_bytes(connection.as_fd());
        // A peer that closed without reading everything empties the queue, too.
        sockets::pending_error(&connection).map_err(unfinished)?;
        let fallen = unsent.map_or(0, |unsent| self.fall(unsent));
        let waited = self.begun.elapsed();
        let left = self.linger.map(|linger| linger.saturating_sub(waited));
        match unsent {
            Some(0) => return Ok((Step::Done, fallen)),
            Some(unsent) if left == Some(Duration::ZERO) => {
                let limit = humantime::format_duration(self.linger.unwrap_or_default());
                let why = format!("{} within {limit} (linger)", self.queue.rest(unsent));
                return Err(Failure::because(Kind::Sink, "cannot finish the connection", why));
            }
            None if self.peer_ended || left == Some(Duration::ZERO) || waited >= DRAIN_LIMIT => {
                return Ok((Step::Done, fallen));
            }
            _ => {}
        }
        let pause = left.map_or(POLL_INTERVAL, |left| left.min(POLL_INTERVAL));
        Ok((Step::Wait(pause), fallen))
    }

    /// How much the queue has shrunk since the last look.
    fn fall(&mut self, now: u64) -> u64 {
        std::mem::replace(&mut self.last, now).saturating_sub(now)
    }

    /// Waits for the queue to empty; `count` is told how much it has shrunk.
    ///
    /// # Errors
    /// As [`Drain::step`].
    pub async fn finish<C>(mut self, connection: &mut C, mut count: impl FnMut(u64)) -> Result<(), Failure>
    where
        C: AsyncRead + AsFd + Unpin,
    {
        loop {
            // What is left unread at the close would make it a reset.
            self.peer_ended |= discard(connection).await?;
            let (step, fallen) = self.step(&*connection)?;
            count(fallen);
            let Step::Wait(pause) = step else { return Ok(()) };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Reads and drops what has come, at most 64 KiB; returns whether the peer has ended its direction.
async fn discard(connection: &mut (impl AsyncRead + Unpin)) -> Result<bool, Failure> {
    poll_fn(|context| {
        let mut ignored = [0; 4096];
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut ignored);
            match Pin::new(&mut *connection).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(true)),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(true));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(unfinished(error))),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(false))
    })
    .await
}

/// The failure of a connection whose end was not accepted.
pub fn unfinished(error: impl Into<io::Error>) -> Failure {
    Failure::io(Kind::Sink, "cannot finish the connection", error)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn drained_bytes_are_counted_exactly() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(&[7; 5000]).expect("written");
        let Some(queue) = unsent_bytes(ours.as_fd()) else {
            eprintln!("skipped: the system does not tell what is in a queue");
            return;
        };
        let mut drain = Drain::begin(Queue::Buffers, None, &ours);
        ours.shutdown(Shutdown::Write).expect("ended");
        let (step, fallen) = drain.step(&ours).expect("it waits");
        assert_eq!((step, fallen), (Step::Wait(POLL_INTERVAL), 0));
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).expect("read");
        assert_eq!(drain.step(&ours).expect("drained"), (Step::Done, queue));
        assert!(received.len() == 5000 && queue >= 5000, "{queue}");
    }

    #[test]
    fn only_shrinking_queue_is_motion() {
        let mut drain = Drain {
            queue: Queue::Sequence,
            linger: None,
            begun: Instant::now(),
            last: 900,
            peer_ended: false,
        };
        assert_eq!([900, 901, 350, 350, 1].map(|now| drain.fall(now)), [0, 0, 551, 0, 349]);
    }

    #[test]
    fn end_marker_is_not_a_missing_byte() {
        assert_eq!(Queue::Sequence.rest(1), "the peer did not acknowledge the end");
        assert_eq!(Queue::Sequence.rest(2), "the peer did not acknowledge the last byte");
        assert_eq!(
            Queue::Sequence.rest(101),
            "the peer did not acknowledge the last 100 bytes"
        );
    }
}
