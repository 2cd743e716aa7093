//! What is noted of one request: a line of the access log, and the counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{Request, StatusCode};
use serde::Serialize;

use crate::error::shown;

use super::access_log::AccessLog;
use super::counters::Counters;

/// The longest path that is logged, in bytes.
const LONGEST_PATH: usize = 256;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The client's system has the whole response.
    Complete,
    /// The run failed before its first byte, and the client was told.
    Failed,
    /// The run failed or was ended after the head of the response, and the connection was cut.
    Cut,
    /// The client left first.
    Left,
    /// No run was started.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const EVERY: [Self; 5] = [Self::Complete, Self::Failed, Self::Cut, Self::Left, Self::Refused];

    /// Its name in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Left => "left",
            Self::Refused => "refused",
        }
    }
}

/// Where requests are noted.
#[derive(Debug)]
pub struct Journal {
    /// The file, if there is one.
    pub log: Option<AccessLog>,
    /// The counters.
    pub counters: Counters,
}

/// One request, noted when this is dropped: as one whose client left, unless something else is set.
#[derive(Debug)]
pub struct Entry {
    journal: Arc<Journal>,
    at: SystemTime,
    begun: Instant,
    client: SocketAddr,
    method: String,
    path: String,
    /// The number of its route, if it has one.
    pub route: Option<usize>,
    /// How long it waited in the line.
    pub waited: Duration,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of the response's body that were written.
    pub sent: u64,
    /// The status that was sent.
    pub status: Option<StatusCode>,
    /// Whether a run was started.
    pub has_run: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if it did not end well.
    pub reason: Option<String>,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'e> {
    time: String,
    client: SocketAddr,
    method: &'e str,
    path: &'e str,
    status: Option<u16>,
    outcome: Outcome,
    reason: Option<&'e str>,
    received_bytes: u64,
    sent_bytes: u64,
    waited_s: f64,
    duration_s: f64,
}

impl Entry {
    /// Begins to note a request.
    pub fn new<B>(journal: Arc<Journal>, client: SocketAddr, request: &Request<B>) -> Self {
        let path = request.uri().path();
        Self {
            journal,
            at: SystemTime::now(),
            begun: Instant::now(),
            client,
            method: request.method().as_str().to_owned(),
            path: shown(&path.as_bytes()[..path.len().min(LONGEST_PATH)]),
            route: None,
            waited: Duration::ZERO,
            received: 0,
            sent: 0,
            status: None,
            has_run: false,
            outcome: Outcome::Left,
            reason: Some("the client left".to_owned()),
        }
    }

    /// Since when it is there.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Sets how it ended.
    pub fn end(&mut self, outcome: Outcome, status: Option<StatusCode>, reason: Option<String>) {
        self.outcome = outcome;
        self.status = status;
        self.reason = reason;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let duration = self.begun.elapsed();
        self.journal.counters.count(self, duration);
        let reason = self.reason.as_deref();
        let (client, path) = (self.client, &self.path);
        match (self.outcome, reason) {
            (Outcome::Failed | Outcome::Cut, Some(reason)) => tracing::warn!("{path} for {client}: {reason}"),
            (_, Some(reason)) => tracing::info!("{path} for {client}: {reason}"),
            (_, None) => {}
        }
        let Some(log) = &self.journal.log else { return };
        let line = Line {
            time: humantime::format_rfc3339_millis(self.at).to_string(),
            client,
            method: &self.method,
            path,
            status: self.status.map(|status| status.as_u16()),
            outcome: self.outcome,
            reason,
            received_bytes: self.received,
            sent_bytes: self.sent,
            waited_s: self.waited.as_secs_f64(),
            duration_s: duration.as_secs_f64(),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            log.write(line + "\n");
        }
    }
}
