//! Bodies of responses: a text, or a stream that its writer sends itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::server::direct::{BodyWriter, Direct};

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// A text that is sent at once; may be empty.
    Text(Bytes),
    /// What a [`BodyWriter`] writes to the connection.
    Stream(Direct),
}

impl Body {
    /// A text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A stream of `size` bytes, if that is known, and what writes it.
    #[must_use]
    pub fn stream(size: Option<u64>) -> (BodyWriter, Self) {
        let (writer, body) = Direct::new(size);
        (writer, Self::Stream(body))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Stream(stream) => {
                stream.ask();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Stream(stream) => stream.size == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Stream(stream) => stream.size.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
