//! TCP, connecting and listening.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::catalog::{Access, Args, Misnamed, Placed, Scheme};
use crate::error::{Failure, Kind, Problem, brief, shown};
use crate::net::{Address, AddressError};
use crate::platform::{HAS_USER_TIMEOUT, sockets};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY, USER_TIMEOUT};
use super::retry::{self, Backoff};
use super::socket::{self, Connection, Peer, Queue};

/// `tcp://HOST:PORT`
pub static CONNECT: Scheme = Scheme {
    form: "tcp://HOST:PORT",
    prefix: "tcp://",
    summary: "a TCP peer that is connected to",
    read: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT],
        place: Connect::named,
    }),
    write: Some(Access {
        params: &[CONNECT_TIMEOUT, RETRY, USER_TIMEOUT, LINGER],
        place: Connect::named,
    }),
};

/// `tcp-listen://HOST:PORT`
pub static LISTEN: Scheme = Scheme {
    form: "tcp-listen://HOST:PORT",
    prefix: "tcp-listen://",
    summary: "one TCP peer that connects; port 0 picks a free one",
    read: Some(Access {
        params: &[USER_TIMEOUT],
        place: Listen::named,
    }),
    write: Some(Access {
        params: &[USER_TIMEOUT, LINGER],
        place: Listen::named,
    }),
};

/// What a call says of a TCP connection.
fn options(args: &Args) -> Result<ConnectOptions, Problem> {
    let name = USER_TIMEOUT.name;
    if args.is_given(name) && !HAS_USER_TIMEOUT {
        let problem = Problem::at(args.span_of(name), format!("this system does not support `{name}`"));
        return Err(problem.help("leave it out"));
    }
    Ok(ConnectOptions::of(args))
}

/// Reads what follows `SCHEME://`. The host may be missing where it is listened on.
fn address(text: &[u8], scheme: &str) -> Result<Address, Misnamed> {
    let form = format!("write {scheme}://HOST:PORT, for example {scheme}://127.0.0.1:9000 or {scheme}://[::1]:9000");
    let text = std::str::from_utf8(text).map_err(|_| Misnamed::new("the address is no text", &form))?;
    if text.contains('@') {
        return Err(Misnamed::new(format!("{scheme} takes no credentials"), form));
    }
    if shown(text.as_bytes()) != text {
        // From here on the parts may be said as they are.
        let message = format!("`{}` is no address", brief(text.as_bytes()));
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
    if address.host.is_empty() && scheme == "tcp" {
        return Err(Misnamed::new("the host is missing", form));
    }
    if address.port == 0 && scheme == "tcp" {
        return Err(Misnamed::new("port 0 cannot be connected to", form));
    }
    Ok(address)
}

/// Tries every address that the host has, within `limit`.
async fn connect_to_any(peer: &Address, place: Kind, limit: Duration) -> Result<TcpStream, Failure> {
    let attempt = async {
        let addresses = sockets::resolve(&peer.host, peer.port)
            .map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?
            .await
            .map_err(|error| Failure::io(Kind::Connect, format!("cannot resolve `{}`", peer.host), error))?;
        let mut last = Failure::because(
            Kind::Connect,
            format!("cannot connect to tcp://{peer}"),
            "the host has no address",
        );
        for address in addresses {
            match connect(address, place).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Failure::because(
            Kind::Connect,
            format!("cannot connect to tcp://{peer}"),
            format!("no answer within {limit} (connect-timeout)"),
        ))
    })
}

/// Connects to one address. From its first moment on, a connection to write to is one that a failure resets.
async fn connect(address: SocketAddr, place: Kind) -> Result<TcpStream, Failure> {
    let failed = |error| Failure::io(Kind::Connect, format!("cannot connect to {address}"), error);
    let socket = sockets::tcp_socket(address).map_err(failed)?;
    if place == Kind::Sink {
        sockets::reset_at_close(&socket).map_err(|error| socket::unusable(place, error))?;
    }
    sockets::connect_tcp(socket, address).await.map_err(failed)
}

/// The stream as the stages use it.
fn ready(stream: TcpStream, place: Kind, options: ConnectOptions) -> Result<OwnedFd, Failure> {
    // What is small waits for nothing, and what is large fills segments anyway.
    let ready = sockets::send_at_once(&stream).and_then(|()| sockets::keep_alive(stream.as_fd(), options.unanswered));
    ready.map_err(|error| socket::unusable(place, error))?;
    Ok(stream.into())
}

/// A peer that is connected to.
struct Connect {
    address: Address,
    options: ConnectOptions,
}

impl Connect {
    fn named(rest: &[u8], args: &Args) -> Placed {
        Ok(Box::new(Connection(Self {
            address: address(rest, "tcp").map_err(|wrong| wrong.of(args))?,
            options: options(args)?,
        })))
    }
}

impl Peer for Connect {
    const QUEUE: Queue = Queue::Sequence;

    fn shown(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn effect(&self) -> String {
        format!("connects to {}", self.shown())
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    async fn connect(self, place: Kind) -> Result<OwnedFd, Failure> {
        let attempt = || connect_to_any(&self.address, place, self.options.connect);
        let stream = retry::connect(self.options.retries, Backoff::new(), attempt).await?;
        ready(stream, place, self.options)
    }
}

/// One peer that connects to us.
struct Listen {
    address: Address,
    options: ConnectOptions,
    /// `Some` once it is bound.
    listener: Option<(TcpListener, SocketAddr)>,
}

impl Listen {
    fn named(rest: &[u8], args: &Args) -> Placed {
        let mut address = address(rest, "tcp-listen").map_err(|wrong| wrong.of(args))?;
        if address.host.is_empty() {
            "127.0.0.1".clone_into(&mut address.host);
        }
        Ok(Box::new(Connection(Self {
            address,
            options: options(args)?,
            listener: None,
        })))
    }
}

impl Peer for Listen {
    const QUEUE: Queue = Queue::Sequence;

    fn shown(&self) -> String {
        format!("tcp-listen://{}", self.address)
    }

    fn effect(&self) -> String {
        format!("listens on tcp://{} for one peer", self.address)
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        let failed = |error| Failure::io(Kind::Connect, format!("cannot listen on tcp://{}", self.address), error);
        let (listener, address) = sockets::listen_tcp(&self.address.host, self.address.port).map_err(failed)?;
        self.listener = Some((listener, address));
        Ok(Some(format!("tcp://{address}")))
    }

    async fn connect(self, place: Kind) -> Result<OwnedFd, Failure> {
        let failed = |error| Failure::io(Kind::Connect, format!("cannot accept on tcp://{}", self.address), error);
        let (listener, _) = self.listener.expect("the engine binds before it opens");
        let stream = sockets::accept_tcp(listener).await.map_err(failed)?;
        if place == Kind::Sink {
            sockets::reset_at_close(&stream).map_err(|error| socket::unusable(place, error))?;
        }
        ready(stream, place, self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        for (text, message) in [
            ("host", "the port is missing"),
            ("host:http", "`http` is no port"),
            ("host:70000", "`70000` is no port"),
            ("::1:9000", "an IPv6 host needs brackets"),
            ("[::1:9000", "a bracket of the host is not closed"),
            (":9000", "the host is missing"),
            ("a/b:1", "`a/b` is no host"),
            ("\x1b[31mred:1", "`\\x1b[31mred:1` is no address"),
            ("h:1\n", "`h:1\\n` is no address"),
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
