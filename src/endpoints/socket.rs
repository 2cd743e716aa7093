//! What connections of every family share: how they are read and written, and how they end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken, await_alarm, sockets, unsent_bytes};
use crate::stage::{
    BoxFuture, Commit, Endpoint, Facts, Incoming, OpenReader, OpenWriter, Outcome, Outgoing, Reach, Rollback,
};

use super::connecting::ConnectOptions;
use super::revocable::{Revocable, Revoke};

/// A connection that is made or accepted.
pub trait Peer: Send + 'static {
    /// What its send queue is counted in.
    const QUEUE: Queue;
    /// Its name as people may see it.
    fn shown(&self) -> String;
    /// What opening it will do.
    fn effect(&self) -> String;
    /// How long it is waited for.
    fn options(&self) -> ConnectOptions;
    /// Binds a listener; returns the address that peers may connect to.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Connects or accepts. A connection to write to that can be reset is so from now on, should it be closed.
    fn connect(self, place: Kind) -> impl Future<Output = Result<OwnedFd, Failure>> + Send;
}

/// The place at the other end of a connection.
pub struct Connection<P>(pub P);

impl<P: Peer> Endpoint for Connection<P> {
    fn shown(&self) -> String {
        self.0.shown()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn direct(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.0.bind()
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::of(Shape::Socket))
    }

    fn effect(&self) -> String {
        self.0.effect()
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let stream = self.0.connect(Kind::Source).await?;
            Ok(Incoming::new(descriptor(stream, Kind::Source)?, None).into())
        })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let commit = Box::new(Drained {
                queue: P::QUEUE,
                linger: self.0.options().linger,
                meter: None,
                reset: (P::QUEUE == Queue::Sequence).then(Arc::default),
            });
            let stream = self.0.connect(Kind::Sink).await?;
            Ok(Outgoing::new(descriptor(stream, Kind::Sink)?, commit).into())
        })
    }
}

/// A connection whose end is a reset, until it is committed: an ordinary end would tell the peer that it has everything.
#[derive(Debug, Default)]
struct Reset;

impl Revoke for Reset {
    fn name(&self) -> String {
        "the connection".to_owned()
    }
}

fn descriptor(stream: impl Into<OwnedFd>, place: Kind) -> Result<Descriptor, Failure> {
    Descriptor::own(stream).map_err(|error| unusable(place, error))
}

/// A connection that stands and cannot be used.
pub fn unusable(place: Kind, error: std::io::Error) -> Failure {
    Failure::io(place, "cannot use the connection", error)
}

/// What a family's send queue is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Bytes, until the peer's system acknowledges them; the end counts as one more, and is the last of them.
    Sequence,
    /// Memory, until the peer reads it.
    Buffers,
}

impl Queue {
    /// What the peer has not taken of a queue that is not empty.
    fn rest(self, unsent: u64) -> String {
        match (self, unsent.saturating_sub(1)) {
            (Self::Buffers, _) => "the peer did not read everything".to_owned(),
            (Self::Sequence, 0) => "the peer did not acknowledge the end".to_owned(),
            (Self::Sequence, 1) => "the peer did not acknowledge the last byte".to_owned(),
            (Self::Sequence, count) => format!("the peer did not acknowledge the last {count} bytes"),
        }
    }
}

/// Says the end to the peer, and waits until its kernel has everything.
struct Drained {
    queue: Queue,
    /// `None` waits as long as every other write does.
    linger: Option<Duration>,
    meter: Option<Arc<StageMeter>>,
    /// Only TCP can tell a peer that what it has is not all.
    reset: Option<Arc<Revocable<Reset>>>,
}

impl Drained {
    /// How often the send queue is looked at, which no descriptor announces.
    const POLL_INTERVAL: Duration = Duration::from_millis(5);
    /// How long a peer may take to end or to reset where the system does not tell what it has: a peer that keeps its own
    /// direction open says nothing at all.
    const DRAIN_LIMIT: Duration = Duration::from_millis(500);

    fn count(&self, taken: u64) {
        if let Some(meter) = &self.meter {
            meter.add_settled(taken);
        }
    }

    fn failed(error: impl Into<std::io::Error>) -> Failure {
        Failure::io(Kind::Sink, "cannot finish the connection", error)
    }

    /// Says the end; returns the queue as it was before.
    fn end(descriptor: &Descriptor) -> Result<Fall, Failure> {
        let last = unsent_bytes(descriptor.as_fd()).unwrap_or(0);
        sockets::end_writing(descriptor).map_err(Self::failed)?;
        Ok(Fall { last })
    }

