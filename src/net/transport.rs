//! A connection with or without TLS, for the protocols above.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use crate::error::Failure;
use crate::platform::Queued;
use crate::platform::sockets::{self, TcpPeer, UnixPeer};

use super::unusable;

/// A connection to a peer.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Plain(TcpPeer),
    /// TLS over TCP. An end without TLS's own is [`io::ErrorKind::UnexpectedEof`].
    Tls(Box<TlsStream<TcpPeer>>),
    /// A socket of this machine.
    Local(UnixPeer),
}

impl Transport {
    /// Whether it is TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What its kernel queue can be seen through as long as it is open, where it has one.
    #[must_use]
    pub fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.tcp().map(TcpPeer::queue)
    }

    /// Lets at most about so many bytes wait in the system to be sent: see [`sockets::limit_unsent`].
    pub fn limit_unsent(&self, bytes: u32) -> Result<(), Failure> {
        self.tcp()
            .map_or(Ok(()), |tcp| sockets::limit_unsent(tcp, bytes))
            .map_err(unusable)
    }

    /// The TCP connection below, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpPeer> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Local(_) => None,
        }
    }

    /// The connection without TLS, to read what comes after the last message.
    pub fn below(&mut self) -> Below<'_> {
        Below(self)
    }
}

/// A connection without its TLS: what is read is not decrypted.
#[derive(Debug)]
pub struct Below<'t>(&'t mut Transport);

impl AsFd for Below<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Below<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self.0 {
            Transport::Tls(stream) => Pin::new(stream.get_mut().0).poll_read(context, buffer),
            plain => Pin::new(plain).poll_read(context, buffer),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
            Self::Local(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Local(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Local(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
