//! TLS over TCP, connecting and listening.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::catalog::{Access, Args, Kind as Value, Param, Place, Placed, Scheme};
use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::net::drain::{Drain, Queue, unfinished};
use crate::net::tls::{self, ClientTls, ServerTls, TlsFiles};
use crate::net::{Transport, unusable};
use crate::platform::Queued;
use crate::platform::sockets::{self, TcpPeer};
use crate::stage::{
    BoxFuture, Endpoint, Facts, OpenReader, OpenWriter, Outcome, Outside, Reach, Rollback, StreamReader, StreamWriter,
};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY, USER_TIMEOUT};
use super::revocable::Revocable;
use super::socket::Reset;
use super::tcp;

/// How long a client may take for its part of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

const fn file(name: &'static str, help: &'static str) -> Param {
    Param {
        name,
        kind: Value::Endpoint(&[]),
        place: Place::Named,
        required: false,
        default: None,
        help,
    }
}

/// The trusted certificate authorities.
pub const CA: Param = file(
    "ca",
    "trust the certificate authorities of this PEM file instead of the system's; at a listener, ask clients for a \
     certificate of one of them",
);
/// The certificate to show.
pub const CERT: Param = file(
    "cert",
    "the certificate to show to the peer, a PEM file; those that lead to its authority follow in it",
);
/// Its key.
pub const KEY: Param = file("key", "the certificate's private key, a PEM file");
/// Whether the peer is checked.
pub const VERIFY: Param = Param {
    name: "verify",
    kind: Value::Flag,
    place: Place::Named,
    required: false,
    default: Some("true"),
    help: "whether the server has to prove that it is the named host; false trusts anyone in between",
};

/// `tls://HOST:PORT`
pub static CONNECT: Scheme = Scheme {
    form: "tls://HOST:PORT",
    prefix: "tls://",
    summary: "a TLS server that is connected to",
    read: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT, CA, CERT, KEY, VERIFY],
        place: connect,
    }),
    write: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT, LINGER, CA, CERT, KEY, VERIFY],
        place: connect,
    }),
};

/// `tls-listen://HOST:PORT`
pub static LISTEN: Scheme = Scheme {
    form: "tls-listen://HOST:PORT",
    prefix: "tls-listen://",
    summary: "one TLS client that connects; port 0 picks a free one",
    read: Some(Access {
        params: &[USER_TIMEOUT, CA, CERT, KEY],
        place: listen,
    }),
    write: Some(Access {
        params: &[USER_TIMEOUT, LINGER, CA, CERT, KEY],
        place: listen,
    }),
};

/// The files that a call names; each may also be written as `@FILE`.
pub fn files(args: &Args) -> TlsFiles {
    let path = |param: Param| {
        let name = args.endpoint(param.name)?;
        let name = name.strip_prefix(b"@").unwrap_or(name);
        Some(PathBuf::from(OsStr::from_bytes(name)))
    };
    TlsFiles {
        authorities: path(CA),
        certificates: path(CERT),
        key: path(KEY),
        unverified: args.supports(VERIFY.name) && !args.flag(VERIFY.name),
    }
}

fn connect(rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Secured(Server {
        peer: tcp::Connect::named("tls", rest, args)?,
        files: files(args),
        tls: OnceCell::new(),
    })))
}

fn listen(rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Secured(Client {
        peers: tcp::Listen::named("tls-listen", rest, args)?,
        files: files(args),
        tls: OnceCell::new(),
    })))
}

/// The other side of a TLS connection.
trait Side: Send + 'static {
    fn shown(&self) -> String;
    fn effect(&self) -> String;
    fn options(&self) -> ConnectOptions;
    fn bind(&mut self) -> Result<Option<String>, Failure>;
    /// Checks the files.
    fn check(&self) -> Result<(), Failure>;
    /// Connects or accepts. A connection that `resets` ends in a reset until that is changed.
    fn open(self, resets: bool) -> impl Future<Output = Result<Transport, Failure>> + Send;
}

/// A server that is connected to.
struct Server {
    peer: tcp::Connect,
    files: TlsFiles,
    tls: OnceCell<ClientTls>,
}

impl Side for Server {
    fn shown(&self) -> String {
        self.peer.shown()
    }

    fn effect(&self) -> String {
        format!("connects to {}", self.shown())
    }

    fn options(&self) -> ConnectOptions {
        self.peer.options
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.tls.get().is_none() {
            let _ = self.tls.set(self.files.client(&[])?);
        }
        Ok(())
    }

