//! An HTTP/1.1 server whose connections and memory are bounded.
//!
//! A [`Handler`] answers each request. A connection ends in a reset unless its last response is complete, so that no
//! client takes a part for the whole.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::flow::StageMeter;
use crate::net::drain::{Drain, Queue, unfinished};
use crate::net::tls::{self, ServerTls};
use crate::net::{Transport, tune, unusable};
use crate::platform::Queued;
use crate::platform::sockets::{self, TcpPeer, TcpPeers};
use crate::stage::BoxFuture;

use super::body::{Body, Cut};

/// Bytes that a connection reads ahead and, again, queues for its client; also the longest head of a request.
const BUFFER: usize = 32 << 10;
/// Header lines, parsed, and what else a connection needs.
const HEADERS: u64 = 8 << 10;
/// How long a connection may wait for its request, even if others want its place.
const LEAST_WAIT: Duration = Duration::from_millis(50);
/// The pause in accepting after a failure, such as a lack of descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a client may take to end its side once it has the last response: what it still sends would turn the end
/// into a reset, and some systems drop the response then.
const END_LIMIT: Duration = Duration::from_secs(1);

/// What a server allows its clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at once. One more takes the place of the one that has waited longest for a whole head; if
    /// all of them are being answered, it waits.
    pub connections: usize,
    /// The time for a TLS handshake, for the head of a request, and from one request to the next.
    pub head: Duration,
    /// See [`tune`].
    pub unanswered: Option<Duration>,
}

impl Limits {
    /// The most memory that the connections hold, in bytes, besides the streams in their responses.
    #[must_use]
    pub fn memory(&self, is_secure: bool) -> u64 {
        let each = 2 * BUFFER as u64 + HEADERS + if is_secure { tls::MEMORY } else { 0 };
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
    while clients.tasks.join_next().await.is_some() {}
}

/// The connections of a server.
struct Clients {
    most: usize,
    tasks: JoinSet<()>,
    known: Vec<(AbortHandle, Arc<Activity>)>,
}

impl Clients {
    fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            known: Vec::with_capacity(most),
        }
    }

    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static, activity: Arc<Activity>) {
        let handle = self.tasks.spawn(task);
        self.known.push((handle, activity));
    }

    /// Waits until there is room for one more, and drops the one that has waited longest for a head if need be.
    async fn make_room(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.known.retain(|(task, _)| !task.is_finished());
            if self.tasks.len() < self.most {
                return;
            }
            let waiting = self
                .known
                .iter()
                .filter_map(|(task, activity)| Some((activity.waits_since()?, task)));
            let longest = waiting.min_by_key(|(since, _)| *since);
            let pause = match longest {
                Some((since, task)) => {
                    let pause = LEAST_WAIT.saturating_sub(since.elapsed());
                    if pause.is_zero() {
                        task.abort();
                    }
                    pause
                }
                None => LEAST_WAIT,
            };
            // One that is told to end does so at once.
            let limit = if pause.is_zero() { LEAST_WAIT } else { pause };
            let _ = timeout(limit, self.tasks.join_next()).await;
        }
    }
}

/// Since when a connection waits for the head of a request.
#[derive(Debug)]
struct Activity(Mutex<Option<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }
}

impl Activity {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while it is being answered.
    fn waits_since(&self) -> Option<Instant> {
        *self.since()
    }

    /// A whole head has come.
    fn begin_request(&self) {
        *self.since() = None;
    }

    /// The next request may come.
    fn end_request(&self) {
        *self.since() = Some(Instant::now());
    }
}

