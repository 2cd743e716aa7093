//! The chains that are tried, and what stands at their ends.

/// What a chain's source and sink are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Files, the target being `b`.
    Files,
    /// Pipes of standard input and output.
    Pipes,
    /// The target is `d`, which is not there at first.
    NewFile,
    /// The sink is a TCP peer; `URL` in the text stands for its address.
    PeerReads,
    /// The source is a TCP peer that connects.
    PeerWrites,
}

/// A chain, and what is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    pub text: &'static str,
    pub ends: Ends,
    /// Whether the target keeps its old bytes in front of the new ones.
    pub appends: bool,
}

const fn files(text: &'static str) -> Chain {
    Chain {
        text,
        ends: Ends::Files,
        appends: false,
    }
}

pub const DIRECT: Chain = files("read a | write b");
pub const GZIP: Chain = files("read a | gzip level=1 threads=2 member=8KiB | write b");
pub const THERE_AND_BACK: Chain = files("read a | gzip level=1 | gunzip | throttle 1GB/s | write b");
pub const SEVERAL: Chain = files("read a c a | take 1T | write b sync=false");
pub const APPEND: Chain = Chain {
    appends: true,
    ..files("read a | take 1T | write b append=true")
};
pub const NEW: Chain = Chain {
    ends: Ends::NewFile,
    ..files("read a | take 1T | write d")
};
pub const APPEND_TO_NEW: Chain = Chain {
    ends: Ends::NewFile,
    ..files("read a | take 1T | write d append=true")
};
pub const PIPES: Chain = Chain {
    ends: Ends::Pipes,
    ..files("read - | write -")
};
pub const LINKED_PIPES: Chain = Chain {
    ends: Ends::Pipes,
    ..files("read - | take 1T | write -")
};
pub const PEER_READS: Chain = Chain {
    ends: Ends::PeerReads,
    ..files("read a | take 1T | write URL")
};
pub const PEER_IS_SENT: Chain = Chain {
    ends: Ends::PeerReads,
    ..files("read a zero-copy=true | write URL")
};
pub const PEER_WRITES: Chain = Chain {
    ends: Ends::PeerWrites,
    ..files("read tcp-listen://:0 | take 1T | write b")
};