    /// Waits for the queue to empty.
    fn drain(&self, descriptor: &Descriptor, alarm: BorrowedFd<'_>, mut fall: Fall) -> Outcome {
        let begun = Instant::now();
        let mut ignored = [0; 4096];
        let mut peer_ended = false;
        loop {
            let unsent = unsent_bytes(descriptor.as_fd());
            // A peer that left without reading everything empties the queue, too.
            sockets::pending_error(descriptor).map_err(Self::failed)?;
            self.count(unsent.map_or(0, |unsent| fall.to(unsent)));
            let waited = begun.elapsed();
            let left = self.linger.map(|linger| linger.saturating_sub(waited));
            match unsent {
                Some(0) => return Ok(()),
                Some(unsent) if left == Some(Duration::ZERO) => {
                    let limit = humantime::format_duration(self.linger.unwrap_or_default());
                    let why = format!("{} within {limit} (linger)", self.queue.rest(unsent));
                    return Err(Failure::because(Kind::Sink, "cannot finish the connection", why).into());
                }
                None if peer_ended || left == Some(Duration::ZERO) || waited >= Self::DRAIN_LIMIT => return Ok(()),
                _ => {}
            }
            let poll = left.map_or(Self::POLL_INTERVAL, |left| left.min(Self::POLL_INTERVAL));
            if peer_ended {
                if await_alarm(alarm, Instant::now() + poll).map_err(Self::failed)? {
                    return Err(Stop::PeerClosed);
                }
                continue;
            }
            match descriptor
                .wait_for(Interest::Read, alarm, Some(poll))
                .map_err(Self::failed)?
            {
                Woken::Alarm => return Err(Stop::PeerClosed),
                Woken::TimedOut => {}
                // What the peer sends is none of our business; its end is.
                Woken::Ready => match descriptor.read(&mut ignored).map_err(Self::failed)? {
                    Transfer::Bytes(0) => peer_ended = true,
                    Transfer::Bytes(_) | Transfer::NotReady => {}
                },
            }
        }
    }
}

impl Commit for Drained {
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        self.meter = Some(meter);
    }

    fn commit(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        self.drain(descriptor, alarm, Self::end(descriptor)?)?;
        let end = |_: &Reset| sockets::end_at_close(descriptor).map_err(Self::failed);
        self.reset.as_ref().map_or(Ok(()), |reset| reset.commit(end))
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        let reset = self.reset.as_ref()?;
        Some(reset.clone())
    }
}

/// How far a queue falls from one look to the next.
#[derive(Debug)]
struct Fall {
    last: u64,
}

impl Fall {
    fn to(&mut self, now: u64) -> u64 {
        std::mem::replace(&mut self.last, now).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::platform::Alarm;

    #[test]
    fn only_what_a_queue_falls_by_is_motion() {
        let mut fall = Fall { last: 900 };
        assert_eq!([900, 901, 350, 350, 1].map(|now| fall.to(now)), [0, 0, 551, 0, 349]);
    }

    #[test]
    fn what_a_peer_takes_while_the_connection_drains_is_counted_to_the_last_byte() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let descriptor = descriptor(ours, Kind::Sink).expect("usable");
        assert_eq!(descriptor.write(&[7; 5000]).expect("written"), Transfer::Bytes(5000));
        let Some(queue) = unsent_bytes(descriptor.as_fd()) else {
            eprintln!("skipped: the system does not tell what is in a queue");
            return;
        };
        let meter = Arc::new(StageMeter::new(Instant::now()));
        let drained = Drained {
            queue: Queue::Buffers,
            linger: None,
            meter: Some(meter.clone()),
            reset: None,
        };
        let fall = Drained::end(&descriptor).expect("ended");
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).expect("read");
        let alarm = Alarm::new().expect("an alarm");
        drained.drain(&descriptor, alarm.descriptor(), fall).expect("drained");
        assert_eq!((received.len(), meter.settled()), (5000, queue));
        assert!(queue >= 5000, "{queue}");
    }

    #[test]
    fn the_end_itself_is_no_byte_that_is_missing() {
        assert_eq!(Queue::Sequence.rest(1), "the peer did not acknowledge the end");
        assert_eq!(Queue::Sequence.rest(2), "the peer did not acknowledge the last byte");
        assert_eq!(
            Queue::Sequence.rest(101),
            "the peer did not acknowledge the last 100 bytes"
        );
    }
}
