//! The failure of a run: what was tried, why it failed, and the exit code.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What went wrong, as exit codes tell scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that has no code of its own.
    Other,
    /// Invalid command line or pipeline.
    Usage,
    /// A source could not be opened or read.
    Source,
    /// A sink could not be opened, written or made durable.
    Sink,
    /// No space, quota or file-size limit left.
    NoSpace,
    /// A decoder's input is corrupt or truncated.
    Corrupt,
    /// A limit that the user set was reached.
    Limit,
    /// A timeout or a stall.
    Timeout,
    /// Could not connect, listen, resolve or authenticate.
    Connect,
    /// The bytes are not the expected ones.
    Integrity,
    /// A child process failed.
    Child,
    /// Out of descriptors, threads or memory.
    Resources,
    /// The result of a check is unclear.
    Unclear,
    /// A bug in highwater.
    Bug,
    /// The reader of our standard output closed it.
    ReaderLeft,
}

impl Kind {
    /// Every kind, in the order of the exit codes.
    pub const EVERY: [Self; 15] = [
        Self::Other,
        Self::Usage,
        Self::Source,
        Self::Sink,
        Self::NoSpace,
        Self::Corrupt,
        Self::Limit,
        Self::Timeout,
        Self::Connect,
        Self::Integrity,
        Self::Child,
        Self::Resources,
        Self::Unclear,
        Self::Bug,
        Self::ReaderLeft,
    ];

    /// A short description for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Other => "any other failure; for `check`: the program buffers, with no bound seen",
            Self::Usage => "invalid command line or pipeline",
            Self::Source => "a source cannot be opened or read",
            Self::Sink => "a sink cannot be opened, written or made durable",
            Self::NoSpace => "no space, quota or file size left",
            Self::Corrupt => "corrupt or truncated input to a decoder, or an invalid record",
            Self::Limit => "a limit was reached",
            Self::Timeout => "timeout or stall",
            Self::Connect => "could not connect, listen, resolve or authenticate",
            Self::Integrity => "the bytes differ from the expected ones, or a source has changed",
            Self::Child => "a child process failed",
            Self::Resources => "out of descriptors, threads or memory",
            Self::Unclear => "for `check`: no verdict; the output says what to change",
            Self::Bug => "a bug in highwater",
            Self::ReaderLeft => "the reader of standard output closed it",
        }
    }

    /// The exit code of the contract.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Source => 3,
            Self::Sink => 4,
            Self::NoSpace => 5,
            Self::Corrupt => 6,
            Self::Limit => 7,
            Self::Timeout => 8,
            Self::Connect => 9,
            Self::Integrity => 10,
            Self::Child => 11,
            Self::Resources => 12,
            Self::Unclear => 13,
            Self::Bug => 70,
            Self::ReaderLeft => 141,
        }
    }
}

/// The first real error of a run. The engine adds the stage where it happened.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    /// What was tried: `cannot write`.
    operation: String,
    /// Why it failed.
    cause: anyhow::Error,
    /// How many bytes were moved before, if the stage does not show it.
    after: Option<u64>,
    /// Whether the same again could do harm, or would fail again.
    is_lasting: bool,
}

