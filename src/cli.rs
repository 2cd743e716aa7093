//! The command line: options, subcommands, which view to show, exit codes.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::catalog;
use crate::engine::{self, Ending, MinRate, Observer, Sampler, Snapshot, Watch};
use crate::error::{ChainError, Failure, Kind, Problem, bug, keep_panics};
use crate::grammar::{self, Script, human_size};
use crate::plan::{self, Limits, Plan};
use crate::platform;
use crate::view::metrics::{Address, Listener, Server};
use crate::view::record::{Recorder, stopped};
use crate::view::{self, Progress, View, json, say, sum, summary};

mod check;
mod demo;
mod explain;
mod generate;
mod help;
mod log;
mod options;
mod record;
mod report;
mod stats;

use options::{Command, Invocation, RunOptions};
use stats::StatsFile;

/// The exit code of a command line or a pipeline that cannot be.
const USAGE: u8 = 2;

/// What is over within this time needs no view, and the thread of one is a good part of its cost.
const BRIEF: Duration = Duration::from_millis(100);

/// Runs the command line to its exit code. Where a signal ended the run, the process ends by that signal instead.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before any thread starts.
    platform::creation_mask();
    platform::share_one_heap();
    keep_panics();
    catch_unwind(AssertUnwindSafe(|| dispatch(arguments))).unwrap_or_else(|payload| {
        let bug = bug(&*payload);
        say(&format!("highwater: {bug}\n"));
        ExitCode::from(bug.kind().exit_code())
    })
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match options::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match invocation {
        Invocation::Pipeline { text, options } => transfer(grammar::parse(&text), &options),
        Invocation::Words { words, options } => transfer(grammar::from_words(&words), &options),
        Invocation::Filter { options } => transfer((Script::default(), Vec::new()), &options),
        Invocation::Help => print(&help::short()),
        Invocation::Command(Command::Generate { what, to }) => match generate::write(what, &to) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                say(&format!("highwater: {message}\n"));
                ExitCode::from(4)
            }
        },
        Invocation::Command(Command::Demo {
            seconds,
            report,
            ascii,
            color,
        }) => demo::run(seconds, report.as_deref(), ascii, color),
        Invocation::Command(Command::Report { recordings, output }) => match report::write(&recordings, &output) {
            Ok(()) => ExitCode::SUCCESS,
            Err((message, code)) => {
                say(&format!("highwater: {message}\n"));
                ExitCode::from(code)
            }
        },
        Invocation::Command(Command::Check(options)) => check::run(&options),
        Invocation::Command(Command::Stages { name }) => stages(name.as_deref()),
        Invocation::Command(Command::Explain { pipeline, options }) => {
            let (script, problems) = match pipeline.as_slice() {
                [text] => grammar::parse(std::os::unix::ffi::OsStrExt::as_bytes(text.as_os_str())),
                words => grammar::from_words(words),
            };
            match Plan::new(&script, problems, limits(&options)) {
                Ok(plan) => match options.resident_limit(platform::free_memory) {
                    Ok(limit) => print(&explain::text(&plan, limit)),
                    Err(message) => {
                        say(&format!("highwater: {message}\n"));
                        ExitCode::from(USAGE)
                    }
                },
                Err(error) => refuse(&error, &options),
            }
        }
    }
}

fn stages(name: Option<&str>) -> ExitCode {
    let all = plan::catalog();
    match name {
        None => print(&catalog::list(&all)),
        Some(name) => match catalog::find_by_name(name, &all) {
            Ok(definition) => print(&catalog::describe(definition)),
            Err(message) => {
                say(&format!("highwater: {message}\n"));
                ExitCode::from(USAGE)
            }
        },
    }
}

/// Writes what was asked for to standard output, whose reader may leave early.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(error) => {
            let failure = Failure::io(Kind::Sink, "cannot write to standard output", error);
            say(&format!("highwater: {failure}\n"));
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

