//! One run of a route's pipeline.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header::RETRY_AFTER};
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::endpoints::{RequestBody, ResponseBody};
use crate::engine::{self, Ending, MinRate, Observed, Observer, Watch};
use crate::error::Kind;
use crate::grammar::{format_rate, human_size};
use crate::graph::NodeId;
use crate::net::http::server::{Answer, Client};
use crate::plan::{Ends, Plan};
use crate::stage::{Cancel, Source};

use super::admission::{Place, Visit};
use super::entry::{Entry, Outcome};
use super::handler::Shared;
use super::live::{Listed, LiveRun};
use super::slow_client::{Judge, Look};
use super::status::{self, Failed};

/// What a request holds while its run lasts.
pub struct Turn {
    /// What is noted of it.
    pub entry: Entry,
    /// Its place.
    pub place: Place,
    /// Its address's.
    pub visit: Visit,
    /// Cancelled when the client leaves before the head of the response.
    pub gone: CancellationToken,
}

/// Why a run was ended from outside.
enum Ended {
    Left,
    Slow(String),
    Over,
}

impl Ended {
    /// What the log says.
    fn reason(&self) -> &str {
        match self {
            Self::Left => "the client left",
            Self::Slow(why) => why,
            Self::Over => "the service ended (--drain)",
        }
    }

    /// What a client is told whose response has not begun.
    fn status(self) -> (StatusCode, String) {
        match self {
            Self::Left => (StatusCode::INTERNAL_SERVER_ERROR, "the client left".to_owned()),
            Self::Slow(why) => (StatusCode::REQUEST_TIMEOUT, why),
            Self::Over => (StatusCode::SERVICE_UNAVAILABLE, "the service ends".to_owned()),
        }
    }
}

impl Shared {
    /// Runs the pipeline of a route; returns the answer unless the response has begun.
    pub async fn run(
        self: Arc<Self>,
        number: usize,
        request: Request<Incoming>,
        client: Client,
        turn: Turn,
        respond: oneshot::Sender<Answer>,
    ) -> Answer {
        let Turn {
            mut entry,
            place,
            visit,
            gone,
        } = turn;
        let route = self.routes[number].clone();
        let (body, received) = RequestBody::new(Some((request.into_body(), client.clone())));
        let (sink, response) = ResponseBody::new(route.headers().clone(), client.clone(), respond);
        let ends = Ends {
            source: Source::of(Box::new(body)),
            sink: Box::new(sink),
            feeds_programs: true,
        };
        let plan = match route.plan(ends) {
            Ok(plan) => plan,
            Err(failure) => {
                let (status, line) = status::of(Some(&failure), Failed::default());
                entry.end(Outcome::Failed, Some(status), Some(failure.to_string()));
                return Answer::line(status, &line).and_close();
            }
        };
        let (source, sink) = (implied(&plan, Which::Source), implied(&plan, Which::Sink));
        let listed = self.live.add(LiveRun {
            client: client.address,
            route: number,
            begun: entry.begun(),
            source,
            sink,
            watch: None,
        });
        let (ending, ended, watch) = self.conduct(plan, listed, &gone, source, sink).await;
        entry.has_run = true;
        entry.received = received.bytes();
        if let (Some(watch), Some(sink)) = (&watch, sink) {
            entry.sent = watch.read().stages[sink].bytes_out;
        }
        for left in &ending.left_behind {
            tracing::error!("{} for {}: {left}", route.path, client.address);
        }
        if !ending.is_good() && response.has_begun() {
            client.cut();
        }
        let failed = Failed {
            reads_request: route.reads_request(),
            is_malformed: received.is_malformed(),
            is_whole: received.is_whole(),
        };
        let answer = if ending.is_good() {
            complete(&mut entry, sink.is_some())
        } else {
            let has_left = match ended {
                Some(Ended::Left) => true,
                Some(_) => false,
                None => response.client_has_left() || received.is_lost(),
            };
            let begun = response.has_begun().then_some(StatusCode::OK);
            let failure = ending.failure.as_ref().map(|(_, failure)| failure);
            if has_left {
                entry.end(Outcome::Left, begun, Some("the client left".to_owned()));
                Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "the client left").and_close()
            } else {
                let reason = reason(&ending, ended.as_ref(), failed, begun.is_some());
                let status = ended.map_or_else(|| status::of(failure, failed), Ended::status);
                fail(&mut entry, begun, status, reason)
            }
        };
        // The next request may run once nothing of this one is left.
        drop((watch, place, visit));
        answer
    }

    /// Runs it until its end, or until something outside ends it.
    async fn conduct(
        &self,
        plan: Plan,
        listed: Listed,
        gone: &CancellationToken,
        source: Option<NodeId>,
        sink: Option<NodeId>,
    ) -> (Ending, Option<Ended>, Option<Arc<Watch>>) {
        let cancel = Arc::<Cancel>::default();
        let (started, mut watch) = watch::channel(None);
        let mut observer = Started { listed, started };
        let run = engine::run_until(plan, self.run_settings, &mut observer, cancel.clone());
        let mut run = std::pin::pin!(run);
        let slow = slow(self.min_rate, watch.clone(), source, sink);
        let ended = tokio::select! {
            biased;
            ending = &mut run => return (ending, None, watch.borrow_and_update().clone()),
            () = gone.cancelled() => Ended::Left,
            why = slow => Ended::Slow(why),
            () = self.is_cut.cancelled() => Ended::Over,
        };
        cancel.trip();
        let ending = run.await;
        let watch = watch.borrow_and_update().clone();
        (ending, Some(ended), watch)
    }
}

