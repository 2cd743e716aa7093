//! Ports of loopback that are reserved for a test.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType};

/// Reserves a port for as long as the socket is kept. The socket is bound and does not listen, so connections are refused until a
/// server, which sets `SO_REUSEADDR`, listens there.
pub fn reserve() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("bound");
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true).expect("set");
    let address = rustix::net::getsockname(&socket).expect("bound");
    (socket, SocketAddr::try_from(address).expect("an address"))
}