fn limits(options: &RunOptions) -> Limits {
    Limits {
        memory: options.memory,
        chunk: options.chunk,
        ignore_backpressure: options.ignore_backpressure,
        min_rate: options.min_rate,
    }
}

fn refuse(error: &ChainError, options: &RunOptions) -> ExitCode {
    let colour = options.color.applies_to(std::io::stderr().is_terminal());
    say(&format!("{}\n", error.render(colour)));
    ExitCode::from(USAGE)
}

/// What ends the run from outside. What is recorded is recorded from its first moment.
fn settings(options: &RunOptions, max_rss: Option<u64>, is_recorded: bool) -> engine::Settings {
    engine::Settings {
        timeout: options.timeout,
        stall_timeout: options.stall_timeout,
        max_rss,
        min_rate: options.min_rate.map(|rate| MinRate {
            rate,
            grace: options.min_rate_grace,
        }),
        brief: if is_recorded {
            Duration::ZERO
        } else {
            BRIEF.min(options.interval)
        },
    }
}

/// Runs a pipeline.
fn transfer((script, problems): (Script, Vec<Problem>), options: &RunOptions) -> ExitCode {
    log::start(options.log);
    let plan = match Plan::new(&script, problems, limits(options)) {
        Ok(plan) => plan,
        Err(error) => {
            let code = refuse(&error, options);
            leave_stats(options, USAGE, "the pipeline cannot be");
            return code;
        }
    };
    let max_rss = match options.resident_limit(platform::free_memory) {
        Ok(limit) => limit,
        Err(message) => {
            say(&format!("highwater: {message}\n"));
            return ExitCode::from(USAGE);
        }
    };
    // Before anything is opened or made: whoever cannot be watched has done nothing yet.
    let metrics = match options.metrics.as_ref().map(serve).transpose() {
        Ok(metrics) => metrics,
        Err(failure) => return no_metrics(&failure, options),
    };
    let stats = match options.stats.as_deref().map(StatsFile::open).transpose() {
        Ok(stats) => stats,
        Err(message) => {
            say(&format!("highwater: {message}\n"));
            return ExitCode::from(4);
        }
    };
    let begun = options
        .record
        .as_deref()
        .map(|path| record::begin(path, options.stats.as_deref(), &plan));
    let recorder = match begun.transpose() {
        Ok(recorder) => recorder,
        Err(failure) => {
            let (code, error) = (failure.kind().exit_code(), Some(failure.to_string()));
            say(&format!("highwater: {failure}\n"));
            let _ = stats.map_or(Ok(()), |stats| stats.write(None, &json::Exit { code, error }));
            return ExitCode::from(code);
        }
    };
    let asked = Arc::new(AtomicBool::new(false));
    platform::prepare_signals(&asked);
    let settings = settings(options, max_rss, recorder.is_some());
    let mut audience = Audience {
        metrics,
        settings: view::Settings {
            progress: options.progress(uses_terminal(&plan)),
            interval: options.interval,
            asked,
            style: options.style(),
        },
        recorder,
        watch: None,
        view: None,
    };
    audience.warn();
    let ending = engine::run(plan, settings, &mut audience);
    let snapshot = audience.finish();

    let exit = json::Exit {
        code: ending.exit_code(),
        error: error_line(&ending),
    };
    if let Some(recorder) = &mut audience.recorder {
        recorder.end(snapshot.as_ref(), &exit);
        audience.warn();
    }
    let stats_follow = options.stats.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if audience.settings.progress == Progress::Json && !stats_follow {
        say(&json::end(snapshot.as_ref(), &exit));
    }
    for hashed in snapshot.iter().flat_map(|snapshot| &snapshot.hashes) {
        if hashed.hex.is_some() || exit.code == 0 {
            say(&sum::line(hashed));
        }
    }
    for line in &ending.left_behind {
        say(&format!("highwater: {line}\n"));
    }
    let reader_left = ending
        .failure
        .as_ref()
        .is_some_and(|(_, failure)| failure.kind() == Kind::ReaderLeft);
    if let Some(error) = exit.error.as_ref().filter(|_| !reader_left) {
        say(&format!("highwater: {error}\n"));
    }
    if let Some(snapshot) = snapshot.as_ref().filter(|_| options.wants_summary() && !reader_left) {
        say(&summary::text(snapshot, exit.code == 0, options.style()));
    }
    let stats = stats.map_or(Ok(()), |stats| stats.write(snapshot.as_ref(), &exit));
    if let Err(message) = &stats {
        say(&format!("highwater: {message}\n"));
    }
    if let Some(signal) = ending.signal {
        platform::end_as(signal);
    }
    match exit.code {
        0 if stats.is_err() => ExitCode::from(4),
        code => ExitCode::from(code),
    }
}

