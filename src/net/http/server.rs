//! An HTTP/1.1 server whose connections and memory are bounded.
//!
//! A [`Handler`] answers each request. A connection ends in a reset unless its last response is complete, so that no
//! client takes a part for the whole.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::error::Failure;
use crate::flow::StageMeter;
use crate::net::tls::{self, ServerTls};
use crate::platform::Queued;
use crate::platform::sockets::TcpPeers;
use crate::stage::BoxFuture;

use super::body::Body;
use clients::{Activity, Clients};

mod clients;
mod connection;
pub mod direct;

/// Bytes that a connection reads ahead, which is the longest head of a request; it queues as many for its client.
const BUFFER: usize = 32 << 10;
/// The most memory that reading the body of a request holds, in bytes: what the connection has read ahead of it, and the
/// last piece that was taken.
pub const REQUEST_MEMORY: u64 = 2 * BUFFER as u64;
/// A parsed head, a short response, and what else a connection needs.
const HEADS: u64 = 8 << 10;
/// The pause in accepting after a failure, such as a lack of descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// What a server allows its clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at once. One more takes the place of the one that has waited longest for a whole head; if
    /// all of them are being answered, it waits.
    pub connections: usize,
    /// The time for a TLS handshake, for the head of a request, and from one request to the next.
    pub head: Duration,
    /// See [`tune`](crate::net::tune).
    pub unanswered: Option<Duration>,
}

impl Limits {
    /// The most memory that the connections hold, in bytes, besides the bodies of their requests: see
    /// [`REQUEST_MEMORY`].
    #[must_use]
    pub fn memory(&self, is_secure: bool) -> u64 {
        let each = BUFFER as u64 + HEADS + if is_secure { tls::MEMORY } else { 0 };
        self.connections as u64 * each
    }
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one. The future is dropped if the client leaves first.
    fn answer(&self, request: Request<Incoming>, client: &Client) -> BoxFuture<'static, Answer>;
}

/// The other side of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// What the queue of the connection can be seen through as long as that is open.
    pub queue: Weak<dyn Queued>,
    cut: CancellationToken,
}

impl Client {
    /// Ends its connection in a reset, whatever it does.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

/// A response, and who is told when the client has it.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: Response<Body>,
    /// If there is one, the connection ends after this response.
    pub delivery: Option<Delivery>,
}

impl Answer {
    /// A response of one line.
    #[must_use]
    pub fn line(status: StatusCode, line: &str) -> Self {
        let mut response = Response::new(Body::text(format!("{line}\n")));
        *response.status_mut() = status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        Self {
            response,
            delivery: None,
        }
    }

    /// Ends the connection after it, because the request's body is not read.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        let headers = self.response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        self
    }
}

/// Reports that the client's system has acknowledged a whole response, or why it has not.
#[derive(Debug)]
pub struct Delivery {
    /// How long that may take once everything is sent; `None` for no limit.
    pub linger: Option<Duration>,
    /// Counts what is acknowledged meanwhile.
    pub meter: Arc<OnceLock<Arc<StageMeter>>>,
    /// Whether the client's own end is waited for as well, because it may still be sending.
    pub to_the_end: bool,
    sender: oneshot::Sender<Result<(), Failure>>,
}

/// Where a [`Delivery`] reports; an error if the client left before it had a response.
pub type Delivered = oneshot::Receiver<Result<(), Failure>>;

impl Delivery {
    /// One without limits, and where it reports.
    #[must_use]
    pub fn new() -> (Self, Delivered) {
        let (sender, delivered) = oneshot::channel();
        let delivery = Self {
            linger: None,
            meter: Arc::default(),
            to_the_end: false,
            sender,
        };
        (delivery, delivered)
    }
}

/// A server that runs until it is dropped, on the runtime on which it was started.
#[derive(Debug)]
pub struct Server {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Server {
    /// Serves those that connect.
    pub fn start(peers: TcpPeers, tls: Option<ServerTls>, limits: Limits, handler: impl Handler) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            tls,
            limits,
            handler,
            stop: stop.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(peers, shared));
        Self { tasks, stop }
    }

    /// Accepts no more connections, and waits until the responses that were begun are complete.
    pub async fn drain(mut self) {
        self.stop.cancel();
        let _ = self.tasks.join_next().await;
    }
}

struct Shared<H> {
    tls: Option<ServerTls>,
    limits: Limits,
    handler: H,
    stop: CancellationToken,
}

