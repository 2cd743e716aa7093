//! How long a connection is waited for: while it is made, while it stands, and when it ends.

use std::time::Duration;

use crate::catalog::{Args, Kind, Param, Place};

/// What the user allows a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The time for one attempt to resolve and connect; accepting waits as long as it takes.
    pub connect: Duration,
    /// How many more attempts are made where the first fails.
    pub retries: u64,
    /// How long the peer's system may leave what was sent without an answer, or without room; `None` for as long as the
    /// system has it.
    pub unanswered: Option<Duration>,
    /// How long the peer may take for what is left after the last byte was written; `None` for as long as it takes.
    pub linger: Option<Duration>,
}

impl ConnectOptions {
    /// What a call says of what it supports.
    pub fn of(args: &Args) -> Self {
        let duration = |param: Param| args.supports(param.name).then(|| args.duration(param.name)).flatten();
        let retries = args.supports(RETRY.name).then(|| args.integer(RETRY.name));
        Self {
            connect: duration(CONNECT_TIMEOUT).unwrap_or_default(),
            retries: retries.flatten().map_or(0, i64::unsigned_abs),
            unanswered: duration(USER_TIMEOUT).filter(|limit| !limit.is_zero()),
            linger: duration(LINGER),
        }
    }
}

const fn named(name: &'static str, kind: Kind, default: Option<&'static str>, help: &'static str) -> Param {
    Param {
        name,
        kind,
        place: Place::Named,
        required: false,
        default,
        help,
    }
}

/// The time for one attempt.
pub const CONNECT_TIMEOUT: Param = named(
    "connect-timeout",
    Kind::Duration,
    Some("10s"),
    "how long it may take to resolve and connect",
);

/// Trying again to connect.
pub const RETRY: Param = named(
    "retry",
    Kind::Integer { min: 0, max: i64::MAX },
    None,
    "how often to try again to connect, after pauses that grow to 10s; connect-timeout= is for each attempt",
);

/// TCP's user timeout.
pub const USER_TIMEOUT: Param = named(
    "user-timeout",
    Kind::Duration,
    None,
    "end a TCP connection that gives no answer, or has no room, for so long; else the system's time, about 15 minutes \
     without an answer",
);

/// Waiting at the end.
pub const LINGER: Param = named(
    "linger",
    Kind::Duration,
    None,
    "how long a peer may take for the rest after the last byte was written; else as long as it takes",
);
