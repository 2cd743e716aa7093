//! Bodies of responses that are written to their connection without hyper in between.
//!
//! hyper sends the head and then polls a body that is never ready, while it goes on reading the request. Once the head
//! has been sent, the sending direction belongs to the writer of the body.

use std::future::Future;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::net::Transport;

/// The most slices of a write, besides the frame of a chunk.
const SLICES: usize = 63;
/// The end of a chunk.
const CHUNK_END: &str = "\r\n";
/// The most bytes between those of two chunks: the end of one, and the length of the next in hexadecimal.
const FRAME: usize = 2 + 16 + 2;

/// A connection whose directions have different owners. Its end is not sent with the last response, because it must be
/// known first that the client has that: it may end in a reset what it needs no more of.
#[derive(Debug, Clone)]
pub struct SharedTransport(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `None` once it was taken out.
    transport: Option<Transport>,
    /// Whether hyper has passed on all that it has buffered.
    is_flushed: bool,
}

impl SharedTransport {
    /// A connection that nothing was written to yet.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self(Arc::new(Mutex::new(State {
            transport: Some(transport),
            is_flushed: true,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection out; from then on reads and writes fail.
    #[must_use]
    pub fn reclaim(&self) -> Option<Transport> {
        self.state().transport.take()
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut Transport>, &mut bool) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let state = &mut *self.state();
        match &mut state.transport {
            Some(transport) => act(Pin::new(transport), &mut state.is_flushed),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for SharedTransport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|transport, _| transport.poll_read(context, buffer))
    }
}

impl AsyncWrite for SharedTransport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|transport, is_flushed| {
            *is_flushed = false;
            transport.poll_write_vectored(context, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|transport, is_flushed| {
            ready!(transport.poll_flush(context))?;
            *is_flushed = true;
            Poll::Ready(Ok(()))
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// How the client is told where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By its length, or by the end of the connection.
    None,
    /// By an empty chunk behind chunks with a length each.
    Chunks,
}

/// The connection of a body whose head was sent.
type Begun = (SharedTransport, Framing);

/// A body as hyper sees it: of a size, if that is known, and never ready.
#[derive(Debug)]
pub struct Direct {
    /// Its bytes, if their number is known.
    pub size: Option<u64>,
    /// Whether it was polled, so that its head is at least buffered.
    is_asked: Arc<AtomicBool>,
    /// `None` once it was taken out.
    handover: Option<(oneshot::Sender<Begun>, oneshot::Receiver<()>)>,
}

impl Direct {
    /// A body of `size` bytes, if that is known, and its writer.
    #[must_use]
    pub fn new(size: Option<u64>) -> (BodyWriter, Self) {
        let (begin, opened) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let writer = BodyWriter {
            opened,
            connection: None,
            left: 0,
            frame: Frame::default(),
            is_last: false,
            end: Some(end),
        };
        let body = Self {
            size,
            is_asked: Arc::default(),
            handover: Some((begin, ended)),
        };
        (writer, body)
    }

    /// hyper asks for the next piece: there is none for it.
    pub fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
    }

    /// What its connection has to do, for a request of that version of HTTP.
    pub fn handover(&mut self, version: Version) -> Option<Handover> {
        let is_chunked = self.size.is_none() && version >= Version::HTTP_11;
        let framing = if is_chunked { Framing::Chunks } else { Framing::None };
        let (begin, ended) = self.handover.take()?;
        Some(Handover {
            is_asked: self.is_asked.clone(),
            begin: Some((begin, framing)),
            ended,
        })
    }
}

/// Hands the sending direction of a connection to the writer of a body.
#[derive(Debug)]
pub struct Handover {
    is_asked: Arc<AtomicBool>,
    /// `None` once the writer has it.
    begin: Option<(oneshot::Sender<Begun>, Framing)>,
    ended: oneshot::Receiver<()>,
}

impl Handover {
    /// Hands it over once hyper has sent the head, and waits until the body is complete; returns false if its writer
    /// was dropped before. To be polled whenever hyper was.
    pub fn poll(&mut self, context: &mut Context<'_>, connection: &SharedTransport) -> Poll<bool> {
        if self.begin.is_some() {
            if !self.is_asked.load(Ordering::Acquire) || !connection.state().is_flushed {
                return Poll::Pending;
            }
            if let Some((begin, framing)) = self.begin.take() {
                // Without a receiver the end is reported next.
                let _ = begin.send((connection.clone(), framing));
            }
        }
        Pin::new(&mut self.ended).poll(context).map(|ended| ended.is_ok())
    }
}

/// What stands between the bytes of two chunks, as far as it is not sent.
#[derive(Debug, Default)]
struct Frame {
    bytes: [u8; FRAME],
    start: usize,
    end: usize,
}

impl Frame {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Adds a text, which fits.
    fn push(&mut self, text: std::fmt::Arguments) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let mut room = &mut self.bytes[self.end..];
        room.write_fmt(text).expect("it fits");
        self.end = FRAME - room.len();
    }

