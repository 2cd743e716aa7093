//! A server of S3's protocol, moto's, and a relay in front of it that misbehaves as a test says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use super::harness::{Folder, Invocation, highwater, peer, reset};
use super::http::{Process, header, read_head, script};
use super::skip::skip;

/// A server, which has a bucket for each test that asks for one.
pub struct Server {
    process: Process,
    _folder: Folder,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static BUCKETS: AtomicUsize = AtomicUsize::new(0);

const MOTO: &str = "
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
";

/// The server that the other tests use, or a new one; `None` if moto is not installed.
pub fn server() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let mut python: Command = peer("python3")?;
    let found = python.args(["-c", "import moto.server, werkzeug, flask"]).output();
    if !found.expect("python3 starts").status.success() {
        skip("moto is missing: pip install 'moto[server]'");
        return None;
    }
    let folder = Folder::new();
    let server = Arc::new(Server {
        process: script("python3", &["-c", MOTO], &folder)?,
        _folder: folder,
    });
    *shared = Arc::downgrade(&server);
    Some(server)
}

impl Server {
    /// A new bucket.
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::SeqCst));
        let made = self.ask("PUT", &format!("/{name}"), b"");
        assert!(made.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&made));
        name
    }

    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// The response to a request.
    pub fn ask(&self, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=id/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address(),
            body.len()
        );
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("it responds");
        response
    }

    /// What an object has.
    #[track_caller]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let response = self.ask("GET", &format!("/{bucket}/{key}"), b"");
        let end = response
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head");
        match &response[9..12] {
            b"200" => Some(response[end + 4..].to_vec()),
            b"404" => None,
            _ => panic!("{}", String::from_utf8_lossy(&response)),
        }
    }

    /// The keys of a bucket, which are letters, digits and dots, and no more than a thousand.
    #[cfg(feature = "nats")]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let list = String::from_utf8(self.ask("GET", &format!("/{bucket}?list-type=2"), b"")).expect("text");
        let keys = list.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>"));
        keys.map(|key| key.expect("an end").0.to_owned()).collect()
    }

    /// No upload is left that takes room.
    #[track_caller]
    pub fn has_no_parts(&self, bucket: &str) {
        let list = self.ask("GET", &format!("/{bucket}?uploads"), b"");
        let list = String::from_utf8(list).expect("text");
        assert!(
            list.contains("<ListMultipartUploadsResult") && !list.contains("<UploadId>"),
            "{list}"
        );
    }

    /// A run that has keys for it.
    pub fn run(&self, pipeline: impl AsRef<std::ffi::OsStr>) -> Invocation {
        run_at(self.address(), [pipeline])
    }
}

/// A run with keys for the server at an address.
pub fn run_at<A: AsRef<std::ffi::OsStr>>(address: SocketAddr, arguments: impl IntoIterator<Item = A>) -> Invocation {
    without_keys(address, arguments)
        .environment("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .environment("AWS_SECRET_ACCESS_KEY", "s3cret")
}

/// A run without keys.
pub fn without_keys<A: AsRef<std::ffi::OsStr>>(
    address: SocketAddr,
    arguments: impl IntoIterator<Item = A>,
) -> Invocation {
    highwater(arguments)
        .environment("HOME", "/nonexistent")
        .environment("AWS_ENDPOINT_URL", &format!("http://{address}"))
}

/// What a relay does with a request.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Passes the request and its response on.
    Pass,
    /// Responds itself with a status, further headers and a body.
    Respond(&'static str, &'static str, &'static str),
    /// Reads the request, and cuts the connection.
    Cut,
    /// Passes the request on, and cuts the connection instead of passing the response on.
    Lose,
    /// Passes the response on up to so many bytes of its body, and cuts the connection.
    CutAfter(usize),
    /// Does not respond.
    Hang,
    /// Passes the request on, and does not respond.
    Withhold,
}

/// A relay in front of a server. It is told by each request's method and target what to do.
pub struct Relay {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    requests: Arc<Mutex<Vec<String>>>,
    seen: Receiver<String>,
}

impl Relay {
    /// `deed` is given the request's line, and how many of its kind came before: those with the same method and the same
    /// names of parameters.
    pub fn new(server: &Server, deed: impl Fn(&str, usize) -> Deed + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let (behind, stop) = (server.address(), Arc::new(AtomicBool::new(false)));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (sender, seen) = channel();
        let (is_over, heads) = (stop.clone(), requests.clone());
        let deed = Arc::new(deed);
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (deed, heads, sender) = (deed.clone(), heads.clone(), sender.clone());
                std::thread::spawn(move || relay(client, behind, &*deed, &heads, &sender));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
            requests,
            seen,
        }
    }

    /// The heads of the requests that came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests of that kind came: `PUT partNumber uploadId`.
    pub fn count(&self, kind: &str) -> usize {
        self.requests().iter().filter(|head| kind_of(head) == kind).count()
    }

    /// Waits until a request of that kind was answered.
    pub fn wait_for(&self, kind: &str) {
        while self.seen.recv().expect("it relays") != kind {}
    }

    pub fn run(&self, pipeline: impl AsRef<std::ffi::OsStr>) -> Invocation {
        run_at(self.address, [pipeline])
    }

    pub fn run_with<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        run_at(self.address, arguments)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Ends the wait for a client.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The method and the names of the parameters of a request.
pub fn kind_of(head: &str) -> String {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    format!("{method} {}", names.join(" ")).trim_end().to_owned()
}

fn relay(
    mut client: TcpStream,
    behind: SocketAddr,
    deed: &(dyn Fn(&str, usize) -> Deed + Send + Sync),
    requests: &Mutex<Vec<String>>,
    seen: &Sender<String>,
) {
    let head = read_head(&mut client);
    if head.is_empty() {
        return;
    }
    let kind = kind_of(&head);
    let earlier = {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = requests.iter().filter(|head| kind_of(head) == kind).count();
        requests.push(head.clone());
        earlier
    };
    let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    if client.read_exact(&mut body).is_err() {
        return;
    }
    let line = head.lines().next().unwrap_or_default();
    let what = deed(line, earlier);
    let pass = || {
        let head = head.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let mut server = TcpStream::connect(behind).expect("it listens");
        server.write_all(&[head.as_bytes(), &body].concat()).expect("it reads");
        let mut response = Vec::new();
        server.read_to_end(&mut response).expect("it responds");
        response
    };
    // A client that has seen enough may be gone.
    match what {
        Deed::Pass => drop(client.write_all(&pass())),
        Deed::Respond(status, headers, body) => {
            let length = body.len();
            let response = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
            drop(client.write_all(response.as_bytes()));
        }
        Deed::Cut => return reset(client),
        Deed::Lose => {
            pass();
            let _ = seen.send(kind);
            return reset(client);
        }
        Deed::CutAfter(bytes) => {
            let response = pass();
            let end = response
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .expect("a head")
                + 4;
            drop(client.write_all(&response[..response.len().min(end + bytes)]));
        }
        Deed::Hang => {}
        Deed::Withhold => drop(pass()),
    }
    let _ = seen.send(kind);
    if matches!(what, Deed::Hang | Deed::Withhold) {
        let _ = client.read_to_end(&mut Vec::new());
    }
    let _ = client.shutdown(Shutdown::Write);
    let _ = client.read_to_end(&mut Vec::new());
}
