//! How long a connection is waited for: while it is made, while it stands, and when it ends.

use std::time::Duration;

use crate::catalog::{Args, Kind, Param, Place};
use crate::error::Problem;

use super::Endpoint;

/// What the user allows a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
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

impl Patience {
    /// What a call of `read` or `write` says.
    pub(super) fn of(args: &Args) -> Self {
        let default = Self::default();
        Self {
            connect: args.duration(CONNECT_TIMEOUT).unwrap_or(default.connect),
            retries: args.integer(Knob::Retry.name()).map_or(0, i64::unsigned_abs),
            unanswered: args.duration(Knob::UserTimeout.name()).filter(|limit| !limit.is_zero()),
            linger: None,
        }
    }

    /// What a call of `write` says besides.
    pub(super) fn lingering(self, args: &Args) -> Self {
        Self {
            linger: args.duration(Knob::Linger.name()),
            ..self
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            retries: 0,
            unanswered: None,
            linger: None,
        }
    }
}

/// A parameter that only some kinds of place heed, and that is refused elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    /// Trying again to connect.
    Retry,
    /// TCP's user timeout.
    UserTimeout,
    /// Waiting at the end.
    Linger,
}

impl Knob {
    fn name(self) -> &'static str {
        match self {
            Self::Retry => RETRY.name,
            Self::UserTimeout => USER_TIMEOUT.name,
            Self::Linger => LINGER.name,
        }
    }

    /// Where it means something.
    fn home(self) -> &'static str {
        match self {
            Self::Retry => "it tries again to connect, to tcp://HOST:PORT or unix:PATH",
            Self::UserTimeout => "it is for TCP: tcp://HOST:PORT or tcp-listen://HOST:PORT, where the system has it",
            Self::Linger => "it waits for a peer: tcp://, tcp-listen://, unix: or unix-listen:",
        }
    }

    /// Refuses it where it was given and no endpoint heeds it.
    pub(super) fn check<'a>(
        self,
        args: &Args,
        endpoints: impl IntoIterator<Item = &'a dyn Endpoint>,
    ) -> Result<(), Problem> {
        let mut endpoints = endpoints.into_iter();
        if !args.is_given(self.name()) || endpoints.any(|endpoint| endpoint.heeds(self)) {
            return Ok(());
        }
        let message = format!("{}= has no meaning here", self.name());
        Err(Problem::at(args.span_of(self.name()), message).help(format!("leave it out; {}", self.home())))
    }
}

const CONNECT_TIMEOUT: &str = "connect-timeout";

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
pub(super) const CONNECTING: Param = named(
    CONNECT_TIMEOUT,
    Kind::Duration,
    Some("10s"),
    "how long a network endpoint may take to resolve and connect",
);

/// Trying again to connect.
pub(super) const RETRY: Param = named(
    "retry",
    Kind::Integer { min: 0, max: i64::MAX },
    None,
    "how often to try again to connect, after pauses that grow to 10s; connect-timeout= is for each attempt",
);

/// TCP's user timeout.
pub(super) const USER_TIMEOUT: Param = named(
    "user-timeout",
    Kind::Duration,
    None,
    "end a TCP connection that gives no answer, or has no room, for so long; else the system's time, about 15 minutes \
     without an answer",
);

/// Waiting at the end.
pub(super) const LINGER: Param = named(
    "linger",
    Kind::Duration,
    None,
    "how long a peer may take for the rest after the last byte was written; else as long as it takes",
);
