//! Serves the stream as one download.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::net::http::body::Body;
use crate::net::http::server::direct::BodyWriter;
use crate::net::http::server::{Answer, Client, Delivered, Delivery, Handler, Server};
use crate::net::unusable;
use crate::platform::Queued;
use crate::stage::{BoxFuture, OpenWriter, Outcome, Rollback, StreamWriter};

use super::{Listen, Turn, busy, gone, not_allowed, not_found};

/// How long the client of a failed run may take to be told.
const ROLLBACK_LIMIT: Duration = Duration::from_millis(500);

/// Waits for the one client.
pub async fn open(place: Listen) -> Result<OpenWriter, Failure> {
    let (turn, taken) = Turn::new();
    let downloads = Downloads {
        path: place.path_or_root().to_owned(),
        headers: place.headers.clone(),
        size: place.size,
        turn,
    };
    let (headers, size, linger) = (place.headers.clone(), place.size, place.peers.options.linger);
    let server = place.serve(downloads)?;
    let (client, respond) = taken.await.expect("the server keeps the turn until it is taken");
    let (mut delivery, delivered) = Delivery::new();
    delivery.linger = linger;
    let download = Download::new(respond, client, (delivery, delivered), Some(server));
    Ok(OpenWriter::Stream(Box::new(Writer::new(headers, size, download))))
}

struct Downloads {
    path: String,
    headers: HeaderMap,
    size: Option<u64>,
    turn: Turn<(Client, oneshot::Sender<Answer>)>,
}

impl Handler for Downloads {
    fn answer(&self, request: Request<Incoming>, client: &Client) -> BoxFuture<'static, Answer> {
        let is_here = request.uri().path() == self.path;
        let answer = match *request.method() {
            _ if !is_here => not_found(&self.path),
            Method::GET => match self.turn.take() {
                Some(turn) => {
                    let client = client.clone();
                    return Box::pin(async move {
                        let (respond, response) = oneshot::channel();
                        if turn.send((client, respond)).is_err() {
                            return gone();
                        }
                        response.await.unwrap_or_else(|_| gone())
                    });
                }
                None => busy(),
            },
            Method::HEAD => {
                let mut answer = response(&self.headers, Body::text(""));
                let size = self.size.map(HeaderValue::from);
                let headers = answer.response.headers_mut();
                headers.extend(size.map(|size| (CONTENT_LENGTH, size)));
                answer
            }
            _ => not_allowed("GET, HEAD"),
        };
        let has_body = !request.body().is_end_stream();
        let answer = if has_body { answer.and_close() } else { answer };
        Box::pin(std::future::ready(answer))
    }
}

fn response(headers: &HeaderMap, body: Body) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().clone_from(headers);
    Answer {
        response,
        delivery: None,
    }
}

/// How far the response is.
enum Progress {
    /// The client waits for its head.
    Asked(oneshot::Sender<Answer>, Delivery),
    /// Its body is being written.
    Begun(BodyWriter),
    /// It is complete or cut.
    Over,
}

/// What the writer of a download and its roll-back have in common.
pub struct Download {
    client: Client,
    meter: Arc<OnceLock<Arc<StageMeter>>>,
    progress: Mutex<Progress>,
    /// `None` once it has reported.
    delivered: Mutex<Option<Delivered>>,
    is_complete: AtomicBool,
    has_begun: AtomicBool,
    has_left: AtomicBool,
    /// Whether the run has failed, so that the client leaves because of it.
    is_rolled_back: AtomicBool,
    /// A server for this client alone: others are told to come later until the run is over. Without one, who has the
    /// server answers this client if the run fails before its first byte.
    own_server: Option<Server>,
}

impl Download {
    /// A response that is to be given to `client` by `respond`.
    pub fn new(
        respond: oneshot::Sender<Answer>,
        client: Client,
        (delivery, delivered): (Delivery, Delivered),
        own_server: Option<Server>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            meter: delivery.meter.clone(),
            progress: Mutex::new(Progress::Asked(respond, delivery)),
            delivered: Mutex::new(Some(delivered)),
            is_complete: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            is_rolled_back: AtomicBool::new(false),
            own_server,
        })
    }

    /// Whether the head was sent.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Whether the client left before it had everything, and the run failed because of that.
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    fn note_left(&self) {
        let is_first = !self.is_rolled_back.load(Ordering::Acquire);
        self.has_left.fetch_or(is_first, Ordering::Release);
    }

    /// The failure if the client has left.
    fn left(&self) -> Failure {
        self.note_left();
        Failure::because(Kind::Sink, "cannot write", "the client has left")
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the connection has ended; fails if the client does not have everything that was sent.
    fn poll_delivered(&self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut pending = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(delivered) = &mut *pending else {
            return Poll::Ready(Err(self.left()));
        };
        let outcome = ready!(Pin::new(delivered).poll(context));
        *pending = None;
        let outcome = outcome.unwrap_or_else(|_| Err(self.left()));
        if outcome.is_err() {
            self.note_left();
        }
        Poll::Ready(outcome)
    }

    /// Waits until the client has left.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<Failure> {
        if let Progress::Asked(respond, _) = &mut *self.progress() {
            ready!(respond.poll_closed(context));
            return Poll::Ready(self.left());
        }
        let ended = ready!(self.poll_delivered(context));
        Poll::Ready(ended.err().unwrap_or_else(|| self.left()))
    }
}

