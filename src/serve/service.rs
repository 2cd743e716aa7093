//! The service from its first connection to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, MinRate};
use crate::error::{Failure, Kind};
use crate::grammar::human_size;
use crate::net::Address;
use crate::net::http::server::{self, Server};
use crate::net::tls::ServerTls;
use crate::platform::sockets::{TcpPeers, listen_tcp};
use crate::platform::{Signals, prepare_signals, reactor, release_keyboard, spawn};
use crate::view::keys::Keys;
use crate::view::live::{self, Painter, Size, Style};
use crate::view::metrics;
use crate::view::say;

use super::access_log::{AccessLog, LogTarget};
use super::admission::{Addresses, Admission};
use super::counters::Counters;
use super::entry::Journal;
use super::handler::{Requests, Shared};
use super::live::Live;
use super::look::Looker;
use super::run::END_LIMIT;
use super::{Hosts, Route, Shares, picture};

/// How long a client may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(200);
/// The stack of the view's thread.
const STACK: usize = 256 << 10;

/// What is shown while the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A picture on the terminal.
    Live {
        /// How it looks.
        style: Style,
        /// Whether keys may be taken from the terminal.
        has_keys: bool,
    },
    /// A line each interval.
    Plain(Duration),
    /// Nothing.
    Nothing,
}

/// How requests are served.
pub struct Settings {
    /// The ceiling over everything, in bytes.
    pub memory: u64,
    /// The ceiling, divided.
    pub shares: Shares,
    /// The most runs of each route at once.
    pub route_clients: Vec<Option<usize>>,
    /// The names under which it may be called, besides those of loopback.
    pub hosts: Vec<String>,
    /// The most requests of an address at once.
    pub per_address: Option<usize>,
    /// How long a request waits in the line.
    pub queue_timeout: Duration,
    /// The limits of a run.
    pub run: engine::Settings,
    /// The lowest rate of a client.
    pub min_rate: Option<MinRate>,
    /// How long runs may take to end after the first signal.
    pub drain: Duration,
    /// How the service proves itself, if it speaks TLS.
    pub tls: Option<ServerTls>,
    /// Where requests are logged.
    pub log: Option<LogTarget>,
    /// Where the numbers are served.
    pub metrics: Option<metrics::Listener>,
    /// What is shown.
    pub shown: Shown,
    /// Whether a line says at the end how requests have ended.
    pub has_summary: bool,
}

/// A service that is bound, and answers nothing yet.
#[derive(Debug)]
pub struct Service {
    peers: std::net::TcpListener,
    url: String,
    is_local: bool,
}

