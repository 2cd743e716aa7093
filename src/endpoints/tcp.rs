//! TCP, connecting and listening.

use std::fmt::Display;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use crate::catalog::{Access, Args, Misnamed, Placed, Scheme};
use crate::error::{Failure, Kind, Problem, brief, shown};
use crate::net::drain::Queue;
use crate::net::retry::{self, Backoff};
use crate::net::{Address, AddressError, tune, unusable};
use crate::platform::HAS_USER_TIMEOUT;
use crate::platform::sockets::{self, TcpPeer, TcpPeers};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY, USER_TIMEOUT};
use super::socket::{Connection, Peer};

/// `tcp://HOST:PORT`
pub static CONNECT: Scheme = Scheme {
    form: "tcp://HOST:PORT",
    prefix: "tcp://",
    summary: "a TCP peer that is connected to",
    read: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT],
        place: connect,
    }),
    write: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT, LINGER],
        place: connect,
    }),
};

/// `tcp-listen://HOST:PORT`
pub static LISTEN: Scheme = Scheme {
    form: "tcp-listen://HOST:PORT",
    prefix: "tcp-listen://",
    summary: "one TCP peer that connects; port 0 picks a free one",
    read: Some(Access {
        params: &[USER_TIMEOUT],
        place: listen,
    }),
    write: Some(Access {
        params: &[USER_TIMEOUT, LINGER],
        place: listen,
    }),
};

fn connect(rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Connection(Connect::named("tcp", rest, args)?)))
}

fn listen(rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Connection(Listen::named("tcp-listen", rest, args)?)))
}

/// The time limits of a TCP connection in a call.
fn options(args: &Args) -> Result<ConnectOptions, Problem> {
    let name = USER_TIMEOUT.name;
    if args.is_given(name) && !HAS_USER_TIMEOUT {
        let problem = Problem::at(args.span_of(name), format!("this system does not support `{name}`"));
        return Err(problem.help("leave it out"));
    }
    Ok(ConnectOptions::of(args))
}

