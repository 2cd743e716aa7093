//! Messages that are published.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending, poll_fn};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::Client;
use async_nats::HeaderValue;
use async_nats::connection::State;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::{MaybeDone, maybe_done};
use memchr::memchr;
use tokio::time::{Sleep, sleep};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Problem, Stop};
use crate::graph::Port;
use crate::records::json::{Path, content};
use crate::stage::{
    BoxFuture, Endpoint, Facts, Mismatch, OpenWriter, Outcome, Outside, Reach, RecordBound, RecordRoom, StreamWriter,
};

use super::consumer::with_sources;
use super::server::{self, Events, Server, is_subject, matches};
use super::{DEDUP, SUBJECT};

/// The most bytes of messages that the server has not confirmed, unless one is larger.
const WINDOW: usize = 1 << 20;
/// Bytes that are counted for each message besides its own.
const OVERHEAD: usize = 1 << 10;
/// The most memory that a writer holds besides its largest message, in bytes.
const MEMORY: u64 = WINDOW as u64;
/// How many of the largest messages it holds.
const HELD: u64 = 2;
/// How long the server may take to confirm a message.
const CONFIRM: Duration = Duration::from_secs(5);
/// The pause before refused messages are tried again, which doubles.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Reads what follows `nats://`.
pub fn named(rest: &[u8], args: &Args) -> Placed {
    let server = Server::named(rest, args)?;
    let Some(subject) = args.text(SUBJECT.name) else {
        let problem = Problem::at(args.span_of("path"), "`subject` is missing");
        return Err(problem.help("name the subject to publish to, as in subject=orders.eu"));
    };
    if !is_subject(subject, false) {
        let problem = Problem::at(
            args.span_of(SUBJECT.name),
            format!("`{subject}` is no subject to publish to"),
        );
        return Err(problem.help("a subject is names with dots between them, as in orders.eu"));
    }
    let dedup = args.text(DEDUP.name).map(|field| {
        Path::parse(field.as_bytes()).map_err(|_| {
            let problem = Problem::at(args.span_of(DEDUP.name), format!("`{field}` names no field"));
            problem.help("write NAME, or NAME.NAME for a nested one")
        })
    });
    Ok(Box::new(Publisher {
        server,
        subject: subject.to_owned(),
        dedup: dedup.transpose()?,
        largest: 0,
    }))
}

/// A stream that is written to.
struct Publisher {
    server: Server,
    subject: String,
    /// The field that identifies a record.
    dedup: Option<Path>,
    /// Bytes of the largest record with its newline, once that is known.
    largest: u64,
}

impl Endpoint for Publisher {
    fn shown(&self) -> String {
        self.server.shown()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        let messages = HELD.saturating_mul(self.largest);
        messages.saturating_add(MEMORY + server::MEMORY)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: RecordBound::Upstream,
            held: HELD,
        })
    }

    fn settle_records(&mut self, largest: u64) {
        self.largest = largest;
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.server.check()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        if self.dedup.is_some() {
            Mismatch::unless_json(input)
        } else {
            Mismatch::unless_lines(input)
        }
    }

    fn effect(&self) -> String {
        format!(
            "publishes each record to {} of {}; what was published is not taken back",
            self.subject,
            self.shown()
        )
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let events = Arc::<Events>::default();
            let client = self.server.connect(&events).await?;
            let mut context = jetstream::context::ContextBuilder::new()
                .ack_timeout(CONFIRM)
                .max_ack_inflight(2 * WINDOW / OVERHEAD)
                .build(client.clone());
            context.set_timeout(CONFIRM);
            let operation = || format!("cannot use the stream {}", self.server.stream);
            let found = context.get_stream(&self.server.stream).await;
            let found = found.map_err(|error| Failure::because(Kind::Sink, operation(), with_sources(&error)))?;
            // Those of a stream that is filled from others are not its own.
            let subjects = &found.cached_info().config.subjects;
            if !subjects.iter().any(|pattern| matches(pattern, &self.subject)) {
                let why = match subjects.as_slice() {
                    [] => "it takes no messages but those of other streams".to_owned(),
                    subjects => format!("it does not take {}, only {}", self.subject, subjects.join(", ")),
                };
                return Err(Failure::because(Kind::Usage, operation(), why));
            }
            Ok(OpenWriter::Stream(Box::new(Writer {
                client,
                refusal: Box::pin(events.refusal()),
                context,
                stream: self.server.stream,
                subject: self.subject,
                dedup: self.dedup,
                sending: None,
                unconfirmed: VecDeque::new(),
                bytes: 0,
                refused: BTreeMap::new(),
                pause: None,
                next_pause: PAUSE,
                has_warned: false,
                count: 0,
            })))
        })
    }
}