impl Service {
    /// Binds the address.
    ///
    /// # Errors
    /// If the host cannot be resolved, or the port is in use.
    pub fn bind(address: &Address, is_secure: bool) -> Result<Self, Failure> {
        let (peers, bound) = listen_tcp(&address.host, address.port)
            .map_err(|error| Failure::io(Kind::Connect, format!("cannot listen on {address}"), error))?;
        let scheme = if is_secure { "https" } else { "http" };
        Ok(Self {
            peers,
            url: format!("{scheme}://{bound}"),
            is_local: bound.ip().is_loopback(),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until a signal; returns that.
    ///
    /// # Errors
    /// If it cannot start.
    pub fn run(self, routes: Vec<Route>, settings: Settings) -> Result<i32, Failure> {
        let runtime = reactor().map_err(|error| Failure::io(Kind::Resources, "cannot start", error))?;
        let signal = runtime.block_on(self.serve(routes, settings));
        // Nothing is waited for that has not ended in time.
        runtime.shutdown_background();
        signal
    }

    async fn serve(self, routes: Vec<Route>, settings: Settings) -> Result<i32, Failure> {
        let mut signals =
            Signals::listen().map_err(|error| Failure::io(Kind::Resources, "cannot listen to signals", error))?;
        let asked = Arc::new(AtomicBool::new(false));
        prepare_signals(&asked);
        let log = settings.log.map(AccessLog::start).transpose()?;
        let (alive, mut ended) = mpsc::channel(1);
        let (is_over, is_cut) = (CancellationToken::new(), CancellationToken::new());
        let places = settings.route_clients.iter();
        let shared = Arc::new(Shared {
            places: places
                .map(|most| Arc::new(Semaphore::new(most.unwrap_or(Semaphore::MAX_PERMITS))))
                .collect(),
            hosts: Hosts::new(&settings.hosts, self.is_local),
            memory: settings.memory,
            clients: settings.shares.clients,
            admission: Admission::new(&settings.shares, settings.queue_timeout, is_over.clone()),
            addresses: Addresses::new(settings.per_address),
            live: Arc::<Live>::default(),
            journal: Arc::new(Journal {
                log,
                counters: Counters::new(routes.len()),
            }),
            routes: routes.into_iter().map(Arc::new).collect(),
            run_settings: settings.run,
            min_rate: settings.min_rate,
            retry_after: settings.queue_timeout,
            is_over: is_over.clone(),
            is_cut: is_cut.clone(),
            alive,
        });
        let metrics = settings.metrics.map(|listener| {
            let shared = shared.clone();
            metrics::Server::of_page(listener, move || super::metrics::page(&shared))
        });
        let metrics = metrics.transpose()?;
        let view = Viewer::start(&shared, settings.shown, asked);
        let limits = server::Limits {
            connections: settings.shares.connections,
            head: HEAD_LIMIT,
            unanswered: None,
        };
        let peers = TcpPeers::of(self.peers).map_err(|error| Failure::io(Kind::Connect, "cannot accept", error))?;
        let server = Server::start(peers, settings.tls, limits, Requests(shared.clone()));
        let signal = signals.next().await;
        is_over.cancel();
        let journal = shared.journal.clone();
        drain(server, &mut signals, settings.drain).await;
        is_cut.cancel();
        // The last run drops the last sender.
        view.finish();
        drop((metrics, shared));
        if timeout(END_LIMIT, ended.recv()).await.is_err() {
            tracing::error!("runs did not end in time; left alone");
        }
        if let Some(log) = &journal.log {
            log.end();
        }
        if settings.has_summary {
            let (received, sent) = journal.counters.moved();
            let (received, sent) = (human_size(received), human_size(sent));
            let ended = picture::ended(journal.counters.ended());
            say(&format!("highwater: {ended}; {received} received, {sent} sent\n"));
        }
        Ok(signal)
    }
}

/// Waits until the responses that were begun are complete, for at most that long, or until another signal.
async fn drain(server: Server, signals: &mut Signals, limit: Duration) {
    tokio::select! {
        drained = timeout(limit, server.drain()) => {
            if drained.is_err() {
                tracing::warn!("the last runs took longer than --drain, and are cut");
            }
        }
        _ = signals.next() => {}
    }
}

/// Messages to the view's thread.
enum Event {
    Over,
    Redraw,
}

/// Draws the service on a thread of its own.
struct Viewer {
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    fn start(shared: &Arc<Shared>, shown: Shown, asked: Arc<AtomicBool>) -> Self {
        let (events, happened) = channel();
        let shared = Arc::clone(shared);
        let redraw = events.clone();
        let thread = spawn("view", STACK, move || {
            let mut looker = Looker::new();
            let mut painter = match shown {
                Shown::Live { style, .. } => Some(Painter::new(style)),
                Shown::Plain(_) | Shown::Nothing => None,
            };
            let interval = match shown {
                Shown::Live { .. } => FRAME,
                Shown::Plain(interval) => interval,
                // Only to notice that a line is asked for.
                Shown::Nothing => Duration::from_secs(1),
            };
            let keys = matches!(shown, Shown::Live { has_keys: true, .. }).then(|| {
                Keys::start(None, move || {
                    // Without a view there is nothing to draw.
                    let _ = redraw.send(Event::Redraw);
                })
            });
            let keys = keys.flatten();
            while let Ok(Event::Redraw) | Err(RecvTimeoutError::Timeout) = happened.recv_timeout(interval) {
                let is_asked = asked.swap(false, Ordering::Relaxed);
                if shown == Shown::Nothing && !is_asked {
                    continue;
                }
                let sight = looker.look(&shared);
                match &mut painter {
                    Some(painter) => {
                        let size = Size {
                            columns: Painter::columns(),
                            rows: Painter::rows(),
                        };
                        let keys = keys.as_ref().and_then(Keys::shown);
                        painter.show(&picture::lines(&sight, size, keys.as_ref()));
                    }
                    None => say(&picture::plain(&sight)),
                }
            }
        });
        Self {
            events,
            thread: thread.ok(),
        }
    }

    /// Leaves a clean screen.
    fn finish(mut self) {
        release_keyboard();
        let _ = self.events.send(Event::Over);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        live::forget();
    }
}
