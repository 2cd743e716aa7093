//! A client that requests one response and reads it slowly.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio, ioctl_fionread};
use rustix::net::{AddressFamily, SendFlags, SocketType, connect, send, socket, sockopt};

use crate::error::{Failure, Kind};
use crate::grammar::human_size;
use crate::net::http::head::{self, Head};

use super::request::Request;
use super::share_of_step;
use crate::net::http::Url;

/// How long a server may take to accept a client.
const UNDECIDED_LENGTHS: Duration = Duration::from_secs(5);
/// The kernel doubles it. Small, so that little data waits there, but large enough for the long packets of the
/// loopback.
const RECEIVE_BUFFER: usize = 64 << 10;
/// The longest head of a response.
const MOST_HEAD: usize = 16 << 10;

/// One client.
#[derive(Debug)]
pub struct SlowReader {
    socket: OwnedFd,
    request: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
    rate: u64,
    step: u64,
    left: u64,
    received: u64,
    /// The bytes of the head so far; `None` once it was read.
    head: Option<Vec<u8>>,
    /// The end of the response, counted in bytes received, if the head states it.
    end: Option<u64>,
    is_over: bool,
    trouble: Option<String>,
}

/// The addresses of a server.
///
/// # Errors
/// [`Kind::Connect`] if the name is not known.
pub fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Failure> {
    let found = (url.address.host.as_str(), url.address.port).to_socket_addrs();
    let found =
        found.map_err(|error| Failure::io(Kind::Connect, format!("cannot resolve {}", url.address.host), error))?;
    Ok(found.collect())
}

impl SlowReader {
    /// Connects to the first reachable address, and sends the request.
    pub fn start(url: &Url, addresses: &[SocketAddr], request: &Request, rate: u64) -> Result<Self, Failure> {
        let socket = connected_to_any(url, addresses)?;
        Ok(Self::ask(socket, url, request, rate))
    }

    /// Connects and closes, to find out whether the server is reachable.
    pub fn probe(url: &Url, addresses: &[SocketAddr]) -> Result<(), Failure> {
        connected_to_any(url, addresses).map(drop)
    }

    fn ask(socket: OwnedFd, url: &Url, request: &Request, rate: u64) -> Self {
        let mut reader = Self {
            socket,
            request: request.bytes(url),
            sent: 0,
            rate,
            step: 0,
            left: 0,
            received: 0,
            head: Some(Vec::new()),
            end: None,
            is_over: false,
            trouble: None,
        };
        reader.send();
        reader
    }

