//! The task between a server and a reader: it asks for messages as far as there is room, keeps the server from delivering
//! them again while they are held, and acknowledges them once they are durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_nats::client::Request;
use async_nats::datetime::DateTime;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use crate::error::{Failure, Kind};
use crate::grammar::{format_size, human_size};
use crate::records::json::Scanner;

use super::super::messages;
use super::check::Check;
use super::consumer::{RequestLimits, with_sources};
use super::deliveries::{Added, Deliveries, Delivery, Parsed, Subjects};
use super::handover::{Record, Shared};
use super::server::{Connection, Events, Server};

const READING: &str = "cannot read";
/// The most messages that are asked for at once.
const PULL: usize = 512;
/// How many messages the library queues: those of one request, and what the server says besides.
pub const SUBSCRIBED: usize = PULL + 64;
/// The least bytes of a request, so that small messages come in numbers.
const LEAST: usize = 256 << 10;
/// Bytes of a request besides its largest message: for the subject and the headers.
const HEADERS: usize = 16 << 10;
/// The most memory that a session holds besides its largest messages and its deliveries, in bytes: two requests of small
/// messages, and those that the library queues.
pub const MEMORY: u64 = 2 * (LEAST + HEADERS) as u64 + (SUBSCRIBED * 512) as u64;
/// How many of the largest messages it holds: one of each of two requests, and one that the library reads into memory of up
/// to twice its size.
pub const HELD: u64 = 4;
/// How long a request waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How much later than that a request is taken to be lost.
const LATE: Duration = Duration::from_secs(2);
/// The pause after a request that the server has not accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the server may take to confirm.
const CONFIRM: Duration = Duration::from_secs(5);
/// How long it may take to send what is on its way when a session ends.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the end of a session may take: that, and a moment to give the rest back.
pub const SETTLED: Duration = Duration::from_secs(6);

/// What to do with a message that is no record.
pub enum Bad {
    Fail,
    /// Drop it; first publish it to the subject, if there is one.
    Skip(Option<String>),
}

/// What a session keeps to.
pub struct Terms {
    pub stream: String,
    pub consumer: String,
    pub is_json: bool,
    pub bad: Bad,
    /// Bytes of the largest message with its newline.
    pub largest: usize,
    /// The most deliveries that are held.
    pub most: usize,
    /// Whether that is the consumer's bound, which is less than what was asked for.
    pub is_bound_by_consumer: bool,
    pub ack_wait: Duration,
    /// When the consumer was made.
    pub created: DateTime,
    pub request: RequestLimits,
    /// After how long without a message it ends.
    pub idle: Option<Duration>,
    /// After how many messages it ends.
    pub wanted: Option<u64>,
}

