//! One request and its response on a connection of their own.
//!
//! hyper's connection is polled while the response is awaited and while the request's body is handed over, and not by a
//! task of its own: dropping the exchange closes it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Transport;
use crate::platform::Queued;
use crate::platform::sockets::TcpPeer;
use crate::stage::BoxFuture;

use super::BUFFER;
use super::payload::Payload;

type Wire = Connection<TokioIo<ReadsFirst>, Payload>;

/// A request that is being sent, and whose response is awaited.
pub struct Exchange {
    driver: Driver,
    response: BoxFuture<'static, hyper::Result<http::Response<Incoming>>>,
    /// The connection again, where its end may still be changed.
    pub socket: Option<OwnedFd>,
}

/// The connection below an exchange.
pub struct Driver {
    /// `None` once it has ended.
    wire: Option<Wire>,
    /// Why it ended, if that was not told elsewhere.
    failure: Option<hyper::Error>,
    queue: Option<Weak<dyn Queued>>,
    /// Whether nothing is sent but a head.
    only_reads: bool,
}

impl Exchange {
    /// Sends a request.
    ///
    /// # Errors
    /// As the protocol's implementation.
    pub async fn begin(
        transport: Transport,
        request: http::Request<Payload>,
        socket: Option<OwnedFd>,
    ) -> hyper::Result<Self> {
        let queue = transport.tcp().map(TcpPeer::queue);
        let io = TokioIo::new(ReadsFirst {
            transport,
            unsendable: false,
        });
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER).max_header_size(BUFFER);
        let only_reads = request.body().is_end_stream();
        let (mut sender, wire) = builder.handshake(io).await?;
        Ok(Self {
            response: Box::pin(sender.send_request(request)),
            socket,
            driver: Driver {
                wire: Some(wire),
                failure: None,
                queue,
                only_reads,
            },
        })
    }

    /// Sends what there is to be sent; returns the response once its head has come.
    pub fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<http::Response<Incoming>>> {
        if let Poll::Ready(response) = self.response.as_mut().poll(context) {
            return Poll::Ready(response);
        }
        let _ = self.driver.poll(context);
        self.response.as_mut().poll(context)
    }

    /// What its kernel queue can be seen through.
    pub fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.driver.queue()
    }

    /// The connection, which the response's body needs.
    pub fn into_driver(self) -> Driver {
        self.driver
    }
}

impl Driver {
    /// Sends and receives what it can. Ready once the connection has ended.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(wire) = &mut self.wire {
            let ended = ready!(Pin::new(wire).poll(context));
            self.failure = ended.err();
            self.wire = None;
        }
        Poll::Ready(())
    }

    /// The connection itself, and what was read from it and not given out, once the head of a response has come to a
    /// request without a body.
    pub fn release(&mut self) -> Option<(Transport, Bytes)> {
        let wire = self.wire.take_if(|_| self.only_reads)?;
        let parts = wire.into_parts();
        Some((parts.io.into_inner().transport, parts.read_buf))
    }

    /// What its kernel queue can be seen through.
    pub fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.queue.clone()
    }

    /// Why the connection failed, once.
    pub fn failure(&mut self) -> Option<hyper::Error> {
        self.failure.take()
    }
}

/// A connection whose failed writes are not reported while there is something to read: a server that refuses an upload
/// responds, and then closes its side without reading the rest.
struct ReadsFirst {
    transport: Transport,
    /// Whether a write has failed. What is read then ends in the same error, or in the end of the stream.
    unsendable: bool,
}

impl ReadsFirst {
    fn sent(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error))
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                // A read is pending whenever a body is sent, so the task is woken.
                self.unsendable = true;
                Poll::Pending
            }
            written => written,
        }
    }
}

impl AsyncRead for ReadsFirst {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_read(context, buffer)
    }
}

impl AsyncWrite for ReadsFirst {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsendable {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.transport).poll_write_vectored(context, slices);
        this.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unsendable {
            return Poll::Pending;
        }
        Pin::new(&mut this.transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}
