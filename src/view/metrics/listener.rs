//! Where the metrics are served.

use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;

use crate::error::{Failure, Kind};
use crate::platform::sockets::listen_tcp;

/// A host and a port to listen on. An IPv6 host is kept without its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    /// `HOST:PORT`; without a host it is the loopback address, so that nobody else can ask.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let form = "write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100";
        let port = port.parse().map_err(|_| format!("`{port}` is no port; {form}"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inside)) => inside,
            None if host.is_empty() => "127.0.0.1",
            None if !host.contains([':', '/', '@', ']']) => host,
            None if host.contains("::") => return Err(format!("an IPv6 host needs brackets: [{host}]:{port}")),
            _ => return Err(format!("`{host}` is no host; {form}")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// A port that is ours, and at which nobody is answered yet.
#[derive(Debug)]
pub struct Listener {
    /// What listens, without waiting.
    pub(super) socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// If the host cannot be resolved, or the port is somebody else's.
    pub fn bind(wanted: &Address) -> Result<Self, Failure> {
        let Address { host, port } = wanted;
        let bound = listen_tcp(host, *port).map(|(socket, address)| Self { socket, address });
        let shown = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        bound.map_err(|error| Failure::io(Kind::Connect, format!("cannot listen on {shown}"), error))
    }

    /// Where the page is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_it_is_loopback() {
        for (text, host, port) in [
            ("9100", "127.0.0.1", 9100),
            (":9100", "127.0.0.1", 9100),
            (":0", "127.0.0.1", 0),
            ("0.0.0.0:1", "0.0.0.0", 1),
            ("[::1]:9100", "::1", 9100),
            ("localhost:80", "localhost", 80),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host.as_str(), address.port), (host, port));
        }
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        for (text, why) in [
            (
                "",
                "`` is no port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            (
                "localhost",
                "`localhost` is no port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            (
                ":70000",
                "`70000` is no port; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
            ("::1:9100", "an IPv6 host needs brackets: [::1]:9100"),
            (
                "http://a:1",
                "`http://a` is no host; write HOST:PORT, :PORT or PORT, for example 127.0.0.1:9100",
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why.to_owned()));
        }
    }
}
