//! The tested pipelines, and their ends.

/// What a chain's source and sink are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Files, the target being `b`.
    Files,
    /// Pipes of standard input and output.
    Pipes,
    /// The target is `d`, which does not exist at first.
    NewFile,
    /// The sink is a peer.
    PeerReads(Meeting),
    /// The source is a peer, the target is `b`.
    PeerWrites(Meeting),
}

/// How a peer and a run come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// The peer listens at a TCP port; `URL` in the text stands for its address.
    Tcp,
    /// The run listens at a TCP port, which it prints.
    TcpListen,
    /// The peer listens at a Unix socket, which is no file of the run's; `URL` stands for it.
    Unix,
    /// The run listens at the Unix socket `s`.
    UnixListen,
}

impl Meeting {
    /// Whether the run listens.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::TcpListen | Self::UnixListen)
    }
}

impl Ends {
    /// How the peer is met, if there is one.
    pub fn meeting(self) -> Option<Meeting> {
        match self {
            Self::PeerReads(meeting) | Self::PeerWrites(meeting) => Some(meeting),
            Self::Files | Self::Pipes | Self::NewFile => None,
        }
    }
}

/// A pipeline and its known properties.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    pub text: &'static str,
    pub ends: Ends,
    /// Options in front of the chain.
    pub options: &'static [&'static str],
    /// Faults that are always injected.
    pub always: &'static str,
    /// Whether the target keeps its old bytes in front of the new ones.
    pub appends: bool,
    /// Bytes of a hole in the middle of the source.
    pub hole: usize,
    /// Whether the written part stays when the run ends early, so that another run can continue it.
    pub resumes: bool,
    /// Faults that killed an earlier run, whose part and journal exist.
    pub killed_by: Option<&'static str>,
    /// Whether failed connections are retried.
    pub retries: bool,
    /// A small file that is written besides.
    pub side_file: Option<&'static str>,
}

/// Enough for writeback to start, without using room on the disk.
pub const HOLE: usize = 16 << 20;

const fn files(text: &'static str) -> Chain {
    Chain {
        text,
        ends: Ends::Files,
        options: &[],
        always: "",
        appends: false,
        hole: 0,
        resumes: false,
        killed_by: None,
        retries: false,
        side_file: None,
    }
}

const fn between(ends: Ends, text: &'static str) -> Chain {
    Chain { ends, ..files(text) }
}

pub const DIRECT: Chain = files("read a | write b");
pub const NOT_COPIED: Chain = Chain {
    always: "copy-file-range:*:ENOSYS",
    ..DIRECT
};
/// Its temporary gets a random name.
pub const NOT_LOCKED: Chain = Chain {
    always: "lock:*:ENOLCK",
    ..DIRECT
};
pub const SPARSE: Chain = Chain { hole: HOLE, ..DIRECT };
pub const SPARSE_NOT_COPIED: Chain = Chain {
    hole: HOLE,
    ..NOT_COPIED
};
pub const SPARSE_THROUGH_A_LINK: Chain = Chain {
    hole: 1 << 20,
    ..files("read a | take 1T | write b")
};
pub const SPARSE_APPEND: Chain = Chain {
    hole: 1 << 20,
    ..APPEND
};
pub const GZIP: Chain = files("read a | gzip level=1 threads=2 member=8KiB | write b");
pub const THERE_AND_BACK: Chain = files("read a | gzip level=1 | gunzip | throttle 1GB/s | write b");
/// The branches write to what cannot be rolled back, so that there is one output to look at.
pub const BRANCHES: Chain = files("read a | tee (gzip level=1 | write /dev/null) (take 100 | write -) | write b");
/// A program may be read from and written to in any number of pieces.
pub const PROGRAM: Chain = files("read a | exec cat | write b");
pub const JOINED: Chain = files("read a | exec cat | exec cat | write b");
pub const SEVERAL: Chain = files("read a c a | take 1T | write b sync=false");
pub const APPEND: Chain = Chain {
    appends: true,
    ..files("read a | take 1T | write b append=true")
};
pub const NEW: Chain = between(Ends::NewFile, "read a | take 1T | write d");
pub const APPEND_TO_NEW: Chain = between(Ends::NewFile, "read a | take 1T | write d append=true");
pub const NEW_IN_PLACE: Chain = between(Ends::NewFile, "read a | take 1T | write d in-place=true");
pub const VERIFY: Chain = files("read a | write b verify=true");
/// A checkpoint comes with every second chunk: as much may be written again while one is noted.
pub const RESUME: Chain = Chain {
    resumes: true,
    options: &["-q"],
    ..files("read a | write b resume=true checkpoint=80KiB")
};
/// The part has chunks behind its checkpoint. The first write is the journal's heading; the three before the seventh are
/// the checkpoint and two chunks, in any order.
pub const RESUMED: Chain = Chain {
    killed_by: Some("write:7:kill"),
    ..RESUME
};
pub const RESUME_AND_VERIFY: Chain = Chain {
    resumes: true,
    options: &["-q"],
    ..files("read a | write b resume=true verify=true checkpoint=80KiB")
};
pub const RESUMED_AND_VERIFIED: Chain = Chain {
    killed_by: Some("write:7:kill"),
    ..RESUME_AND_VERIFY
};
pub const SUM: Chain = Chain {
    side_file: Some("s"),
    ..files("read a | hash to=s | write b")
};
pub const STATS: Chain = Chain {
    options: &["--stats", "s"],
    side_file: Some("s"),
    ..DIRECT
};
pub const PIPES: Chain = between(Ends::Pipes, "read - | write -");
pub const LINKED_PIPES: Chain = between(Ends::Pipes, "read - | take 1T | write -");
pub const PEER_READS: Chain = between(Ends::PeerReads(Meeting::Tcp), "read a | take 1T | write URL");
pub const PEER_IS_SENT: Chain = between(Ends::PeerReads(Meeting::Tcp), "read a zero-copy=true | write URL");
pub const PEER_IS_RETRIED: Chain = Chain {
    retries: true,
    ..between(Ends::PeerReads(Meeting::Tcp), "read a | take 1T | write URL retry=2")
};
pub const PEER_COMES_TO_READ: Chain = between(
    Ends::PeerReads(Meeting::TcpListen),
    "read a | take 1T | write tcp-listen://:0",
);
pub const PEER_WRITES: Chain = between(
    Ends::PeerWrites(Meeting::TcpListen),
    "read tcp-listen://:0 | take 1T | write b",
);
pub const UNIX_PEER_READS: Chain = between(Ends::PeerReads(Meeting::Unix), "read a | take 1T | write URL");
pub const UNIX_PEER_WRITES: Chain = between(Ends::PeerWrites(Meeting::Unix), "read URL | take 1T | write b");
pub const UNIX_PEER_COMES_TO_READ: Chain = between(
    Ends::PeerReads(Meeting::UnixListen),
    "read a | take 1T | write unix-listen:s",
);
pub const UNIX_PEER_COMES_TO_WRITE: Chain = between(
    Ends::PeerWrites(Meeting::UnixListen),
    "read unix-listen:s | take 1T | write b",
);
