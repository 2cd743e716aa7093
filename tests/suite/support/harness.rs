//! Runs the binary, with folders, peers, FIFOs and seeded noise.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub use super::skip::skip;

/// A run that takes longer hangs: far more than any test needs.
const FAR_TOO_LONG: Duration = Duration::from_secs(120);

/// A command line of highwater, with nothing on standard input.
pub fn highwater<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Invocation {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "TERM",
        "RUST_BACKTRACE",
        "NETRC",
        "REQUEST_METHOD",
    ] {
        command.env_remove(name);
    }
    for name in ["all_proxy", "http_proxy", "https_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"AWS_") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C.UTF-8");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Invocation {
        command,
        input: Vec::new(),
    }
}

/// A command line that was not run yet.
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
}

impl Invocation {
    /// Runs it in `folder`, so that messages name short paths.
    pub fn within(mut self, folder: &Folder) -> Self {
        self.command.current_dir(folder.path());
        self
    }

    /// Starts it by `other`, such as strace with its options. To be called before anything else.
    pub fn under(mut self, mut other: Command) -> Self {
        other.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = other;
        self
    }

    /// Gives it `bytes` through a pipe on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self.command.stdin(Stdio::piped());
        self
    }

    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Run {
        self.start().wait()
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().expect("highwater starts");
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input;
            // A process that reads only a part ends this with a broken pipe.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        Running {
            child,
            stderr,
            said: String::new(),
        }
    }
}

/// A running highwater.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// The messages that were read already.
    said: String,
}

impl Running {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("highwater is running");
    }

    /// Waits until it has printed where it listens.
    pub fn address(&mut self) -> SocketAddr {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before it listened: {}", self.said);
            if let Some(url) = line.trim_end().strip_prefix("highwater: listening on ") {
                let (_, address) = url.split_once("://").expect("a URL");
                return address.split('/').next().expect("a part").parse().expect("an address");
            }
        }
    }

    /// Connects to the address where it listens.
    pub fn connect(&mut self) -> TcpStream {
        TcpStream::connect(self.address()).expect("it listens")
    }

    /// The next line of standard error; empty at its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("stderr is text");
        self.said.push_str(&line);
        line
    }

    /// Reads samples of `--progress json` until the sink has written `bytes`; returns whether it got there.
    pub fn writes(&mut self, bytes: u64) -> bool {
        loop {
            let line = self.line();
            if line.is_empty() {
                return false;
            }
            if !line.starts_with('{') {
                // A sum, at the end.
                continue;
            }
            let sample: serde_json::Value = serde_json::from_str(&line).expect("a sample");
            let sink = sample["stages"].as_array().and_then(|stages| stages.last());
            if sink.and_then(|sink| sink["bytes_out"].as_u64()) >= Some(bytes) {
                return true;
            }
        }
    }

    /// The pipe from its standard output.
    pub fn take_stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("stdout is a pipe")
    }

    /// Waits for its end and reads all its messages.
    pub fn wait(self) -> Run {
        let Self {
            mut child,
            mut stderr,
            said,
        } = self;
        let pid = Pid::from_child(&child);
        let (over, ended) = channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let hangs = ended.recv_timeout(FAR_TOO_LONG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if hangs {
                let _ = kill_process(pid, Signal::KILL);
            }
            hangs
        });
        let stdout = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                stdout.read_to_end(&mut bytes).map(|_| bytes)
            })
        });
        let mut rest = Vec::new();
        stderr.read_to_end(&mut rest).expect("stderr can be read");
        let stdout = stdout.map_or_else(Vec::new, |thread| thread.join().expect("no panic").expect("stdout"));
        let status = child.wait().expect("it can be waited for");
        drop(over);
        assert!(!watchdog.join().expect("no panic"), "highwater hangs");
        Run {
            code: status.code(),
            signal: status.signal(),
            stdout,
            stderr: said + &String::from_utf8(rest).expect("stderr is text"),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// It succeeded and printed nothing.
    #[track_caller]
    pub fn succeeds(self) -> Vec<u8> {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self.stdout
    }

    /// It failed with `code` and one line, which is returned.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(
            line.starts_with("highwater: ") && !line.contains('\n'),
            "one line, not {:?}",
            self.stderr
        );
        line
    }

    /// It was ended by `signal`, without a message but that a busy machine was late with a stage.
    #[track_caller]
    pub fn dies_by(&self, signal: Signal) {
        let lines = self.stderr.lines();
        let said: Vec<&str> = lines
            .filter(|line| !line.ends_with(": did not stop in time; left alone"))
            .collect();
        assert_eq!(
            (self.signal, said),
            (Some(signal.as_raw()), vec![]),
            "code {:?}",
            self.code
        );
    }

    /// The last object of `--progress json` or `--stats -`.
    #[track_caller]
    pub fn end(&self) -> serde_json::Value {
        let end = self.objects().pop().expect("an object");
        assert_eq!(end["event"], "end");
        end
    }

    /// All objects on standard error.
    pub fn objects(&self) -> Vec<serde_json::Value> {
        let lines = self.stderr.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect()
    }
}

/// A temporary folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.join(name)).expect("a file")
    }

    pub fn open(&self, name: &str) -> File {
        File::open(self.join(name)).expect("a file")
    }

    /// Makes a FIFO.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo starts");
        assert!(made.success());
        path
    }

    /// What is in it, hidden files included.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Another program, if it is installed.
pub fn peer(name: &str) -> Option<Command> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    if found {
        return Some(Command::new(name));
    }
    skip(format_args!("{name} is missing"));
    None
}

/// strace, if it is installed and may trace; the runs that it starts are those of [`highwater`].
pub fn strace() -> Option<Command> {
    let command = peer("strace")?;
    let probe = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output()
        .expect("strace starts");
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr);
        skip(format_args!("strace may not trace: {}", why.trim_end()));
        return None;
    }
    Some(command)
}

/// Pipes `input` through another program; returns whether it succeeded, and its output.
pub fn through(mut command: Command, input: &[u8]) -> (bool, Vec<u8>) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the peer starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().expect("the peer ends");
        (output.status.success(), output.stdout)
    })
}

/// Bytes that no compressor makes smaller, the same for the same seed.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    for word in xorshift(seed).take(count.div_ceil(8)) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Marsaglia's xorshift64 (Xorshift RNGs, 2003), the same for the same seed.
pub fn xorshift(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.max(1);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Lets `listener` accept one peer.
pub fn accept(listener: &std::net::TcpListener) -> TcpStream {
    listener.accept().expect("a peer connects").0
}

/// Closes a connection with a reset instead of an end: `SO_LINGER` of 0.
pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
    drop(stream);
}
