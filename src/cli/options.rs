//! Parses the command line.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use rustix::fs::FileType;

use crate::grammar::{format_size, human_size, parse_duration, parse_rate, parse_size};
use crate::net::Address;
use crate::platform;
use crate::view::Progress;
use crate::view::live::{Background, Style};
use crate::view::metrics::parse_address;

use super::attach::AttachOptions;
use super::check::CheckOptions;
use super::ctl::Ctl;
use super::generate::What;
use super::help;
use super::log::LogLevel;
#[cfg(feature = "http")]
use super::serve::ServeOptions;

/// The forms of a call.
const USAGE: &str = "highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]\n       highwater [OPTIONS] WORD… :: WORD… :: …\n       \
                     … | highwater [OPTIONS] | …";

/// What to do.
pub enum Invocation {
    /// A pipeline in one argument.
    Pipeline { text: Vec<u8>, options: RunOptions },
    /// A pipeline in the shell's own words.
    Words { words: Vec<OsString>, options: RunOptions },
    /// No pipeline: standard input to standard output.
    Filter { options: RunOptions },
    /// The short help.
    Help,
    /// No words and no input: an error.
    Nothing,
    /// A subcommand, which runs no pipeline.
    Command(Command),
}

/// Moves bytes through a chain of stages, keeps the memory of the whole chain under one hard ceiling, and shows where the
/// bytes are while it does
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    override_usage = USAGE,
    disable_help_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
struct CommandLine {
    #[command(flatten)]
    run: RunLine,

    #[command(subcommand)]
    command: Option<Command>,
}

/// A command line that names no subcommand, which is read in half the time.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, override_usage = USAGE, disable_help_flag = true)]
struct RunLine {
    #[command(flatten)]
    options: RunOptions,

    /// Show the short help, on one screen
    #[arg(short = 'h')]
    wants_short_help: bool,

    /// Show this help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,

    /// The pipeline: one quoted argument, or words with `::` between stages
    #[arg(value_name = "PIPELINE", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// The whole command line for clap, including what follows from the catalog.
#[must_use]
pub fn command() -> clap::Command {
    let help = Arg::new("help").short('h').long("help");
    let help = help.action(ArgAction::Help).help("Show this help");
    // Only the program itself has a short help.
    CommandLine::command()
        .after_long_help(help::details())
        .mut_subcommands(|subcommand| subcommand.arg(&help))
}

/// The options and subcommands without the pipeline's words, which clap's completions would take for a subcommand.
pub fn command_without_pipeline() -> clap::Command {
    let options = OptionsOnly::command().version(env!("CARGO_PKG_VERSION"));
    Command::augment_subcommands(options.disable_help_subcommand(true))
}

/// What else there is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show in 15 seconds what backpressure is for: the same chain without it and with it
    ///
    /// Needs no files and no network. The run without it is stopped at a modest size, or a quarter of free memory.
    Demo {
        /// Show what a bound of 16 records is worth where records grow: the same chain bounded by count alone, and by count and bytes
        #[arg(long)]
        records: bool,
        /// How long to watch each of the two runs
        #[arg(long, default_value = "8", value_name = "SECONDS", value_parser = parse_watch)]
        seconds: u32,
        /// At the end, draw both runs into a file: .html, .svg or .png
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Draw with ASCII only, as where the locale knows nothing else
        #[arg(long)]
        ascii: bool,
        /// When to use colour; `NO_COLOR` and TERM=dumb are honoured
        #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
        color: Color,
    },
    /// List the stages, or explain one
    Stages {
        /// The stage to explain
        name: Option<String>,
    },
    /// Show what a pipeline would do, and where its memory would go, without running it
    Explain {
        #[command(flatten)]
        options: RunOptions,
        /// The pipeline: one quoted argument, or words with `::` between stages
        #[arg(value_name = "PIPELINE", required = true)]
        pipeline: Vec<OsString>,
    },
    /// Steer a run from another terminal: a throttle's rate, a pause of the sink, a sample
    ///
    /// A run that has lasted 0.1 s listens on a private socket, which only the same user can connect to. While the sink is
    /// paused, the links fill to their marks; --stall-timeout and --min-rate wait, --timeout does not.
    Ctl(Ctl),
    /// Draw recordings of --record: memory against the ceiling, stages, links, rates
    ///
    /// Several recordings are drawn over each other. The report is one file, which needs neither scripts nor a network.
    Report {
        /// The recordings, in the order in which they are named in the report
        #[arg(value_name = "RUN", required = true)]
        recordings: Vec<PathBuf>,
        /// Where to write it; the name says what: .html, .svg or .png
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Look at a pipeline that is already running: which part of it is slow?
    ///
    /// Shows every process that pipes and connections join to one, as a run of highwater is shown. It neither signals nor
    /// slows what it looks at, and ends when the pipeline does. Without an argument it lists what can be looked at.
    Attach(AttachOptions),
    /// Serve a pipeline over HTTP: one run for each request, under one memory ceiling
    ///
    /// The body of the request is a run's standard input, and its standard output is the body of the response. Requests
    /// for which no memory is left wait in a line, and slow clients are cut by rule. A run that fails before its first
    /// byte is answered with a status and one line; after it the connection is cut, so that no client takes a part for
    /// the whole. HEAD runs nothing. Ranges and conditional requests get the whole response.
    #[cfg(feature = "http")]
    Serve(Box<ServeOptions>),
    /// Check whether a program or a server honours backpressure, before it is deployed
    ///
    /// A program is fed lines of random text as fast as it takes them, while its output is read slowly and then not at all.
    /// A server gets clients that read slowly. What they hold in memory meanwhile is the evidence.
    Check(CheckOptions),
    /// Write the manual pages, the completions and the generated tables of the documents
    Generate {
        /// What to write
        #[arg(value_enum)]
        what: What,
        /// Where the project is: files go to its man/ and completions/, tables into its README.md and docs/
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
    },
}

/// The options of a run.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Hard ceiling over links, chunks and codec state
    ///
    /// Without it the ceiling is 8MiB, raised by what the pipeline itself needs: codec levels, threads=, high=, parts of
    /// an upload, resume=true, a queue. What does not fit is refused, with the least that would do.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = MEMORY)]
    pub memory: Option<u64>,

