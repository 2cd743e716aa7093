//! Runs programs, and looks at their memory meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::consumer::{Consumer, serve};
use crate::data::{Data, Input, QUERY};

const OURS: &str = env!("CARGO_BIN_EXE_highwater");

/// How often memory is read.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Whether a program is installed.
pub fn is_there(name: &str) -> bool {
    Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/articles/{name}.js"))
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Seconds until everything had arrived; of a service, until all clients had a first byte.
    pub wall: f64,
    /// The most memory that was resident, in megabytes.
    pub peak: f64,
}

impl Took {
    #[allow(clippy::cast_precision_loss, reason = "a few gigabytes at most")]
    pub fn new(wall: Duration, peak: u64) -> Self {
        Self {
            wall: wall.as_secs_f64(),
            peak: peak as f64 / 1e6,
        }
    }

    /// The median of each figure.
    pub fn median(runs: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = runs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            wall: middle(|took| took.wall),
            peak: middle(|took| took.peak),
        }
    }
}

/// A program with its arguments.
#[derive(Debug)]
pub struct Program {
    name: PathBuf,
    arguments: Vec<String>,
    /// Whether it is told where to upload to by an argument of its own.
    takes_url: bool,
}

impl Program {
    /// Ours, with these stages.
    pub fn ours(stages: &str, consumer: Consumer, input: &Path) -> io::Result<Self> {
        let chain = |sink: &str| match stages {
            "" => format!("read - | {sink}"),
            stages => format!("read - | {stages} | {sink}"),
        };
        let arguments = match consumer {
            Consumer::Fast | Consumer::Slow(_) => vec!["-q".to_owned(), chain("write -")],
            Consumer::Store(_) => vec!["-q".to_owned(), chain("write {url}")],
            Consumer::Clients(_) => {
                let database = input.display();
                let pipeline = format!("exec sqlite3 -csv -header '{database}' '{QUERY}' | {stages}");
                vec!["serve".to_owned(), "127.0.0.1:0".to_owned(), pipeline]
            }
        };
        Ok(Self {
            name: OURS.into(),
            arguments,
            takes_url: false,
        })
    }

    /// One of the scripts.
    pub fn node(name: &str, consumer: Consumer, input: &Path) -> Self {
        let mut arguments = vec![script(name).display().to_string()];
        if let Consumer::Clients(_) = consumer {
            arguments.extend([input.display().to_string(), QUERY.to_owned()]);
        }
        Self {
            name: "node".into(),
            arguments,
            takes_url: matches!(consumer, Consumer::Store(_)),
        }
    }

    /// What starts it, with `input` as its standard input.
    pub fn command(&self, input: &Path, url: Option<&str>) -> io::Result<Command> {
        let mut command = Command::new(&self.name);
        command.stdin(File::open(input)?);
        for argument in &self.arguments {
            command.arg(argument.replace("{url}", url.unwrap_or_default()));
        }
        command.args(url.filter(|_| self.takes_url));
        Ok(command)
    }
}

/// A process whose memory is looked at.
pub struct Watched {
    child: Child,
    peak: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

impl Watched {
    pub fn new(child: Child) -> Self {
        let (peak, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, ends, pid) = (peak.clone(), is_over.clone(), child.id());
        let watcher = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                seen.fetch_max(resident_peak(pid), Ordering::Relaxed);
                thread::park_timeout(POLL_INTERVAL);
            }
        });
        Self {
            child,
            peak,
            is_over,
            watcher,
        }
    }

    fn over(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.watcher.join();
        self.peak.load(Ordering::Relaxed)
    }

    /// Waits for its end; returns its peak of memory in bytes.
    pub fn end(mut self) -> io::Result<u64> {
        let status = self.child.wait()?;
        assert!(status.success(), "it ended with {status}");
        Ok(self.over())
    }

    /// Ends it.
    pub fn kill(mut self) -> io::Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.over())
    }
}

/// `VmHWM` of a process, in bytes; 0 if it is over.
fn resident_peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

/// What `highwater check` says.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    Honours,
    Buffers,
    None,
}

/// How a script is checked.
#[derive(Debug, Clone, Copy)]
pub enum Checked {
    /// With random lines.
    Lines,
    /// With random records.
    Json,
    /// With its own input, again and again.
    Input,
    /// By clients of it.
    Served,
    /// Not: it sends, and `check` is no server.
    Not,
}

impl Checked {
    /// What `highwater check` says of a script.
    pub fn verdict(self, name: &str, consumer: Consumer, input: &Path) -> io::Result<Option<Verdict>> {
        let mut command = Command::new(OURS);
        command.arg("check").stdout(Stdio::null()).stderr(Stdio::null());
        match self {
            Self::Lines => {}
            Self::Json => drop(command.args(["--input-kind", "json"])),
            Self::Input => drop(command.arg("--input").arg(input)),
            Self::Served => {
                let (mut child, address) = serve(&Program::node(name, consumer, input))?;
                // As many as the pool has connections: others would wait, and tell nothing.
                command.args(["--clients", "3"]).arg(format!("http://{address}/"));
                let status = command.status();
                child.kill()?;
                child.wait()?;
                return Ok(Some(Verdict::of(status?)));
            }
            Self::Not => return Ok(None),
        }
        let status = command.args(["--", "node"]).arg(script(name)).status()?;
        Ok(Some(Verdict::of(status)))
    }
}

impl Verdict {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Honours,
            Some(1) => Self::Buffers,
            _ => Self::None,
        }
    }
}

/// Descriptors of source and sink that are open after a stage between them has failed: of `pipe()`, and of `pipeline()`.
pub fn descriptors_after_failure(data: &Data) -> io::Result<[String; 2]> {
    let (from, to) = (data.path(Input::Bytes), data.path(Input::Bytes).with_extension("copy"));
    let left = |name: &str| -> io::Result<String> {
        let output = Command::new("node").arg(script(name)).arg(&from).arg(&to).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let left = [left("fail_pipe")?, left("fail_pipeline")?];
    fs::remove_file(&to)?;
    Ok(left)
}
