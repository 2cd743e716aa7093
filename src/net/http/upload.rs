//! A request whose body is handed over piece by piece, and withheld at its end until it may become final.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::error::{Failure, Kind};
use crate::net::unusable;
use crate::platform::{Queued, sockets};
use crate::stage::BoxFuture;

use super::client::{Attempt, Client, Request};
use super::exchange::Exchange;
use super::payload::{Payload, Slot};
use super::response::{Response, broken, refusal};
use super::{BUFFER, Url};

/// How long a server may take to say that it wants the body. Many never do.
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// A body of up to this length, in bytes, is sent without asking the server first.
const UNASKED: u64 = 64 << 10;

/// An upload under way.
pub struct Upload {
    url: Url,
    state: State,
    slot: Slot,
    /// The length that the head has stated.
    length: Option<u64>,
    /// How many bytes were handed over.
    accepted: u64,
    /// The last byte of a body of a stated length, which the server has not got yet.
    last: Option<u8>,
    /// Where pieces are made; its memory is used again once they are sent.
    buffer: BytesMut,
    /// The connection, which ends in a reset until that is changed.
    socket: Option<OwnedFd>,
}

enum State {
    Sending(Box<Exchange>),
    /// The server has responded before it has the whole body; what it says is being read.
    Refused(BoxFuture<'static, Failure>),
    Over,
}

impl Upload {
    /// The most memory that it holds besides its connection, in bytes: the pieces that are queued to be sent, and the
    /// next one.
    pub const MEMORY: u64 = 2 * BUFFER as u64;

    /// Sends the head of a request, and waits until the server is ready for the body or has been silent for a second.
    /// `length` is the body's, if it is known; an empty one is sent as if it were not.
    ///
    /// # Errors
    /// If there is no connection, or the server refuses.
    pub async fn begin(client: &Client, request: &Request, length: Option<u64>) -> Result<Self, Attempt> {
        let length = length.filter(|length| *length > 0);
        let mut asks = length.is_none_or(|length| length > UNASKED);
        loop {
            let slot = Slot::default();
            slot.lock().is_open = !asks;
            let mut request = request.clone();
            if asks {
                request
                    .headers
                    .insert(header::EXPECT, HeaderValue::from_static("100-continue"));
            }
            let payload = Payload::Pieces(slot.clone(), length);
            let mut exchange = client.send(&request, payload).await?;
            let ready = poll_fn(|context| match exchange.poll_response(context) {
                Poll::Pending if slot.lock().is_open => Poll::Ready(None),
                response => response.map(Some),
            });
            let response = tokio::time::timeout(CONTINUE_LIMIT, ready).await.unwrap_or_default();
            let Some(response) = response else {
                slot.lock().is_open = true;
                return Ok(Self {
                    url: request.url,
                    socket: exchange.socket.take(),
                    state: State::Sending(Box::new(exchange)),
                    slot,
                    length,
                    accepted: 0,
                    last: None,
                    buffer: BytesMut::new(),
                });
            };
            let response = response.map_err(|error| client.unanswered(&request.url, &error))?;
            if asks && response.status() == StatusCode::EXPECTATION_FAILED {
                asks = false;
                continue;
            }
            let response = Response::new(request.url, response, exchange.into_driver());
            return Err(Attempt::last(refused(response, "").await));
        }
    }

