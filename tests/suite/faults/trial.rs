//! Runs of a pipeline under given rules, and their results.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use highwater::platform::fault::{LOG, RULES};
use rustix::process::Signal;

use super::chains::{Chain, Ends, Meeting};
use crate::harness::{Folder, Run, Running, highwater, noise};

/// What stays beside a target that another run can go on with.
pub const KEPT: [&str; 2] = [".b.highwater-journal", ".b.highwater-part"];

/// What a source gives: several chunks and a rest.
pub fn source() -> Vec<u8> {
    noise(100_001, 7)
}

/// The same, with a hole of so many bytes in its middle.
pub fn source_with(hole: usize) -> Vec<u8> {
    let bytes = source();
    let (first, last) = bytes.split_at(bytes.len() / 2);
    [first, &vec![0; hole], last].concat()
}

/// A folder with what a chain reads and replaces, in which it may be run again and again.
pub struct Place {
    chain: Chain,
    bytes: Vec<u8>,
    folder: Folder,
    /// For files that are not part of the run.
    notes: Folder,
}

impl Place {
    /// A place with `bytes` as the source. If the pipeline continues an earlier run, its files exist.
    pub fn new(chain: &Chain, bytes: &[u8]) -> Self {
        let place = Self {
            chain: *chain,
            bytes: bytes.to_vec(),
            folder: Folder::new(),
            notes: Folder::new(),
        };
        let source = place.folder.write("a", bytes);
        if chain.hole > 0 {
            dig(&source, bytes, chain.hole);
        }
        place.folder.write("b", "old");
        place.folder.write("c", "between");
        if let Some(rules) = chain.killed_by {
            let killed = place.run(rules);
            assert_eq!(killed.run.signal, Some(Signal::KILL.as_raw()), "{}", killed.run.stderr);
            assert_eq!(killed.left, KEPT);
            let journal = String::from_utf8(place.folder.read(KEPT[0])).expect("text");
            // The thread of the journal may note another while the process ends.
            assert!(journal.lines().count() >= 2, "a heading and a checkpoint: {journal}");
        }
        place
    }

    /// Runs the chain; a chunk is just too large to be gathered with others, so that there are several writes.
    pub fn run(&self, rules: &str) -> Trial {
        let (folder, ends) = (&self.folder, self.chain.ends);
        let log = self.notes.join("log");
        // Of the run before.
        let _ = std::fs::remove_file(&log);
        let peer = Peer::of(ends, &self.notes);
        let text = self.chain.text.replace("URL", &peer.url());
        let arguments = ["--chunk", "20KiB"].iter().chain(self.chain.options).copied();
        let mut command = highwater(arguments.chain([text.as_str()]))
            .within(folder)
            .environment(RULES, rules)
            .environment(LOG, log.to_str().expect("text"));
        if ends == Ends::Pipes {
            command = command.input(&*self.bytes);
        }
        let (run, received) = std::thread::scope(|scope| {
            let peer = &peer;
            let listening = peer
                .listens()
                .then(|| scope.spawn(move || talk(peer.accept(), ends, &self.bytes)));
            let mut running = command.start();
            let come = come(&mut running, ends, folder);
            let coming = come.map(|stream| scope.spawn(move || talk(stream, ends, &self.bytes)));
            let run = running.wait();
            // If the run never came to connect, another peer must.
            peer.knock();
            let talk = listening.or(coming);
            (run, talk.map_or_else(Vec::new, |talk| talk.join().expect("no panic")))
        });
        drop(peer);
        let output = match ends {
            Ends::Pipes => run.stdout.clone(),
            Ends::PeerReads(_) => received,
            Ends::Files | Ends::PeerWrites(_) => folder.read("b"),
            Ends::NewFile => std::fs::read(folder.join("d")).unwrap_or_default(),
        };
        let is_known = |name: &str| {
            matches!(name, "a" | "b" | "c")
                || name == "d" && run.code == Some(0)
                || self.chain.side_file.is_some_and(|side| side == name)
        };
        let left = folder.names().into_iter().filter(|name| !is_known(name)).collect();
        let log = std::fs::read_to_string(log).expect("the binary is built with fault-injection");
        Trial {
            side_file: self
                .chain
                .side_file
                .and_then(|name| std::fs::read(folder.join(name)).ok()),
            run,
            log: log.lines().map(str::to_owned).collect(),
            output,
            left,
        }
    }
}

/// Moves the second half of a file behind a hole.
fn dig(path: &Path, bytes: &[u8], hole: usize) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(path).expect("opened");
    let half = bytes.len() / 2;
    file.set_len(half as u64).expect("cut");
    file.write_all_at(&bytes[half..], (half + hole) as u64)
        .expect("written");
}

