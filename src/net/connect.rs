//! Making a TCP connection.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::error::{Failure, Kind};
use crate::platform::sockets;

use super::Address;

/// How a TCP connection is made and kept.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    /// The time for one attempt to resolve the host and connect.
    pub limit: Duration,
    /// How long the peer's system may leave sent data unacknowledged; `None` for the system's default.
    pub unanswered: Option<Duration>,
    /// Whether the connection ends in a reset, until that is changed: an ordinary end would tell the peer that it has
    /// everything.
    pub resets: bool,
}

impl Dial {
    /// Connects to `peer`, trying each of the host's addresses. `shown` is the peer's name in messages.
    ///
    /// # Errors
    /// [`Kind::Connect`] if the host cannot be resolved or none of its addresses answers.
    pub async fn connect(self, peer: &Address, shown: &str) -> Result<TcpStream, Failure> {
        let attempt = async {
            let addresses = sockets::resolve(&peer.host, peer.port)
                .map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?
                .await
                .map_err(|error| Failure::io(Kind::Connect, format!("cannot resolve `{}`", peer.host), error))?;
            let operation = format!("cannot connect to {shown}");
            let mut last = Failure::because(Kind::Connect, operation, "the host has no address");
            for address in addresses {
                match self.connect_to(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(failure) => last = failure,
                }
            }
            Err(last)
        };
        tokio::time::timeout(self.limit, attempt).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(self.limit);
            Err(Failure::because(
                Kind::Connect,
                format!("cannot connect to {shown}"),
                format!("no answer within {limit} (connect-timeout)"),
            ))
        })
    }

    async fn connect_to(self, address: SocketAddr) -> Result<TcpStream, Failure> {
        let failed = |error| Failure::io(Kind::Connect, format!("cannot connect to {address}"), error);
        let socket = sockets::tcp_socket(address).map_err(failed)?;
        if self.resets {
            // Before the connection exists, so that no failure in between ends it as if it were whole.
            sockets::reset_at_close(&socket).map_err(unusable)?;
        }
        let stream = sockets::connect_tcp(socket, address).await.map_err(failed)?;
        tune(&stream, self.unanswered)?;
        Ok(stream)
    }
}

/// Prepares a connection that was made or accepted.
pub fn tune(stream: impl AsFd, unanswered: Option<Duration>) -> Result<(), Failure> {
    // Small writes are sent at once; large ones fill segments anyway.
    let ready = sockets::send_at_once(&stream).and_then(|()| sockets::keep_alive(stream.as_fd(), unanswered));
    ready.map_err(unusable)
}

/// The failure of a connection that was made but cannot be used.
#[must_use]
pub fn unusable(error: std::io::Error) -> Failure {
    Failure::io(Kind::Resources, "cannot use the connection", error)
}
