//! `highwater check`: its options, its display, and its exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::check::input::{Input, InputKind};
use crate::check::picture::Picture;
use crate::check::request::Request;
use crate::check::series::Sample;
use crate::check::server::Target;
use crate::check::{Moment, Outcome, SHORTEST, Settings, Watcher, program, recording, server, summary};
use crate::error::{Failure, Kind, shown};
use crate::grammar::{parse_duration, parse_rate, parse_size, quote};
use crate::net::http::Url;
use crate::platform::{Descriptor, end_as, files, free_disk, free_memory, terminal_size};
use crate::view::live::Painter;
use crate::view::say;

use super::options::{Color, can_draw, style};
use super::own_files::OwnFile;

/// What is checked, and how.
#[derive(Debug, Args)]
#[command(
    override_usage = "highwater check [OPTIONS] -- COMMAND [ARGUMENT]…\n       \
                      highwater check [OPTIONS] URL",
    after_help = EXITS
)]
pub struct CheckOptions {
    /// A running server's download, as http://HOST:PORT/PATH
    #[arg(value_name = "URL", value_parser = parse_url, conflicts_with = "command", required_unless_present = "command")]
    url: Option<Url>,

    /// The program and its arguments, behind --
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<OsString>,

    /// How fast the output is read
    ///
    /// By each client, where a server is checked. At the end a program's output is not read at all for a while.
    #[arg(long, value_name = "RATE", default_value = "64KiB/s", value_parser = parse_some_rate)]
    rate: u64,

    /// Duration of the check; at least 2s
    ///
    /// The start of the program is not counted. A check ends sooner once the verdict is certain, and takes up to four times
    /// as long while it is undecided.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_length)]
    seconds: Duration,

    /// Memory limit [default: a quarter of free memory]
    ///
    /// The check ends there. It counts private and shared memory of all its processes, and their files in memory. A
    /// program is stopped then, a server is left running.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_rss: Option<u64>,

    /// Limit of written files [default: 1GiB]
    ///
    /// The check ends there. The default is at most a quarter of the free space. A program gets a TMPDIR of its own,
    /// which is removed at the end.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_disk: Option<u64>,

    /// Feed this file, repeated without end
    #[arg(long, value_name = "FILE", requires = "command")]
    input: Option<PathBuf>,

    /// Feed random lines, json or csv
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        default_value = "lines",
        hide_possible_values = true,
        conflicts_with_all = ["url", "input"]
    )]
    input_kind: InputKind,

    /// A process of the server [default: found by the port]
    ///
    /// May be repeated. Its descendants are measured, too. One process must listen on the port of URL; others, such as the
    /// application behind a proxy, are measured with it.
    #[arg(long, value_name = "PID", requires = "url", conflicts_with = "command", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Vec<i32>,

    /// Number of clients of a server
    #[arg(long, value_name = "N", default_value = "10", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,

    /// Send this header: 'NAME: VALUE' or @FILE
    ///
    /// May be repeated, and replaces a default header, such as Accept-Encoding: identity. A file holds one header a line and
    /// keeps secrets out of the command line.
    #[arg(long, value_name = "HEADER", requires = "url", conflicts_with = "command")]
    header: Vec<String>,

    /// Request method [default: GET, or POST with --body]
    #[arg(long, hide_short_help = true, value_name = "METHOD", requires = "url", conflicts_with = "command", value_parser = parse_method)]
    method: Option<String>,

    /// Send this body: text or @FILE
    #[arg(
        long,
        hide_short_help = true,
        value_name = "BODY",
        requires = "url",
        conflicts_with = "command"
    )]
    body: Option<String>,

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
        hide_short_help = true,
        hide_possible_values = true,
        hide_default_value = true,
        value_name = "WHEN"
    )]
    color: Color,
}

/// The longest --seconds.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const EXITS: &str = "Exit codes: 0 honours, 1 buffers, 13 cannot tell; others: the check failed";

/// Runs a check, shows its result, and returns the exit code.
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
        // Where the system does not tell, what any machine has today.
        max_rss: options
            .max_rss
            .unwrap_or_else(|| free_memory().map_or(1 << 30, |free| free / 4)),
        max_disk: options.max_disk.unwrap_or_else(|| {
            let quarter = free_disk(&std::env::temp_dir()).map_or(u64::MAX, |free| free / 4);
            quarter.min(1 << 30)
        }),
    };
    let what = match &options.url {
        Some(url) => shown(url.to_string().as_bytes()),
        None => {
            let words: Vec<Vec<u8>> = options.command.iter().map(|word| quote(word.as_bytes())).collect();
            shown(&words.join(&b' '))
        }
    };
    let is_server = options.url.is_some();
    // JSON lines and the picture would be mixed on one terminal.
    let draws = can_draw() && !(options.json && std::io::stdout().is_terminal());
    let mut display = Display {
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
    let outcome = match &options.url {
        Some(url) => {
            let target = Target {
                url: url.clone(),
                pids: options.pid.clone(),
                clients: options.clients,
                request: request(options)?,
            };
            server::check(&target, &settings, &mut display)
        }
        None => {
            let input = match &options.input {
                Some(path) => Input::repeated(path)?,
                None => Input::random(options.input_kind),
            };
            program::check(&options.command, input, &settings, &mut display)
        }
    };
    display.picture = None;
    let report = match outcome? {
        Outcome::Judged(report) => report,
        Outcome::Interrupted(signal, last) => {
            display.write(&recording::interrupted(signal, &last))?;
            let sentence = recording::interrupted_sentence(&last);
            say(&format!("highwater: check: {sentence}\n"));
            end_as(signal)
        }
    };
    display.write(&recording::end(&report))?;
    if !options.json {
        let style = style(options.color, std::io::stdout().is_terminal());
        let columns = terminal_size(std::io::stdout()).map_or(usize::MAX, |(columns, _)| usize::from(columns));
        print(&summary::text(&what, &report, is_server, style, columns))?;
    }
    Ok(report.verdict.finding.exit_code())
}

