//! WebSocket messages (RFC 6455), connecting and listening.

use std::future::Future;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use crate::catalog::{Access, Args, Kind as Value, Param, Placed, Scheme};
use crate::error::{Failure, Kind, brief};
use crate::grammar::{format_size, human_size};
use crate::graph::Port;
use crate::net::Transport;
use crate::net::tls;
use crate::stage::{
    BoxFuture, Endpoint, Facts, Mismatch, OpenReader, OpenWriter, Outside, Reach, RecordBound, RecordRoom,
};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, LINGER, RETRY, USER_TIMEOUT};
use super::http::options::{HEADER, USER};
use super::tls::{CA, CERT, KEY, VERIFY};

mod connect;
mod listen;
mod read;
mod write;

use connect::Server;
use listen::{Listener, ORIGIN};
use read::Reader;
use write::Writer;

/// A connection on which both sides have agreed.
type Socket = WebSocketStream<Transport>;

const LINES: &str = "lines";
const JSON: &str = "json";
const BYTES: &str = "bytes";
const TEXT: &str = "text";
const BINARY: &str = "binary";

/// What messages become.
const READ_AS: Param = Param::named(
    "as",
    Value::Choice(&[LINES, JSON, BYTES]),
    Some(LINES),
    "what messages become: lines, a text message each; json, a text message with one value each; or bytes without \
     boundaries, binary messages included",
);

/// What messages are made of.
const WRITE_AS: Param = Param::named(
    "as",
    Value::Choice(&[TEXT, BINARY]),
    Some(TEXT),
    "text: each record is a text message, without its newline; binary: bytes, cut anywhere, are binary messages",
);

const MAX_RECORD: Param = Param::named(
    "max-record",
    Value::Size,
    None,
    "the largest message, and one byte for its line end; 1 MiB unless given, less under a small --memory",
);

/// `ws://HOST[:PORT][/PATH]`
pub static WS: Scheme = Scheme {
    form: "ws://HOST/PATH",
    prefix: "ws://",
    summary: "a WebSocket server that is connected to; each message is a record",
    read: Some(Access {
        params: &[READ_AS, MAX_RECORD, HEADER, USER, CONNECT_TIMEOUT, RETRY, USER_TIMEOUT],
        place: |rest, args| read(Server::named(false, rest, args, Kind::Source)?, args),
    }),
    write: Some(Access {
        params: &[WRITE_AS, HEADER, USER, CONNECT_TIMEOUT, RETRY, USER_TIMEOUT, LINGER],
        place: |rest, args| write(Server::named(false, rest, args, Kind::Sink)?, args),
    }),
};

/// `wss://HOST[:PORT][/PATH]`
pub static WSS: Scheme = Scheme {
    form: "wss://HOST/PATH",
    prefix: "wss://",
    summary: "the same over TLS",
    read: Some(Access {
        params: &[
            READ_AS,
            MAX_RECORD,
            HEADER,
            USER,
            CONNECT_TIMEOUT,
            RETRY,
            USER_TIMEOUT,
            CA,
            CERT,
            KEY,
            VERIFY,
        ],
        place: |rest, args| read(Server::named(true, rest, args, Kind::Source)?, args),
    }),
    write: Some(Access {
        params: &[
            WRITE_AS,
            HEADER,
            USER,
            CONNECT_TIMEOUT,
            RETRY,
            USER_TIMEOUT,
            LINGER,
            CA,
            CERT,
            KEY,
            VERIFY,
        ],
        place: |rest, args| write(Server::named(true, rest, args, Kind::Sink)?, args),
    }),
};

/// `ws-listen://HOST:PORT[/PATH]`
pub static LISTEN: Scheme = Scheme {
    form: "ws-listen://HOST:PORT[/PATH]",
    prefix: "ws-listen://",
    summary: "one WebSocket client that connects; port 0 picks a free one",
    read: Some(Access {
        params: &[READ_AS, MAX_RECORD, ORIGIN, USER_TIMEOUT, CA, CERT, KEY],
        place: |rest, args| read(Listener::named(rest, args)?, args),
    }),
    write: Some(Access {
        params: &[WRITE_AS, ORIGIN, USER_TIMEOUT, LINGER, CA, CERT, KEY],
        place: |rest, args| write(Listener::named(rest, args)?, args),
    }),
};

fn read<S: Side>(side: S, args: &Args) -> Placed {
    let bound = args.size(MAX_RECORD.name);
    Ok(Box::new(Messages {
        side,
        form: match args.choice(READ_AS.name) {
            Some(JSON) => Form::Json,
            Some(BYTES) => Form::Bytes,
            _ => Form::Lines,
        },
        bound: bound.map_or(RecordBound::Open, |bytes| RecordBound::Given(bytes.max(2))),
        largest: 0,
    }))
}

fn write<S: Side>(side: S, args: &Args) -> Placed {
    Ok(Box::new(Messages {
        side,
        form: match args.choice(WRITE_AS.name) {
            Some(BINARY) => Form::Binary,
            _ => Form::Text,
        },
        bound: RecordBound::Upstream,
        largest: 0,
    }))
}