    /// Largest chunk [default: 256KiB, or a quarter of its link]
    #[arg(long, value_name = "SIZE", value_parser = parse_chunk, help_heading = MEMORY)]
    pub chunk: Option<u64>,

    /// Stop the run with code 7 before more is resident
    ///
    /// Checked every 20 ms, and more often near the limit. Without it only --ignore-backpressure has a limit.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = MEMORY)]
    max_rss: Option<u64>,

    /// Show what happens without backpressure: links without a bound
    ///
    /// Every mark is advisory, so a slow stage lets memory grow without bound, until --max-rss stops the run
    /// [default: a quarter of free memory]. For demonstrations.
    #[arg(long, help_heading = MEMORY)]
    pub ignore_backpressure: bool,

    /// On stderr: auto, live, plain, json or none [default: auto]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = VIEW)]
    progress: Option<ProgressChoice>,

    /// Show nothing but errors
    #[arg(short, long, conflicts_with = "progress", help_heading = VIEW)]
    pub quiet: bool,

    /// How often plain and json report; a bare number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval, help_heading = VIEW)]
    pub interval: Duration,

    /// When to use colour; `NO_COLOR` and TERM=dumb are honoured
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN", help_heading = VIEW)]
    pub color: Color,

    /// Serve the run's numbers to Prometheus at http://HOST:PORT/metrics
    ///
    /// On the loopback address unless a host is given: `:9100` is 127.0.0.1:9100. Port 0 picks a free one. The address is
    /// printed on stderr.
    #[arg(long, value_name = "HOST:PORT", help_heading = VIEW, value_parser = parse_address)]
    pub metrics: Option<Address>,

    /// How much to log to standard error
    #[arg(long, value_enum, default_value = "warn", value_name = "LEVEL", help_heading = VIEW)]
    pub log: LogLevel,

    /// At the end, write one line of JSON to a file; - is stderr
    #[arg(long, value_name = "FILE", help_heading = ENDING)]
    pub stats: Option<PathBuf>,