    /// Sends what is left; returns false if the connection has failed.
    fn poll_send(&mut self, context: &mut Context<'_>, connection: &mut SharedTransport) -> Poll<bool> {
        while !self.rest().is_empty() {
            match ready!(Pin::new(&mut *connection).poll_write(context, self.rest())) {
                Ok(count @ 1..) => self.start += count,
                _ => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}

/// Writes a body. If it is dropped before it has finished, the connection is cut, and the client can tell.
#[derive(Debug)]
pub struct BodyWriter {
    opened: oneshot::Receiver<Begun>,
    /// `None` until the head was sent.
    connection: Option<Begun>,
    /// Bytes of the chunk that are still to come.
    left: usize,
    frame: Frame,
    /// Whether the empty chunk that ends the body was begun.
    is_last: bool,
    /// `None` once it has finished.
    end: Option<oneshot::Sender<()>>,
}

impl BodyWriter {
    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<Option<Begun>> {
        if self.connection.is_none() {
            self.connection = ready!(Pin::new(&mut self.opened).poll(context)).ok();
        }
        Poll::Ready(self.connection.clone())
    }

    /// Writes some of the slices, which are not all empty; returns how many bytes. `None` if the connection has failed.
    pub fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Option<usize>> {
        let Some((mut connection, framing)) = ready!(self.poll_begun(context)) else {
            return Poll::Ready(None);
        };
        if framing == Framing::None {
            return Pin::new(&mut connection)
                .poll_write_vectored(context, slices)
                .map(|written| written.ok().filter(|count| *count > 0));
        }
        loop {
            let slices = &slices[..slices.len().min(SLICES)];
            if self.left == 0 {
                self.left = slices.iter().map(|slice| slice.len()).sum();
                self.frame.push(format_args!("{:X}\r\n", self.left));
            }
            let framed = self.frame.rest().len();
            let mut all = [IoSlice::new(&[]); SLICES + 2];
            all[0] = IoSlice::new(self.frame.rest());
            let mut room = self.left;
            for (all, slice) in all[1..].iter_mut().zip(slices) {
                *all = IoSlice::new(&slice[..slice.len().min(room)]);
                room -= all.len();
            }
            if room == 0 {
                all[slices.len() + 1] = IoSlice::new(CHUNK_END.as_bytes());
            }
            let write = Pin::new(&mut connection).poll_write_vectored(context, &all[..slices.len() + 2]);
            let Ok(count @ 1..) = ready!(write) else {
                return Poll::Ready(None);
            };
            self.frame.start += count.min(framed);
            let sent = count.saturating_sub(framed);
            let count = sent.min(self.left);
            if count > 0 {
                self.left -= count;
                if self.left == 0 {
                    self.frame = Frame::default();
                    self.frame.push(format_args!("{CHUNK_END}"));
                    self.frame.start = sent - count;
                }
                return Poll::Ready(Some(count));
            }
        }
    }

    /// Sends what the connection has buffered and the end of the last chunk. Nothing is reported of a failure, which the
    /// next write will meet.
    pub fn flush(&mut self, context: &mut Context<'_>) {
        if let Some((connection, _)) = &mut self.connection
            && self.frame.poll_send(context, connection).is_ready()
        {
            let _ = Pin::new(connection).poll_flush(context);
        }
    }

    /// Ends the body; returns false if the connection has failed.
    pub fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some((mut connection, framing)) = ready!(self.poll_begun(context)) else {
            return Poll::Ready(false);
        };
        if framing == Framing::Chunks && !self.is_last {
            self.is_last = true;
            self.frame.push(format_args!("0\r\n\r\n"));
        }
        let is_sent = ready!(self.frame.poll_send(context, &mut connection));
        let flushed = ready!(Pin::new(&mut connection).poll_flush(context));
        let ended = self.end.take().map(|end| end.send(()));
        Poll::Ready(is_sent && flushed.is_ok() && ended.is_some_and(|ended| ended.is_ok()))
    }
}
