//! One connection, from its first request to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, StatusCode, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::net::drain::{Drain, Queue, unfinished};
use crate::net::http::body::Body;
use crate::net::{Transport, tune, unusable};
use crate::platform::sockets::{self, TcpPeer};
use crate::platform::unsent_bytes;
use crate::stage::BoxFuture;

use super::clients::Activity;
use super::direct::{Handover, SharedTransport};
use super::{Answer, BUFFER, Client, Delivery, Handler, Shared};

/// How long a client may take to end its side once it has the last response: what it still sends would turn the end
/// into a reset, and some systems drop the response then.
const END_LIMIT: Duration = Duration::from_secs(1);
/// How much it may still send meanwhile, in bytes.
const END_BYTES: u64 = 1 << 20;

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
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
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
    pub async fn serve(self: Arc<Self>, peer: TcpPeer, activity: Arc<Activity>) {
        // One that has left already has no address.
        let Ok(address) = peer.address() else { return };
        let client = Client {
            address,
            queue: peer.queue(),
            cut: CancellationToken::new(),
        };
        let delivery = Arc::<Mutex<Option<Delivery>>>::default();
        let served = tokio::select! {
            served = self.requests(peer, &client, activity.clone(), &delivery) => served,
            () = client.cut.cancelled() => Err(cut()),
        };
        let delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner).take();
        if delivery.is_none() {
            activity.end_request();
        }
        let outcome = match served {
            Ok(mut transport) => tokio::select! {
                ended = end(&mut transport, delivery.as_ref()) => ended,
                () = client.cut.cancelled() => Err(cut()),
            },
            Err(failure) => Err(failure),
        };
        match (delivery, outcome) {
            // The receiver may be gone.
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
        let transport = SharedTransport::new(transport);
        let handover = Arc::<Mutex<Option<Handover>>>::default();
        let service = service_fn(|request: Request<Incoming>| {
            activity.begin_request();
            let (version, handover) = (request.version(), handover.clone());
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
                if let Body::Stream(stream) = answer.response.body_mut() {
                    *handover.lock().unwrap_or_else(PoisonError::into_inner) = stream.handover(version);
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
            .serve_connection(TokioIo::new(transport.clone()), service);
        let mut stopped = pin!(self.stop.cancelled());
        let mut is_stopping = false;
        let served = poll_fn(|context| {
            if !is_stopping && stopped.as_mut().poll(context).is_ready() {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(served) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(served.map_err(|error| lost(&error)));
            }
            let mut handover = handover.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *handover {
                Some(body) => body
                    .poll(context, &transport)
                    .map(|is_whole| if is_whole { Ok(()) } else { Err(cut()) }),
                None => Poll::Pending,
            }
        })
        .await;
        // An invalid request was answered as such, and one that never came needs no answer.
        served.or_else(|failure| activity.waits_since().map(drop).ok_or(failure))?;
        transport.reclaim().ok_or_else(cut)
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

/// The failure of a connection that was cut.
fn cut() -> Failure {
    Failure::because(Kind::Sink, "cannot answer the client", "its connection was cut")
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
    // Where that is not told, the end of the client is, and it comes after ours.
    if unsent_bytes(transport.as_fd()).is_some() {
        let sent = Drain::begin(Queue::Sequence, linger, &*transport);
        sent.finish(&mut transport.below(), count).await?;
    }
    let end = Drain::begin(Queue::Sequence, linger, &*transport);
    let ended = match transport.shutdown().await.map_err(unfinished) {
        Ok(()) => end.finish(&mut transport.below(), count).await,
        Err(failure) => Err(failure),
    };
    // Few clients read the end of TLS.
    if !transport.is_secure() {
        ended?;
    }
    sockets::end_at_close(&*transport).map_err(unfinished)?;
    if delivery.is_none_or(|delivery| delivery.to_the_end) {
        let mut ignored = tokio::io::sink();
        let mut rest = transport.below().take(END_BYTES);
        let rest = tokio::io::copy(&mut rest, &mut ignored);
        // One that sends on and on is reset.
        let _ = timeout(END_LIMIT, rest).await;
    }
    Ok(())
}