    /// Write every sample to a file, for `highwater report`
    ///
    /// Ten samples a second, one JSON object a line. If the file cannot be written any more, the run goes on without it.
    #[arg(long, value_name = "FILE", help_heading = ENDING)]
    pub record: Option<PathBuf>,

    /// End with code 8 if the whole run takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = ENDING)]
    pub timeout: Option<Duration>,

    /// End with code 8 if no byte moves for so long
    ///
    /// A throttle's own wait is not counted.
    #[arg(long, value_name = "DURATION", value_parser = parse_limit, help_heading = ENDING)]
    pub stall_timeout: Option<Duration>,

    /// How long a signal lets a run commit what it has read, before it is rolled back
    ///
    /// Of a source without an end and of `batch`: the first signal ends the source, and a second one rolls back at once.
    /// The same signal within half a second counts as one, since timeout(1) sends it twice.
    #[arg(long, value_name = "DURATION", value_parser = parse_drain, default_value = "5s", help_heading = ENDING)]
    pub drain: Duration,

    /// End with code 8 if the sink takes less on average
    ///
    /// Judged over the last --min-rate-grace, again and again, until the last byte is written. A throttle's own wait is not
    /// counted; one that lets less pass is refused.
    #[arg(long, value_name = "RATE", value_parser = parse_min_rate, help_heading = ENDING)]
    pub min_rate: Option<u64>,

    /// How long --min-rate is averaged over, and how long a run has before it counts
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_limit, requires = "min_rate", help_heading = ENDING)]
    pub min_rate_grace: Duration,
}

const MEMORY: &str = "Memory";
const VIEW: &str = "What you see";
const ENDING: &str = "How it ends";

/// What to show, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressChoice {
    /// Live on a terminal that no stage uses, else none
    Auto,
    /// A picture of the chain, drawn in place; lines where there is no terminal
    Live,
    /// A line each interval
    Plain,
    /// A JSON object each interval
    Json,
    /// Nothing
    None,
}

impl ProgressChoice {
    /// What that is on this terminal; lines where nothing can be drawn.
    pub fn shown(self) -> Progress {
        match self {
            Self::Auto | Self::Live if can_draw() => Progress::Live,
            Self::Auto | Self::Live | Self::Plain => Progress::Plain,
            Self::Json => Progress::Json,
            Self::None => Progress::None,
        }
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that has it, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to use colour on a stream that is a terminal or not.
    #[must_use]
    pub fn applies_to(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                is_terminal && !unwanted && !is_dumb()
            }
        }
    }
}

/// Whether the terminal cannot move its cursor.
#[must_use]
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Whether a picture can be drawn on standard error.
pub fn can_draw() -> bool {
    std::io::stderr().is_terminal() && !is_dumb()
}

/// How text looks on a stream that is a terminal or not.
pub fn style(color: Color, is_terminal: bool) -> Style {
    let said = std::env::var("COLORFGBG").ok();
    Style {
        colour: color.applies_to(is_terminal),
        background: Background::of(said.as_deref()),
    }
}

/// Whether standard output is a pipe: its reader may ask for a password on the terminal, or show pages there, so that no
/// keys are read from it.
pub fn stdout_is_piped() -> bool {
    let stdout = platform::files::fstat(rustix::stdio::stdout());
    stdout.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

impl RunOptions {
    /// What to show while running a chain, of which a stage uses a terminal or not.
    pub fn progress(&self, uses_terminal: impl Fn() -> bool) -> Progress {
        let is_auto = matches!(self.progress, Some(ProgressChoice::Auto) | None);
        match self.progress.unwrap_or(ProgressChoice::Auto).shown() {
            _ if self.quiet => Progress::None,
            Progress::Plain if is_auto => Progress::None,
            Progress::Live if is_auto && uses_terminal() => Progress::None,
            shown => shown,
        }
    }

    /// Resident memory at which the run is stopped, in bytes. Without backpressure there is always one, within the free
    /// memory.
    ///
    /// # Errors
    /// The problem of the given limit.
    pub fn resident_limit(&self, free: impl FnOnce() -> Option<u64>) -> Result<Option<u64>, String> {
        /// Used if free memory is unknown: small enough for any machine.
        const MODEST: u64 = 256 << 20;
        if !self.ignore_backpressure {
            return Ok(self.max_rss);
        }
        match (self.max_rss, free()) {
            (Some(limit), Some(free)) if limit > free => Err(format!(
                "--max-rss {} would stop the run too late: {} of memory are free",
                format_size(limit),
                human_size(free)
            )),
            (Some(limit), _) => Ok(Some(limit)),
            (None, free) => Ok(Some(free.map_or(MODEST, |free| free / 4))),
        }
    }

    /// How the live view looks on this terminal.
    #[must_use]
    pub fn style(&self) -> Style {
        style(self.color, std::io::stderr().is_terminal())
    }

    /// Whether the run ends with a summary.
    #[must_use]
    pub fn wants_summary(&self) -> bool {
        match self.progress {
            _ if self.quiet => false,
            Some(ProgressChoice::Json) => false,
            Some(ProgressChoice::Plain | ProgressChoice::Live) => true,
            Some(ProgressChoice::Auto | ProgressChoice::None) | None => std::io::stderr().is_terminal(),
        }
    }
}

fn parse_chunk(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Ok(0) => Err("a chunk has at least one byte".to_owned()),
        Ok(size) => Ok(size),
        Err(misread) => Err(misread.to_string()),
    }
}

