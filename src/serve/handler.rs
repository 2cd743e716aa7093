//! What is done with a request: a refusal, a place in the line, a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::endpoints::is_cross_site;
use crate::engine::{self, MinRate};
use crate::net::http::body::Body;
use crate::net::http::server::{Answer, Client, Handler};
use crate::stage::BoxFuture;

use super::admission::{Addresses, Admission, Refused};
use super::entry::{Entry, Journal, Outcome};
use super::live::Live;
use super::run::Turn;
use super::{HEALTH, Hosts, Route};

/// What all requests share.
#[derive(Debug)]
pub struct Shared {
    /// The routes.
    pub routes: Vec<Arc<Route>>,
    /// The places of each route.
    pub places: Vec<Arc<Semaphore>>,
    /// The names under which it may be called.
    pub hosts: Hosts,
    /// The ceiling over everything, in bytes.
    pub memory: u64,
    /// The most runs at once.
    pub clients: usize,
    /// The line.
    pub admission: Admission,
    /// The requests of each address.
    pub addresses: Addresses,
    /// The runs.
    pub live: Arc<Live>,
    /// Where requests are noted.
    pub journal: Arc<Journal>,
    /// The limits of a run.
    pub run_settings: engine::Settings,
    /// The lowest rate of a client.
    pub min_rate: Option<MinRate>,
    /// When a refused client may try again.
    pub retry_after: Duration,
    /// Cancelled when no more requests are taken.
    pub is_over: CancellationToken,
    /// Cancelled when runs are ended.
    pub is_cut: CancellationToken,
    /// Each run has a clone: the last one is dropped when all have ended.
    pub alive: mpsc::Sender<()>,
}

/// [`Shared`], as what answers requests.
pub struct Requests(pub Arc<Shared>);

impl Handler for Requests {
    fn answer(&self, request: Request<Incoming>, client: &Client) -> BoxFuture<'static, Answer> {
        let (shared, client) = (self.0.clone(), client.clone());
        // It is noted even if the client leaves before anything is done.
        let entry = Entry::new(shared.journal.clone(), client.address, &request);
        Box::pin(async move { shared.respond(request, client, entry).await })
    }
}

impl Shared {
    async fn respond(self: Arc<Self>, request: Request<Incoming>, client: Client, mut entry: Entry) -> Answer {
        if !self.hosts.accepts(request.headers()) {
            let line = "no such host is served here (--host)";
            return refuse(&mut entry, StatusCode::MISDIRECTED_REQUEST, line);
        }
        let path = request.uri().path();
        if path == HEALTH {
            return self.health(&mut entry, request.method());
        }
        let Some(number) = self.routes.iter().position(|route| route.path == path) else {
            return refuse(&mut entry, StatusCode::NOT_FOUND, "there is nothing here");
        };
        entry.route = Some(number);
        let route = &self.routes[number];
        if !route.accepts(request.method()) {
            let methods = route.methods();
            let line = format!("use one of {methods}");
            let mut answer = refuse(&mut entry, StatusCode::METHOD_NOT_ALLOWED, &line);
            let headers = answer.response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static(methods));
            return answer;
        }
        if *request.method() == Method::HEAD {
            return head(&mut entry, route);
        }
        if *request.method() != Method::GET && is_cross_site(&request) {
            return refuse(
                &mut entry,
                StatusCode::FORBIDDEN,
                "another site's page may not send this",
            );
        }
        if !route.reads_request() && !request.body().is_end_stream() {
            return refuse(
                &mut entry,
                StatusCode::BAD_REQUEST,
                "a request of this path has no body",
            );
        }
        let Some(visit) = self.addresses.enter(client.address.ip()) else {
            let line = "too many requests of this address at once";
            return self.refuse_for_now(&mut entry, StatusCode::TOO_MANY_REQUESTS, line);
        };
        let came = Instant::now();
        entry.reason = Some("the client left while it waited in the line".to_owned());
        let entered = self
            .admission
            .enter(self.places[number].clone(), route.run_memory)
            .await;
        entry.waited = came.elapsed();
        let place = match entered {
            Ok(place) => place,
            Err(refused) => {
                let line = match refused {
                    Refused::Full => "too many requests wait already",
                    Refused::TimedOut => "no run was free in time",
                    Refused::Ending => "the service ends",
                };
                return self.refuse_for_now(&mut entry, StatusCode::SERVICE_UNAVAILABLE, line);
            }
        };
        entry.reason = Some("the client left".to_owned());
        let gone = CancellationToken::new();
        let turn = Turn {
            entry,
            place,
            visit,
            gone: gone.clone(),
        };
        let (respond, response) = oneshot::channel();
        let alive = self.alive.clone();
        // On a task of its own: a run whose client leaves is ended and rolled back, not dropped.
        let run = tokio::spawn(async move {
            let answer = self.run(number, request, client, turn, respond).await;
            drop(alive);
            answer
        });
        let gone = gone.drop_guard();
        if let Ok(answer) = response.await {
            gone.disarm();
            return answer;
        }
        // It ended before its first byte, or has none.
        let answer = run.await;
        gone.disarm();
        answer
            .unwrap_or_else(|_| Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "a bug in highwater"))
            .and_close()
    }

    fn health(&self, entry: &mut Entry, method: &Method) -> Answer {
        if *method != Method::GET && *method != Method::HEAD {
            return refuse(entry, StatusCode::METHOD_NOT_ALLOWED, "use one of GET, HEAD");
        }
        if self.is_over.is_cancelled() {
            return self.refuse_for_now(entry, StatusCode::SERVICE_UNAVAILABLE, "the service ends");
        }
        entry.end(Outcome::Complete, Some(StatusCode::OK), None);
        Answer::line(StatusCode::OK, "ok").and_close()
    }

    /// Refuses a request that may be tried again.
    fn refuse_for_now(&self, entry: &mut Entry, status: StatusCode, line: &str) -> Answer {
        let mut answer = refuse(entry, status, line);
        let headers = answer.response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after.as_secs().max(1)));
        answer
    }
}

/// Answers without a run. The connection ends, so that one that reads no answers cannot be kept by it.
fn refuse(entry: &mut Entry, status: StatusCode, line: &str) -> Answer {
    entry.end(Outcome::Refused, Some(status), Some(line.to_owned()));
    Answer::line(status, line).and_close()
}

/// The answer to HEAD, for which nothing runs.
fn head(entry: &mut Entry, route: &Route) -> Answer {
    entry.end(Outcome::Complete, Some(StatusCode::OK), None);
    let mut response = Response::new(Body::text(""));
    response.headers_mut().clone_from(route.headers());
    Answer {
        response,
        delivery: None,
    }
    .and_close()
}