/// A response that is followed by another request.
#[derive(Debug)]
struct Unfinished(Arc<Activity>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// A response's body, and what is dropped when it is sent; `None` if the connection ends after it.
struct Guarded {
    body: Body,
    _unfinished: Option<Unfinished>,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<H: Handler> Shared<H> {
    /// Serves one connection to its end.
    async fn serve(self: Arc<Self>, peer: TcpPeer, activity: Arc<Activity>) {
        // One that has left already has no address.
        let Ok(address) = peer.address() else { return };
        let client = Client {
            address,
            queue: peer.queue(),
        };
        let delivery = Arc::<Mutex<Option<Delivery>>>::default();
        let served = self.requests(peer, &client, activity.clone(), &delivery).await;
        let delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner).take();
        if delivery.is_none() {
            activity.end_request();
        }
        let outcome = match served {
            Ok(mut transport) => end(&mut transport, delivery.as_ref()).await,
            Err(failure) => Err(failure),
        };
        match (delivery, outcome) {
            // Nobody may be waiting for it any more.
            (Some(delivery), outcome) => drop(delivery.sender.send(outcome)),
            (None, Err(failure)) => tracing::debug!("{address}: {failure}"),
            (None, Ok(())) => {}
        }
    }

    /// Answers the requests of one connection; returns it after the last response.
    async fn requests(
        &self,
        peer: TcpPeer,
        client: &Client,
        activity: Arc<Activity>,
        delivery: &Arc<Mutex<Option<Delivery>>>,
    ) -> Result<Transport, Failure> {
        sockets::reset_at_close(&peer).map_err(unusable)?;
        tune(&peer, self.limits.unanswered)?;
        let transport = match &self.tls {
            Some(tls) => {
                let accepted = timeout(self.limits.head, tls.accept(peer)).await;
                accepted.map_err(|_| unusable(io::ErrorKind::TimedOut.into()))??
            }
            None => Transport::Plain(peer),
        };
        let service = service_fn(|request: Request<Incoming>| {
            activity.begin_request();
            let activity = activity.clone();
            let answer = match refusal(&request) {
                Some(answer) => Box::pin(std::future::ready(answer)),
                None => self.handler.answer(request, client),
            };
            let delivery = delivery.clone();
            let answered = async move {
                let mut answer = answer.await;
                if answer.delivery.is_some() {
                    answer = answer.and_close();
                    *delivery.lock().unwrap_or_else(PoisonError::into_inner) = answer.delivery.take();
                }
                let ends = answer.response.headers().contains_key(CONNECTION);
                let body = |body| Guarded {
                    body,
                    _unfinished: (!ends).then(|| Unfinished(activity)),
                };
                Ok::<_, Infallible>(answer.response.map(body))
            };
            Box::pin(answered) as BoxFuture<'static, _>
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(Unended(transport)), service);
        let mut stopped = pin!(self.stop.cancelled());
        let mut is_stopping = false;
        let served = loop {
            tokio::select! {
                served = &mut connection => break served,
                () = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        match served {
            Err(error) if activity.waits_since().is_none() => Err(lost(&error)),
            // An invalid request was answered as such, and one that never came needs no answer.
            _ => Ok(connection.into_parts().io.into_inner().0),
        }
    }
}

/// A connection whose end is not sent with the last response, because it must be known first that the client has that:
/// it may end in a reset what it needs no more of.
struct Unended(Transport);

impl AsyncRead for Unended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Unended {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// Refuses what hyper accepts although RFC 9112 does not (sections 3.2 and 6.1).
fn refusal(request: &Request<Incoming>) -> Option<Answer> {
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let (status, line) = if request.version() == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1 {
        (StatusCode::BAD_REQUEST, "a request has exactly one Host")
    } else if !codings.next().is_none_or(is_chunked) || codings.next().is_some() {
        (
            StatusCode::NOT_IMPLEMENTED,
            "no transfer coding but chunked is supported",
        )
    } else {
        return None;
    };
    Some(Answer::line(status, line).and_close())
}

/// The failure of a connection that could not be served to its end.
fn lost(error: &hyper::Error) -> Failure {
    let operation = "cannot answer the client";
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    match causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()) {
        Some(number) => Failure::io(Kind::Sink, operation, io::Error::from_raw_os_error(number)),
        None if error.is_incomplete_message() => Failure::because(Kind::Sink, operation, "it has left"),
        None => Failure::because(Kind::Sink, operation, error.to_string()),
    }
}

/// Waits until the client's system has everything that was sent, and ends the connection.
async fn end(transport: &mut Transport, delivery: Option<&Delivery>) -> Result<(), Failure> {
    let linger = delivery.map_or(Some(END_LIMIT), |delivery| delivery.linger);
    let count = |fallen| {
        if let Some(meter) = delivery.and_then(|delivery| delivery.meter.get()) {
            meter.add_settled(fallen);
        }
    };
    let sent = Drain::begin(Queue::Sequence, linger, transport.tcp());
    sent.finish(transport.tcp_mut(), count).await?;
    let end = Drain::begin(Queue::Sequence, linger, transport.tcp());
    let ended = match transport.shutdown().await.map_err(unfinished) {
        Ok(()) => end.finish(transport.tcp_mut(), count).await,
        Err(failure) => Err(failure),
    };
    // Few clients read the end of TLS.
    if !transport.is_secure() {
        ended?;
    }
    sockets::end_at_close(&*transport).map_err(unfinished)?;
    if delivery.is_none_or(|delivery| delivery.to_the_end) {
        let mut ignored = [0; 4096];
        let rest = async {
            while transport
                .tcp_mut()
                .read(&mut ignored)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        // One that sends on and on is reset.
        let _ = timeout(END_LIMIT, rest).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::net::TcpStream;
    use tokio::sync::Semaphore;

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