/// Writes the body of a response.
pub struct Writer {
    headers: HeaderMap,
    /// The bytes that the client is told to expect; `None` if their number is not known.
    size: Option<u64>,
    written: u64,
    /// The last byte, if their number is known: with it the client has the whole.
    held: Option<u8>,
    download: Arc<Download>,
}

impl Writer {
    /// A writer that sends `headers` with the first byte; `size` is how many bytes there will be, if that is known.
    pub fn new(headers: HeaderMap, size: Option<u64>, download: Arc<Download>) -> Self {
        Self {
            headers,
            size,
            written: 0,
            held: None,
            download,
        }
    }

    /// Sends the head; fails if the client has left.
    fn begin(&self, respond: oneshot::Sender<Answer>, delivery: Delivery, body: Body) -> Result<(), Failure> {
        let mut answer = response(&self.headers, body);
        answer.delivery = Some(delivery);
        self.download.has_begun.store(true, Ordering::Release);
        respond.send(answer).map_err(|_| self.download.left())
    }

    /// Sends some of the slices, and the head if they are the first; returns the number of bytes.
    fn poll_send(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        let mut progress = self.download.progress();
        let mut writer = match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Asked(respond, delivery) => {
                let (writer, body) = Body::stream(self.size);
                self.begin(respond, delivery, body)?;
                writer
            }
            Progress::Begun(writer) => writer,
            // It was rolled back.
            Progress::Over => return Poll::Ready(Err(Stop::PeerClosed)),
        };
        let sent = writer.poll_write(context, slices);
        *progress = Progress::Begun(writer);
        drop(progress);
        match ready!(sent) {
            Some(count) => Poll::Ready(Ok(count)),
            None => Poll::Ready(Err(ready!(self.download.poll_left(context)).into())),
        }
    }

    /// Ends the body, or sends an empty one; returns false if the connection has failed.
    fn poll_finish(&self, context: &mut Context<'_>) -> Poll<Result<bool, Stop>> {
        let mut progress = self.download.progress();
        let is_sent = match &mut *progress {
            Progress::Begun(writer) => ready!(writer.poll_finish(context)),
            _ => true,
        };
        match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Asked(respond, delivery) => self.begin(respond, delivery, Body::text(""))?,
            Progress::Begun(_) => {}
            Progress::Over => return Poll::Ready(Err(Stop::PeerClosed)),
        }
        Poll::Ready(Ok(is_sent))
    }

    /// The failure of a stream that is not as long as the client was told.
    fn wrong_size(size: u64, what: &str) -> Stop {
        let why = format!("the client was told {size} bytes, and {what}");
        Failure::because(Kind::Integrity, "cannot write", why).into()
    }
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        let Some(size) = self.size else {
            return self.poll_send(context, slices);
        };
        let first = slices
            .iter()
            .find(|slice| !slice.is_empty())
            .map_or(&[][..], |slice| slice);
        let count = match (size.saturating_sub(self.written), first) {
            (_, []) => 0,
            (0, _) => return Poll::Ready(Err(Self::wrong_size(size, "there are more"))),
            (1, [last, ..]) => {
                self.held = Some(*last);
                1
            }
            (left, first) => {
                let most = usize::try_from(left - 1).unwrap_or(usize::MAX).min(first.len());
                ready!(self.poll_send(context, &[IoSlice::new(&first[..most])]))?
            }
        };
        self.written += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        if let Progress::Begun(writer) = &mut *self.download.progress() {
            writer.flush(context);
        }
        self.download.poll_left(context).map(Stop::Failed)
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        Some(self.download.client.queue.clone())
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        let queue = self.download.client.queue.upgrade();
        queue
            .map_or(Ok(()), |queue| queue.limit_unsent(bytes))
            .map_err(unusable)
    }

    fn count_with(&mut self, meter: Arc<StageMeter>) {
        // It is set once.
        let _ = self.download.meter.set(meter);
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            if let Some(size) = self.size.filter(|size| *size != self.written) {
                return Err(Self::wrong_size(size, &format!("there are only {}", self.written)));
            }
            if let Some(last) = self.held.take() {
                poll_fn(|context| self.poll_send(context, &[IoSlice::new(&[last])])).await?;
            }
            let is_sent = poll_fn(|context| self.poll_finish(context)).await?;
            poll_fn(|context| self.download.poll_delivered(context)).await?;
            if !is_sent {
                return Err(self.download.left().into());
            }
            self.download.is_complete.store(true, Ordering::Release);
            Ok(())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.download.clone())
    }
}

impl Rollback for Download {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            self.is_rolled_back.store(true, Ordering::Release);
            match std::mem::replace(&mut *self.progress(), Progress::Over) {
                // Dropping it tells the one who answers instead.
                Progress::Asked(..) if self.own_server.is_none() => return Ok(()),
                Progress::Asked(respond, delivery) => {
                    let line = "the run failed before its first byte";
                    let mut answer = Answer::line(StatusCode::INTERNAL_SERVER_ERROR, line);
                    answer.delivery = Some(delivery);
                    let _ = respond.send(answer);
                }
                // The body was not ended, so dropping its writer cuts the connection.
                Progress::Begun(_) if self.own_server.is_some() => {}
                // A client that reads nothing would keep its connection.
                Progress::Begun(_) => self.client.cut(),
                Progress::Over => return Ok(()),
            }
            let told = poll_fn(|context| self.poll_delivered(context));
            let _ = tokio::time::timeout(ROLLBACK_LIMIT, told).await;
            Ok(())
        })
    }

    fn is_committed(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    fn name(&self) -> String {
        "the download".to_owned()
    }
}
