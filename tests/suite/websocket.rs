//! WebSocket connections, against ourselves, node, and peers that send exact frames.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::harness::accept;

mod listening;
mod reading;
mod writing;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first frame of a text message, and the last one of any message.
const TEXT_BEGINS: u8 = 0x01;
const MESSAGE_ENDS: u8 = 0x80;

/// Reads a head, up to its empty line.
fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).expect("text"), 0, "{head}");
    }
    head
}

/// The value of a field in a head.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// One side of a connection, after both have agreed.
struct Peer {
    stream: BufReader<TcpStream>,
    /// Whether its frames are masked, as a client's have to be.
    masks: bool,
}

impl Peer {
    fn send(&mut self, first: u8, payload: &[u8]) {
        let bytes = frame(first, payload, self.masks);
        self.stream.get_mut().write_all(&bytes).expect("sent");
    }

    /// The next frame: its first byte and its payload.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        self.try_receive().expect("a frame")
    }

    fn try_receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let [first, length] = self.exact()?;
        assert_eq!(length & 0x80 != 0, !self.masks, "only a client masks");
        let length = match length & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.exact()?)),
            127 => u64::from_be_bytes(self.exact()?),
            short => u64::from(short),
        };
        let mask: [u8; 4] = if self.masks { [0; 4] } else { self.exact()? };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut payload)?;
        let masked = payload.iter_mut().zip(mask.iter().cycle());
        masked.for_each(|(byte, mask)| *byte ^= mask);
        Ok((first, payload))
    }

    fn exact<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// What a Close says: its code.
    fn receive_close(&mut self) -> Option<u16> {
        let (first, payload) = self.receive();
        assert_eq!(first, CLOSE);
        payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, &close(code, reason));
    }

    /// Reads to the end of the connection; false if that is a reset.
    fn ends_in_order(&mut self) -> bool {
        self.stream.read_to_end(&mut Vec::new()).is_ok()
    }
}

/// The payload of a Close.
fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn frame(first: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mask_bit = if is_masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(mask_bit | u8::try_from(short).expect("short")),
        length => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if is_masked {
        let mask = [1, 2, 3, 4];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Agrees with the next client of a server of the test's own; returns its request, too.
fn agree(listener: &TcpListener) -> (Peer, String) {
    agree_on(BufReader::new(accept(listener)))
}

/// Agrees with a client that has connected.
fn agree_on(mut stream: BufReader<TcpStream>) -> (Peer, String) {
    let request = head(&mut stream);
    let key = field(&request, "Sec-WebSocket-Key").expect("a key");
    let accepted = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
         {accepted}\r\n\r\n"
    );
    stream.get_mut().write_all(response.as_bytes()).expect("sent");
    let masks = false;
    (Peer { stream, masks }, request)
}

/// A server of the test's own, which does `serve` with its first client.
fn server<T: Send + 'static>(serve: impl FnOnce(Peer) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || serve(agree(&listener).0));
    (address, serving)
}

/// Asks a server for a connection, with `more` lines in the head; returns the response's head, too.
fn ask(address: SocketAddr, path: &str, more: &str) -> (Peer, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: \
         13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    let mut stream = BufReader::new(TcpStream::connect(address).expect("it listens"));
    stream.get_mut().write_all(request.as_bytes()).expect("sent");
    let response = head(&mut stream);
    let masks = true;
    (Peer { stream, masks }, response)
}
