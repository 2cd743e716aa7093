//! Sockets that wait for nothing, are inherited by nobody, and notice when their peer is gone.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, retry_on_intr};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::fault::{self, Operation};
use super::{files, system, threads};

/// The next peer of a listener that waits.
pub fn accept_unix_blocking(listener: &UnixListener) -> io::Result<UnixStream> {
    fault::point(Operation::Accept)?;
    listener.accept().map(|(stream, _)| stream)
}

/// Another handle of a listener; from now on accepting waits, through either.
pub fn waiting_listener(listener: &UnixListener) -> io::Result<UnixListener> {
    let other = UnixListener::from(files::duplicate(listener)?);
    other.set_nonblocking(false)?;
    Ok(other)
}

/// Bounds each wait for a peer.
pub fn limit_waits(stream: &UnixStream, limit: Duration) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))
}

/// The user at the other end of a connected Unix socket; `None` where the system does not say.
#[must_use]
pub fn peer_user(socket: impl AsFd) -> Option<u32> {
    system::peer_user(socket.as_fd())
}

/// A Unix socket without a name. Its flags are set by calls of their own, which every system has.
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

/// Lets one peer wait at a time.
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
/// If no thread can be started. What is answered fails as getaddrinfo(3).
pub fn resolve(host: &str, port: u16) -> io::Result<impl Future<Output = io::Result<Vec<SocketAddr>>> + Send> {
    /// As std's threads have it: what getaddrinfo(3) loads is not ours to measure.
    const STACK: usize = 2 << 20;
    let (answer, answered) = oneshot::channel();
    let look_up = move |host: &str| Ok((host, port).to_socket_addrs()?.collect());
    if host.parse::<IpAddr>().is_ok() {
        let _ = answer.send(look_up(host));
    } else {
        let host = host.to_owned();
        // It cannot be cancelled, and nobody waits for it where the answer comes too late.
        threads::spawn("resolve", STACK, move || {
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

/// Whether a connection has come about without anybody else: where nobody listens on a port of this machine, the system may
/// give that very port to the one who connects, and two openings that meet are a connection (RFC 9293, section 3.5). Whoever
/// tries long enough gets there, and would talk to himself. A peer that has gone already is somebody else.
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

/// Listens for TCP peers, and says where; port 0 is a free one.
pub fn listen_tcp(host: &str, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    fault::point(Operation::Bind)?;
    let listener = TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// TCP peers, one after the other, taken on the runtime that this was made on.
#[derive(Debug)]
pub struct TcpPeers(tokio::net::TcpListener);

impl TcpPeers {
    /// Takes them from a listener that waits for nobody.
    pub fn of(listener: TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self)
    }

    /// The next one.
    pub async fn next(&self) -> io::Result<TcpPeer> {
        let (stream, _) = accepted(|| self.0.accept()).await?;
        Ok(TcpPeer(stream))
    }
}

/// A TCP peer that a task talks to.
#[derive(Debug)]
pub struct TcpPeer(TcpStream);

impl TcpPeer {
    /// Reads what it has sent, up to the length of `buffer`; nothing is its end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = retry_on_intr(|| fault::share(Operation::Read, buffer.len()))?;
        self.0.read(&mut buffer[..room]).await
    }

    /// Sends it all of `bytes`.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = retry_on_intr(|| fault::share(Operation::Write, bytes.len()))?;
            let count = self.0.write(&bytes[..room]).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Says the end to it.
    pub fn end_writing(&self) -> io::Result<()> {
        end_writing(&self.0)
    }
}

/// Takes one TCP peer.
pub async fn accept_tcp(listener: TcpListener) -> io::Result<std::net::TcpStream> {
    TcpPeers::of(listener)?.next().await?.0.into_std()
}

/// Takes one peer of a Unix socket.
pub async fn accept_unix(listener: UnixListener) -> io::Result<UnixStream> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (stream, _) = accepted(|| listener.accept()).await?;
    stream.into_std()
}

/// The first peer that has not left again before it was taken.
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

/// Whether a peer left before it was taken. The next one is waited for instead: see accept(2).
fn has_left(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// Sends what is small at once.
pub fn send_at_once(stream: &std::net::TcpStream) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    stream.set_nodelay(true)
}

/// Says the end to the peer.
pub fn end_writing(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::Shutdown)?;
    Ok(rustix::net::shutdown(fd, Shutdown::Write)?)
}

/// What went wrong behind our back.
///
/// # Errors
/// That, or as getsockopt(2).
pub fn pending_error(fd: impl AsFd) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    Ok(rustix::net::sockopt::socket_error(fd).and_then(|pending| pending)?)
}

/// Has the system ask a silent TCP peer whether it is still there, and sets the user timeout where one is given.
///
/// A peer that only stops reading answers, and is left alone however long that takes. The user timeout does end such a
/// connection, too: since Linux 5.11 it counts a window that stays closed even where every probe is answered. That is
/// why there is none by default.
pub fn keep_alive(fd: BorrowedFd<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    fault::point(Operation::SocketOption)?;
    rustix::net::sockopt::set_socket_keepalive(fd, true)?;
    system::tune_keepalive(fd, user_timeout)?;
    Ok(())
}

/// Makes the last close of a connection a reset, whoever closes it and why, be it the system after a kill.
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
