//! TCP, connecting and listening.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use crate::catalog::{Access, Args, Misnamed, Placed, Scheme};
use crate::error::{Failure, Kind, Problem, brief, shown};
use crate::net::retry::{self, Backoff};
use crate::net::{Address, AddressError, tune};
use crate::platform::{HAS_USER_TIMEOUT, sockets};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY, USER_TIMEOUT};
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
    if address.host.is_empty() && scheme == "tcp" {
        return Err(Misnamed::new("the host is missing", form));
    }
    if address.port == 0 && scheme == "tcp" {
        return Err(Misnamed::new("port 0 cannot be connected to", form));
    }
    Ok(address)
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
        let (dial, shown) = (self.options.dial(place == Kind::Sink), self.shown());
        let attempt = || dial.connect(&self.address, &shown);
        Ok(retry::connect(self.options.retries, Backoff::default(), attempt)
            .await?
            .into())
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
        tune(&stream, self.options.unanswered)?;
        Ok(stream.into())
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