impl Failure {
    /// A failure whose cause is not a system error.
    pub fn new(kind: Kind, operation: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            operation: operation.into(),
            cause: cause.into(),
            after: None,
            is_lasting: false,
        }
    }

    /// A failure described in two phrases: what was tried and why it failed.
    pub fn because(kind: Kind, operation: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(kind, operation, anyhow::Error::msg(why.into()))
    }

    /// A failed system call. The error number takes precedence over `place`: a full disk is a full disk wherever it
    /// occurs.
    pub fn io(place: Kind, operation: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let errno = Errno::from_io_error(&error);
        let kind = match errno {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Kind::NoSpace,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => Kind::Resources,
            _ => place,
        };
        Self::new(kind, operation, error)
    }

    /// The error number, if a system call has failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.cause.downcast_ref::<io::Error>().and_then(Errno::from_io_error)
    }

    /// Adds how many bytes were moved before.
    #[must_use]
    pub fn after(mut self, bytes: u64) -> Self {
        self.after = Some(bytes);
        self
    }

    /// Adds the name of the object, if the stage has several of them: `cannot open a.iso`.
    #[must_use]
    pub fn on(mut self, name: &str) -> Self {
        self.operation = format!("{} {name}", self.operation);
        self
    }

    /// Adds the stage of a pipeline that another stage has started: `write a.gz: cannot write`.
    #[must_use]
    pub fn within(mut self, stage: &str) -> Self {
        self.operation = format!("{stage}: {}", self.operation);
        self
    }

    /// Adds the number of attempts: `cannot connect to there in 3 attempts`.
    #[must_use]
    pub fn in_attempts(mut self, count: u64) -> Self {
        self.operation = format!("{} in {count} attempts", self.operation);
        self
    }

    /// Records that what was tried must not be tried again: a part of it is done.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.is_lasting = true;
        self
    }

    /// Whether the same may succeed later: a peer that does not respond may come back, and a full disk may get room. What
    /// is missing, forbidden, there already or invalid stays so.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let kinds = [Kind::Sink, Kind::NoSpace, Kind::Timeout, Kind::Connect, Kind::Resources];
        let lasting = [
            Errno::ACCESS,
            Errno::EXIST,
            Errno::FBIG,
            Errno::INVAL,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::PERM,
            Errno::ROFS,
        ];
        let is_lasting = |errno: Errno| self.kind != Kind::Connect && lasting.contains(&errno);
        !self.is_lasting && kinds.contains(&self.kind) && !self.errno().is_some_and(is_lasting)
    }

    /// The kind of failure, which determines the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes were moved before, if the operation counts them.
    #[must_use]
    pub fn bytes_before(&self) -> Option<u64> {
        self.after
    }
}

/// `cannot write: No space left on device`, without the number that the standard library adds.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = format!("{:#}", self.cause);
        if let Some(at) = cause.rfind(" (os error ") {
            cause.truncate(at);
        }
        write!(f, "{}: {cause}", self.operation)
    }
}

impl std::error::Error for Failure {}

/// Why a stage stopped before its work was done.
#[derive(Debug)]
pub enum Stop {
    /// A neighbour stopped first, or the run was cancelled. Never the cause.
    PeerClosed,
    /// A real error.
    Failed(Failure),
}

impl Stop {
    /// Changes the failure, if it is one.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::PeerClosed => Self::PeerClosed,
            Self::Failed(failure) => Self::Failed(change(failure)),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_failures_may_pass() {
        let of = |errno| Failure::io(Kind::Sink, "cannot write", errno);
        assert!(of(Errno::NOSPC).may_pass() && of(Errno::PIPE).may_pass());
        assert!(!of(Errno::EXIST).may_pass() && !of(Errno::NOSPC).lasting().may_pass());
        // A server's socket that is not there yet.
        assert!(Failure::io(Kind::Connect, "cannot connect", Errno::NOENT).may_pass());
        assert!(!Failure::io(Kind::Source, "cannot read", Errno::IO).may_pass());
    }

    #[test]
    fn the_error_number_outranks_the_place() {
        let full = Failure::io(Kind::Sink, "cannot write", Errno::NOSPC);
        assert_eq!(full.kind(), Kind::NoSpace);
        assert_eq!(full.to_string(), "cannot write: No space left on device");
        let descriptors = Failure::io(Kind::Source, "cannot open", Errno::MFILE);
        assert_eq!(descriptors.kind().exit_code(), 12);
        let absent = Failure::io(Kind::Source, "cannot open", Errno::NOENT);
        assert_eq!(absent.kind().exit_code(), 3);
    }
}
