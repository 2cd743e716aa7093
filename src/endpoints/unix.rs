//! Unix sockets, connecting and listening.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketType};

use crate::catalog::{Access, Args, Misnamed, Placed, Scheme};
use crate::error::{Failure, Kind, shown};
use crate::net::drain::Queue;
use crate::net::retry::{self, Backoff};
use crate::platform::{files, sockets};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY};
use super::socket::{Connection, Peer};

/// `unix:PATH`
pub static CONNECT: Scheme = Scheme {
    form: "unix:PATH",
    prefix: "unix:",
    summary: "a Unix socket that is connected to",
    read: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY],
        place: Connect::named,
    }),
    write: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, LINGER],
        place: Connect::named,
    }),
};

/// `unix-listen:PATH`
pub static LISTEN: Scheme = Scheme {
    form: "unix-listen:PATH",
    prefix: "unix-listen:",
    summary: "one peer that connects; the socket is ours alone",
    read: Some(Access {
        params: &[],
        place: Listen::named,
    }),
    write: Some(Access {
        params: &[LINGER],
        place: Listen::named,
    }),
};

/// A path that fits in a socket's address.
#[derive(Debug, Clone)]
struct Address {
    path: PathBuf,
    name: SocketAddrUnix,
}

impl Address {
    fn parse(path: &[u8], scheme: &str) -> Result<Self, Misnamed> {
        let form = format!("write {scheme}:PATH, for example {scheme}:/run/user/1000/pipe");
        if path.is_empty() {
            return Err(Misnamed::new("the path is missing", form));
        }
        if path.starts_with(b"//") && !path.starts_with(b"///") {
            return Err(Misnamed::new("a Unix socket has no host", form));
        }
        if path.contains(&0) {
            return Err(Misnamed::new("a path cannot hold a zero byte", "remove it"));
        }
        // No other error is possible.
        let too_long = || {
            Misnamed::new(
                format!("a path of {} bytes is too long for a Unix socket", path.len()),
                "most systems take 107 bytes, some 103; a relative path may be shorter",
            )
        };
        let name = SocketAddrUnix::new(path).map_err(|_| too_long())?;
        let path = PathBuf::from(OsStr::from_bytes(path));
        // Linux needs no zero byte at the end; the standard library, which connects, does.
        std::os::unix::net::SocketAddr::from_pathname(&path).map_err(|_| too_long())?;
        Ok(Self { path, name })
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}:{}", shown(self.path.as_os_str().as_bytes()))
    }
}

/// A peer that is connected to.
struct Connect {
    address: Address,
    options: ConnectOptions,
}

impl Connect {
    /// How often a peer with a full queue is tried: no event announces that it has room.
    const POLL_INTERVAL: Duration = Duration::from_millis(10);

    fn named(path: &[u8], args: &Args) -> Placed {
        Ok(Box::new(Connection(Self {
            address: Address::parse(path, "unix").map_err(|wrong| wrong.of(args))?,
            options: ConnectOptions::of(args),
        })))
    }

    async fn connect_once(&self, limit: Duration) -> Result<UnixStream, Failure> {
        let operation = format!("cannot connect to {}", self.address.url("unix"));
        let attempt = async {
            loop {
                match sockets::connect_unix(&self.address.path).await {
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {
                        tokio::time::sleep(Self::POLL_INTERVAL).await;
                    }
                    result => return result,
                }
            }
        };
        match tokio::time::timeout(limit, attempt).await {
            Ok(result) => result.map_err(|error| Failure::io(Kind::Connect, operation, error)),
            Err(_) => {
                let limit = humantime::format_duration(limit);
                let why = format!("its queue stayed full for {limit} (connect-timeout)");
                Err(Failure::because(Kind::Connect, operation, why))
            }
        }
    }
}

impl Peer for Connect {
    const QUEUE: Queue = Queue::Buffers;

    fn shown(&self) -> String {
        self.address.url("unix")
    }

