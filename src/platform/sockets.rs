//! Sockets that never block, are not inherited, and notice when their peer is gone.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::{Errno, FdFlags, retry_on_intr};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::fault::{self, Operation};
use super::kernel_queue::socket_queue;
use super::{Interest, KernelQueue, Queued, files, spawn, system};

/// Accepts the next peer of a blocking listener.
pub fn accept_unix_blocking(listener: &UnixListener) -> io::Result<UnixStream> {
    fault::point(Operation::Accept)?;
    listener.accept().map(|(stream, _)| stream)
}

/// Another handle of a listener; from now on accepting blocks, through either.
pub fn waiting_listener(listener: &UnixListener) -> io::Result<UnixListener> {
    let other = UnixListener::from(files::duplicate(listener)?);
    other.set_nonblocking(false)?;
    Ok(other)
}

/// Sets a time limit for each wait for a peer.
pub fn limit_waits(stream: &UnixStream, limit: Duration) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))
}

/// The user at the other end of a connected Unix socket; `None` if the system does not tell.
#[must_use]
pub fn peer_user(socket: impl AsFd) -> Option<u32> {
    system::peer_user(socket.as_fd())
}

/// A Unix socket without a name. Its flags are set by separate calls, which every system has.
pub fn unix_socket(kind: SocketType) -> Result<OwnedFd, Errno> {
    fault::point(Operation::Socket)?;
    let fd = rustix::net::socket(AddressFamily::UNIX, kind, None)?;
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Gives a Unix socket its name.
pub fn bind_unix(fd: impl AsFd, name: &SocketAddrUnix) -> Result<(), Errno> {
    fault::point(Operation::Bind)?;
    rustix::net::bind(fd, name)
}

/// Listens with a queue of one peer.
pub fn listen(fd: impl AsFd) -> Result<(), Errno> {
    fault::point(Operation::Bind)?;
    rustix::net::listen(fd, 1)
}

/// Connects a Unix socket of any kind.
pub fn connect(fd: impl AsFd, name: &SocketAddrUnix) -> Result<(), Errno> {
    fault::point(Operation::Connect)?;
    rustix::net::connect(fd, name)
}

/// Connects to a Unix socket.
pub async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    fault::point(Operation::Connect)?;
    tokio::net::UnixStream::connect(path).await?.into_std()
}

/// The addresses of a host, as getaddrinfo(3) finds them, on a thread of its own: tokio's own lookup panics where the
/// system has no thread left.
///
/// # Errors
/// If no thread can be started. The future fails as getaddrinfo(3).
pub fn resolve(host: &str, port: u16) -> io::Result<impl Future<Output = io::Result<Vec<SocketAddr>>> + Send> {
    /// As std's threads: the needs of what getaddrinfo(3) loads are unknown.
    const STACK: usize = 2 << 20;
    let (answer, answered) = oneshot::channel();
    let look_up = move |host: &str| Ok((host, port).to_socket_addrs()?.collect());
    if host.parse::<IpAddr>().is_ok() {
        let _ = answer.send(look_up(host));
    } else {
        let host = host.to_owned();
        // It cannot be cancelled, and is left alone if its result comes too late.
        spawn("resolve", STACK, move || {
            let _ = answer.send(look_up(&host));
        })?;
    }
    Ok(async {
        fault::point(Operation::Resolve)?;
        answered.await.map_err(io::Error::other)?
    })
}

/// A socket that can connect to that address.
pub fn tcp_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    fault::point(Operation::Socket)?;
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

/// Connects to a TCP peer.
pub async fn connect_tcp(socket: TcpSocket, address: SocketAddr) -> io::Result<std::net::TcpStream> {
    fault::point(Operation::Connect)?;
    let stream = socket.connect(address).await?;
    if is_its_own_peer(&stream) {
        return Err(Errno::CONNREFUSED.into());
    }
    stream.into_std()
}

/// Whether a connection is to itself: if no process listens on a local port, the system may choose that very port as
/// the source of a connection attempt, and two simultaneous opens make a connection (RFC 9293, section 3.5). Repeated
/// attempts get there eventually. A peer that has closed already is not this case.
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

/// Listens for TCP peers, and returns the address; port 0 is a free one.
pub fn listen_tcp(host: &str, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    fault::point(Operation::Bind)?;
    let listener = TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// TCP peers, accepted one after the other on the runtime on which this was made.
#[derive(Debug)]
pub struct TcpPeers(tokio::net::TcpListener);

impl TcpPeers {
    /// Accepts from a non-blocking listener.
    pub fn of(listener: TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self)
    }

    /// The next one.
    pub async fn next(&self) -> io::Result<TcpPeer> {
        let (stream, _) = accepted(|| self.0.accept()).await?;
        Ok(stream.into())
    }
}

/// A TCP peer of a task.
#[derive(Debug)]
pub struct TcpPeer(Arc<Connection>);

/// A connection whose queue others look at.
#[derive(Debug)]
struct Connection(TcpStream);

impl Queued for Connection {
    fn kernel_queue(&self, side: Interest) -> Option<KernelQueue> {
        socket_queue(self.0.as_fd(), side)
    }

    fn limit_unsent(&self, bytes: u32) -> io::Result<()> {
        fault::point(Operation::SocketOption)?;
        Ok(system::limit_unsent(self.0.as_fd(), bytes)?)
    }
}

