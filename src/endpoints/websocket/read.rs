//! Messages that are read.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::error::{Failure, Kind, Stop};
use crate::platform::Queued;
use crate::records::json::Scanner;
use crate::stage::{RecordReader, StreamReader};

use super::super::messages;
use super::{Form, Socket, described, failure, is_end};

const READING: &str = "cannot read";
/// Bytes of one read.
const READ: usize = 32 << 10;
/// Bytes of answers to pings that are queued.
const ANSWERS: usize = 4 << 10;
/// The most memory that a reader holds besides messages, in bytes: the library's buffer has room for a message and one
/// read, and may be twice as large as it has to be.
pub const MEMORY: u64 = (4 * READ + ANSWERS) as u64;
/// How many of the largest messages it holds: two in that buffer, and one that came in fragments, or that is written
/// anew, in memory of up to twice its size.
pub const HELD: u64 = 4;

/// The library's limits for messages of at most `limit` bytes.
pub fn config(limit: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(ANSWERS)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
}

/// A connection whose messages are read.
pub struct Reader {
    socket: Socket,
    form: Form,
    /// Bytes of the largest message.
    limit: usize,
    /// The last message, or what is left of it.
    message: Bytes,
    /// Messages so far.
    count: u64,
    /// Whether the peer's Close has come.
    is_closing: bool,
    scanner: Scanner,
}

impl Reader {
    /// Reads messages of at most `limit` bytes.
    pub fn new(socket: Socket, form: Form, limit: usize) -> Self {
        Self {
            socket,
            form,
            limit,
            message: Bytes::new(),
            count: 0,
            is_closing: false,
            scanner: Scanner::new(),
        }
    }

    /// Gets the next message; false once the peer has closed.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Stop>> {
        loop {
            if self.is_closing {
                return self.poll_end(context).map(|()| Ok(false));
            }
            // Before it is filled again, so that the library can use that memory.
            self.message = Bytes::new();
            let message = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(self.fail(context, error))),
                None => return Poll::Ready(Err(self.fail(context, Error::ConnectionClosed))),
            };
            let taken = match message {
                Message::Close(close) if is_end(close.as_ref()) => {
                    self.is_closing = true;
                    continue;
                }
                Message::Close(close) => {
                    let _ = Pin::new(&mut self.socket).poll_flush(context);
                    let why = format!("the peer closed with {}", described(close.as_ref()));
                    return Poll::Ready(Err(Failure::because(Kind::Source, READING, why).into()));
                }
                Message::Text(text) => self.text(text.into()),
                Message::Binary(bytes) if self.form == Form::Bytes => Ok(bytes),
                Message::Binary(_) => Err("it is binary; as=bytes accepts it".to_owned()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            self.count += 1;
            match taken {
                Ok(message) => self.message = message,
                Err(why) => {
                    let operation = format!("cannot accept message {}", self.count);
                    self.tell(context, CloseCode::Unsupported);
                    return Poll::Ready(Err(Failure::because(Kind::Corrupt, operation, why).into()));
                }
            }
            return Poll::Ready(Ok(true));
        }
    }

    /// What a text message becomes.
    fn text(&mut self, text: Bytes) -> Result<Bytes, String> {
        match self.form {
            Form::Json => messages::json(&mut self.scanner, &text, "as=lines or as=bytes accepts it"),
            Form::Lines => messages::line(&text, "as=json or as=bytes accepts it"),
            _ => Ok(text),
        }
    }

    /// Answers the peer's Close, which the library has queued. The peer may be gone by then.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if ready!(Pin::new(&mut self.socket).poll_flush(context)).is_ok() {
            let _ = ready!(Pin::new(self.socket.get_mut()).poll_shutdown(context));
        }
        Poll::Ready(())
    }

    fn fail(&mut self, context: &mut Context<'_>, error: Error) -> Stop {
        match error {
            Error::Capacity(_) => self.tell(context, CloseCode::Size),
            Error::Utf8(_) => self.tell(context, CloseCode::Invalid),
            Error::Protocol(_) => self.tell(context, CloseCode::Protocol),
            _ => {}
        }
        failure(Kind::Source, READING, error, self.limit).into()
    }

    /// Tells the peer why nothing more is read, if that can be sent at once.
    fn tell(&mut self, context: &mut Context<'_>, code: CloseCode) {
        let close = CloseFrame {
            code,
            reason: "".into(),
        };
        if Pin::new(&mut self.socket)
            .start_send(Message::Close(Some(close)))
            .is_ok()
        {
            let _ = Pin::new(&mut self.socket).poll_flush(context);
        }
    }
}

impl RecordReader for Reader {
    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Stop>> {
        self.poll_message(context)
    }

    fn record(&self) -> &[u8] {
        &self.message
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.socket.get_ref().queue()
    }
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        while self.message.is_empty() {
            if !ready!(self.poll_message(context))? {
                return Poll::Ready(Ok(0));
            }
        }
        let piece = self.message.split_to(self.message.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        RecordReader::queue(self)
    }
}
