//! One thing that is checked, and what is true of it.

/// What a check must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Honours,
    Buffers,
    /// It cannot be told by looking for seconds.
    Unclear,
}

impl Truth {
    pub fn word(self) -> &'static str {
        match self {
            Self::Honours => "honours",
            Self::Buffers => "buffers",
            Self::Unclear => "unclear",
        }
    }
}

/// A command.
pub struct Case {
    pub name: &'static str,
    pub command: &'static [&'static str],
    pub options: &'static [&'static str],
    pub truth: Truth,
}

pub const fn case(name: &'static str, command: &'static [&'static str], truth: Truth) -> Case {
    Case {
        name,
        command,
        options: &[],
        truth,
    }
}

impl Case {
    pub const fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }
}

/// A server.
pub struct ServerCase {
    pub name: &'static str,
    /// Programs that must be installed.
    pub needs: &'static [&'static str],
    /// A command that serves; `PORT`, `UPSTREAM` and `DIR` are filled in, and `@` is this bench's folder of servers.
    pub command: &'static [&'static str],
    /// A file to write before: its name, and its text with the same words filled in.
    pub config: Option<(&'static str, &'static str)>,
    pub path: &'static str,
    pub options: &'static [&'static str],
    pub truth: Truth,
}
