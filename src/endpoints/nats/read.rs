//! A stream that is read.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;

use crate::catalog::{Args, Param, Placed};
use crate::error::{Failure, Problem, Stop};
use crate::flow::Position;
use crate::graph::Port;
use crate::stage::{
    Acknowledged, BoxFuture, Endpoint, Facts, OpenReader, Outside, QueueState, Reach, RecordBound, RecordReader,
    RecordRoom, Settle, Settled,
};

use super::consumer::Consumer;
use super::deliveries;
use super::handover::Shared;
use super::server::{self, Server, is_name, is_subject};
use super::session::{self, Bad, Session, Terms};
use super::{
    ACK_WAIT, BAD, CONSUMER, FILTER, IDLE, JSON, MAX_DELIVER, MAX_PENDING, MAX_RECORD, MESSAGES, READ_AS, REJECT, SKIP,
};

/// Reads what follows `nats://`.
pub fn named(rest: &[u8], args: &Args) -> Placed {
    let server = Server::named(rest, args)?;
    let at = |param: Param, message: String| Problem::at(args.span_of(param.name), message);
    let Some(name) = args.text(CONSUMER.name) else {
        let problem = Problem::at(args.span_of("path"), "`consumer` is missing");
        return Err(problem.help("name the durable consumer, which is made if need be, as in consumer=archive"));
    };
    if !is_name(name) {
        let problem = at(CONSUMER, format!("`{name}` is no name of a consumer"));
        return Err(problem.help("leave out spaces and the characters . * > / \\"));
    }
    let filter = args.text(FILTER.name);
    let reject = args.text(REJECT.name);
    for (param, subject) in [(FILTER, filter), (REJECT, reject)] {
        if let Some(subject) = subject.filter(|subject| !is_subject(subject, param.name == FILTER.name)) {
            let problem = at(param, format!("`{subject}` is no subject"));
            return Err(problem.help("a subject is names with dots between them, as in orders.eu"));
        }
    }
    let skips = args.choice(BAD.name) == Some(SKIP);
    if reject.is_some() && !skips {
        return Err(at(REJECT, "`reject` is for bad=skip".to_owned()).help("give bad=skip as well, or leave it out"));
    }
    for param in [ACK_WAIT, IDLE] {
        if args.duration(param.name).is_some_and(|time| time < SHORTEST) {
            let problem = at(param, format!("`{}` is too short", param.name));
            return Err(problem.help("give 100ms or more"));
        }
    }
    let bound = args.size(MAX_RECORD.name);
    Ok(Box::new(Queue {
        server,
        consumer: Consumer {
            name: name.to_owned(),
            filter: filter.map(str::to_owned),
            ack_wait: args.duration(ACK_WAIT.name),
            max_deliver: args.integer(MAX_DELIVER.name),
        },
        is_json: args.choice(READ_AS.name) == Some(JSON),
        bad: if skips {
            Bad::Skip(reject.map(str::to_owned))
        } else {
            Bad::Fail
        },
        bound: bound.map_or(RecordBound::Open, |bytes| RecordBound::Given(bytes.max(2))),
        largest: 0,
        most: args.integer(MAX_PENDING.name).map_or(1, i64::unsigned_abs),
        idle: args.duration(IDLE.name),
        wanted: args.integer(MESSAGES.name).map(i64::unsigned_abs),
    }))
}

/// The shortest time that the server or this side can keep.
const SHORTEST: Duration = Duration::from_millis(100);

/// A stream that is read through a consumer.
struct Queue {
    server: Server,
    consumer: Consumer,
    is_json: bool,
    bad: Bad,
    bound: RecordBound,
    /// Bytes of the largest message with its newline, once that is known.
    largest: u64,
    most: u64,
    idle: Option<Duration>,
    wanted: Option<u64>,
}

impl Endpoint for Queue {
    fn shown(&self) -> String {
        self.server.shown()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        let deliveries = self.most.saturating_mul(deliveries::EACH);
        let messages = session::HELD.saturating_mul(self.largest);
        let fixed = session::MEMORY + server::MEMORY;
        messages.saturating_add(deliveries).saturating_add(fixed)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        Some(RecordRoom {
            bound: self.bound,
            held: session::HELD,
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

    fn is_endless(&self) -> bool {
        self.idle.is_none() && self.wanted.is_none()
    }

    fn settles(&self) -> bool {
        true
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        Some(Acknowledged {
            parameter: CONSUMER.name,
            is_optional: false,
        })
    }

    fn gives(&self) -> Port {
        if self.is_json { Port::Json } else { Port::Lines }
    }

    fn reading(&self) -> String {
        format!(
            "reads through the consumer {}; each message is acknowledged once its batch is durable",
            self.consumer.name
        )
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let connection = self.server.connect_once().await?;
            let context = jetstream::new(connection.client.clone());
            let stream = &self.server.stream;
            let found = self.consumer.find(&context, stream).await?;
            if let Bad::Skip(Some(subject)) = &self.bad {
                found.check_reject(&context, stream, subject).await?;
            }
            let most = usize::try_from(self.most).unwrap_or(usize::MAX);
            let terms = Terms {
                stream: stream.clone(),
                consumer: self.consumer.name,
                is_json: self.is_json,
                bad: self.bad,
                largest: usize::try_from(self.largest).unwrap_or(usize::MAX),
                most: found.most.map_or(most, |all| all.min(most)),
                is_bound_by_consumer: found.most.is_some_and(|all| all < most),
                ack_wait: found.ack_wait,
                created: found.created,
                request: found.request,
                idle: self.idle,
                wanted: self.wanted,
            };
            let shared = Session::start(self.server, connection, terms).await?;
            Ok(OpenReader::Records(Box::new(Reader {
                told: Arc::new(Told(shared.clone())),
                shared,
                record: Bytes::new(),
                position: 0,
            })))
        })
    }
}

/// The messages of a consumer.
struct Reader {
    shared: Arc<Shared>,
    told: Arc<Told>,
    record: Bytes,
    /// The position behind it.
    position: u128,
}

impl RecordReader for Reader {
    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Stop>> {
        // First, because the library reads into memory that nothing else is in.
        self.record = Bytes::new();
        match self.shared.next(context.waker()) {
            Some(Ok(Some(record))) => {
                self.record = record.bytes;
                self.position = record.position;
                Poll::Ready(Ok(true))
            }
            Some(Ok(None)) => Poll::Ready(Ok(false)),
            Some(Err(failure)) => Poll::Ready(Err(failure.into())),
            None => Poll::Pending,
        }
    }

    fn record(&self) -> &[u8] {
        &self.record
    }

    fn positions(&self) -> Option<[Position; 2]> {
        Some([Position(self.position - 1), Position(self.position)])
    }

    fn rejected(&mut self) -> u64 {
        self.shared.rejected()
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        Some(self.told.clone())
    }

    fn queue_state(&self) -> Option<Arc<QueueState>> {
        Some(self.shared.queue.clone())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Is told what is durable.
struct Told(Arc<Shared>);

impl Settle for Told {
    fn limit(&self) -> Duration {
        session::SETTLED
    }

    fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move { self.0.settle().await })
    }

    fn is_acknowledged(&self) -> bool {
        true
    }

    fn acknowledge(&self, position: Position) {
        self.0.acknowledge(position.0);
    }
}
