//! `nats://`: messages of NATS, kept in streams, read through a durable consumer and published.

mod check;
mod consumer;
mod deliveries;
mod handover;
mod read;
mod server;
mod session;
mod write;

use crate::catalog::{Access, Kind as Value, Param, Scheme};

use super::connecting::{CONNECT_TIMEOUT, RETRY};
use super::tls::{CA, CERT, KEY, VERIFY};

const LINES: &str = "lines";
const JSON: &str = "json";
const FAIL: &str = "fail";
const SKIP: &str = "skip";

const CONSUMER: Param = Param::named(
    "consumer",
    Value::Text,
    None,
    "the durable consumer; several readers of one share its messages. It is made if there is none of that name",
);
const FILTER: Param = Param::named(
    "filter",
    Value::Text,
    None,
    "only messages of this subject, which may have wildcards; it has to be that of an existing consumer",
);
const ACK_WAIT: Param = Param::named(
    "ack-wait",
    Value::Duration,
    None,
    "after how long without a sign of life the server delivers a message again; 30s for a new consumer",
);
const MAX_DELIVER: Param = Param::named(
    "max-deliver",
    Value::Integer { min: 1, max: i64::MAX },
    None,
    "how often the server delivers a message at most; no limit for a new consumer unless given",
);
const MAX_PENDING: Param = Param::named(
    "max-pending",
    Value::Integer { min: 1, max: 1 << 24 },
    Some("16384"),
    "the most messages that are held here without being acknowledged; at that many no more are asked for",
);
const IDLE: Param = Param::named(
    "idle",
    Value::Duration,
    None,
    "end once the server has had no message for so long; unless given, a signal ends it",
);
const MESSAGES: Param = Param::named(
    "messages",
    Value::Integer { min: 1, max: i64::MAX },
    None,
    "end after so many messages; no other is acknowledged",
);
const READ_AS: Param = Param::named(
    "as",
    Value::Choice(&[LINES, JSON]),
    Some(LINES),
    "what messages become: lines, a message each; or json, a message with one value each",
);
const BAD: Param = Param::named(
    "bad",
    Value::Choice(&[FAIL, SKIP]),
    Some(FAIL),
    "what to do with a message that is no such record, or is too long: fail the run, or drop the message for good",
);
const REJECT: Param = Param::named(
    "reject",
    Value::Text,
    None,
    "the subject, of any stream, that a message goes to before it is dropped; it needs bad=skip",
);
const MAX_RECORD: Param = Param::named(
    "max-record",
    Value::Size,
    None,
    "the largest message, and one byte for its line end; 1 MiB unless given, less under a small --memory",
);
const SUBJECT: Param = Param::named("subject", Value::Text, None, "the subject that is published to");
const DEDUP: Param = Param::named(
    "dedup",
    Value::Text,
    None,
    "the field of a JSON record that identifies it: the server drops a second message with the same one that comes \
     within the stream's duplicate window",
);
const CREDS: Param = Param::named("creds", Value::Bytes, None, "the file with the user's JWT and seed");
const USER: Param = Param::named(
    "user",
    Value::Bytes,
    None,
    "@FILE whose first line is NAME:PASSWORD, or a token",
);
const TLS: Param = Param::named(
    "tls",
    Value::Flag,
    Some("false"),
    "refuse a connection without TLS; ca=, cert= and verify= imply it, and a server may ask for it in any case",
);

/// `nats://HOST[:PORT]/STREAM`
pub static SCHEME: Scheme = Scheme {
    form: "nats://HOST[:PORT]/STREAM",
    prefix: "nats://",
    summary: "a stream of NATS JetStream; each message is a record",
    read: Some(Access {
        params: &[
            CONSUMER,
            FILTER,
            ACK_WAIT,
            MAX_DELIVER,
            MAX_PENDING,
            IDLE,
            MESSAGES,
            READ_AS,
            BAD,
            REJECT,
            MAX_RECORD,
            CREDS,
            USER,
            TLS,
            CA,
            CERT,
            KEY,
            VERIFY,
            CONNECT_TIMEOUT,
            RETRY,
        ],
        place: read::named,
    }),
    write: Some(Access {
        params: &[
            SUBJECT,
            DEDUP,
            CREDS,
            USER,
            TLS,
            CA,
            CERT,
            KEY,
            VERIFY,
            CONNECT_TIMEOUT,
            RETRY,
        ],
        place: write::named,
    }),
};