/// The other side of a connection.
trait Side: Send + 'static {
    fn shown(&self) -> String;
    fn effect(&self) -> String;
    fn options(&self) -> ConnectOptions;
    fn is_secure(&self) -> bool;
    fn bind(&mut self) -> Result<Option<String>, Failure>;
    /// Checks the files that it names.
    fn check(&self) -> Result<(), Failure>;
    /// Connects or accepts. The connection of a sink ends in a reset until that is changed.
    fn open(self, place: Kind, config: WebSocketConfig) -> impl Future<Output = Result<Socket, Failure>> + Send;
}

/// What messages are on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Json,
    Bytes,
    Text,
    Binary,
}

/// The messages of one connection.
struct Messages<S> {
    side: S,
    form: Form,
    bound: RecordBound,
    /// Bytes of the largest record with its newline, once that is known.
    largest: u64,
}

impl<S> Messages<S> {
    fn largest_record(&self) -> usize {
        usize::try_from(self.largest).unwrap_or(usize::MAX)
    }

    /// How many of the largest messages it holds.
    fn held(&self) -> u64 {
        match self.form {
            Form::Lines | Form::Json | Form::Bytes => read::HELD,
            Form::Text => write::HELD,
            Form::Binary => 0,
        }
    }
}

impl<S: Side> Endpoint for Messages<S> {
    fn shown(&self) -> String {
        self.side.shown()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        self.side.bind()
    }

    fn state_bytes(&self) -> u64 {
        let fixed = match self.form {
            Form::Lines | Form::Json | Form::Bytes => read::MEMORY,
            Form::Text | Form::Binary => write::MEMORY,
        };
        let secure = if self.side.is_secure() { tls::MEMORY } else { 0 };
        self.held().saturating_mul(self.largest).saturating_add(fixed + secure)
    }

    fn record_room(&self) -> Option<RecordRoom> {
        let room = RecordRoom {
            bound: self.bound,
            held: self.held(),
        };
        (self.form != Form::Binary).then_some(room)
    }

    fn settle_records(&mut self, largest: u64) {
        self.largest = largest;
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.side.check()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn gives(&self) -> Port {
        match self.form {
            Form::Lines => Port::Lines,
            Form::Json => Port::Json,
            _ => Port::Bytes,
        }
    }

    fn takes(&self, input: Port) -> Result<(), Mismatch> {
        match self.form {
            Form::Binary => Mismatch::unless_bytes(input),
            _ => Mismatch::unless_lines(input),
        }
    }

    fn effect(&self) -> String {
        self.side.effect()
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let limit = self.largest_record().saturating_sub(1);
            let socket = self.side.open(Kind::Source, read::config(limit)).await?;
            let reader = Reader::new(socket, self.form, limit);
            Ok(match self.form {
                Form::Bytes => OpenReader::Stream(Box::new(reader)),
                _ => OpenReader::Records(Box::new(reader)),
            })
        })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let linger = self.side.options().linger;
            let config = write::config(self.largest_record());
            let socket = self.side.open(Kind::Sink, config).await?;
            let writer = Writer::new(socket, self.form == Form::Binary, linger);
            Ok(OpenWriter::Stream(Box::new(writer)))
        })
    }
}

/// The failure of what was tried on a connection. `limit` is that of the peer's messages, in bytes.
fn failure(place: Kind, operation: &str, error: Error, limit: usize) -> Failure {
    let because = |kind, why: String| Failure::because(kind, operation, why);
    match error {
        Error::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Failure::io(place, operation, error),
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            let mut why = "the connection was cut: there was no Close".to_owned();
            if place == Kind::Source {
                why +=
                    ". A peer may do so if its pings are not answered, which they are not while the pipeline is full";
            }
            because(place, why)
        }
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => {
            let size = human_size(size as u64);
            if place == Kind::Source {
                let allowed = format_size(limit as u64 + 1);
                let why = format!("a message has {size} or more, and max-record={allowed} allows less");
                because(Kind::Limit, why)
            } else {
                let allowed = human_size(limit as u64);
                let why = format!("the peer sent a message of {size} or more, and {allowed} are accepted meanwhile");
                because(place, why)
            }
        }
        Error::Utf8(_) => because(Kind::Corrupt, "a text message is not UTF-8".to_owned()),
        Error::Protocol(error) => because(place, format!("the peer violated the protocol: {error}")),
        error => because(place, error.to_string()),
    }
}

/// Whether a peer that closes so has nothing more to say, and is content.
fn is_end(close: Option<&CloseFrame>) -> bool {
    let code = close.map(|close| close.code);
    matches!(code, None | Some(CloseCode::Normal | CloseCode::Away))
}

/// The code and the reason of a Close, for messages.
fn described(close: Option<&CloseFrame>) -> String {
    match close {
        None => "no code".to_owned(),
        Some(close) if close.reason.is_empty() => format!("code {}", close.code),
        Some(close) => format!("code {}, {}", close.code, brief(close.reason.as_bytes())),
    }
}
