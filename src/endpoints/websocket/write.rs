//! Messages that are written.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use memchr::memchr;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::net::drain::{Drain, Queue, Step, unfinished};
use crate::platform::Queued;
use crate::platform::sockets;
use crate::stage::{BoxFuture, Outcome, Rollback, StreamWriter};

use super::super::revocable::Revocable;
use super::super::socket::Reset;
use super::{Socket, described, failure, is_end};

/// Bytes of one read.
const READ: usize = 16 << 10;
/// Bytes of the largest message that the peer may send; nothing becomes of it.
const LARGEST_IGNORED: usize = 64 << 10;
/// Bytes that are gathered for one write, except for the last message, and of the largest binary message.
const GATHERED: usize = 32 << 10;
/// The longest head of a frame, in bytes.
const FRAME_HEAD: usize = 14;
/// Bytes of control frames that may be queued besides messages.
const CONTROL: usize = 1 << 10;
/// How many messages of the peer are ignored before something else is done.
const MOST_IGNORED: usize = 64;
/// The most memory that a writer holds besides its largest message, in bytes: what is gathered, and one message of the
/// peer, each in memory of up to twice its size, and that message once more if it came in fragments.
pub const MEMORY: u64 = (2 * (GATHERED + CONTROL) + 4 * READ + 4 * LARGEST_IGNORED) as u64;
/// How many of the largest messages it holds: one, and its frame in memory of up to twice its size.
pub const HELD: u64 = 3;

const WRITE: &str = "cannot write";
const FINISH: &str = "cannot finish the connection";

/// The library's limits for messages of at most `largest` bytes.
pub fn config(largest: usize) -> WebSocketConfig {
    let queued = (2 * GATHERED + CONTROL).saturating_add(largest);
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(GATHERED)
        .max_write_buffer_size(queued)
        .max_message_size(Some(LARGEST_IGNORED))
        .max_frame_size(Some(LARGEST_IGNORED))
}

/// A connection that messages are written to.
pub struct Writer {
    socket: Socket,
    is_binary: bool,
    /// How long the peer may take for the end; `None` for as long as every other write.
    linger: Option<Duration>,
    /// Whether messages may be queued that were not sent.
    has_queued: bool,
    /// Messages so far.
    count: u64,
    meter: Option<Arc<StageMeter>>,
    reset: Arc<Revocable<Reset>>,
}

impl Writer {
    /// Writes to a connection that ends in a reset until that is changed.
    pub fn new(socket: Socket, is_binary: bool, linger: Option<Duration>) -> Self {
        Self {
            socket,
            is_binary,
            linger,
            has_queued: false,
            count: 0,
            meter: None,
            reset: Arc::default(),
        }
    }

    /// Answers pings, and drops the peer's messages; ready once the peer has closed, or the connection has failed.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<CloseFrame>, Error>> {
        for _ in 0..MOST_IGNORED {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Close(close))) => return Poll::Ready(Ok(close)),
                Some(message) => drop(message?),
                None => return Poll::Ready(Err(Error::ConnectionClosed)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready with the reason if the peer wants no more.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        self.poll_closed(context).map(|closed| match closed {
            Ok(close) => {
                let why = format!("the peer closed early, with {}", described(close.as_ref()));
                Failure::because(Kind::Sink, WRITE, why).into()
            }
            Err(error) => failed(WRITE, error),
        })
    }

    /// Sends what is queued.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.has_queued {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.has_queued = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a message.
    fn queue_message(&mut self, message: Message) -> Result<(), Error> {
        self.has_queued = true;
        Pin::new(&mut self.socket).start_send(message)
    }

    /// Queues a message of what begins `bytes`; returns the number of bytes that it takes.
    fn queue_next(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        self.count += 1;
        if self.is_binary {
            let piece = &bytes[..bytes.len().min(GATHERED)];
            let queued = self.queue_message(Message::binary(piece.to_vec()));
            queued.map_err(|error| failed(WRITE, error))?;
            return Ok(piece.len());
        }
        // A chunk has whole records.
        let length = memchr(b'\n', bytes).unwrap_or(bytes.len());
        let text = str::from_utf8(&bytes[..length]).map_err(|_| {
            let operation = format!("cannot write record {}", self.count);
            let why = "it is not UTF-8, as text messages have to be; as=binary accepts it";
            Failure::because(Kind::Corrupt, operation, why)
        })?;
        let queued = self.queue_message(Message::text(text));
        queued.map_err(|error| failed(WRITE, error))?;
        Ok(bytes.len().min(length + 1))
    }

    /// Ends the connection in order, and waits for the peer's agreement.
    async fn close(&mut self) -> Outcome {
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        let queued = self.queue_message(Message::Close(Some(close)));
        queued.map_err(|error| failed(FINISH, error))?;
        let sent = poll_fn(|context| self.poll_send(context)).await;
        sent.map_err(|error| failed(FINISH, error))?;
        let mut drain = Drain::begin(Queue::Sequence, None, self.socket.get_ref());
        let mut step = Step::Wait(Duration::ZERO);
        let close = loop {
            let pause = async {
                match step {
                    Step::Wait(pause) => tokio::time::sleep(pause).await,
                    Step::Done => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                closed = poll_fn(|context| self.poll_closed(context)) => break closed.map_err(|error| failed(FINISH, error))?,
                () = pause => {}
            }
            let (next, fallen) = drain.step(self.socket.get_ref())?;
            step = next;
            if let Some(meter) = &self.meter {
                meter.add_settled(fallen);
            }
        };
        if is_end(close.as_ref()) {
            return Ok(());
        }
        let why = format!("the peer closed with {}", described(close.as_ref()));
        Err(Failure::because(Kind::Sink, FINISH, why).into())
    }
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        if let Poll::Ready(refusal) = self.poll_refusal(context) {
            return Poll::Ready(Err(refusal));
        }
        ready!(self.poll_send(context)).map_err(|error| failed(WRITE, error))?;
        let (mut written, mut gathered) = (0, 0);
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() && gathered < GATHERED {
                let length = self.queue_next(rest)?;
                rest = &rest[length..];
                written += length;
                gathered += length + FRAME_HEAD;
            }
        }
        // What cannot be sent now is sent before the next message.
        if let Poll::Ready(sent) = self.poll_send(context) {
            sent.map_err(|error| failed(WRITE, error))?;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(failed(WRITE, error));
        }
        self.poll_refusal(context)
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.socket.get_ref().queue()
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        self.socket.get_ref().limit_unsent(bytes)
    }

    fn count_with(&mut self, meter: Arc<StageMeter>) {
        self.meter = Some(meter);
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(poll_fn(|context| {
            if let Poll::Ready(refusal) = self.poll_refusal(context) {
                return Poll::Ready(Err(refusal));
            }
            self.poll_send(context).map_err(|error| failed(WRITE, error))
        }))
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            match self.linger {
                None => self.close().await?,
                Some(limit) => tokio::time::timeout(limit, self.close()).await.unwrap_or_else(|_| {
                    let limit = humantime::format_duration(limit);
                    let why = format!("the peer did not confirm the end within {limit} (linger)");
                    Err(Failure::because(Kind::Sink, FINISH, why).into())
                })?,
            }
            // The peer has everything, and may be gone.
            let _ = self.socket.get_mut().shutdown().await;
            let connection = self.socket.get_ref();
            self.reset
                .commit(|_| sockets::end_at_close(connection).map_err(unfinished))
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.reset.clone())
    }
}

fn failed(operation: &str, error: Error) -> Stop {
    failure(Kind::Sink, operation, error, LARGEST_IGNORED).into()
}