async fn accept<H: Handler>(peers: TcpPeers, shared: Arc<Shared<H>>) {
    let mut clients = Clients::new(shared.limits.connections);
    let accepting = async {
        loop {
            match peers.next().await {
                Ok(peer) => {
                    clients.make_room().await;
                    let activity = Arc::<Activity>::default();
                    let task = shared.clone().serve(peer, activity.clone());
                    clients.add(task, activity);
                }
                Err(error) => {
                    tracing::info!("cannot accept a client: {error}");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    };
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = accepting => {}
    }
    drop(peers);
    clients.ended().await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 2,
        head: Duration::from_secs(10),
        unanswered: None,
    };

    /// Says what was asked for, once it may.
    struct Echo {
        begun: Arc<Semaphore>,
        may: Arc<Semaphore>,
    }

    impl Handler for Echo {
        fn answer(&self, request: Request<Incoming>, _: &Client) -> BoxFuture<'static, Answer> {
            self.begun.add_permits(1);
            let may = self.may.clone();
            Box::pin(async move {
                may.acquire().await.expect("it is open").forget();
                Answer::line(StatusCode::OK, request.uri().path())
            })
        }
    }

    /// A server that may answer so many requests, its address, how many it has begun, and how many it may answer.
    fn server(answers: usize) -> (Server, SocketAddr, [Arc<Semaphore>; 2]) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("bound");
        let (begun, may) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(answers)));
        let peers = TcpPeers::of(listener).expect("a listener");
        let echo = Echo {
            begun: begun.clone(),
            may: may.clone(),
        };
        (Server::start(peers, None, LIMITS, echo), address, [begun, may])
    }

    async fn client(address: SocketAddr, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        stream
    }

    /// The bodies that come before the end, and the error that is the end.
    async fn rest(mut stream: TcpStream) -> (Vec<String>, Option<io::ErrorKind>) {
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let bodies = text.lines().filter(|line| line.starts_with('/')).map(str::to_owned);
        (bodies.collect(), end.err().map(|error| error.kind()))
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    /// As [`get`], for the last request of a connection.
    fn last(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    #[cfg_attr(
        feature = "portable-platform",
        ignore = "without the length of a queue, its end is waited for by the real clock"
    )]
    async fn slow_heads_time_out() {
        let (_server, address, _) = server(1);
        for sent in ["", "GET / HT", &get("/a")] {
            let begun = Instant::now();
            let (bodies, end) = rest(client(address, sent).await).await;
            assert_eq!(bodies.len(), usize::from(sent.contains("/a")), "{sent:?}");
            assert_eq!(end, None, "{sent:?}");
            let waited = begun.elapsed().as_secs();
            assert!((10..=11).contains(&waited), "{sent:?}: {waited} s");
        }
    }

    #[tokio::test]
    async fn one_connection_serves_many_requests() {
        let (server, address, _) = server(3);
        let stream = client(address, &[get("/a"), get("/b"), last("/c")].concat()).await;
        assert_eq!(
            rest(stream).await,
            (["/a", "/b", "/c"].map(str::to_owned).to_vec(), None)
        );
        server.drain().await;
    }

    #[tokio::test]
    async fn newcomer_takes_the_oldest_place() {
        let (_server, address, [_, may]) = server(0);
        let oldest = client(address, "GET /oldest").await;
        let asked = client(address, &last("/asked")).await;
        let newest = client(address, &last("/newest")).await;
        assert_eq!(rest(oldest).await, (vec![], Some(io::ErrorKind::ConnectionReset)));
        may.add_permits(2);
        assert_eq!(rest(asked).await, (vec!["/asked".to_owned()], None));
        assert_eq!(rest(newest).await, (vec!["/newest".to_owned()], None));
    }

    #[tokio::test]
    async fn drained_server_completes_its_responses() {
        let (server, address, [begun, may]) = server(0);
        let idle = client(address, "").await;
        let asked = client(address, &get("/asked")).await;
        begun.acquire().await.expect("it is open").forget();
        let drained = tokio::spawn(server.drain());
        assert_eq!(rest(idle).await, (vec![], None));
        may.add_permits(1);
        assert_eq!(rest(asked).await, (vec!["/asked".to_owned()], None));
        drained.await.expect("no panic");
        assert!(TcpStream::connect(address).await.is_err(), "it accepts no more");
    }
}
