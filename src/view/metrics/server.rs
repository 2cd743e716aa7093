//! The thread of the metrics server.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::engine::{Observed, Sampler};
use crate::error::{Failure, Kind};
use crate::platform::sockets::{TcpPeer, TcpPeers};
use crate::platform::{reactor, spawn};

use super::answer::{self, LONGEST, Request};
use super::{Listener, page};

/// The stack of the thread.
const STACK: usize = 256 << 10;
/// How many clients are served at once; others wait in the system's queue.
const CLIENTS: usize = 8;
/// How long a client may take in all.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the run is observed: as often as by the view, so that both name the same bottleneck.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The pause in accepting after a failure, such as a lack of descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// The pause between two accepted clients, so that a flood of them costs a hundredth of a processor, not one.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);
/// Bytes of a refused request that are still read, so that the client gets the refusal.
const DRAIN_LIMIT: usize = 64 << 10;

/// A client's request for the page.
type Asking = oneshot::Sender<String>;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    watch: mpsc::UnboundedSender<Arc<dyn Observed>>,
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the clients of `listener` the numbers of a run: see [`Server::show`].
    pub fn start(listener: Listener) -> Result<Self, Failure> {
        let (watch, watches) = mpsc::unbounded_channel();
        Self::serve(listener, watch, move |asked| look(watches, asked))
    }

    /// Serves the clients of `listener` what `page` returns.
    pub fn of_page(listener: Listener, page: impl Fn() -> String + Send + 'static) -> Result<Self, Failure> {
        let (watch, _) = mpsc::unbounded_channel();
        Self::serve(listener, watch, move |mut asked| async move {
            while let Some(asking) = asked.recv().await {
                let _ = Asking::send(asking, page());
            }
        })
    }

    fn serve<F: Future<Output = ()>>(
        listener: Listener,
        watch: mpsc::UnboundedSender<Arc<dyn Observed>>,
        pages: impl FnOnce(mpsc::Receiver<Asking>) -> F + Send + 'static,
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::io(Kind::Resources, "cannot start to serve", error);
        let runtime = reactor().map_err(failed)?;
        let (over, ended) = oneshot::channel();
        let thread = spawn("metrics", STACK, move || run(&runtime, listener.socket, pages, ended)).map_err(failed)?;
        Ok(Self {
            watch,
            over: Some(over),
            thread: Some(thread),
        })
    }

    /// Sets the run to show.
    pub fn show(&self, observed: Arc<dyn Observed>) {
        // The receiver is gone only if the server is about to end.
        let _ = self.watch.send(observed);
    }
}

impl Drop for Server {
    /// Ends the server. The runtime's own waits are all bounded, so this is, too.
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until it is told to stop. Dropping the runtime then drops every connection.
fn run<F: Future<Output = ()>>(
    runtime: &Runtime,
    socket: TcpListener,
    pages: impl FnOnce(mpsc::Receiver<Asking>) -> F,
    ended: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let (ask, asked) = mpsc::channel(CLIENTS);
        let serving = async { tokio::join!(accept(socket, ask), pages(asked)) };
        tokio::select! {
            _ = ended => {}
            _ = serving => {}
        }
    });
}

/// Observes the run, ten times a second and for each request.
async fn look(mut watches: mpsc::UnboundedReceiver<Arc<dyn Observed>>, mut asked: mpsc::Receiver<Asking>) {
    let mut sampler: Option<Sampler> = None;
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // A request that comes after the run has started must show it.
            biased;
            Some(watch) = watches.recv() => sampler = Some(Sampler::new(watch)),
            asking = asked.recv() => match asking {
                Some(asking) => {
                    let snapshot = sampler.as_mut().map(Sampler::look);
                    let _ = asking.send(page(snapshot.as_ref()));
                }
                None => return,
            },
            _ = poll.tick() => {
                if let Some(sampler) = &mut sampler {
                    sampler.observe();
                }
            }
        }
    }
}

/// Accepts clients, up to the limit.
async fn accept(socket: TcpListener, ask: mpsc::Sender<Asking>) {
    let Ok(clients) = TcpPeers::of(socket) else {
        return;
    };
    let places = Arc::new(Semaphore::new(CLIENTS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match clients.next().await {
            Ok(client) => {
                let ask = ask.clone();
                tokio::spawn(async move {
                    // A client that fails or is too slow gets no response, and the failure matters to no one else.
                    let _ = tokio::time::timeout(CLIENT_TIMEOUT, answer(client, ask)).await;
                    drop(place);
                });
                tokio::time::sleep(ACCEPT_INTERVAL).await;
            }
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
}

/// Reads one request and answers it.
async fn answer(mut client: TcpPeer, ask: mpsc::Sender<Asking>) -> io::Result<()> {
    let mut request = Vec::with_capacity(1 << 10);
    let mut piece = [0; 1024];
    let meaning = loop {
        match Request::read(&request) {
            Request::Partial => {}
            meaning => break meaning,
        }
        let room = piece.len().min(LONGEST - request.len());
        match client.read(&mut piece[..room]).await? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    };
    let text = match meaning {
        Request::Refused(refusal) => answer::refusal(refusal),
        Request::Page | Request::Partial => {
            let (asking, page) = oneshot::channel();
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            ask.send(asking)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            answer::page(&page.await.map_err(gone)?)
        }
    };
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await?;
    // If a connection is closed with unread bytes, it is reset and the response is lost.
    let mut total = 0;
    while total < DRAIN_LIMIT {
        match client.read(&mut piece).await? {
            0 => break,
            count => total += count,
        }
    }
    Ok(())
}