/// A message that the server has not confirmed.
struct Unconfirmed {
    /// Its number, from 1.
    number: u64,
    payload: Bytes,
    /// What identifies it.
    identity: Option<HeaderValue>,
}

impl Unconfirmed {
    /// Bytes that are counted for it.
    fn size(&self) -> usize {
        // The library copies it twice.
        let identity = self.identity.as_ref().map_or(0, |value| value.as_str().len());
        self.payload.len() + 3 * identity + OVERHEAD
    }
}

/// The sending of a message.
type Sending = BoxFuture<'static, (Unconfirmed, Result<PublishAckFuture, PublishError>)>;
/// The wait until the server has confirmed it, and says in which stream it is.
type Confirming = BoxFuture<'static, Confirmed>;
type Confirmed = (Unconfirmed, Result<String, PublishError>);

struct Writer {
    client: Client,
    /// Why the server does not let it in any more.
    refusal: BoxFuture<'static, Failure>,
    context: jetstream::Context,
    stream: String,
    subject: String,
    dedup: Option<Path>,
    /// The message that is handed to the connection: one at a time, so that they stay in order.
    sending: Option<Sending>,
    /// In their order, in which the server answers: only the first one is waited for.
    unconfirmed: VecDeque<MaybeDone<Confirming>>,
    /// Bytes of all messages that are not confirmed.
    bytes: usize,
    /// Messages that are published again, in their order, one at a time until the server has confirmed all of them.
    refused: BTreeMap<u64, Unconfirmed>,
    /// Until then none is published.
    pause: Option<Pin<Box<Sleep>>>,
    next_pause: Duration,
    /// Whether it was said that messages are refused.
    has_warned: bool,
    count: u64,
}

impl Writer {
    /// Begins to send a message; none is being sent.
    fn publish(&mut self, message: Unconfirmed) {
        let (context, subject) = (self.context.clone(), self.subject.clone());
        self.sending = Some(Box::pin(async move {
            let mut publish = PublishMessage::build().payload(message.payload.clone());
            if let Some(identity) = &message.identity {
                publish = publish.header(NATS_MESSAGE_ID, identity.clone());
            }
            let sent = context.send_publish(subject, publish).await;
            (message, sent)
        }));
    }