/// The request of each client of a server.
fn request(options: &CheckOptions) -> Result<Request, Failure> {
    let mut headers = Vec::new();
    for text in &options.header {
        let lines = at_file("--header", text)?;
        let lines = String::from_utf8_lossy(&lines).into_owned();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            headers.push(parse_header(line).ok_or_else(|| {
                // The text is not shown: it may be a secret.
                Failure::because(
                    Kind::Usage,
                    "--header: cannot read it",
                    "a header is written 'NAME: VALUE'",
                )
            })?);
        }
    }
    Ok(Request {
        method: options.method.clone().unwrap_or_default(),
        headers,
        body: options
            .body
            .as_deref()
            .map_or(Ok(Vec::new()), |body| at_file("--body", body))?,
    })
}

/// The text itself, or the content of the file behind an `@`.
fn at_file(option: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.as_bytes().to_vec());
    };
    let cannot = |error| {
        Failure::io(
            Kind::Source,
            format!("{option} @{}: cannot read", shown(path.as_bytes())),
            error,
        )
    };
    std::fs::read(path).map_err(cannot)
}

fn parse_header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_fine = is_token(name) && !value.chars().any(char::is_control);
    is_fine.then(|| (name.to_owned(), value.trim().to_owned()))
}

fn parse_url(text: &str) -> Result<Url, String> {
    if text.starts_with("https://") {
        return Err("https is not supported; check the server's plain port, as http://HOST:PORT/PATH".to_owned());
    }
    if !text.contains("://") {
        return Err(format!(
            "a server is named as http://HOST:PORT/PATH; for a program write -- in front: highwater check -- {text}"
        ));
    }
    Url::parse(text.as_bytes()).map_err(|wrong| format!("{}; {}", wrong.message, wrong.help))
}

fn parse_method(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_owned())
    } else {
        Err("a method is one word, such as POST".to_owned())
    }
}

/// See RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_sign)
}

/// Shows a check while it runs, and records it.
struct Display<'a> {
    what: &'a str,
    is_server: bool,
    record: Option<Record>,
    json: bool,
    picture: Option<(Painter, Picture)>,
    count: u64,
}

impl Display<'_> {
    fn write(&mut self, line: &str) -> Result<(), Failure> {
        if let Some(record) = &self.record {
            record.write(line)?;
        }
        if self.json { print(line) } else { Ok(()) }
    }
}

impl Watcher for Display<'_> {
    fn begin(&mut self) -> Result<(), Failure> {
        if let Some(record) = &self.record {
            record.empty()?;
        }
        self.write(&recording::check(self.what))
    }

    fn sample(&mut self, sample: &Sample, moment: Moment) -> Result<(), Failure> {
        self.write(&recording::sample(sample, self.is_server))?;
        if let Some((painter, picture)) = &mut self.picture {
            picture.add(sample);
            // Five times a second: a faster picture could not be read.
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
    /// Opens the file; it is emptied once the check has begun.
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

/// Writes to standard output in pieces that a ready pipe takes without blocking, so that signals are handled.
fn print(text: &str) -> Result<(), Failure> {
    let stdout = std::io::stdout();
    let cannot = |error: std::io::Error| {
        let place = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Kind::ReaderLeft,
            _ => Kind::Sink,
        };
        Failure::io(place, "cannot write to standard output", error)
    };
    // Rust opens /dev/null if there is none.
    Descriptor::standard_output().map_err(cannot)?;
    for piece in text.as_bytes().chunks(4096) {
        match poll(&mut [PollFd::new(&stdout.as_fd(), PollFlags::OUT)], None) {
            Ok(_) => {}
            // A signal ends the check.
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
        Ok(0) => Err("at least 1B/s".to_owned()),
        Ok(rate) => Ok(rate),
        Err(misread) => Err(misread.to_string()),
    }
}

fn parse_length(text: &str) -> Result<Duration, String> {
    // A bare number is in seconds, as the name of the option says.
    let read = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => parse_duration(text).map_err(|misread| misread.to_string()),
    };
    match read {
        Ok(length) if length > LONGEST => Err("at most a day".to_owned()),
        Ok(length) if length < SHORTEST => Err("at least 2s".to_owned()),
        read => read,
    }
}