pub fn parse_min_rate(text: &str) -> Result<u64, String> {
    match parse_rate(text) {
        Ok(0) => Err("a rate is above 0".to_owned()),
        Ok(rate) => Ok(rate),
        Err(misread) => Err(misread.to_string()),
    }
}

/// A duration, or a bare number of seconds, for options whose name or help gives that unit.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let is_bare = text.ends_with(|last: char| last.is_ascii_digit());
    let spelled = if is_bare { format!("{text}s") } else { text.to_owned() };
    parse_duration(&spelled).map_err(|misread| misread.to_string())
}

/// The time of each run of the demo: seconds, as `8` or as a duration.
fn parse_watch(text: &str) -> Result<u32, String> {
    let seconds = parse_seconds(text)?;
    match u32::try_from(seconds.as_secs()) {
        Ok(whole @ 1..=60) if seconds.subsec_nanos() == 0 => Ok(whole),
        _ => Err("it takes 1 to 60 whole seconds".to_owned()),
    }
}

pub fn parse_interval(text: &str) -> Result<Duration, String> {
    not_zero(parse_seconds(text)?)
}

pub fn parse_limit(text: &str) -> Result<Duration, String> {
    not_zero(parse_duration(text).map_err(|misread| misread.to_string())?)
}

fn not_zero(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() {
        return Err("it must be longer than 0".to_owned());
    }
    Ok(duration)
}

/// The options alone: those before a pipeline in one argument and those behind it together.
#[derive(Debug, Parser)]
#[command(name = "highwater", override_usage = USAGE)]
struct OptionsOnly {
    #[command(flatten)]
    options: RunOptions,
}

/// Reads the command line.
///
/// Everything from the first word on belongs to the pipeline, because a stage's words may look like options. But if
/// that first word is a whole pipeline, options may follow it.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let CommandLine { run, command } = read(&arguments)?;
    if run.wants_short_help {
        return Ok(Invocation::Help);
    }
    if let Some(command) = command {
        return Ok(Invocation::Command(command));
    }
    let RunLine { options, words, .. } = run;
    let Some((first, rest)) = words.split_first() else {
        return if std::io::stdin().is_terminal() {
            Ok(Invocation::Nothing)
        } else {
            Ok(Invocation::Filter { options })
        };
    };
    if first == "help" {
        // A subcommand of other programs. No stage has that name.
        return match rest {
            [] => Ok(Invocation::Help),
            [name, ..] if names_command(name) => parse(["highwater".into(), name.clone(), "--help".into()]),
            _ => parse(
                ["highwater", "stages"]
                    .map(OsString::from)
                    .into_iter()
                    .chain(rest.to_vec()),
            ),
        };
    }
    let before = &arguments[..arguments.len() - words.len()];
    let (before, is_escaped) = match before.split_last() {
        Some((last, before)) if last == "--" => (before, true),
        _ => (before, false),
    };
    if first.as_bytes().starts_with(b"-") && !is_escaped {
        // No stage has such a name, so it is an unknown option, and clap reports it.
        OptionsOnly::try_parse_from(before.iter().chain(&words))?;
    }
    let text = first.as_bytes().to_vec();
    match rest.first() {
        None => return Ok(Invocation::Pipeline { text, options }),
        // Options alone cannot be read from this.
        Some(next) if !is_whole_pipeline(&text) && !next.as_bytes().starts_with(b"-") => {
            return Ok(Invocation::Words { words, options });
        }
        Some(_) => {}
    }
    match OptionsOnly::try_parse_from(before.iter().chain(rest)) {
        Ok(all) => Ok(Invocation::Pipeline {
            text,
            options: all.options,
        }),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Invocation::Help),
        Err(error) if is_whole_pipeline(first.as_bytes()) || error.kind() == ErrorKind::ArgumentConflict => Err(error),
        Err(_) => Ok(Invocation::Words { words, options }),
    }
}

