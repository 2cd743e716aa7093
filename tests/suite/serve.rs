//! `highwater serve`: one run of a pipeline for each request, with raw sockets and real clients.

mod crowds;
mod endings;
mod line;
mod routes;
mod start;
mod view;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ChildStdout;

use serde_json::Value;

use crate::harness::{Folder, Invocation, Running, highwater};

/// A running service, whose access log is read from its standard output.
struct Service {
    /// `None` once it was waited for.
    process: Option<Running>,
    address: SocketAddr,
    log: BufReader<ChildStdout>,
}

impl Service {
    /// Starts one on a free port, in `folder`.
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::of(folder, arguments, |command| command)
    }

    /// Starts one as `with` says.
    fn of(folder: &Folder, arguments: &[&str], with: impl FnOnce(Invocation) -> Invocation) -> Self {
        let all = ["serve", ":0", "--access-log", "-"]
            .into_iter()
            .chain(arguments.iter().copied());
        let mut running = with(highwater(all).within(folder)).start();
        let address = running.address();
        let log = BufReader::new(running.take_stdout());
        Self {
            process: Some(running),
            address,
            log,
        }
    }

    fn running(&mut self) -> &mut Running {
        self.process.as_mut().expect("it was not waited for")
    }

    /// Its process number.
    fn id(&self) -> u32 {
        self.process.as_ref().expect("it was not waited for").id()
    }

    /// Waits for its end, and returns the signal that ended it.
    fn ended_by(&mut self) -> Option<i32> {
        self.process.take().expect("it was not waited for").wait().signal
    }

    /// Sends a request and leaves the connection open.
    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    }

    fn get(&self, path: &str) -> TcpStream {
        self.send(&get(path))
    }

    /// Asks for a path, and reads the response to its end.
    fn fetch(&self, path: &str) -> Response {
        Response::of(self.get(path))
    }

    /// Sends a body, and reads the response to its end.
    fn put(&self, path: &str, body: &[u8]) -> Response {
        let length = body.len();
        let mut stream = self.send(&format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        ));
        std::thread::scope(|scope| {
            let mut sending = stream.try_clone().expect("cloned");
            // A service that has seen enough may have left.
            scope.spawn(move || sending.write_all(body));
            Response::of(&mut stream)
        })
    }

    /// The next line of the access log.
    #[track_caller]
    fn logged(&mut self) -> Value {
        let mut line = String::new();
        self.log.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Service {
    /// It would not end by itself.
    fn drop(&mut self) {
        if let Some(running) = &self.process {
            let _ = rustix::process::kill_process(running.pid(), rustix::process::Signal::KILL);
        }
        let _ = self.process.take().map(Running::wait);
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A response that was read to the end of its connection.
#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether the body has the end that the head promises.
    is_whole: bool,
}

impl Response {
    #[track_caller]
    fn of(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no head in {:?}, {ended:?}", String::from_utf8_lossy(&bytes))) + 4;
        let head = String::from_utf8(bytes[..at].to_vec()).expect("text");
        if head.starts_with("HTTP/1.1 100 ") {
            return Self::of(&bytes[at..]);
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let rest = &bytes[at..];
        let (body, is_whole) = match field(&head, "transfer-encoding") {
            Some("chunked") => unchunked(rest),
            _ => {
                let length = field(&head, "content-length").and_then(|length| length.parse().ok());
                (rest.to_vec(), length == Some(rest.len()))
            }
        };
        Self {
            status,
            body,
            is_whole: is_whole && ended.is_ok(),
            head,
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    crate::http::header(head, name)
}

/// The bytes of a chunked body, and whether it has its last chunk.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, rest == b"\r\n");
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// Reads one byte of a response's body, so that its run is known to be there.
fn first_byte(stream: &mut TcpStream) {
    let head = crate::http::read_head(stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream.read_exact(&mut [0]).expect("a byte");
}
