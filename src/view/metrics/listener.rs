//! The listener of the metrics server.

use std::net::{SocketAddr, TcpListener};

use crate::error::{Failure, Kind};
use crate::net::{Address, AddressError};
use crate::platform::sockets::listen_tcp;

/// Parses the address: `HOST:PORT`, `:PORT` or `PORT`. Without a host it is the loopback address, so that no other
/// machine can connect.
///
/// # Errors
/// The problem, and what is expected.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let form = "write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100";
    let is_port = !text.contains(':');
    let whole = if is_port { format!(":{text}") } else { text.to_owned() };
    let mut address = Address::parse(&whole, None).map_err(|error| match &error {
        AddressError::BareIpv6(right) => format!("{error}: {right}"),
        _ => format!("{error}; {form}"),
    })?;
    if address.host.is_empty() {
        "127.0.0.1".clone_into(&mut address.host);
    }
    Ok(address)
}

/// A bound port on which no request is answered yet.
#[derive(Debug)]
pub struct Listener {
    /// The non-blocking listening socket.
    pub(super) socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// If the host cannot be resolved, or the port is in use.
    pub fn bind(wanted: &Address) -> Result<Self, Failure> {
        listen_tcp(&wanted.host, wanted.port)
            .map(|(socket, address)| Self { socket, address })
            .map_err(|error| Failure::io(Kind::Connect, format!("cannot listen on {wanted}"), error))
    }

    /// The URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_default_to_loopback() {
        for (text, host, port) in [
            ("9100", "127.0.0.1", 9100),
            (":9100", "127.0.0.1", 9100),
            (":0", "127.0.0.1", 0),
            ("0.0.0.0:1", "0.0.0.0", 1),
            ("[::1]:9100", "::1", 9100),
            ("localhost:80", "localhost", 80),
        ] {
            let address = parse_address(text).expect(text);
            assert_eq!((address.host.as_str(), address.port), (host, port));
        }
    }

    #[test]
    fn wrong_metrics_address_suggests_a_correction() {
        for (text, why) in [
            (
                "",
                "`` is not a port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            (
                "localhost",
                "`localhost` is not a port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            (
                ":70000",
                "`70000` is not a port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            ("::1:9100", "an IPv6 host needs brackets: [::1]:9100"),
            (
                "http://a:1",
                "`http://a` is not a host; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
        ] {
            assert_eq!(parse_address(text), Err(why.to_owned()));
        }
    }
}
