//! One run of a chain under given rules, and what stood there afterwards.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use highwater::platform::fault::{LOG, RULES};

use crate::chains::{Chain, Ends};
use crate::harness::{Folder, Run, highwater, noise};

/// What a source gives: several chunks and a rest.
pub fn source() -> Vec<u8> {
    noise(100_001, 7)
}

/// How a run went.
pub struct Trial {
    pub run: Run,
    /// Its operations: `write 3`, with the effect behind it where there was one.
    pub log: Vec<String>,
    /// What came out at the far end: the target's bytes, or what the peer got.
    pub output: Vec<u8>,
    /// What is left beside the files that were there, and a new target of a run that went well.
    pub left: Vec<String>,
}

impl Trial {
    /// Runs a chain; a chunk is just too large to be gathered with others, so that there are several writes.
    pub fn of(chain: &Chain, rules: &str) -> Self {
        Self::with(chain, rules, &source())
    }

    /// Runs it on other bytes.
    pub fn with(chain: &Chain, rules: &str, bytes: &[u8]) -> Self {
        let (folder, notes) = (Folder::new(), Folder::new());
        folder.write("a", bytes);
        folder.write("b", "old");
        folder.write("c", "between");
        let log = notes.join("log");
        let listener = (chain.ends == Ends::PeerReads).then(|| TcpListener::bind("127.0.0.1:0").expect("bound"));
        let address = listener.as_ref().map(|listener| listener.local_addr().expect("bound"));
        let url = address.map_or_else(String::new, |address| format!("tcp://{address}"));
        let mut command = highwater(["--chunk", "20KiB", &chain.text.replace("URL", &url)])
            .within(&folder)
            .environment(RULES, rules)
            .environment(LOG, log.to_str().expect("text"));
        if chain.ends == Ends::Pipes {
            command = command.input(bytes);
        }
        let (run, received) = std::thread::scope(|scope| {
            let peer = listener.map(|listener| {
                scope.spawn(move || {
                    let mut received = Vec::new();
                    let (mut stream, _) = listener.accept().expect("somebody connects");
                    // A run that fails resets it.
                    let _ = stream.read_to_end(&mut received);
                    received
                })
            });
            let mut running = command.start();
            if chain.ends == Ends::PeerWrites {
                feed(&running.line(), bytes);
            }
            let run = running.wait();
            // Where the run never came to connect, somebody else must.
            drop(address.map(TcpStream::connect));
            (run, peer.map(|peer| peer.join().expect("no panic")))
        });
        let output = match chain.ends {
            Ends::Pipes => run.stdout.clone(),
            Ends::PeerReads => received.unwrap_or_default(),
            Ends::Files | Ends::PeerWrites => folder.read("b"),
            Ends::NewFile => std::fs::read(folder.join("d")).unwrap_or_default(),
        };
        let is_known = |name: &str| matches!(name, "a" | "b" | "c") || name == "d" && run.code == Some(0);
        let left = folder.names().into_iter().filter(|name| !is_known(name)).collect();
        let log = std::fs::read_to_string(log).expect("the binary is built with fault-injection");
        Self {
            run,
            log: log.lines().map(str::to_owned).collect(),
            output,
            left,
        }
    }

    /// How often each operation came, in the order of their first calls.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<(String, u64)> = Vec::new();
        for line in &self.log {
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

    /// What it said, but for where it listened.
    pub fn said(&self) -> Vec<&str> {
        let lines = self.run.stderr.lines();
        lines
            .filter(|line| !line.starts_with("highwater: listening on "))
            .collect()
    }
}

/// Writes to where a line says that it is listened; a run that fails may not be there any more.
fn feed(line: &str, bytes: &[u8]) {
    let address = line.trim_end().strip_prefix("highwater: listening on tcp://");
    if let Some(mut peer) = address.and_then(|address| TcpStream::connect(address).ok()) {
        let _ = peer.write_all(bytes);
    }
}