/// How a run went.
pub struct Trial {
    pub run: Run,
    /// Its operations: `write 3`, with the effect behind it if there was one.
    pub log: Vec<String>,
    /// What came out at the far end: the target's bytes, or what the peer got.
    pub output: Vec<u8>,
    /// The small file that is written besides, if there is one.
    pub side_file: Option<Vec<u8>>,
    /// The remaining files, except the original ones and the new target of a successful run.
    pub left: Vec<String>,
}

impl Trial {
    /// Runs a chain in a place of its own.
    pub fn of(chain: &Chain, rules: &str) -> Self {
        Self::with(chain, rules, &source())
    }

    /// Runs it on other bytes.
    pub fn with(chain: &Chain, rules: &str, bytes: &[u8]) -> Self {
        Place::new(chain, bytes).run(rules)
    }

    /// How often each operation was called, in the order of their first calls, without those made aside, which only a
    /// long run reaches.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<(String, u64)> = Vec::new();
        for line in self.log.iter().filter(|line| !line.starts_with("aside-")) {
            let operation = line.split(' ').next().expect("a name");
            match counts.iter_mut().find(|(name, _)| name == operation) {
                Some((_, count)) => *count += 1,
                None => counts.push((operation.to_owned(), 1)),
            }
        }
        counts
    }

    /// Whether a rule met one of its operations.
    pub fn was_hit(&self) -> bool {
        self.log.iter().any(|line| line.split(' ').count() > 2)
    }

    /// Whether a rule met that call of the operation.
    pub fn was_hit_at(&self, operation: &str, number: u64) -> bool {
        let call = format!("{operation} {number} ");
        self.log.iter().any(|line| line.starts_with(&call))
    }

    /// Its messages, without the address it listened on and the checksum.
    pub fn said(&self) -> Vec<&str> {
        let lines = self.run.stderr.lines();
        lines
            .filter(|line| !line.starts_with("highwater: listening on ") && !line.starts_with("sha256  "))
            .collect()
    }
}

/// The listening side of the peer, if any.
enum Peer {
    None,
    Tcp(TcpListener),
    Unix(UnixListener, String),
}

/// Both directions of a connection.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Peer {
    fn of(ends: Ends, notes: &Folder) -> Self {
        match ends.meeting() {
            Some(Meeting::Tcp) => Self::Tcp(TcpListener::bind("127.0.0.1:0").expect("bound")),
            Some(Meeting::Unix) => {
                let path = notes.join("s");
                // Of the run before.
                let _ = std::fs::remove_file(&path);
                let listener = UnixListener::bind(&path).expect("bound");
                Self::Unix(listener, path.to_str().expect("text").to_owned())
            }
            Some(Meeting::TcpListen | Meeting::UnixListen) | None => Self::None,
        }
    }

    fn listens(&self) -> bool {
        !matches!(self, Self::None)
    }

    fn url(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Tcp(listener) => format!("tcp://{}", listener.local_addr().expect("bound")),
            Self::Unix(_, path) => format!("unix:{path}"),
        }
    }

    fn accept(&self) -> Box<dyn Stream> {
        let somebody = "a peer connects";
        match self {
            Self::None => unreachable!("no listener"),
            Self::Tcp(listener) => Box::new(listener.accept().expect(somebody).0),
            Self::Unix(listener, _) => Box::new(listener.accept().expect(somebody).0),
        }
    }

    /// Connects and closes.
    fn knock(&self) {
        match self {
            Self::None => {}
            Self::Tcp(listener) => drop(TcpStream::connect(listener.local_addr().expect("bound"))),
            Self::Unix(_, path) => drop(UnixStream::connect(path)),
        }
    }
}

/// Connects to the address that a run prints; a failed run may be gone already.
fn come(running: &mut Running, ends: Ends, folder: &Folder) -> Option<Box<dyn Stream>> {
    if !ends.meeting().is_some_and(Meeting::is_ours) {
        return None;
    }
    let line = running.line();
    let url = line.trim_end().strip_prefix("highwater: listening on ")?;
    if let Some(address) = url.strip_prefix("tcp://") {
        let stream = TcpStream::connect(address).ok()?;
        // A listener that closes in the middle of the handshake may leave this end connected to nothing.
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        return Some(Box::new(stream));
    }
    let path = url.strip_prefix("unix:").expect("one or the other");
    Some(Box::new(UnixStream::connect(folder.join(path)).ok()?))
}

/// The peer's side; returns the bytes it received. A failed run resets the connection.
fn talk(mut stream: Box<dyn Stream>, ends: Ends, bytes: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    if matches!(ends, Ends::PeerReads(_)) {
        let _ = stream.read_to_end(&mut received);
    } else {
        let _ = stream.write_all(bytes);
    }
    received
}
