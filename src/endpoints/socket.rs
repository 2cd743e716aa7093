//! What connections of every family share: how they are read and written, and how they end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Stop};
use crate::platform::{Descriptor, Interest, Transfer, Woken, await_alarm, sockets, unsent_bytes};
use crate::stage::Outcome;

use super::{Incoming, Landing, Outgoing};

/// A connection to write to.
pub fn outgoing(stream: impl Into<OwnedFd>) -> Result<Outgoing, Failure> {
    Ok(Outgoing {
        descriptor: descriptor(stream, Kind::Sink)?,
        landing: Box::new(Drained),
        reader_left: Kind::Sink,
    })
}

/// A connection to read from.
pub fn incoming(stream: impl Into<OwnedFd>) -> Result<Incoming, Failure> {
    Ok(Incoming::new(descriptor(stream, Kind::Source)?, None))
}

fn descriptor(stream: impl Into<OwnedFd>, place: Kind) -> Result<Descriptor, Failure> {
    Descriptor::own(stream).map_err(|error| unusable(place, error))
}

/// A connection that stands and cannot be used.
pub fn unusable(place: Kind, error: std::io::Error) -> Failure {
    Failure::io(place, "cannot use the connection", error)
}

/// Says the end to the peer, and waits until its kernel has everything.
struct Drained;

impl Drained {
    /// How often the send queue is looked at, which no descriptor announces.
    const GLANCE: Duration = Duration::from_millis(5);
    /// How long a peer may take to end or to reset where the system does not tell what it has: a peer that keeps its own
    /// direction open says nothing at all.
    const PATIENCE: Duration = Duration::from_millis(500);
}

impl Landing for Drained {
    fn land(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        let failed = |error: std::io::Error| Failure::io(Kind::Sink, "cannot finish the connection", error);
        sockets::end_writing(descriptor).map_err(failed)?;
        let begun = Instant::now();
        let mut ignored = [0; 4096];
        let mut peer_ended = false;
        loop {
            let unsent = unsent_bytes(descriptor.as_fd());
            // A peer that left without reading everything empties the queue, too.
            sockets::pending_error(descriptor).map_err(failed)?;
            match unsent {
                Some(0) => return Ok(()),
                None if peer_ended || begun.elapsed() >= Self::PATIENCE => return Ok(()),
                _ => {}
            }
            if peer_ended {
                if await_alarm(alarm, Instant::now() + Self::GLANCE).map_err(failed)? {
                    return Err(Stop::Neighbour);
                }
                continue;
            }
            match descriptor
                .wait_for(Interest::Read, alarm, Some(Self::GLANCE))
                .map_err(failed)?
            {
                Woken::Alarm => return Err(Stop::Neighbour),
                Woken::TimedOut => {}
                // What the peer sends is none of our business; its end is.
                Woken::Ready => match descriptor.read(&mut ignored).map_err(failed)? {
                    Transfer::Bytes(0) => peer_ended = true,
                    Transfer::Bytes(_) | Transfer::NotReady => {}
                },
            }
        }
    }
}
