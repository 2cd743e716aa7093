//! Time limits of a connection: to make it, while it is open, and at its end.

use std::time::Duration;

use crate::catalog::{Args, Kind, Param};
use crate::net::Dial;

/// The time limits that the user set for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The time for one attempt to resolve and connect; accepting has no limit.
    pub connect: Duration,
    /// The number of further attempts if the first fails.
    pub retries: u64,
    /// How long the peer's system may leave sent data unacknowledged or its window closed; `None` for the system's
    /// default.
    pub unanswered: Option<Duration>,
    /// How long the peer may take for the rest after the last byte was written; `None` for no limit.
    pub linger: Option<Duration>,
}

impl ConnectOptions {
    /// Reads the parameters that the call's endpoint supports.
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

    /// How a TCP connection is made with them.
    pub fn dial(self, resets: bool) -> Dial {
        Dial {
            limit: self.connect,
            unanswered: self.unanswered,
            resets,
        }
    }
}

/// The time for one attempt.
pub const CONNECT_TIMEOUT: Param = Param::named(
    "connect-timeout",
    Kind::Duration,
    Some("10s"),
    "how long it may take to resolve and connect",
);

/// Retries of a failed connection.
pub const RETRY: Param = Param::named(
    "retry",
    Kind::Integer { min: 0, max: i64::MAX },
    None,
    "how often to try again to connect, after pauses that grow to 10s; connect-timeout= is for each attempt",
);

/// TCP's user timeout.
pub const USER_TIMEOUT: Param = Param::named(
    "user-timeout",
    Kind::Duration,
    None,
    "end a TCP connection whose peer acknowledges nothing, or has no room, for so long; by default after about 15 \
     minutes without an acknowledgement",
);

/// The time limit at the end of a connection.
pub const LINGER: Param = Param::named(
    "linger",
    Kind::Duration,
    None,
    "how long a peer may take for the rest after the last byte was written; no limit by default",
);