/// Subjects for the answers to requests, and what comes there.
async fn subscribe(client: &Client) -> Result<(String, Subscriber), Failure> {
    let inbox = client.new_inbox();
    match client.subscribe(format!("{inbox}.*")).await {
        Ok(subscriber) => Ok((inbox, subscriber)),
        Err(error) => Err(Failure::because(Kind::Source, READING, with_sources(&error))),
    }
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A request for messages that is at the server.
struct Pull {
    /// How many messages may still come.
    left: usize,
    /// Whether one came.
    has_any: bool,
    deadline: Instant,
}

/// Acknowledgements on their way, and whether they were confirmed.
type Confirming = (JoinHandle<bool>, Arc<[Delivery]>);

/// How it is connected.
enum Line {
    Open,
    /// Nothing is acknowledged and no message asked for until the server has said that it has what is held.
    Checking(JoinHandle<Result<(), Failure>>),
    /// The connection is lost, and this will be the next one.
    Connecting(JoinHandle<Result<Connection, Failure>>),
    /// It is lost, and no other is needed.
    Closed,
}

/// What has come of a line that is not open.
enum Turn {
    Connected(Result<Result<Connection, Failure>, JoinError>),
    Checked(Result<Result<(), Failure>, JoinError>),
}

/// The session's side.
pub struct Session {
    server: Server,
    context: Context,
    client: Client,
    events: Arc<Events>,
    line: Line,
    terms: Terms,
    shared: Arc<Shared>,
    /// What the subjects of requests begin with.
    inbox: String,
    /// The number of the last request, which ends its subject.
    request: u64,
    subscriber: Subscriber,
    subjects: Subjects,
    deliveries: Deliveries,
    confirming: Option<Confirming>,
    /// What is acknowledged on the next connection.
    unconfirmed: Option<Arc<[Delivery]>>,
    pull: Option<Pull>,
    /// When the server may be asked again.
    resume: Instant,
    /// When the last message came, or the queue was not empty.
    busy: Instant,
    /// Messages so far that were not held already.
    count: u64,
    scanner: Scanner,
    has_warned: bool,
    /// Whether no more comes: what is still delivered is given back.
    is_over: bool,
    /// Whether what is held is not there any more, so that nothing can be said of it.
    is_gone: bool,
    /// What has failed after that.
    fault: Option<Failure>,
}

impl Session {
    /// Starts a session.
    pub async fn start(server: Server, connection: Connection, terms: Terms) -> Result<Arc<Shared>, Failure> {
        let Connection { client, events } = connection;
        let (inbox, subscriber) = subscribe(&client).await?;
        let shared = Arc::<Shared>::default();
        let session = Self {
            server,
            context: jetstream::new(client.clone()),
            client,
            events,
            line: Line::Open,
            terms,
            shared: shared.clone(),
            inbox,
            request: 0,
            subscriber,
            subjects: Subjects::default(),
            deliveries: Deliveries::new(now()),
            confirming: None,
            unconfirmed: None,
            pull: None,
            resume: Instant::now(),
            busy: Instant::now(),
            count: 0,
            scanner: Scanner::new(),
            has_warned: false,
            is_over: false,
            is_gone: false,
            fault: None,
        };
        tokio::spawn(session.run());
        Ok(shared)
    }

    async fn run(mut self) {
        let period = (self.terms.ack_wait / 2).max(Duration::from_millis(1));
        let mut alive = interval_at(Instant::now() + period, period);
        // After an outage it is said once.
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        loop {
            self.confirm();
            if self.shared.is_settled() && self.confirming.is_none() && self.unconfirmed.is_none() {
                return self.end().await;
            }
            if let Err(failure) = self.ask().await {
                self.stop(Err(failure));
            }
            let wake = self.wakes_at();
            let events = self.events.clone();
            let is_connected = self.is_connected();
            let confirming = async {
                match &mut self.confirming {
                    Some((confirmed, _)) => confirmed.await.unwrap_or(false),
                    None => std::future::pending().await,
                }
            };
            let line = async {
                match &mut self.line {
                    Line::Connecting(connected) => Turn::Connected(connected.await),
                    Line::Checking(checked) => Turn::Checked(checked.await),
                    Line::Open | Line::Closed => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = alive.tick() => self.say_alive().await,
                message = self.subscriber.next(), if is_connected => match message {
                    Some(message) => {
                        if let Err(failure) = self.take(message).await {
                            self.stop(Err(failure));
                        }
                    }
                    None => self.lost(),
                },
                () = events.lost(), if is_connected => self.lost(),
                turn = line => match turn {
                    Turn::Connected(Ok(Ok(connection))) => {
                        self.line = Line::Closed;
                        if let Err(failure) = self.begin_again(connection).await {
                            self.stop(Err(failure));
                        }
                    }
                    Turn::Connected(Ok(Err(failure))) => {
                        self.line = Line::Closed;
                        self.lose(failure);
                    }
                    Turn::Checked(Ok(checked)) => self.checked(checked),
                    // The runtime ends.
                    Turn::Connected(Err(_)) | Turn::Checked(Err(_)) => return,
                },
                is_confirmed = confirming => self.confirmed(is_confirmed),
                () = shared.changed() => {}
                () = sleep_until(wake) => self.check_times(),
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.line, Line::Open) && !self.events.is_lost()
    }

    fn is_connected(&self) -> bool {
        matches!(self.line, Line::Open | Line::Checking(_))
    }

    /// The connection is lost: the library sends nothing more on it, and everything goes on with the next one.
    fn lost(&mut self) {
        self.pull = None;
        if let Line::Checking(check) = std::mem::replace(&mut self.line, Line::Closed) {
            check.abort();
        }
        if let Some((sent, run)) = self.confirming.take() {
            sent.abort();
            self.unconfirmed = Some(run);
        }
        if !self.is_gone {
            let server = self.server.clone();
            self.line = Line::Connecting(tokio::spawn(async move { server.connect_again().await }));
        }
    }

    /// When something is to be done although nothing has happened.
    fn wakes_at(&self) -> Instant {
        match &self.pull {
            Some(pull) => pull.deadline,
            None => self.resume.max(Instant::now() + PAUSE),
        }
    }

    fn check_times(&mut self) {
        if self.pull.as_ref().is_some_and(|pull| pull.deadline <= Instant::now()) {
            // It was lost, or the server has not said that its bytes are used up; some do not answer for a consumer that is
            // not there.
            self.pulled(false);
            self.check();
        }
    }

    /// Begins to ask the server whether it has what is held.
    fn check(&mut self) {
        if self.is_gone || !matches!(self.line, Line::Open) {
            return;
        }
        let check = Check {
            context: self.context.clone(),
            events: self.events.clone(),
            stream: self.terms.stream.clone(),
            consumer: self.terms.consumer.clone(),
            created: self.terms.created,
            messages: self.deliveries.messages(),
        };
        self.line = Line::Checking(tokio::spawn(check.run()));
    }

    /// The server has answered that.
    fn checked(&mut self, answer: Result<(), Failure>) {
        self.line = Line::Open;
        match answer {
            Ok(()) => {
                if let Some(run) = self.unconfirmed.take() {
                    self.send(run);
                }
            }
            Err(failure) => self.lose(failure),
        }
    }

    /// Ends the reading, and leaves what was delivered.
    fn lose(&mut self, failure: Failure) {
        self.is_gone = true;
        self.pull = None;
        self.unconfirmed = None;
        self.stop(Err(failure));
    }

    /// A request is over. `is_refused` says that the next one has to wait.
    fn pulled(&mut self, is_refused: bool) {
        self.pull = None;
        if is_refused {
            self.resume = Instant::now() + PAUSE;
        }
    }

    /// The server has no message for now.
    fn starved(&mut self) {
        if self.terms.idle.is_some_and(|idle| self.busy.elapsed() >= idle) && self.shared.is_empty() {
            self.stop(Ok(()));
        }
    }

    /// No more comes.
    fn stop(&mut self, end: Result<(), Failure>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.shared.finish(end);
        } else if let Err(failure) = end {
            self.fault.get_or_insert(failure);
        }
    }

    /// Bytes of one request.
    fn share(&self) -> usize {
        self.terms.largest.max(LEAST) + HEADERS
    }

    /// Asks for messages if there is room, and none are on their way.
    async fn ask(&mut self) -> Result<(), Failure> {
        let share = self.share();
        if !self.shared.is_empty() {
            self.busy = Instant::now();
        }
        if self.is_over || !self.shared.has_room(share) {
            return Ok(());
        }
        if self.pull.is_some() || self.resume > Instant::now() || !self.is_open() {
            return Ok(());
        }
        let room = self.terms.most.saturating_sub(self.deliveries.len());
        let wanted = self.terms.wanted.map_or(u64::MAX, |wanted| wanted - self.count);
        let limits = self.terms.request;
        let count = PULL
            .min(limits.messages)
            .min(room)
            .min(usize::try_from(wanted).unwrap_or(PULL));
        if wanted == 0 {
            self.stop(Ok(()));
            return Ok(());
        }
        if count == 0 {
            if !std::mem::replace(&mut self.has_warned, true) {
                let bound = if self.terms.is_bound_by_consumer {
                    "the consumer's max_ack_pending"
                } else {
                    "max-pending"
                };
                tracing::warn!(
                    "{} messages are held and not acknowledged ({bound}); no more come until a batch is complete",
                    self.deliveries.len()
                );
            }
            if self.shared.queue.pending.load(Ordering::Relaxed) == 0 {
                self.starved();
            }
            return Ok(());
        }
        let expires = self.terms.idle.map_or(EXPIRES, |idle| idle.clamp(PAUSE, EXPIRES));
        let expires = expires.min(limits.expires);
        let request = serde_json::json!({
            "batch": count,
            "max_bytes": share.min(limits.bytes),
            "expires": u64::try_from(expires.as_nanos()).unwrap_or(u64::MAX),
        });
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            self.terms.stream, self.terms.consumer
        );
        let request = Bytes::from(request.to_string());
        self.request += 1;
        let reply = self.reply();
        let asked = self.client.publish_with_reply(subject, reply, request).await;
        if asked.is_err() {
            // The connection is closed, and its end is about to be told.
            self.resume = Instant::now() + PAUSE;
            return Ok(());
        }
        self.pull = Some(Pull {
            left: count,
            has_any: false,
            deadline: Instant::now() + expires + LATE,
        });
        Ok(())
    }

    /// The subject that the last request is answered on.
    fn reply(&self) -> String {
        format!("{}.{}", self.inbox, self.request)
    }

    /// Takes what the server has sent.
    async fn take(&mut self, message: Message) -> Result<(), Failure> {
        match message.status {
            None | Some(StatusCode::OK) => {}
            // Of a request that was taken to be lost.
            Some(_) if message.subject.as_str() != self.reply() => return Ok(()),
            Some(StatusCode::REQUEST_TERMINATED) => return self.terminated(&message.description.unwrap_or_default()),
            Some(StatusCode::NO_RESPONDERS) => {
                // The server has begun anew, and does not know its consumers yet, or this one is gone.
                self.pulled(true);
                self.check();
                return Ok(());
            }
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => {
                self.pulled(false);
                self.starved();
                return Ok(());
            }
            Some(status) => {
                let said = message.description.unwrap_or_default();
                let why = format!("the server answers a request for messages with {status}: {said}");
                return Err(Failure::because(Kind::Source, READING, why));
            }
        }
        let parsed = message.reply.as_ref().and_then(|reply| self.subjects.parse(reply));
        let Some(parsed) = parsed else {
            let why = "the server sent a message that cannot be acknowledged";
            return Err(Failure::because(Kind::Source, READING, why));
        };
        if let Some(pull) = &mut self.pull {
            pull.has_any = true;
            pull.left = pull.left.saturating_sub(1);
            if pull.left == 0 {
                self.pull = None;
            }
        }
        self.busy = Instant::now();
        self.deliver(parsed, message.payload).await
    }

    /// Why the server has ended a request.
    fn terminated(&mut self, why: &str) -> Result<(), Failure> {
        let has_any = self.pull.as_ref().is_none_or(|pull| pull.has_any);
        let is = |text: &str| why.to_ascii_lowercase().contains(text);
        if is("exceeds maxbytes") {
            if !has_any {
                let why = if self.terms.request.bytes < self.share() {
                    let allowed = self.terms.request.bytes;
                    format!("the next message is larger than the consumer lets anyone ask for: max_bytes={allowed}")
                } else {
                    let allowed = format_size(self.terms.largest as u64);
                    format!(
                        "the next message is larger than max-record={allowed} allows, which has to be raised: bad=skip \
                         cannot drop a message that the server does not send"
                    )
                };
                return Err(Failure::because(Kind::Limit, READING, why));
            }
            self.pulled(false);
            return Ok(());
        }
        if is("exceeded maxwaiting") {
            // Other readers have as many requests there as the consumer allows.
            self.pulled(true);
            return Ok(());
        }
        if is("consumer deleted") || is("exceeded max") || is("push based") {
            let operation = format!("cannot read through the consumer {}", self.terms.consumer);
            return Err(Failure::because(Kind::Source, operation, why));
        }
        self.pulled(!is("batch completed"));
        Ok(())
    }

    /// Gives a message to the reader.
    async fn deliver(&mut self, parsed: Parsed, payload: Bytes) -> Result<(), Failure> {
        let queue = &self.shared.queue;
        queue.pending.store(parsed.pending, Ordering::Relaxed);
        if parsed.times > 1 {
            queue.redelivered.fetch_add(1, Ordering::Relaxed);
        }
        let delivery = match self.deliveries.add(parsed, now) {
            Added::New(delivery) => delivery,
            // What was done so far goes on.
            Added::Held => return Ok(()),
            Added::Another => {
                let operation = format!("cannot read from the stream {}", self.terms.stream);
                let why = "it was made anew: what is held is of the one before";
                self.lose(Failure::because(Kind::Source, operation, why));
                return Ok(());
            }
        };
        if self.is_over {
            return Ok(());
        }
        self.count += 1;
        match self.record(&payload) {
            Ok(bytes) => self.shared.push(Record {
                bytes,
                position: delivery.position,
            }),
            Err((kind, why)) => self.reject(delivery, payload, kind, why).await?,
        }
        self.count_held();
        if self.terms.wanted == Some(self.count) {
            self.stop(Ok(()));
        }
        Ok(())
    }

    /// What a message becomes, or why it is no record.
    fn record(&mut self, payload: &Bytes) -> Result<Bytes, (Kind, String)> {
        if payload.len() >= self.terms.largest {
            let size = human_size(payload.len() as u64);
            let allowed = format_size(self.terms.largest as u64);
            return Err((
                Kind::Limit,
                format!("it has {size}, and max-record={allowed} allows less"),
            ));
        }
        let record = if self.terms.is_json {
            messages::json(&mut self.scanner, payload, "as=lines accepts it")
        } else {
            messages::line(payload, "as=json accepts it")
        };
        record.map_err(|why| (Kind::Corrupt, why))
    }

    /// Fails because of a message that is no record, or drops it.
    async fn reject(&mut self, delivery: Delivery, payload: Bytes, kind: Kind, why: String) -> Result<(), Failure> {
        let operation = format!("cannot accept message {} of {}", delivery.stream, self.terms.stream);
        let Bad::Skip(subject) = &self.terms.bad else {
            return Err(Failure::because(kind, operation, why));
        };
        tracing::debug!("{operation}: {why}");
        if let Some(subject) = subject {
            let failed = |error: &dyn std::error::Error| {
                let operation = format!("cannot publish message {} to {subject}", delivery.stream);
                Failure::because(Kind::Source, operation, with_sources(error))
            };
            let sent = match self.context.publish(subject.clone(), payload).await {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(_) => {}
                // It comes again.
                Err(_) if self.events.is_lost() => {
                    self.count -= 1;
                    self.deliveries.drop_last();
                    return Ok(());
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        self.deliveries.drop_last();
        self.say(delivery, "+TERM").await;
        self.shared.reject();
        Ok(())
    }

    fn count_held(&self) {
        let held = self.deliveries.len() as u64;
        self.shared.queue.unacknowledged.store(held, Ordering::Relaxed);
    }

    /// Answers a delivery, if there is a connection: what is not said comes again.
    async fn say(&self, delivery: Delivery, what: &'static str) {
        if !self.is_connected() || self.events.is_lost() {
            return;
        }
        let said = self.client.publish(self.subjects.of(delivery), what.into()).await;
        if let Err(error) = said {
            tracing::info!("a message was not answered: {error}");
        }
    }

    /// Acknowledges what has become durable. The server handles the acknowledgements of a connection in their order, so that
    /// the last one, which it confirms, stands for all.
    fn confirm(&mut self) {
        if self.confirming.is_some() || self.unconfirmed.is_some() {
            return;
        }
        let durable = self.shared.durable();
        let run = self.deliveries.take_up_to(durable);
        if !run.is_empty() && !self.is_gone {
            self.send(run.into());
        }
    }

    /// Acknowledges deliveries on this connection, or keeps them for the next one.
    fn send(&mut self, run: Arc<[Delivery]>) {
        if !self.is_open() {
            self.unconfirmed = Some(run);
            return;
        }
        let (client, subjects, all) = (self.client.clone(), self.subjects.clone(), run.clone());
        let sent = async move {
            let Some((last, others)) = all.split_last() else {
                return true;
            };
            for delivery in others {
                if client.publish(subjects.of(*delivery), "+ACK".into()).await.is_err() {
                    return false;
                }
            }
            let request = Request::new().payload("+ACK".into()).timeout(Some(CONFIRM));
            match client.send_request(subjects.of(*last), request).await {
                Ok(_) => true,
                Err(error) => {
                    tracing::warn!("the server has not confirmed that messages are acknowledged: {error}");
                    tokio::time::sleep(PAUSE).await;
                    false
                }
            }
        };
        self.confirming = Some((tokio::spawn(sent), run));
    }

    fn confirmed(&mut self, is_confirmed: bool) {
        let Some((_, run)) = self.confirming.take() else { return };
        if is_confirmed {
            self.deliveries.forget(&run);
            self.count_held();
            return;
        }
        self.unconfirmed = Some(run).filter(|_| !self.is_gone);
        self.check();
    }

    /// Tells the server that what is held is being worked on.
    async fn say_alive(&self) {
        if self.is_gone {
            return;
        }
        let confirming = self.confirming.iter().map(|(_, run)| run);
        let unconfirmed = confirming.chain(&self.unconfirmed).flat_map(|run| run.iter().copied());
        for delivery in unconfirmed.chain(self.deliveries.iter()) {
            self.say(delivery, "+WPI").await;
        }
    }

    /// Goes on with another connection.
    async fn begin_again(&mut self, Connection { client, events }: Connection) -> Result<(), Failure> {
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            self.take(message).await?;
        }
        (self.context, self.client, self.events) = (jetstream::new(client.clone()), client, events);
        self.line = Line::Open;
        // A request of the one before would deliver to an inbox that is not ours any more.
        let Ok(subscribed) = subscribe(&self.client).await else {
            self.lost();
            return Ok(());
        };
        (self.inbox, self.subscriber) = subscribed;
        self.say_alive().await;
        // Nothing is acknowledged of messages that may be others by now.
        self.check();
        // An outage is no pause of those who write.
        self.busy = Instant::now();
        Ok(())
    }

    /// Gives back what is not durable, so that another reader has it at once.
    async fn end(mut self) {
        if let Line::Connecting(connecting) = &self.line {
            connecting.abort();
        }
        if !self.is_connected() {
            return self.shared.done(self.fault);
        }
        // Or our own request would get it. What the server has sent before it knows of that still comes.
        if let Err(error) = self.subscriber.drain().await {
            tracing::info!("{error}");
        }
        let until = Instant::now() + DRAIN;
        while let Ok(Some(message)) = timeout_at(until, self.subscriber.next()).await {
            if let Some(parsed) = message.reply.as_ref().and_then(|reply| self.subjects.parse(reply)) {
                self.deliveries.add(parsed, || 0);
            }
        }
        if !self.is_gone {
            for delivery in self.deliveries.iter() {
                self.say(delivery, "-NAK").await;
            }
        }
        if let Err(error) = self.client.flush().await {
            tracing::info!("{error}");
        }
        self.shared.done(self.fault);
    }
}
