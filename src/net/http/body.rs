//! Bodies of responses: a text, or a stream that is fed piece by piece.

use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// The most bytes of a piece.
const PIECE: usize = 64 << 10;
/// The most memory that a stream holds, in bytes: a piece on its way, one that is being sent, and what a connection
/// queues before that; or what it has read of a request's body, and the last piece that was taken of it.
pub const MEMORY: u64 = 3 * PIECE as u64;

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// A text that is sent at once; may be empty.
    Text(Bytes),
    /// What a [`Feed`] gives.
    Stream(Stream),
}

impl Body {
    /// A text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A stream of `size` bytes, if that is known, and the end that feeds it.
    #[must_use]
    pub fn stream(size: Option<u64>) -> (Feed, Self) {
        let (sender, receiver) = mpsc::channel(1);
        let shared = Arc::<Shared>::default();
        let feed = Feed {
            pieces: PollSender::new(sender),
            fed: 0,
            shared: shared.clone(),
        };
        let stream = Stream {
            pieces: receiver,
            left: size,
            shared,
        };
        (feed, Self::Stream(stream))
    }
}

/// What both ends of a stream know.
#[derive(Debug, Default)]
struct Shared {
    /// Whether the feed has given everything.
    is_whole: AtomicBool,
    /// Bytes that were taken out.
    taken: AtomicU64,
}

/// The end of a stream that is sent. Its pieces are in memory once.
#[derive(Debug)]
pub struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    left: Option<u64>,
    shared: Arc<Shared>,
}

/// The end of a stream that feeds it. If it is dropped before it has finished, the response is cut, and the client can
/// tell.
#[derive(Debug)]
pub struct Feed {
    pieces: PollSender<Bytes>,
    fed: u64,
    shared: Arc<Shared>,
}

impl Feed {
    /// Copies some of the slices into the stream; returns how many bytes. `None` if the response is over.
    pub fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Option<usize>> {
        if ready!(self.pieces.poll_reserve(context)).is_err() {
            return Poll::Ready(None);
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut piece = Vec::with_capacity(total.min(PIECE));
        for slice in slices {
            let room = PIECE - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = piece.len();
        if self.pieces.send_item(piece.into()).is_err() {
            return Poll::Ready(None);
        }
        self.fed += count as u64;
        Poll::Ready(Some(count))
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(self) -> Fed {
        self.shared.is_whole.store(true, Ordering::Release);
        Fed {
            total: self.fed,
            shared: self.shared.clone(),
        }
    }
}

/// A stream that was fed to its end.
#[derive(Debug)]
pub struct Fed {
    total: u64,
    shared: Arc<Shared>,
}

impl Fed {
    /// Whether all of it was taken out.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.shared.taken.load(Ordering::Acquire) == self.total
    }
}

/// The error of a stream whose feed was dropped.
#[derive(Debug)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response was cut")
    }
}

impl std::error::Error for Cut {}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(match self.get_mut() {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(Ok(Frame::data(std::mem::take(text)))),
            Self::Stream(stream) => match ready!(stream.pieces.poll_recv(context)) {
                Some(piece) => {
                    let count = piece.len() as u64;
                    stream.shared.taken.fetch_add(count, Ordering::Release);
                    stream.left = stream.left.map(|left| left.saturating_sub(count));
                    Some(Ok(Frame::data(piece)))
                }
                None if stream.shared.is_whole.load(Ordering::Acquire) => None,
                None => Some(Err(Cut)),
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Stream(stream) => stream.left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Stream(stream) => stream.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