/// Reads what clap knows of a command line.
fn read(arguments: &[OsString]) -> Result<CommandLine, clap::Error> {
    let with = |mut definition: clap::Command| {
        let matches = definition.try_get_matches_from_mut(arguments)?;
        CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))
    };
    if arguments.iter().any(|word| names_command(word)) {
        return with(command());
    }
    match with(RunLine::command()) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => with(command()),
        read => read,
    }
}

fn names_command(word: &OsStr) -> bool {
    word.to_str().is_some_and(Command::has_subcommand)
}

/// Whether a word can only be a pipeline: a stage's name has neither blanks nor bars.
fn is_whole_pipeline(word: &[u8]) -> bool {
    word.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'|')
}

/// A time that may be 0.
pub fn parse_drain(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|misread| misread.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(arguments: &[&str], free: Option<u64>) -> Result<Option<u64>, String> {
        let arguments = std::iter::once(&"highwater").chain(arguments);
        let options = OptionsOnly::try_parse_from(arguments).expect("options").options;
        options.resident_limit(|| free)
    }

    #[test]
    fn help_is_asked_for_as_elsewhere() {
        let asked = |words: &[&str]| {
            parse(
                std::iter::once("highwater")
                    .chain(words.iter().copied())
                    .map(OsString::from),
            )
        };
        assert!(matches!(asked(&["help"]), Ok(Invocation::Help)));
        assert!(matches!(
            asked(&["help", "gzip"]),
            Ok(Invocation::Command(Command::Stages { name: Some(name) })) if name == "gzip"
        ));
        let Err(shown) = asked(&["help", "ctl"]) else {
            panic!("clap shows it");
        };
        assert_eq!(shown.kind(), ErrorKind::DisplayHelp);
        assert!(shown.to_string().contains("highwater ctl [PID COMMAND"), "{shown}");
    }

    #[test]
    fn the_demo_is_watched_for_whole_seconds() {
        assert_eq!(["8", "8s", "1m"].map(parse_watch), [Ok(8), Ok(8), Ok(60)]);
        for wrong in ["0", "61", "1500ms", "soon"] {
            assert!(parse_watch(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bare_interval_is_seconds() {
        let millis = |text| parse_interval(text).map(|interval| interval.as_millis());
        assert_eq!(
            ["1", "0.5", "2s", "250ms"].map(millis),
            [Ok(1000), Ok(500), Ok(2000), Ok(250)]
        );
        for wrong in ["0", "0s", "-1", "1e3", "soon"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
        assert!(parse_limit("5").is_err());
    }

    #[test]
    fn ignored_backpressure_always_has_a_limit() {
        const WRONG: &str = "--ignore-backpressure";
        assert_eq!(limit(&[], Some(100)), Ok(None));
        assert_eq!(limit(&["--max-rss", "9G"], Some(100)), Ok(Some(9 << 30)));
        assert_eq!(limit(&[WRONG], Some(100)), Ok(Some(25)));
        assert_eq!(limit(&[WRONG], None), Ok(Some(256 << 20)));
        assert_eq!(limit(&[WRONG, "--max-rss", "100"], Some(100)), Ok(Some(100)));
        assert_eq!(
            limit(&[WRONG, "--max-rss", "2M"], Some(1 << 20)),
            Err("--max-rss 2MiB would stop the run too late: 1.00 MiB of memory are free".to_owned())
        );
    }
}
