//! Serves the stream as one download.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind, Stop};
use crate::flow::StageMeter;
use crate::net::http::body::{Body, Feed};
use crate::net::http::server::{Answer, Delivered, Delivery, Handler, Server};
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
        turn,
    };
    let (headers, linger) = (place.headers.clone(), place.peers.options.linger);
    let server = place.serve(downloads)?;
    let respond = taken.await.expect("the server keeps the turn until it is taken");
    let (mut delivery, delivered) = Delivery::new();
    delivery.linger = linger;
    let meter = delivery.meter.clone();
    Ok(OpenWriter::Stream(Box::new(Writer {
        headers,
        meter,
        download: Arc::new(Download {
            progress: Mutex::new(Progress::Asked(respond, delivery)),
            delivered: Mutex::new(Some(delivered)),
            is_complete: AtomicBool::new(false),
            _server: server,
        }),
    })))
}

struct Downloads {
    path: String,
    headers: HeaderMap,
    turn: Turn<oneshot::Sender<Answer>>,
}

impl Handler for Downloads {
    fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> BoxFuture<'static, Answer> {
        let is_here = request.uri().path() == self.path;
        let answer = match *request.method() {
            _ if !is_here => not_found(&self.path),
            Method::GET => match self.turn.take() {
                Some(turn) => {
                    return Box::pin(async move {
                        let (respond, response) = oneshot::channel();
                        if turn.send(respond).is_err() {
                            return gone();
                        }
                        response.await.unwrap_or_else(|_| gone())
                    });
                }
                None => busy(),
            },
            Method::HEAD => response(&self.headers, Body::text("")),
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
    /// Its body is being fed.
    Fed(Feed),
    /// It is complete or cut.
    Over,
}

/// What the writer of a download and its roll-back have in common.
struct Download {
    progress: Mutex<Progress>,
    /// `None` once it has reported.
    delivered: Mutex<Option<Delivered>>,
    is_complete: AtomicBool,
    /// Other clients are told to come later until the run is over.
    _server: Server,
}

impl Download {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the connection has ended; fails if the client does not have everything that was sent.
    fn poll_delivered(&self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut pending = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(delivered) = &mut *pending else {
            return Poll::Ready(Err(left()));
        };
        let outcome = ready!(Pin::new(delivered).poll(context));
        *pending = None;
        Poll::Ready(outcome.unwrap_or_else(|_| Err(left())))
    }

    /// Waits until the client has left.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<Failure> {
        if let Progress::Asked(respond, _) = &mut *self.progress() {
            ready!(respond.poll_closed(context));
            return Poll::Ready(left());
        }
        let ended = ready!(self.poll_delivered(context));
        Poll::Ready(ended.err().unwrap_or_else(left))
    }
}

fn left() -> Failure {
    Failure::because(Kind::Sink, "cannot write", "the client has left")
}

struct Writer {
    headers: HeaderMap,
    meter: Arc<OnceLock<Arc<StageMeter>>>,
    download: Arc<Download>,
}

impl Writer {
    /// Sends the head; fails if the client has left.
    fn begin(&self, respond: oneshot::Sender<Answer>, delivery: Delivery, body: Body) -> Result<(), Failure> {
        let mut answer = response(&self.headers, body);
        answer.delivery = Some(delivery);
        respond.send(answer).map_err(|_| left())
    }
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        let mut progress = self.download.progress();
        let mut feed = match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Asked(respond, delivery) => {
                let (feed, body) = Body::stream(None);
                self.begin(respond, delivery, body)?;
                feed
            }
            Progress::Fed(feed) => feed,
            // It was rolled back.
            Progress::Over => return Poll::Ready(Err(Stop::PeerClosed)),
        };
        let written = feed.poll_write(context, slices);
        *progress = Progress::Fed(feed);
        drop(progress);
        match ready!(written) {
            Some(count) => Poll::Ready(Ok(count)),
            None => Poll::Ready(Err(ready!(self.download.poll_left(context)).into())),
        }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        self.download.poll_left(context).map(Stop::Failed)
    }

    fn count_with(&mut self, meter: Arc<StageMeter>) {
        // It is set once.
        let _ = self.meter.set(meter);
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            let progress = std::mem::replace(&mut *self.download.progress(), Progress::Over);
            let fed = match progress {
                Progress::Asked(respond, delivery) => {
                    self.begin(respond, delivery, Body::text(""))?;
                    None
                }
                Progress::Fed(feed) => Some(feed.finish()),
                Progress::Over => return Err(Stop::PeerClosed),
            };
            poll_fn(|context| self.download.poll_delivered(context)).await?;
            if fed.is_some_and(|fed| !fed.is_taken()) {
                return Err(left().into());
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
            match std::mem::replace(&mut *self.progress(), Progress::Over) {
                Progress::Asked(respond, delivery) => {
                    let line = "the run failed before its first byte";
                    let mut answer = Answer::line(StatusCode::INTERNAL_SERVER_ERROR, line);
                    answer.delivery = Some(delivery);
                    let _ = respond.send(answer);
                }
                // The body was not ended, so dropping its feed cuts the connection.
                Progress::Fed(_) => {}
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
