//! Reads one upload, and answers it when it is known what became of it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Method, Request, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind, Stop};
use crate::net::http::server::{Answer, Client, Delivery, Handler, Server};
use crate::platform::Queued;
use crate::stage::{BoxFuture, OpenReader, Settle, Settled, StreamReader};

use super::{Listen, Turn, busy, gone, not_allowed, not_found};

/// How long a client may take to receive the answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);

/// Waits for the one client.
pub async fn open(place: Listen) -> Result<OpenReader, Failure> {
    let (turn, taken) = Turn::new();
    let path = place.path.clone();
    let server = place.serve(Uploads { path, turn })?;
    let (body, client, respond) = taken.await.expect("the server keeps the turn until it is taken");
    let received = Arc::<Received>::default();
    let upload = Arc::new(Upload {
        respond: Mutex::new(Some(respond)),
        received: received.clone(),
        _server: server,
    });
    let reader = Reader::new(body, client, received);
    Ok(OpenReader::Stream(Box::new(Reader {
        settle: Some(upload),
        ..reader
    })))
}

/// A body, who sends it, and where its answer goes.
type Taken = (Incoming, Client, oneshot::Sender<Answer>);

struct Uploads {
    /// `None` for any: curl adds the name of a file that it uploads.
    path: Option<String>,
    turn: Turn<Taken>,
}

impl Handler for Uploads {
    fn answer(&self, request: Request<Incoming>, client: &Client) -> BoxFuture<'static, Answer> {
        let elsewhere = self.path.as_deref().filter(|path| *path != request.uri().path());
        let answer = match (elsewhere, request.method()) {
            (Some(path), _) => not_found(path),
            _ if is_cross_site(&request) => Answer::line(StatusCode::FORBIDDEN, "another site's page may not upload"),
            (None, &Method::PUT | &Method::POST) => match self.turn.take() {
                Some(turn) => {
                    let client = client.clone();
                    return Box::pin(async move {
                        let (respond, response) = oneshot::channel();
                        if turn.send((request.into_body(), client, respond)).is_err() {
                            return gone();
                        }
                        response.await.unwrap_or_else(|_| gone())
                    });
                }
                None => busy(),
            },
            (None, &Method::GET | &Method::HEAD) => Answer::line(
                StatusCode::OK,
                "send one file here by PUT or POST, for example with curl -T FILE",
            ),
            (None, _) => not_allowed("GET, HEAD, POST, PUT"),
        };
        let has_body = !request.body().is_end_stream();
        let answer = if has_body { answer.and_close() } else { answer };
        Box::pin(std::future::ready(answer))
    }
}

/// Whether a browser sends it for a page of another site, which may reach listeners that strangers cannot.
pub fn is_cross_site<B>(request: &Request<B>) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// What the reader of an upload and its answer have in common.
struct Upload {
    respond: Mutex<Option<oneshot::Sender<Answer>>>,
    received: Arc<Received>,
    /// Other clients are told to come later until the run is over.
    _server: Server,
}

/// What has come of a request's body.
#[derive(Debug, Default)]
pub struct Received {
    bytes: AtomicU64,
    is_malformed: AtomicBool,
    is_lost: AtomicBool,
    is_whole: AtomicBool,
}

impl Received {
    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the client broke the rules of HTTP.
    pub fn is_malformed(&self) -> bool {
        self.is_malformed.load(Ordering::Relaxed)
    }

    /// Whether the client left before its end.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Whether all of it was read.
    pub fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Relaxed)
    }
}

/// Reads the body of a request.
pub struct Reader {
    body: Incoming,
    /// What is still to be given of the last frame.
    rest: Bytes,
    /// Set at the end of the body.
    end: Option<Result<(), Failure>>,
    client: Client,
    received: Arc<Received>,
    settle: Option<Arc<dyn Settle>>,
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        let mut count = 0;
        while count < buffer.len() && self.end.is_none() {
            if self.rest.is_empty() {
                match Pin::new(&mut self.body).poll_frame(context) {
                    Poll::Pending if count == 0 => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(None) => {
                        self.received.is_whole.store(true, Ordering::Relaxed);
                        self.end = Some(Ok(()));
                    }
                    Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                    Poll::Ready(Some(Err(error))) => self.end = Some(Err(self.failure(&error))),
                }
            }
            let part = self.rest.len().min(buffer.len() - count);
            self.rest.copy_to_slice(&mut buffer[count..count + part]);
            count += part;
        }
        self.received.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(match (count, self.end.take()) {
            (0, Some(Err(failure))) => Err(failure.into()),
            (_, end) => {
                self.end = end;
                Ok(count)
            }
        })
    }

    fn size(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        Some(self.client.queue.clone())
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        self.settle.clone()
    }
}

impl Reader {
    /// A reader of what `client` sends, which counts in `received`.
    pub fn new(body: Incoming, client: Client, received: Arc<Received>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            end: None,
            client,
            received,
            settle: None,
        }
    }

    fn failure(&self, error: &hyper::Error) -> Failure {
        let operation = "cannot read the upload";
        let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let Some(cause) = causes.find_map(|cause| cause.downcast_ref::<io::Error>()) else {
            self.received.is_lost.store(true, Ordering::Relaxed);
            return Failure::because(Kind::Source, operation, "the connection was lost");
        };
        match (cause.raw_os_error(), cause.kind()) {
            (Some(number), _) => {
                self.received.is_lost.store(true, Ordering::Relaxed);
                Failure::io(Kind::Source, operation, io::Error::from_raw_os_error(number))
            }
            (None, io::ErrorKind::UnexpectedEof) => {
                self.received.is_lost.store(true, Ordering::Relaxed);
                Failure::because(Kind::Source, operation, "the client left before its end")
            }
            (None, _) => {
                self.received.is_malformed.store(true, Ordering::Relaxed);
                Failure::because(Kind::Source, operation, format!("it is not valid HTTP: {cause}"))
            }
        }
    }
}

impl Upload {
    /// The answer, which says no more than the client may know.
    fn answer(&self, how: Settled) -> Answer {
        let (status, why) = match how {
            Settled::Committed => {
                let received = self.received.bytes();
                return Answer::line(StatusCode::CREATED, &format!("{received} bytes received"));
            }
            Settled::RolledBack(_) if self.received.is_malformed() => (StatusCode::BAD_REQUEST, "it is not valid HTTP"),
            Settled::RolledBack(None) => (StatusCode::SERVICE_UNAVAILABLE, "the run was interrupted"),
            Settled::RolledBack(Some(kind)) => {
                let status = match kind {
                    Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
                    Kind::Limit => StatusCode::PAYLOAD_TOO_LARGE,
                    Kind::Corrupt | Kind::Integrity => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (status, kind.meaning())
            }
        };
        Answer::line(status, &format!("the upload was not kept: {why}"))
    }
}

impl Settle for Upload {
    fn settle(self: Arc<Self>, how: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let respond = self.respond.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(respond) = respond else { return Ok(()) };
            let (mut delivery, delivered) = Delivery::new();
            delivery.linger = Some(ANSWER_LIMIT);
            delivery.to_the_end = how != Settled::Committed;
            let mut answer = self.answer(how);
            answer.delivery = Some(delivery);
            let is_told = respond.send(answer).is_ok()
                && matches!(tokio::time::timeout(ANSWER_LIMIT, delivered).await, Ok(Ok(Ok(()))));
            if !is_told && how == Settled::Committed {
                tracing::warn!("the client left before it was told that its upload is complete");
            }
            Ok(())
        })
    }
}