    async fn open(self, resets: bool) -> Result<Transport, Failure> {
        let Self { peer, files, tls } = self;
        let tls = tls.into_inner().map_or_else(|| files.client(&[]), Ok)?;
        let stream = TcpPeer::of(peer.connect(resets).await?).map_err(unusable)?;
        let limit = peer.options.connect;
        let handshake = tokio::time::timeout(limit, tls.connect(stream, &peer.address));
        handshake.await.unwrap_or_else(|_| {
            let operation = format!("cannot agree on TLS with {}", peer.address);
            let limit = humantime::format_duration(limit);
            let why = format!("no answer within {limit} (connect-timeout)");
            Err(Failure::because(Kind::Connect, operation, why))
        })
    }
}

/// One client of those that connect.
struct Client {
    peers: tcp::Listen,
    files: TlsFiles,
    tls: OnceCell<ServerTls>,
}

impl Side for Client {
    fn shown(&self) -> String {
        self.peers.shown()
    }

    fn effect(&self) -> String {
        self.peers.effect()
    }

    fn options(&self) -> ConnectOptions {
        self.peers.options
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.peers.bind().map(Some)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.tls.get().is_none() {
            let _ = self.tls.set(self.files.server()?);
        }
        Ok(())
    }

    async fn open(self, resets: bool) -> Result<Transport, Failure> {
        let Self { mut peers, files, tls } = self;
        let tls = tls.into_inner().map_or_else(|| files.server(), Ok)?;
        let queue = peers.peers()?;
        loop {
            let peer = peers.accept(&queue, resets).await?;
            let address = peer
                .address()
                .map_or_else(|_| "a client".to_owned(), |address| address.to_string());
            match tokio::time::timeout(HANDSHAKE, tls.accept(peer)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(failure)) => tracing::warn!("{address}: {failure}"),
                Err(_) => tracing::warn!(
                    "{address}: no TLS handshake within {}",
                    humantime::format_duration(HANDSHAKE)
                ),
            }
        }
    }
}

/// The endpoint at the other end of a TLS connection.
struct Secured<S>(S);

impl<S: Side> Endpoint for Secured<S> {
    fn shown(&self) -> String {
        self.0.shown()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.0.bind()
    }

    fn state_bytes(&self) -> u64 {
        tls::MEMORY
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.0.check()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn effect(&self) -> String {
        self.0.effect()
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let reader = Reader(self.0.open(false).await?);
            Ok(OpenReader::Stream(Box::new(reader)))
        })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let linger = self.0.options().linger;
            let writer = Writer {
                connection: self.0.open(true).await?,
                linger,
                meter: None,
                reset: Arc::default(),
            };
            Ok(OpenWriter::Stream(Box::new(writer)))
        })
    }
}

struct Reader(Transport);

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        let mut buffer = ReadBuf::new(buffer);
        let failed = |error: io::Error| {
            let failure = if error.kind() == io::ErrorKind::UnexpectedEof {
                Failure::because(
                    Kind::Source,
                    "cannot read all of it",
                    "the connection was cut: TLS was not ended",
                )
            } else {
                Failure::io(Kind::Source, "cannot read", error)
            };
            Stop::Failed(failure)
        };
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer)).map_err(failed)?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.0.queue()
    }
}

struct Writer {
    connection: Transport,
    /// How long the peer may take for the rest; `None` for as long as every other write.
    linger: Option<Duration>,
    meter: Option<Arc<StageMeter>>,
    reset: Arc<Revocable<Reset>>,
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(context, slices));
        Poll::Ready(written.map_err(|error| Failure::io(Kind::Sink, "cannot write", error).into()))
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.connection.queue()
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        self.connection.limit_unsent(bytes)
    }

    fn count_with(&mut self, meter: Arc<StageMeter>) {
        self.meter = Some(meter);
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            self.connection.flush().await.map_err(unfinished)?;
            let drain = Drain::begin(Queue::Sequence, self.linger, &self.connection);
            self.connection.shutdown().await.map_err(unfinished)?;
            let count = |fallen| {
                if let Some(meter) = &self.meter {
                    meter.add_settled(fallen);
                }
            };
            drain.finish(&mut self.connection, count).await?;
            let connection = &self.connection;
            self.reset
                .commit(|_| sockets::end_at_close(connection).map_err(unfinished))
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.reset.clone())
    }
}