    /// Hands over some of the bytes; returns how many. Pending while the server has not taken what came before.
    pub fn poll_send(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Failure>> {
        if self.is_waiting() {
            // What this sends makes room.
            if let Poll::Ready(failure) = self.poll_failure(context) {
                return Poll::Ready(Err(failure));
            }
            if self.is_waiting() {
                return Poll::Pending;
            }
        }
        let count = self.accept(slices)?;
        match self.poll_failure(context) {
            Poll::Ready(failure) => Poll::Ready(Err(failure)),
            Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    /// Sends what can be sent; ready only if the server responds now, or the connection fails.
    pub fn poll_failure(&mut self, context: &mut Context<'_>) -> Poll<Failure> {
        if let State::Sending(exchange) = &mut self.state {
            let response = ready!(exchange.poll_response(context));
            let response = match response {
                Ok(response) => response,
                Err(error) => return Poll::Ready(Failure::io(Kind::Sink, WRITE, broken(&error))),
            };
            let State::Sending(exchange) = std::mem::replace(&mut self.state, State::Over) else {
                return Poll::Pending;
            };
            let response = Response::new(self.url.clone(), response, exchange.into_driver());
            self.state = State::Refused(Box::pin(refused(response, " before it had everything")));
        }
        match &mut self.state {
            State::Refused(failure) => failure.as_mut().poll(context),
            State::Sending(_) | State::Over => Poll::Pending,
        }
    }

    /// Waits until everything is on its way but what tells the server that it is all.
    ///
    /// # Errors
    /// If the server responds now, the connection fails, or the bytes are not as many as stated.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        if let Some(length) = self.length.filter(|length| *length != self.accepted) {
            return Err(wrong_length(length, &format!("{} came", self.accepted)));
        }
        poll_fn(|context| match self.poll_failure(context) {
            Poll::Ready(failure) => Poll::Ready(Err(failure)),
            Poll::Pending if self.is_waiting() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Sends the end, and waits up to `limit` for the server to confirm that it has everything.
    ///
    /// # Errors
    /// If it refuses, or if it is unknown whether it has everything.
    pub async fn finish(&mut self, limit: Option<Duration>) -> Result<(), Failure> {
        {
            let mut pieces = self.slot.lock();
            pieces.next = self.last.take().map(|last| Bytes::copy_from_slice(&[last]));
            pieces.has_ended = true;
        }
        let State::Sending(mut exchange) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(unknown("the server had responded before".to_owned()));
        };
        let response = poll_fn(|context| exchange.poll_response(context));
        let response = match limit {
            None => response.await,
            Some(limit) => tokio::time::timeout(limit, response).await.map_err(|_| {
                let limit = humantime::format_duration(limit);
                unknown(format!("the server did not respond within {limit} (linger)"))
            })?,
        };
        let response = response.map_err(|error| unknown(broken(&error).to_string()))?;
        if !response.status().is_success() {
            let response = Response::new(self.url.clone(), response, exchange.into_driver());
            return Err(refused(response, "").await);
        }
        Ok(())
    }

    /// What the kernel queue of its connection can be seen through.
    #[must_use]
    pub fn queue(&self) -> Option<Weak<dyn Queued>> {
        match &self.state {
            State::Sending(exchange) => exchange.queue(),
            State::Refused(_) | State::Over => None,
        }
    }

    /// Lets about so many bytes wait in the system to be sent.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn limit_unsent(&self, bytes: u32) -> Result<(), Failure> {
        let limited = self
            .socket
            .as_ref()
            .map_or(Ok(()), |socket| sockets::limit_unsent(socket, bytes));
        limited.map_err(unusable)
    }

    /// Lets the connection end in an ordinary way, and not in a reset.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn end_in_order(&self) -> Result<(), Failure> {
        let ended = self.socket.as_ref().map_or(Ok(()), sockets::end_at_close);
        ended.map_err(|error| Failure::io(Kind::Sink, "cannot finish the connection", error))
    }

    /// Whether there is a piece that was not taken yet.
    fn is_waiting(&self) -> bool {
        self.slot.lock().next.is_some()
    }

    /// Makes the next piece of what is given.
    fn accept(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Failure> {
        self.buffer.reserve(BUFFER);
        for slice in slices {
            let room = BUFFER - self.buffer.len();
            self.buffer.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = self.buffer.len();
        self.accepted += count as u64;
        if let Some(length) = self.length {
            if self.accepted > length {
                return Err(wrong_length(length, "more came"));
            }
            if self.accepted == length {
                self.last = self.buffer.last().copied();
                self.buffer.truncate(count - 1);
            }
        }
        let piece = self.buffer.split().freeze();
        self.slot.lock().next = Some(piece).filter(|piece| !piece.is_empty());
        Ok(count)
    }
}

const WRITE: &str = "cannot write";

async fn refused(response: Result<Response, String>, when: &str) -> Failure {
    match response {
        Ok(response) => refusal(response, Kind::Sink, WRITE, when).await,
        Err(why) => Failure::because(Kind::Sink, WRITE, why),
    }
}

fn wrong_length(length: u64, but: &str) -> Failure {
    let why = format!("the server was told that {length} bytes come, and {but}");
    Failure::because(Kind::Sink, WRITE, why)
}

fn unknown(why: String) -> Failure {
    let operation = "cannot tell whether the server has everything";
    Failure::because(Kind::Sink, operation, why)
}
