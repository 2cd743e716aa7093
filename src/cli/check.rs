//! `highwater check`: its options, who watches it, and how it ends.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::check::picture::Picture;
use crate::check::series::Sample;
use crate::check::server::Target;
use crate::check::url::Url;
use crate::check::{Moment, Outcome, SHORTEST, Settings, Watcher, bill, program, recording, server};
use crate::error::{Failure, Kind, shown};
use crate::grammar::{parse_duration, parse_rate, parse_size, quote};
use crate::platform::{Descriptor, end_as, files, free_memory};
use crate::view::live::Painter;
use crate::view::say;

use super::options::{Color, can_draw, style};
use super::own_files::OwnFile;

/// What is checked, and how.
#[derive(Debug, Args)]
#[command(
    override_usage = "highwater check [OPTIONS] -- COMMAND [ARGUMENT]…\n       \
                      highwater check [OPTIONS] URL --pid PID [--clients N]",
    after_help = EXITS
)]
pub struct CheckOptions {
    /// A running server's download, as http://HOST:PORT/PATH
    #[arg(value_name = "URL", value_parser = Url::parse, conflicts_with = "command", required_unless_present = "command", requires = "pid")]
    url: Option<Url>,

    /// The program and its arguments, behind --
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<OsString>,

    /// How fast the output is read
    ///
    /// By each client, where a server is checked. At the end a program's output is not read at all for a while.
    #[arg(long, value_name = "RATE", default_value = "64KiB/s", value_parser = parse_some_rate)]
    rate: u64,

    /// How long to look; 2s at least
    ///
    /// The time that a program needs to start is not counted. What is clear sooner ends sooner.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_length)]
    seconds: Duration,

    /// Stop there [default: a quarter of free memory]
    ///
    /// Of all its processes together. A program that is stopped so has shown what it does; a server is left alone.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_rss: Option<u64>,

    /// The server's process
    #[arg(long, value_name = "PID", requires = "url", conflicts_with = "command", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// How many clients a server gets
    #[arg(long, value_name = "N", default_value = "10", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,

    /// Write samples and verdict there, as JSON lines
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Print JSON lines on stdout
    ///
    /// The lines of --record, instead of the verdict for people.
    #[arg(long)]
    json: bool,

    /// When to use colour: auto, always, never
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true,
        value_name = "WHEN"
    )]
    color: Color,
}

const EXITS: &str = "Exit codes: 0 it honours backpressure, 1 it buffers without bound, 13 cannot tell.\n\
                     A check that cannot be made has another code, never 1.";