impl TcpPeer {
    /// Takes over a non-blocking connection, on the runtime that waits for it from now on.
    pub fn of(stream: std::net::TcpStream) -> io::Result<Self> {
        TcpStream::from_std(stream).map(Self::from)
    }

    /// Another handle of the connection without its runtime.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        files::duplicate(self).map_err(io::Error::from)
    }

    /// The peer's address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.0.peer_addr()
    }

    /// What its queue can be seen through as long as it is open.
    #[must_use]
    pub fn queue(&self) -> Weak<dyn Queued> {
        let queue: Weak<Connection> = Arc::downgrade(&self.0);
        queue
    }

    /// Does `operation` once the connection is ready for it.
    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        poll_ready: impl Fn(&TcpStream, &mut Context<'_>) -> Poll<io::Result<()>>,
        mut operation: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(poll_ready(&self.0.0, context))?;
            match operation(&self.0.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl From<TcpStream> for TcpPeer {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Connection(stream)))
    }
}

impl AsFd for TcpPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl AsyncRead for TcpPeer {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = retry_on_intr(|| fault::share(Operation::Read, buffer.remaining()))?;
        if room == buffer.remaining() {
            return (self.poll(context, TcpStream::poll_read_ready, |stream| {
                stream.try_read_buf(buffer)
            }))
            .map_ok(|_| ());
        }
        let into = buffer.initialize_unfilled_to(room);
        let count = ready!(self.poll(context, TcpStream::poll_read_ready, |stream| stream.try_read(into)))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpPeer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = retry_on_intr(|| fault::share(Operation::Write, bytes.len()))?;
        self.poll(context, TcpStream::poll_write_ready, |stream| {
            stream.try_write(&bytes[..room])
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let room = retry_on_intr(|| fault::share(Operation::Write, wanted))?;
        if room == wanted {
            return self.poll(context, TcpStream::poll_write_ready, |stream| {
                stream.try_write_vectored(slices)
            });
        }
        let first = slices
            .iter()
            .find(|slice| !slice.is_empty())
            .map_or(&[][..], |slice| slice);
        let part = &first[..room.min(first.len())];
        self.poll(context, TcpStream::poll_write_ready, |stream| stream.try_write(part))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(end_writing(&*self))
    }
}

/// A peer at a Unix socket, of a task.
#[derive(Debug)]
pub struct UnixPeer(tokio::net::UnixStream);

impl UnixPeer {
    /// Connects to the socket at `path`.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        tokio::net::UnixStream::from_std(connect_unix(path).await?).map(Self)
    }
}

impl AsFd for UnixPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for UnixPeer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        fault::point(Operation::Read)?;
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for UnixPeer {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        fault::point(Operation::Write)?;
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        fault::point(Operation::Write)?;
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(end_writing(&self.0))
    }
}

/// Accepts one peer of a Unix socket.
pub async fn accept_unix(listener: UnixListener) -> io::Result<UnixStream> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (stream, _) = accepted(|| listener.accept()).await?;
    stream.into_std()
}

/// The first peer that did not close before it was accepted.
async fn accepted<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> io::Result<T> {
    loop {
        let accepted = match fault::point(Operation::Accept) {
            Ok(()) => accept().await,
            Err(error) => Err(error.into()),
        };
        match accepted {
            Err(error) if has_left(&error) => {}
            accepted => return accepted,
        }
    }
}

/// Whether a peer closed before it was accepted. The next one is waited for instead: see accept(2).
fn has_left(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// Lets at most about so many bytes wait in the system to be sent, where it can be told; those that are on their way do
/// not count.
pub fn limit_unsent(fd: impl AsFd, bytes: u32) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(system::limit_unsent(fd.as_fd(), bytes)?)
}

/// Sends small writes at once (`TCP_NODELAY`).
pub fn send_at_once(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(rustix::net::sockopt::set_tcp_nodelay(fd, true)?)
}

/// Shuts the sending side down.
pub fn end_writing(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::Shutdown)?;
    Ok(rustix::net::shutdown(fd, Shutdown::Write)?)
}

/// Returns the pending error of a socket.
///
/// # Errors
/// That error, or as getsockopt(2).
pub fn pending_error(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(rustix::net::sockopt::socket_error(fd).and_then(|pending| pending)?)
}

/// Enables keep-alive probes of a silent TCP peer, and sets the user timeout if one is given.
///
/// A peer that only stops reading acknowledges the probes, so its connection stays open however long that takes. The user
/// timeout ends such a connection, too: since Linux 5.11 it counts a window that stays closed even if every probe is
/// answered. That is why there is none by default.
pub fn keep_alive(fd: BorrowedFd<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    rustix::net::sockopt::set_socket_keepalive(fd, true)?;
    system::tune_keepalive(fd, user_timeout)?;
    Ok(())
}

/// Makes the last close of a connection a reset, whatever closes it, including the system after a kill.
pub fn reset_at_close(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

/// Makes the last close of a connection an ordinary end again.
pub fn end_at_close(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(rustix::net::sockopt::set_socket_linger(fd, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_to_oneself_is_known() {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let own = socket.local_addr().expect("bound");
        let stream = socket.connect(own).await.expect("meets itself");
        assert!(is_its_own_peer(&stream));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await;
        assert!(!is_its_own_peer(&stream.expect("it listens")));
    }
}
