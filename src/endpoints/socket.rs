//! Reading, writing and ending connections of every family.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::net::drain::{Drain, Queue, Step, unfinished};
use crate::net::unusable;
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken, await_alarm, sockets};
use crate::stage::{
    BoxFuture, Commit, Endpoint, Facts, Incoming, OpenReader, OpenWriter, Outcome, Outgoing, Reach, Rollback,
};

use super::connecting::ConnectOptions;
use super::revocable::{Revocable, Revoke};

/// A connection that is made or accepted.
pub trait Peer: Send + 'static {
    /// The unit of its send queue.
    const QUEUE: Queue;
    /// Its name for messages.
    fn shown(&self) -> String;
    /// What opening it will do.
    fn effect(&self) -> String;
    /// Its time limits.
    fn options(&self) -> ConnectOptions;
    /// Binds a listener; returns the address that peers may connect to.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Connects or accepts. A connection to write to that can be reset is set to end in a reset from now on.
    fn connect(self, place: Kind) -> impl Future<Output = Result<OwnedFd, Failure>> + Send;
}

/// The endpoint at the other end of a connection.
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
            Ok(Incoming::new(descriptor(stream)?, None).into())
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
            Ok(Outgoing::new(descriptor(stream)?, commit).into())
        })
    }
}

/// A connection that ends in a reset until it is committed: an ordinary end would tell the peer that it has everything.
#[derive(Debug, Default)]
pub struct Reset;

impl Revoke for Reset {
    fn name(&self) -> String {
        "the connection".to_owned()
    }
}

fn descriptor(stream: impl Into<OwnedFd>) -> Result<Descriptor, Failure> {
    Descriptor::own(stream).map_err(unusable)
}

/// Ends the connection, and waits until the peer's kernel has everything.
struct Drained {
    queue: Queue,
    /// `None` waits as long as every other write does.
    linger: Option<Duration>,
    meter: Option<Arc<StageMeter>>,
    /// Only TCP can tell a peer that the stream is incomplete.
    reset: Option<Arc<Revocable<Reset>>>,
}

impl Drained {
    /// Shuts the sending side down, and waits for the queue to empty.
    fn end(&self, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        let mut drain = Drain::begin(self.queue, self.linger, descriptor);
        sockets::end_writing(descriptor).map_err(unfinished)?;
        let mut ignored = [0; 4096];
        loop {
            let (step, fallen) = drain.step(descriptor)?;
            if let Some(meter) = &self.meter {
                meter.add_settled(fallen);
            }
            let Step::Wait(pause) = step else { return Ok(()) };
            if drain.peer_ended {
                if await_alarm(alarm, Instant::now() + pause).map_err(unfinished)? {
                    return Err(Stop::PeerClosed);
                }
                continue;
            }
            let woken = descriptor.wait_for(Interest::Read, alarm, Some(pause));
            match woken.map_err(unfinished)? {
                Woken::Alarm => return Err(Stop::PeerClosed),
                Woken::TimedOut => {}
                Woken::Ready => {
                    drain.peer_ended = descriptor.read(&mut ignored).map_err(unfinished)? == Transfer::Bytes(0);
                }
            }
        }
    }
}

impl Commit for Drained {
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        self.meter = Some(meter);
    }

    fn commit(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        self.end(descriptor, alarm)?;
        let end = |_: &Reset| sockets::end_at_close(descriptor).map_err(unfinished);
        self.reset.as_ref().map_or(Ok(()), |reset| reset.commit(end))
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        let reset = self.reset.as_ref()?;
        Some(reset.clone())
    }
}