/// Checks, shows what it came to, and answers the exit code.
pub fn run(options: &CheckOptions) -> ExitCode {
    match checked(options) {
        Ok(code) => ExitCode::from(code),
        Err(failure) if failure.kind() == Kind::ReaderLeft => ExitCode::from(failure.kind().exit_code()),
        Err(failure) => {
            say(&format!("highwater: check: {failure}\n"));
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

fn checked(options: &CheckOptions) -> Result<u8, Failure> {
    let settings = Settings {
        length: options.seconds,
        rate: options.rate,
        // Where the system does not tell, what any machine of today has.
        max_rss: options
            .max_rss
            .unwrap_or_else(|| free_memory().map_or(1 << 30, |free| free / 4)),
    };
    let what = match &options.url {
        Some(url) => shown(url.to_string().as_bytes()),
        None => {
            let words: Vec<Vec<u8>> = options.command.iter().map(|word| quote(word.as_bytes())).collect();
            shown(&words.join(&b' '))
        }
    };
    let is_server = options.url.is_some();
    // One picture is enough where both go to the same terminal.
    let draws = can_draw() && !(options.json && std::io::stdout().is_terminal());
    let mut audience = Audience {
        what: &what,
        is_server,
        record: options.record.as_deref().map(Record::open).transpose()?,
        json: options.json,
        picture: draws.then(|| {
            let painter = Painter::new(style(options.color, std::io::stderr().is_terminal()));
            (painter, Picture::new(what.clone(), settings, is_server))
        }),
        count: 0,
    };
    let outcome = match (&options.url, options.pid) {
        (Some(url), Some(pid)) => {
            let target = Target {
                url: url.clone(),
                pid,
                clients: options.clients,
            };
            server::check(&target, &settings, &mut audience)
        }
        _ => program::check(&options.command, &settings, &mut audience),
    };
    audience.picture = None;
    let report = match outcome? {
        Outcome::Judged(report) => report,
        Outcome::Interrupted(signal) => end_as(signal),
    };
    audience.write(&recording::end(&report.verdict, report.samples.last()))?;
    if !options.json {
        let style = style(options.color, std::io::stdout().is_terminal());
        print(&bill::text(&what, &report, is_server, style))?;
    }
    Ok(report.verdict.finding.exit_code())
}

/// Shows a check while it runs, and records it.
struct Audience<'a> {
    what: &'a str,
    is_server: bool,
    record: Option<Record>,
    json: bool,
    picture: Option<(Painter, Picture)>,
    count: u64,
}

impl Audience<'_> {
    fn write(&mut self, line: &str) -> Result<(), Failure> {
        if let Some(record) = &self.record {
            record.write(line)?;
        }
        if self.json { print(line) } else { Ok(()) }
    }
}

impl Watcher for Audience<'_> {
    fn begin(&mut self) -> Result<(), Failure> {
        if let Some(record) = &self.record {
            record.empty()?;
        }
        self.write(&recording::check(self.what, SystemTime::now()))
    }

    fn sample(&mut self, sample: &Sample, moment: Moment) -> Result<(), Failure> {
        self.write(&recording::sample(sample, self.is_server))?;
        if let Some((painter, picture)) = &mut self.picture {
            picture.add(sample);
            // Five times a second: faster cannot be read.
            if self.count.is_multiple_of(2) {
                painter.show(&picture.lines(moment, Painter::columns()));
            }
        }
        self.count += 1;
        Ok(())
    }
}

/// Where `--record` goes.
struct Record {
    file: OwnFile,
    name: String,
}

impl Record {
    /// Opens the file and leaves what is in it until the check has begun.
    fn open(path: &std::path::Path) -> Result<Self, Failure> {
        let name = shown(path.as_os_str().as_bytes());
        let opened = OwnFile::open(path);
        let file = opened.map_err(|error| Failure::io(Kind::Sink, format!("--record {name}: cannot open"), error))?;
        Ok(Self { file, name })
    }

    fn empty(&self) -> Result<(), Failure> {
        self.file.empty().map_err(|error| self.cannot_write(error))
    }

    fn write(&self, line: &str) -> Result<(), Failure> {
        files::write_all(&self.file.file, line.as_bytes()).map_err(|error| self.cannot_write(error))
    }

    fn cannot_write(&self, error: Errno) -> Failure {
        Failure::io(Kind::Sink, format!("--record {}: cannot write", self.name), error)
    }
}

/// Writes to standard output as much at a time as a pipe takes without waiting in the call: a signal must get through.
fn print(text: &str) -> Result<(), Failure> {
    let stdout = std::io::stdout();
    let cannot = |error: std::io::Error| {
        let place = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Kind::ReaderLeft,
            _ => Kind::Sink,
        };
        Failure::io(place, "cannot write to standard output", error)
    };
    // Rust opens /dev/null where there is none.
    Descriptor::standard_output().map_err(cannot)?;
    for piece in text.as_bytes().chunks(4096) {
        match poll(&mut [PollFd::new(&stdout.as_fd(), PollFlags::OUT)], None) {
            Ok(_) => {}
            // The only signals that are listened to end the check.
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(cannot(error.into())),
        }
        let mut stdout = stdout.lock();
        stdout.write_all(piece).and_then(|()| stdout.flush()).map_err(cannot)?;
    }
    Ok(())
}

fn parse_some_rate(text: &str) -> Result<u64, String> {
    match parse_rate(text) {
        Ok(0) => Err("nothing would ever be read; 1B/s is the least".to_owned()),
        Ok(rate) => Ok(rate),
        Err(misread) => Err(misread.to_string()),
    }
}

fn parse_length(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(length) if length < SHORTEST => Err("less than 2s says nothing".to_owned()),
        Ok(length) => Ok(length),
        Err(misread) => Err(misread.to_string()),
    }
}
