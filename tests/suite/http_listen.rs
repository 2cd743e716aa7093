//! One HTTP client that uploads to us or downloads from us: real clients, and bytes that no client would send.

mod conformance;
mod downloads;
mod floods;
mod uploads;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{Folder, Running, highwater};

/// Starts a run with a listener in `folder`; returns its address.
fn listen(folder: &Folder, arguments: &[&str]) -> (Running, SocketAddr) {
    let mut running = highwater(arguments).within(folder).start();
    let address = running.address();
    (running, address)
}

/// Connects and sends these bytes.
fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(bytes.as_ref()).expect("sent");
    stream
}

/// Everything up to the end of the connection.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end, not a reset");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Everything that came before a reset.
fn before_reset(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).expect_err("a reset, not an end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    bytes
}

/// The bytes up to the empty line after a head.
fn head(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).expect("a head");
        bytes.push(one[0]);
    }
    String::from_utf8(bytes).expect("text")
}

/// The status of a response.
#[track_caller]
fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {response:?}"))
}
