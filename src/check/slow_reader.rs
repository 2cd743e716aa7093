//! A client that asks for one response and reads it slowly.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio, ioctl_fionread};
use rustix::net::{AddressFamily, SendFlags, SocketType, connect, send, socket, sockopt};

use crate::error::{Failure, Kind};
use crate::grammar::human_size;
use crate::net::http::{self, Head};

use super::share_of_step;
use super::url::Url;

/// How long a server may take to accept a client.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel doubles it. Small enough that little waits there, large enough that a loopback's long packets fit.
const RECEIVE_BUFFER: usize = 64 << 10;
/// The head of a response is no longer.
const MOST_HEAD: usize = 16 << 10;

/// One client.
#[derive(Debug)]
pub struct SlowReader {
    socket: OwnedFd,
    rate: u64,
    step: u64,
    left: u64,
    received: u64,
    /// What has come of the head; `None` once it was read.
    head: Option<Vec<u8>>,
    /// Where the response ends, counted in bytes received, if the head says so.
    end: Option<u64>,
    is_over: bool,
    trouble: Option<String>,
}

/// Where a server can be reached.
///
/// # Errors
/// [`Kind::Connect`] where the name is not known.
pub fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Failure> {
    let found = (url.address.host.as_str(), url.address.port).to_socket_addrs();
    let found =
        found.map_err(|error| Failure::io(Kind::Connect, format!("cannot resolve {}", url.address.host), error))?;
    Ok(found.collect())
}

impl SlowReader {
    /// Connects to the first of the addresses that answers, and asks.
    pub fn start(url: &Url, addresses: &[SocketAddr], rate: u64) -> Result<Self, Failure> {
        let socket = connected_to_any(url, addresses)?;
        Self::ask(socket, url, rate).map_err(|error| cannot_connect(url, error))
    }

    /// Connects and leaves, to see whether anybody is there.
    pub fn knock(url: &Url, addresses: &[SocketAddr]) -> Result<(), Failure> {
        connected_to_any(url, addresses).map(drop)
    }

    fn ask(socket: OwnedFd, url: &Url, rate: u64) -> Result<Self, Errno> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: highwater-check/{}\r\nAccept: */*\r\n\
             Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
            url.path,
            url.host_header(),
            env!("CARGO_PKG_VERSION")
        );
        // A new socket has room for it.
        send(&socket, request.as_bytes(), SendFlags::NOSIGNAL)?;
        Ok(Self {
            socket,
            rate,
            step: 0,
            left: 0,
            received: 0,
            head: Some(Vec::new()),
            end: None,
            is_over: false,
            trouble: None,
        })
    }

    /// What to wait for, as long as something may be read.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (self.left > 0 && !self.is_over).then(|| self.socket.as_fd())
    }

    /// Begins a step; answers whether the last one gave as much as it might, or more waits.
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

    /// Reads what may be read now, into a buffer that all clients share.
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
        match http::response(head, MOST_HEAD) {
            Head::Partial => {}
            Head::TooLong | Head::Malformed => self.fail("what came is no HTTP response".to_owned()),
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

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why this is no response to go by.
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
    let patience = Timespec::try_from(PATIENCE).unwrap_or_default();
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
    fn pair(rate: u64) -> (SlowReader, TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        let url = Url::parse(&format!("http://{address}/export")).expect("an address");
        let client = SlowReader::start(&url, &[address], rate).expect("it listens");
        let (mut server, _) = listener.accept().expect("it has come");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            server.read_exact(&mut byte).expect("the request");
            request.push(byte[0]);
        }
        (client, server, String::from_utf8(request).expect("text"))
    }

    /// Lets the client read `bytes`, however they come.
    fn read(client: &mut SlowReader, bytes: u64) {
        let mut buffer = [0; 4096];
        client.allow(bytes);
        while let Some(fd) = client.descriptor() {
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).expect("waited");
            client.read(&mut buffer);
        }
    }

    #[test]
    fn a_response_is_read_as_far_as_is_allowed() {
        let (mut client, mut server, request) = pair(1000);
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
    fn what_is_no_good_response_is_named() {
        for (sent, trouble) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "HTTP status 404 Not Found"),
            (b"SSH-2.0-x\r\n\r\n", "no HTTP response"),
            (b"HTTP/1.1 200 OK\r\n", "before the head"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew",
                "closed after 43 B of 140 B",
            ),
        ] {
            let (mut client, mut server, _) = pair(1000);
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
}