    fn effect(&self) -> String {
        format!("connects to {}", self.shown())
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    async fn connect(self, _: Kind) -> Result<OwnedFd, Failure> {
        let attempt = || self.connect_once(self.options.connect);
        let stream = retry::connect(self.options.retries, Backoff::default(), attempt).await?;
        Ok(stream.into())
    }
}

/// One peer that connects to us.
struct Listen {
    address: Address,
    options: ConnectOptions,
    /// `Some` once it is bound.
    bound: Option<Bound>,
}

impl Listen {
    fn named(path: &[u8], args: &Args) -> Placed {
        Ok(Box::new(Connection(Self {
            address: Address::parse(path, "unix-listen").map_err(|wrong| wrong.of(args))?,
            options: ConnectOptions::of(args),
            bound: None,
        })))
    }
}

impl Peer for Listen {
    const QUEUE: Queue = Queue::Buffers;

    fn shown(&self) -> String {
        self.address.url("unix-listen")
    }

    fn effect(&self) -> String {
        format!("listens on {} for one peer", self.address.url("unix"))
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        let url = self.address.url("unix");
        let operation = format!("cannot listen on {url}");
        let bound = Bound::new(&self.address).map_err(|problem| match problem {
            Unbindable::Refused(error) => Failure::io(Kind::Connect, operation, error),
            Unbindable::Occupied(why) => Failure::because(Kind::Connect, operation, why),
        })?;
        self.bound = Some(bound);
        Ok(Some(url))
    }

    async fn connect(self, _: Kind) -> Result<OwnedFd, Failure> {
        let operation = format!("cannot accept on {}", self.address.url("unix"));
        let Bound { listener, name } = self.bound.expect("the engine binds before it opens");
        let stream = sockets::accept_unix(listener)
            .await
            .map_err(|error| Failure::io(Kind::Connect, operation, error))?;
        // One peer is all that is accepted, so the name is of no more use.
        drop(name);
        Ok(stream.into())
    }
}

/// A socket of this process that only this user can connect to; its name is removed when this is dropped.
pub struct OwnSocket(Bound);

impl OwnSocket {
    /// Listens at `path`. A stale socket is replaced, a live one is left alone.
    ///
    /// # Errors
    /// The reason, in a phrase.
    pub fn at(path: &Path) -> Result<Self, String> {
        let address = Address::parse(path.as_os_str().as_bytes(), "unix").map_err(|misnamed| misnamed.message)?;
        let bound = Bound::new(&address).map_err(|problem| match problem {
            Unbindable::Refused(error) => std::io::Error::from(error).to_string(),
            Unbindable::Occupied(why) => why.to_owned(),
        })?;
        Ok(Self(bound))
    }

    /// Another handle of the listener, on which accepting waits.
    pub fn listener(&self) -> std::io::Result<UnixListener> {
        sockets::waiting_listener(&self.0.listener)
    }

    /// Removes the socket at `path` if no process has it open.
    pub fn forget(path: &Path) {
        if let Ok(address) = Address::parse(path.as_os_str().as_bytes(), "unix") {
            // Any other kind of file is left alone.
            let _ = remove_stale(&address);
        }
    }
}

/// A listener and its name in the file system.
struct Bound {
    listener: UnixListener,
    name: Name,
}

/// Why a name cannot be bound.
enum Unbindable {
    Refused(Errno),
    Occupied(&'static str),
}

impl From<Errno> for Unbindable {
    fn from(error: Errno) -> Self {
        Self::Refused(error)
    }
}

impl Bound {
    /// Binds and listens. No other user can connect at any moment: the socket is given its mode before it has a name,
    /// and on systems that ignore that, before it listens.
    fn new(address: &Address) -> Result<Self, Unbindable> {
        let owner_only = Mode::RUSR | Mode::WUSR;
        remove_stale(address)?;
        let fd = sockets::unix_socket(SocketType::STREAM)?;
        let _ = files::fchmod(&fd, owner_only);
        sockets::bind_unix(&fd, &address.name)?;
        let name = Name::of(&address.path).inspect_err(|_| {
            // It did not exist before.
            let _ = files::unlink(&address.path);
        })?;
        if Mode::from_raw_mode(name.stat.st_mode) != owner_only {
            files::chmod(&address.path, owner_only)?;
        }
        sockets::listen(&fd)?;
        Ok(Self {
            listener: UnixListener::from(fd),
            name,
        })
    }
}

/// Removes a socket that no process has open.
fn remove_stale(address: &Address) -> Result<(), Unbindable> {
    let stat = match files::lstat(&address.path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Unbindable::Occupied("it exists and is not a socket"));
    }
    match probe(&address.name) {
        Err(Errno::CONNREFUSED) => remove_same(&address.path, &stat).map_err(Unbindable::Refused),
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ACCESS) => Err(Unbindable::Refused(Errno::ACCESS)),
        Ok(()) | Err(_) => Err(Unbindable::Occupied("another process listens there already")),
    }
}

