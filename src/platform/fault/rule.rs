//! The rules of fault injection, as tests write them: `write:3:ENOSPC`.

use std::time::Duration;

use rustix::io::Errno;

use super::Operation;

/// The prefix of an operation in `aside`.
pub const ASIDE: &str = "aside-";

/// One fault, or many of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `None` is every operation that a signal can interrupt, in `aside` or not.
    operation: Option<Operation>,
    /// Whether it applies to work in `aside`.
    is_aside: bool,
    calls: Calls,
    pub effect: Effect,
}

/// Which calls of an operation, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    /// `3`
    Nth(u64),
    /// `3+`: that one and all that follow.
    From(u64),
    /// `*/3`: every third one.
    Every(u64),
}

/// The effect of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call fails.
    Fail(Errno),
    /// It moves one byte.
    Short,
    /// It moves nothing, and is a success.
    Nothing,
    /// It takes that much longer.
    Slow(Duration),
    /// It panics.
    Panic,
    /// The process is stopped until it is continued.
    Stop,
    /// The process is killed.
    Kill,
}

impl Rule {
    /// Reads `OPERATION:CALLS:EFFECT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [operation, calls, effect] = parts[..] else {
            return Err(format!("`{text}` is not OPERATION:CALLS:EFFECT"));
        };
        let own = operation.strip_prefix(ASIDE);
        let (operation, is_aside) = (own.unwrap_or(operation), own.is_some());
        Ok(Self {
            is_aside,
            operation: match operation {
                "interruptible" => None,
                name => Some(Operation::by_name(name).ok_or_else(|| format!("`{name}` is not an operation"))?),
            },
            calls: Calls::parse(calls).ok_or_else(|| format!("`{calls}` is not one of 3, 3+, */3 and *"))?,
            effect: Effect::parse(effect).ok_or_else(|| format!("`{effect}` is not an effect"))?,
        })
    }

    /// Whether it applies to the call of that number.
    pub fn meets(&self, operation: Operation, is_aside: bool, number: u64) -> bool {
        let is_meant = match self.operation {
            Some(meant) => (meant, self.is_aside) == (operation, is_aside),
            None => operation.is_interruptible(),
        };
        is_meant
            && match self.calls {
                Calls::Nth(nth) => number == nth,
                Calls::From(first) => number >= first,
                Calls::Every(step) => number.is_multiple_of(step),
            }
    }
}

impl Calls {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        if text == "*" {
            Some(Self::From(1))
        } else if let Some(step) = text.strip_prefix("*/") {
            number(step).map(Self::Every)
        } else if let Some(first) = text.strip_suffix('+') {
            number(first).map(Self::From)
        } else {
            number(text).map(Self::Nth)
        }
    }
}

/// The error numbers that can be injected.
const ERRORS: &[(&str, Errno)] = &[
    ("EACCES", Errno::ACCESS),
    ("EADDRINUSE", Errno::ADDRINUSE),
    ("EAGAIN", Errno::AGAIN),
    ("EBADF", Errno::BADF),
    ("ECONNABORTED", Errno::CONNABORTED),
    ("ECONNREFUSED", Errno::CONNREFUSED),
    ("ECONNRESET", Errno::CONNRESET),
    ("EDQUOT", Errno::DQUOT),
    ("EFBIG", Errno::FBIG),
    ("EINTR", Errno::INTR),
    ("EINVAL", Errno::INVAL),
    ("EIO", Errno::IO),
    ("EISDIR", Errno::ISDIR),
    ("ENOLCK", Errno::NOLCK),
    ("EMFILE", Errno::MFILE),
    ("ENFILE", Errno::NFILE),
    ("ENOMEM", Errno::NOMEM),
    ("ENOENT", Errno::NOENT),
    ("ENOSPC", Errno::NOSPC),
    ("ENOSYS", Errno::NOSYS),
    ("ENOTCONN", Errno::NOTCONN),
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
    ("EPERM", Errno::PERM),
    ("EPIPE", Errno::PIPE),
    ("EROFS", Errno::ROFS),
    ("ESTALE", Errno::STALE),
    ("ETIMEDOUT", Errno::TIMEDOUT),
    ("EXDEV", Errno::XDEV),
];

impl Effect {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "short" => Some(Self::Short),
            "nothing" => Some(Self::Nothing),
            "panic" => Some(Self::Panic),
            "stop" => Some(Self::Stop),
            "kill" => Some(Self::Kill),
            _ => {
                if let Some(millis) = text.strip_suffix("ms") {
                    return millis.parse().ok().map(Duration::from_millis).map(Self::Slow);
                }
                let errno = ERRORS.iter().find(|(name, _)| *name == text);
                errno.map(|(_, errno)| Self::Fail(*errno))
            }
        }
    }
}

impl Operation {
    /// Every operation.
    pub const EVERY: [Self; 38] = [
        Self::Accept,
        Self::Advise,
        Self::Alarm,
        Self::Attribute,
        Self::Bind,
        Self::Close,
        Self::Connect,
        Self::CopyFileRange,
        Self::Duplicate,
        Self::Lock,
        Self::Mode,
        Self::Open,
        Self::Owner,
        Self::PipeSize,
        Self::Poll,
        Self::Punch,
        Self::Random,
        Self::Reactor,
        Self::Read,
        Self::ReadLink,
        Self::Rename,
        Self::Resolve,
        Self::Say,
        Self::Seek,
        Self::SendFile,
        Self::Shutdown,
        Self::Signal,
        Self::Socket,
        Self::SocketOption,
        Self::Spawn,
        Self::Splice,
        Self::Stat,
        Self::Sync,
        Self::Thread,
        Self::Truncate,
        Self::Unlink,
        Self::Write,
        Self::Writeback,
    ];

    /// Its name in lower case, with dashes: `copy-file-range`.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|operation| operation.name() == name)
    }

    /// Whether POSIX lets it fail with `EINTR` although the handler was set with `SA_RESTART`, or Linux does on some
    /// file systems and devices.
    fn is_interruptible(self) -> bool {
        matches!(
            self,
            Self::CopyFileRange
                | Self::Mode
                | Self::Open
                | Self::Owner
                | Self::Poll
                | Self::Random
                | Self::Read
                | Self::Say
                | Self::SendFile
                | Self::Splice
                | Self::Sync
                | Self::Truncate
                | Self::Write
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(text: &str, operation: Operation) -> Vec<u64> {
        let rule = Rule::parse(text).expect("a rule");
        (1..8).filter(|number| rule.meets(operation, false, *number)).collect()
    }

    #[test]
    fn a_rule_picks_its_calls() {
        assert_eq!(meets("write:3:ENOSPC", Operation::Write), [3]);
        assert_eq!(meets("write:3:ENOSPC", Operation::Read), [0; 0]);
        assert_eq!(meets("copy-file-range:6+:ENOSYS", Operation::CopyFileRange), [6, 7]);
        assert_eq!(meets("interruptible:*/3:EINTR", Operation::Poll), [3, 6]);
        assert_eq!(meets("interruptible:*:EINTR", Operation::Rename), [0; 0]);
        let aside = Rule::parse("aside-open:2:EACCES").expect("a rule");
        assert!(aside.meets(Operation::Open, true, 2) && !aside.meets(Operation::Open, false, 2));
        assert_eq!(
            Rule::parse("sync:1:20ms").expect("a rule").effect,
            Effect::Slow(Duration::from_millis(20))
        );
    }

    #[test]
    fn invalid_fault_rule_is_refused() {
        for text in ["write", "wirte:1:EIO", "write:0:EIO", "write:1:EWHAT"] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
    }
}