    /// Ready once no message is being sent.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(Ok(()));
        };
        let (message, sent) = ready!(sending.as_mut().poll(context));
        self.sending = None;
        match sent {
            Ok(confirmed) => {
                let confirming = async move { (message, confirmed.await.map(|said| said.stream)) };
                self.unconfirmed.push_back(maybe_done(Box::pin(confirming)));
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(self.refuse(message, &error)),
        }
    }

    /// The answer to the first message that has none yet; `None` if nothing is unconfirmed.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Option<Confirmed>> {
        let Some(first) = self.unconfirmed.front_mut() else {
            return Poll::Ready(None);
        };
        ready!(Pin::new(&mut *first).poll(context));
        let answer = Pin::new(first).take_output();
        self.unconfirmed.pop_front();
        if self.refused.is_empty() && matches!(answer, Some((_, Err(_)))) {
            // The time of all others runs from now on, not one after the other.
            for other in &mut self.unconfirmed {
                let _ = Pin::new(other).poll(context);
            }
        }
        Poll::Ready(answer)
    }

    /// Takes what the server has confirmed or refused; ready once nothing is unconfirmed.
    fn poll_confirmed(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Poll::Ready(failure) = self.refusal.as_mut().poll(context) {
            self.refusal = Box::pin(pending());
            return Poll::Ready(Err(failure.into()));
        }
        loop {
            let is_sending = self.poll_sent(context)?.is_pending();
            match self.poll_first(context) {
                Poll::Ready(Some((message, Ok(stream)))) => {
                    if stream != self.stream {
                        let operation = format!("cannot publish record {}", message.number);
                        let why = format!(
                            "the stream {stream} has taken it: {} is not of {}",
                            self.subject, self.stream
                        );
                        return Poll::Ready(Err(Failure::because(Kind::Sink, operation, why).into()));
                    }
                    self.bytes -= message.size();
                    if self.refused.is_empty() {
                        self.pause = None;
                        self.next_pause = PAUSE;
                    }
                }
                Poll::Ready(Some((message, Err(error)))) => self.refuse(message, &error)?,
                Poll::Ready(None) if is_sending => return Poll::Pending,
                Poll::Ready(None) => {
                    if let Some(pause) = &mut self.pause {
                        ready!(pause.as_mut().poll(context));
                        self.pause = None;
                    }
                    // The library queues what is published without a connection: each attempt would be sent in the end.
                    if !self.refused.is_empty() && self.client.connection_state() != State::Connected {
                        self.pause = Some(Box::pin(sleep(PAUSE)));
                        continue;
                    }
                    match self.refused.pop_first() {
                        Some((_, message)) => self.publish(message),
                        None => return Poll::Ready(Ok(())),
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Keeps a message for later, unless the server never takes it.
    fn refuse(&mut self, message: Unconfirmed, error: &PublishError) -> Outcome {
        let why = with_sources(error);
        let reply = std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
        let is_temporary = match error.kind() {
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::StreamNotFound => true,
            _ => reply.is_some_and(|reply| reply.code() == 503),
        };
        if !is_temporary {
            let operation = format!("cannot publish record {}", message.number);
            return Err(Failure::because(Kind::Sink, operation, why).into());
        }
        if self.pause.is_none() {
            if self.refused.is_empty() && !std::mem::replace(&mut self.has_warned, true) {
                tracing::warn!("the server does not take messages for now, trying again: {why}");
            }
            self.pause = Some(Box::pin(sleep(self.next_pause)));
            self.next_pause = (2 * self.next_pause).min(LONGEST_PAUSE);
        }
        self.refused.insert(message.number, message);
        Ok(())
    }

    /// The message of a record.
    fn message(&mut self, record: &[u8]) -> Result<Unconfirmed, Failure> {
        self.count += 1;
        let identity = match &self.dedup {
            None => None,
            Some(path) => Some(path.find(record).and_then(identity).ok_or_else(|| {
                let operation = format!("cannot publish record {}", self.count);
                let why = "the field of dedup= is missing in it, or neither a number nor a string with something in it";
                Failure::because(Kind::Corrupt, operation, why)
            })?),
        };
        Ok(Unconfirmed {
            number: self.count,
            payload: Bytes::copy_from_slice(record),
            identity,
        })
    }

    fn has_room(&self) -> bool {
        self.refused.is_empty() && self.bytes < WINDOW
    }
}

/// What a number or a string says; other values are none, or may be written in several ways.
fn identity(value: &[u8]) -> Option<HeaderValue> {
    let text = match value.first()? {
        b'"' => content(value)?,
        b'-' | b'0'..=b'9' => value,
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    text.parse().ok()
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        if let Poll::Ready(Err(stop)) = self.poll_confirmed(context) {
            return Poll::Ready(Err(stop));
        }
        let mut written = 0;
        'all: for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                if self.poll_sent(context)?.is_pending() || !self.has_room() {
                    break 'all;
                }
                // A chunk has whole records.
                let length = memchr(b'\n', rest).unwrap_or(rest.len());
                let message = self.message(&rest[..length])?;
                self.bytes += message.size();
                self.publish(message);
                let taken = rest.len().min(length + 1);
                rest = &rest[taken..];
                written += taken;
            }
        }
        if written == 0 {
            return Poll::Pending;
        }
        // So that what was sent last wakes this task once it is confirmed.
        if let Poll::Ready(Err(stop)) = self.poll_confirmed(context) {
            return Poll::Ready(Err(stop));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        match self.poll_confirmed(context) {
            Poll::Ready(Err(stop)) => Poll::Ready(stop),
            _ => Poll::Pending,
        }
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(poll_fn(|context| self.poll_confirmed(context)))
    }
}