/// Binds the address of the metrics, and answers whoever comes.
fn serve(wanted: &Address) -> Result<Server, Failure> {
    let listener = Listener::bind(wanted)?;
    let url = listener.url();
    Server::start(listener).inspect(|_| say(&format!("highwater: metrics on {url}\n")))
}

/// Says why there can be no metrics, and so no run.
fn no_metrics(failure: &Failure, options: &RunOptions) -> ExitCode {
    let code = failure.kind().exit_code();
    let message = format!("--metrics: {failure}");
    say(&format!("highwater: {message}\n"));
    leave_stats(options, code, &message);
    ExitCode::from(code)
}

/// The end object of a run that never began.
fn leave_stats(options: &RunOptions, code: u8, error: &str) {
    if let Some(stats) = &options.stats {
        let error = Some(error.to_owned());
        let _ = StatsFile::open(stats).and_then(|file| file.write(None, &json::Exit { code, error }));
    }
}

/// Whether a terminal is where the bytes come from or go to: it shows them, so it cannot show a picture as well.
fn uses_terminal(plan: &Plan) -> bool {
    let facts = [plan.source.plan.facts(), plan.sink.plan.facts()];
    facts.into_iter().flatten().any(|facts| facts.is_terminal)
}

/// `write out.gz: cannot write: No space left on device (after 12.0 MiB)`
fn error_line(ending: &Ending) -> Option<String> {
    let (stage, failure) = ending.failure.as_ref()?;
    let stage = stage.as_ref().map_or_else(String::new, |stage| format!("{stage}: "));
    let after = failure
        .bytes_before()
        .map_or_else(String::new, |bytes| format!(" (after {})", human_size(bytes)));
    Some(format!("{stage}{failure}{after}"))
}

/// Shows a run to whoever sits at standard error.
struct Audience {
    /// Who shows it to machines.
    metrics: Option<Server>,
    settings: view::Settings,
    /// The recording, while no view writes it.
    recorder: Option<Recorder>,
    /// The run, once it has started.
    watch: Option<Arc<Watch>>,
    view: Option<View>,
}

impl Audience {
    /// Ends the view, if there was time for one; answers the snapshot of the whole run, if it got that far.
    fn finish(&mut self) -> Option<Snapshot> {
        drop(self.metrics.take());
        let Some(view) = self.view.take() else {
            return self.watch.take().map(|watch| Sampler::new(watch).end());
        };
        let (snapshot, recorder) = view.finish();
        self.recorder = recorder;
        Some(snapshot)
    }

    /// Says that the recording has stopped, if it has.
    fn warn(&mut self) {
        if let Some(error) = self.recorder.as_mut().and_then(Recorder::trouble) {
            say(&stopped(error));
        }
    }
}

impl Observer for Audience {
    fn listening(&mut self, url: &str) {
        say(&format!("highwater: listening on {url}\n"));
    }

    fn started(&mut self, watch: &Arc<Watch>) {
        self.watch = Some(watch.clone());
        if let Some(metrics) = &self.metrics {
            metrics.show(watch);
        }
    }

    fn goes_on(&mut self) {
        let recorder = self.recorder.take();
        self.view = self
            .watch
            .as_ref()
            .map(|watch| View::start(watch, self.settings.clone(), recorder));
    }
}
