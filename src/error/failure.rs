//! A run that failed: what was being done, why it could not be, and the exit code that says so.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What went wrong, as the exit code tells it to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that has no code of its own.
    Other,
    /// The command line or the pipeline cannot be.
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
    /// The bytes are not those that were promised.
    Integrity,
    /// A child process failed.
    Child,
    /// Out of descriptors, threads or memory.
    Resources,
    /// A check could not tell.
    Unclear,
    /// A bug in highwater.
    Bug,
    /// The reader of our standard output left.
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

    /// What a person needs to know of it, in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Other => "any other failure; of a check: it buffers without bound",
            Self::Usage => "the command line or the pipeline cannot be",
            Self::Source => "a source cannot be opened or read",
            Self::Sink => "a sink cannot be opened, written or made durable",
            Self::NoSpace => "no space, quota or file size left",
            Self::Corrupt => "corrupt or truncated input to a decoder",
            Self::Limit => "a limit was reached",
            Self::Timeout => "timeout or stall",
            Self::Connect => "could not connect, listen, resolve or authenticate",
            Self::Integrity => "the bytes are not those that were promised",
            Self::Child => "a child process failed",
            Self::Resources => "out of descriptors, threads or memory",
            Self::Unclear => "a check that cannot tell, and says what to change",
            Self::Bug => "a bug in highwater",
            Self::ReaderLeft => "the reader of standard output left",
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

/// The first real error of a run. The engine adds the stage in whose hands it happened.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    /// What was tried: `cannot write`.
    operation: String,
    /// Why it could not be done.
    cause: anyhow::Error,
    /// Where that cannot be seen from the stage: how many bytes had gone well.
    after: Option<u64>,
}

impl Failure {
    /// A failure whose cause is no system error.
    pub fn new(kind: Kind, operation: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            operation: operation.into(),
            cause: cause.into(),
            after: None,
        }
    }

    /// A failure that is told in two phrases: what was tried and why it could not be.
    pub fn because(kind: Kind, operation: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(kind, operation, anyhow::Error::msg(why.into()))
    }

    /// A failed system call. The error number outranks `place`: a full disk is a full disk wherever it is met.
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

    /// The error number, where a system call has failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.cause.downcast_ref::<io::Error>().and_then(Errno::from_io_error)
    }

    /// Says how many bytes had gone well before.
    #[must_use]
    pub fn after(mut self, bytes: u64) -> Self {
        self.after = Some(bytes);
        self
    }

    /// Names what it was tried on, where the stage has several of them: `cannot open a.iso`.
    #[must_use]
    pub fn on(mut self, name: &str) -> Self {
        self.operation = format!("{} {name}", self.operation);
        self
    }

    /// Names the stage of a pipeline that another stage has started: `write a.gz: cannot write`.
    #[must_use]
    pub fn within(mut self, stage: &str) -> Self {
        self.operation = format!("{stage}: {}", self.operation);
        self
    }

    /// Says how often it was tried: `cannot connect to there in 3 attempts`.
    #[must_use]
    pub fn in_attempts(mut self, count: u64) -> Self {
        self.operation = format!("{} in {count} attempts", self.operation);
        self
    }

    /// What went wrong, for the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes had gone well before, where the operation counts them.
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