    /// The descriptor to wait for, as long as there is something to send or something may be read.
    pub fn descriptor(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, self.sent < self.request.len());
        flags.set(PollFlags::IN, self.left > 0);
        (!flags.is_empty() && !self.is_over).then(|| (self.socket.as_fd(), flags))
    }

    /// Sends as much of the request as the server accepts now.
    pub fn send(&mut self) {
        while self.sent < self.request.len() && !self.is_over {
            match send(&self.socket, &self.request[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // A server may respond before it has read a body, and explain that in its response.
                Err(_) => self.sent = self.request.len(),
            }
        }
    }

    /// Begins a step; returns whether the last one read its whole share, or more is waiting.
    pub fn step(&mut self) -> bool {
        let had_enough = self.left == 0 || ioctl_fionread(&self.socket).is_ok_and(|waiting| waiting > 0);
        self.left = share_of_step(self.rate, self.step);
        self.step += 1;
        had_enough
    }

    /// Allows so many bytes at once.
    pub fn allow(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Reads what this step allows; `buffer` is scratch.
    pub fn read(&mut self, buffer: &mut [u8]) {
        while self.left > 0 && !self.is_over {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::read(&self.socket, &mut buffer[..most]) {
                Ok(0) => self.ended(),
                Ok(count) => {
                    self.received += count as u64;
                    self.left -= count as u64;
                    self.look_at_head(&buffer[..count]);
                    self.is_over |= self.end.is_some_and(|end| self.received >= end);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let error = std::io::Error::from(error);
                    self.fail(format!("the connection broke: {error}"));
                }
            }
        }
    }

    fn ended(&mut self) {
        self.is_over = true;
        if self.head.is_some() {
            self.fail("the connection was closed before the head of the response was there".to_owned());
        } else if let Some(end) = self.end {
            self.fail(format!(
                "the connection was closed after {} of {}",
                human_size(self.received),
                human_size(end)
            ));
        }
    }

    fn fail(&mut self, why: String) {
        self.is_over = true;
        self.trouble.get_or_insert(why);
    }

    /// The status, and the length if it is given.
    fn look_at_head(&mut self, bytes: &[u8]) {
        let Some(head) = &mut self.head else { return };
        head.extend_from_slice(bytes);
        match head::response(head, MOST_HEAD) {
            Head::Partial => {}
            Head::TooLong | Head::Malformed => self.fail("it is not an HTTP response".to_owned()),
            Head::Whole(response) => {
                self.head = None;
                self.end = response
                    .content_length
                    .map(|length| length.saturating_add(response.length));
                if !(200..300).contains(&response.status) {
                    let reason = response.reason.chars().filter(|c| !c.is_control()).take(60);
                    self.fail(format!(
                        "HTTP status {} {}",
                        response.status,
                        reason.collect::<String>()
                    ));
                }
            }
        }
    }

    /// Bytes received so far, the head included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The length of the whole response, if its head states it.
    pub fn length(&self) -> Option<u64> {
        self.end
    }

    /// Whether nothing more will arrive.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why this response cannot be judged.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

fn connected_to_any(url: &Url, addresses: &[SocketAddr]) -> Result<OwnedFd, Failure> {
    let mut last = Errno::ADDRNOTAVAIL;
    for address in addresses {
        match connected(*address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(cannot_connect(url, last))
}

fn cannot_connect(url: &Url, error: Errno) -> Failure {
    Failure::io(Kind::Connect, format!("cannot connect to {}", url.address), error)
}

fn connected(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let fd = socket(family, SocketType::STREAM, None)?;
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&fd, true)?;
    // Before the connection is made, so that no larger window is ever announced.
    sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER)?;
    match connect(&fd, &address) {
        Ok(()) => return Ok(fd),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let patience = Timespec::try_from(UNDECIDED_LENGTHS).unwrap_or_default();
    match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&patience))? {
        0 => Err(Errno::TIMEDOUT),
        _ => sockopt::socket_error(&fd)?.map(|()| fd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A client, its server's side, and the request as it came.
    fn pair(request: &Request, rate: u64) -> (SlowReader, TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        let url = Url::parse(format!("http://{address}/export").as_bytes()).expect("an address");
        let client = SlowReader::start(&url, &[address], request, rate).expect("it listens");
        let (mut server, _) = listener.accept().expect("it has come");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            server.read_exact(&mut byte).expect("the request");
            request.push(byte[0]);
        }
        (client, server, String::from_utf8(request).expect("text"))
    }

    /// Lets the client read `bytes`, in any pieces.
    fn read(client: &mut SlowReader, bytes: u64) {
        let mut buffer = [0; 4096];
        client.allow(bytes);
        while let Some((fd, flags)) = client.descriptor() {
            poll(&mut [PollFd::new(&fd, flags)], None).expect("waited");
            client.read(&mut buffer);
        }
    }

    #[test]
    fn response_is_read_within_allowance() {
        let (mut client, mut server, request) = pair(&Request::default(), 1000);
        assert!(
            request.starts_with("GET /export HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{request}"
        );
        server
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            .expect("sent");
        server.write_all(&[b'x'; 1000]).expect("sent");
        client.step();
        read(&mut client, 100);
        assert_eq!((client.received(), client.is_over()), (100, false));
        assert!(client.step(), "it had its share");
        read(&mut client, u64::MAX);
        assert_eq!(
            (client.received(), client.is_over(), client.trouble()),
            (1041, true, None)
        );
    }

    #[test]
    fn bad_response_is_described() {
        for (sent, trouble) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "HTTP status 404 Not Found"),
            (b"SSH-2.0-x\r\n\r\n", "not an HTTP response"),
            (b"HTTP/1.1 200 OK\r\n", "before the head"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew",
                "closed after 43 B of 140 B",
            ),
        ] {
            let (mut client, mut server, _) = pair(&Request::default(), 1000);
            server.write_all(sent).expect("sent");
            drop(server);
            read(&mut client, u64::MAX);
            assert!(
                client.trouble().is_some_and(|said| said.contains(trouble)),
                "{:?}",
                client.trouble()
            );
        }
    }

    #[test]
    fn request_has_given_headers_and_body() {
        let request = Request {
            headers: vec![
                ("accept-encoding".to_owned(), "gzip".to_owned()),
                ("X-Key".to_owned(), "1".to_owned()),
            ],
            body: b"{}".to_vec(),
            ..Request::default()
        };
        let (_client, mut server, head) = pair(&request, 1000);
        assert!(head.starts_with("POST /export HTTP/1.1\r\n"), "{head}");
        for line in ["accept-encoding: gzip\r\n", "X-Key: 1\r\n", "Content-Length: 2\r\n"] {
            assert!(head.contains(line), "{head}");
        }
        assert!(!head.contains("identity"), "{head}");
        let mut body = [0; 2];
        server.read_exact(&mut body).expect("the body");
        assert_eq!(&body, b"{}");
    }
}
