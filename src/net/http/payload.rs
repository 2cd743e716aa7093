//! The body of a request: known from the start, or handed over piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// What a request sends behind its head.
pub enum Payload {
    /// These bytes.
    Whole(Bytes),
    /// What is put into the slot; as many bytes as given, if that is known.
    Pieces(Slot, Option<u64>),
}

/// Where the next piece of a body is put. The same task polls the connection next, so it needs no waker.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Pieces>>);

#[derive(Default)]
pub struct Pieces {
    /// Whether the server is ready for the body.
    pub is_open: bool,
    /// The next piece.
    pub next: Option<Bytes>,
    /// Whether none follows it.
    pub has_ended: bool,
}

impl Slot {
    pub fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Self::Pieces(slot, _) => {
                let mut pieces = slot.lock();
                if !pieces.is_open || (pieces.next.is_none() && !pieces.has_ended) {
                    return Poll::Pending;
                }
                pieces.next.take()
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(slot, _) => {
                let pieces = slot.lock();
                pieces.has_ended && pieces.next.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_, length) => length.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