/// Reads what follows `SCHEME://`. The host may be missing for a listener.
fn address(text: &[u8], scheme: &str) -> Result<Address, Misnamed> {
    let form = format!("write {scheme}://HOST:PORT, for example {scheme}://127.0.0.1:9000 or {scheme}://[::1]:9000");
    let text = std::str::from_utf8(text).map_err(|_| Misnamed::new("the address is not UTF-8", &form))?;
    if text.contains('@') {
        return Err(Misnamed::new(format!("{scheme} takes no credentials"), form));
    }
    if shown(text.as_bytes()) != text {
        // From here on the parts contain no credentials and may be shown.
        let message = format!("`{}` is not an address", brief(text.as_bytes()));
        return Err(Misnamed::new(message, form));
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    let address = Address::parse(text, None).map_err(|error| {
        let help = match &error {
            AddressError::BareIpv6(right) => format!("write {scheme}://{right}"),
            AddressError::Port(_) => "a port is a number from 0 to 65535".to_owned(),
            AddressError::PortMissing | AddressError::Host(_) | AddressError::OpenBracket => form.clone(),
        };
        Misnamed::new(error.to_string(), help)
    })?;
    let listens = scheme.ends_with("-listen");
    if address.host.is_empty() && !listens {
        return Err(Misnamed::new("the host is missing", form));
    }
    if address.port == 0 && !listens {
        return Err(Misnamed::new("port 0 cannot be connected to", form));
    }
    Ok(address)
}

/// A peer that is connected to.
pub struct Connect {
    scheme: &'static str,
    pub address: Address,
    pub options: ConnectOptions,
}

impl Connect {
    /// Reads what follows `SCHEME://`.
    pub fn named(scheme: &'static str, rest: &[u8], args: &Args) -> Result<Self, Problem> {
        Ok(Self {
            scheme,
            address: address(rest, scheme).map_err(|wrong| wrong.of(args))?,
            options: options(args)?,
        })
    }

    /// Its name for messages.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Connects; a connection that `resets` ends in a reset until that is changed.
    pub async fn connect(&self, resets: bool) -> Result<TcpStream, Failure> {
        let (dial, shown) = (self.options.dial(resets), self.shown());
        let attempt = || dial.connect(&self.address, &shown);
        retry::connect(self.options.retries, Backoff::default(), attempt).await
    }
}

impl Peer for Connect {
    const QUEUE: Queue = Queue::Sequence;

    fn shown(&self) -> String {
        self.shown()
    }

    fn effect(&self) -> String {
        format!("connects to {}", self.shown())
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    async fn connect(self, place: Kind) -> Result<OwnedFd, Failure> {
        Ok(Self::connect(&self, place == Kind::Sink).await?.into())
    }
}

/// Peers that connect to us.
pub struct Listen {
    scheme: &'static str,
    pub address: Address,
    pub options: ConnectOptions,
    /// `Some` once it is bound.
    listener: Option<TcpListener>,
}

impl Listen {
    /// Reads what follows `SCHEME-listen://`.
    pub fn named(scheme: &'static str, rest: &[u8], args: &Args) -> Result<Self, Problem> {
        let mut address = address(rest, scheme).map_err(|wrong| wrong.of(args))?;
        if address.host.is_empty() {
            "127.0.0.1".clone_into(&mut address.host);
        }
        Ok(Self {
            scheme,
            address,
            options: options(args)?,
            listener: None,
        })
    }

    /// Its name for messages.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What peers connect to.
    fn url(&self, address: impl Display) -> String {
        format!("{}://{address}", self.scheme.trim_end_matches("-listen"))
    }

    /// What opening it will do.
    pub fn effect(&self) -> String {
        format!("listens on {} for one peer", self.url(&self.address))
    }

    /// Binds it; returns what peers connect to.
    pub fn bind(&mut self) -> Result<String, Failure> {
        let failed = |error| {
            let operation = format!("cannot listen on {}", self.url(&self.address));
            Failure::io(Kind::Connect, operation, error)
        };
        let (listener, address) = sockets::listen_tcp(&self.address.host, self.address.port).map_err(failed)?;
        self.listener = Some(listener);
        Ok(self.url(address))
    }

    /// Those that connect, one after the other.
    pub fn peers(&mut self) -> Result<TcpPeers, Failure> {
        let listener = self.listener.take().expect("the engine binds before it opens");
        TcpPeers::of(listener).map_err(|error| self.unacceptable(error))
    }

    /// The next of them. A connection that `resets` ends in a reset until that is changed.
    pub async fn accept(&self, peers: &TcpPeers, resets: bool) -> Result<TcpPeer, Failure> {
        let peer = peers.next().await.map_err(|error| self.unacceptable(error))?;
        if resets {
            sockets::reset_at_close(&peer).map_err(unusable)?;
        }
        tune(&peer, self.options.unanswered)?;
        Ok(peer)
    }

    fn unacceptable(&self, error: io::Error) -> Failure {
        Failure::io(
            Kind::Connect,
            format!("cannot accept on {}", self.url(&self.address)),
            error,
        )
    }
}

impl Peer for Listen {
    const QUEUE: Queue = Queue::Sequence;

    fn shown(&self) -> String {
        self.shown()
    }

    fn effect(&self) -> String {
        self.effect()
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.bind().map(Some)
    }

    async fn connect(mut self, place: Kind) -> Result<OwnedFd, Failure> {
        let peers = self.peers()?;
        let peer = self.accept(&peers, place == Kind::Sink).await?;
        peer.descriptor().map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tcp_address_suggests_a_correction() {
        for (text, message) in [
            ("host", "the port is missing"),
            ("host:http", "`http` is not a port"),
            ("host:70000", "`70000` is not a port"),
            ("::1:9000", "an IPv6 host needs brackets"),
            ("[::1:9000", "a bracket of the host is not closed"),
            (":9000", "the host is missing"),
            ("a/b:1", "`a/b` is not a host"),
            ("\x1b[31mred:1", "`\\x1b[31mred:1` is not an address"),
            ("h:1\n", "`h:1\\n` is not an address"),
            ("host:0", "port 0 cannot be connected to"),
        ] {
            assert_eq!(address(text.as_bytes(), "tcp").expect_err(text).message, message);
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        let problem = address(b"me:secret@host:1", "tcp").expect_err("credentials");
        assert!(!format!("{problem:?}").contains("secret"));
    }
}