/// The answer of a run whose outputs are complete, unless the response was one of them.
fn complete(entry: &mut Entry, has_output: bool) -> Answer {
    let (status, line) = if has_output {
        (StatusCode::OK, String::new())
    } else {
        (StatusCode::CREATED, format!("{} bytes received", entry.received))
    };
    entry.end(Outcome::Complete, Some(status), None);
    Answer::line(status, &line).and_close()
}

/// The answer of a run that failed, unless the response has `begun`.
fn fail(entry: &mut Entry, begun: Option<StatusCode>, (status, line): (StatusCode, String), reason: String) -> Answer {
    if begun.is_some() {
        entry.end(Outcome::Cut, begun, Some(reason));
        return Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "the connection was cut").and_close();
    }
    entry.end(Outcome::Failed, Some(status), Some(reason));
    let mut answer = Answer::line(status, &line).and_close();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = answer.response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    answer
}

/// Why a run failed, for the log, in the words of this command.
fn reason(ending: &Ending, ended: Option<&Ended>, failed: Failed, has_begun: bool) -> String {
    match (ended, &ending.failure) {
        (Some(ended), _) => ended.reason().to_owned(),
        (None, None) => "it was ended".to_owned(),
        (None, Some((stage, failure))) => {
            let stage = stage.as_ref().map_or_else(String::new, |stage| format!("{stage}: "));
            let both = if failure.kind() == Kind::Timeout && failed.reads_request && has_begun && !failed.is_whole {
                "; both directions waited: the client neither sent nor read, as one does that sends all before it reads"
            } else {
                ""
            };
            let text = failure.to_string().replace("--memory", "--run-memory");
            format!("{stage}{text}{both}")
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Source,
    Sink,
}

/// The stage that stands for standard input or output.
fn implied(plan: &Plan, which: Which) -> Option<NodeId> {
    let mut nodes = plan.stages.iter().filter(|(_, stage)| stage.is_implied);
    let found = nodes.find(|(node, _)| plan.graph.is_sink(*node) == (which == Which::Sink));
    found.map(|(node, _)| node)
}

/// Tells that the stages run.
struct Started {
    listed: Listed,
    started: watch::Sender<Option<Arc<Watch>>>,
}

impl Observer for Started {
    fn listening(&mut self, url: &str) {
        tracing::info!("a run listens on {url}");
    }

    fn started(&mut self, watch: &Arc<Watch>) {
        self.listed.started(watch.clone());
        self.started.send_replace(Some(watch.clone()));
    }
}

/// Waits until the client is too slow in one direction; returns the reason.
async fn slow(
    limit: Option<MinRate>,
    mut started: watch::Receiver<Option<Arc<Watch>>>,
    source: Option<NodeId>,
    sink: Option<NodeId>,
) -> String {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    let watch = loop {
        if let Some(watch) = started.borrow_and_update().clone() {
            break watch;
        }
        if started.changed().await.is_err() {
            return std::future::pending().await;
        }
    };
    let (mut sending, mut reading) = (Judge::new(limit), Judge::new(limit));
    let interval = Judge::interval(limit);
    loop {
        tokio::time::sleep(interval).await;
        let now = watch.read();
        let look = |node: NodeId, moved: u64| Look {
            at: now.at,
            moved,
            waited: now.stages[node].times.outside,
        };
        let sent = source.and_then(|node| {
            let is_over = now.stages[node].times.ended_at.is_some();
            (!is_over).then(|| sending.look(look(node, now.stages[node].bytes_in)))?
        });
        // What its system still has to read is not seen byte by byte.
        let read = sink.and_then(|node| {
            let is_over = watch.is_finishing(node);
            (!is_over).then(|| reading.look(look(node, now.stages[node].bytes_out)))?
        });
        for (verb, rate) in [("sent", sent), ("took", read)] {
            if let Some(rate) = rate {
                return too_slow(verb, rate, limit);
            }
        }
    }
}

fn too_slow(verb: &str, rate: u64, limit: MinRate) -> String {
    let (rate, least) = (human_size(rate), format_rate(limit.rate));
    let grace = humantime::format_duration(limit.grace);
    format!("the client {verb} {rate}/s for {grace}, less than {least} (--min-rate)")
}

/// How long the last runs have to end once they are told to: children and remotes have bounds of their own.
pub const END_LIMIT: Duration = Duration::from_secs(5);