/// Probes with a datagram socket: if a process has the name's stream socket open, that is the wrong type, and the
/// process does not notice; otherwise the connection is refused.
fn probe(name: &SocketAddrUnix) -> Result<(), Errno> {
    let knocker = sockets::unix_socket(SocketType::DGRAM)?;
    sockets::connect(&knocker, name)
}

/// A socket's name, removed when this is dropped, if it still leads to that socket. If that fails, the next listener
/// finds a stale socket and replaces it.
struct Name {
    path: PathBuf,
    stat: Stat,
}

impl Name {
    fn of(path: &Path) -> Result<Self, Errno> {
        Ok(Self {
            path: path.to_owned(),
            stat: files::lstat(path)?,
        })
    }
}

/// Removes the file at that path, if it is still the one that `stat` describes.
fn remove_same(path: &Path, stat: &Stat) -> Result<(), Errno> {
    let now = files::lstat(path)?;
    if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) {
        files::unlink(path)?;
    }
    Ok(())
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = remove_same(&self.path, &self.stat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &Path) -> Address {
        Address::parse(path.as_os_str().as_bytes(), "unix-listen").unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    fn occupied(address: &Address) -> &'static str {
        match Bound::new(address) {
            Err(Unbindable::Occupied(why)) => why,
            Err(Unbindable::Refused(error)) => panic!("{error}"),
            Ok(_) => panic!("bound"),
        }
    }

    #[test]
    fn socket_name_is_private_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(&folder.path().join("s"));
        let bound = Bound::new(&address).unwrap_or_else(|_| panic!("bound"));
        let stat = files::lstat(&address.path).expect("there");
        assert_eq!(stat.st_mode & 0o7777, 0o600);
        drop(bound);
        assert!(!address.path.exists());
    }

    #[test]
    fn foreign_socket_name_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(&folder.path().join("s"));
        let bound = Bound::new(&address).unwrap_or_else(|_| panic!("bound"));
        std::fs::rename(&address.path, folder.path().join("moved")).expect("moved");
        std::fs::write(&address.path, "theirs").expect("written");
        drop(bound);
        assert_eq!(std::fs::read(&address.path).expect("there"), b"theirs");
        assert_eq!(occupied(&address), "it exists and is not a socket");
    }

    #[test]
    fn only_stale_sockets_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(&folder.path().join("s"));
        drop(UnixListener::bind(&address.path).expect("bound"));
        let live = Bound::new(&address).unwrap_or_else(|_| panic!("a stale socket is replaced"));
        assert_eq!(occupied(&address), "another process listens there already");
        live.listener.set_nonblocking(true).expect("set");
        let error = live.listener.accept().expect_err("no connection");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn overlong_socket_path_is_refused() {
        let long = "x".repeat(108);
        for (path, message) in [
            ("", "the path is missing"),
            ("//host/path", "a Unix socket has no host"),
            (long.as_str(), "a path of 108 bytes is too long for a Unix socket"),
            ("a\0b", "a path cannot hold a zero byte"),
        ] {
            assert_eq!(
                Address::parse(path.as_bytes(), "unix").expect_err(path).message,
                message
            );
        }
    }
}
