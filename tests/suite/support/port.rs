//! A port of loopback that nobody else gets.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType};

/// An address that refuses connections, as long as the socket is kept: it is bound and does not listen. A program that sets
/// `SO_REUSEADDR`, as servers do, can listen there.
pub fn refusing() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("bound");
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true).expect("set");
    let address = rustix::net::getsockname(&socket).expect("bound");
    (socket, SocketAddr::try_from(address).expect("an address"))
}
