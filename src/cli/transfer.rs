//! Runs a pipeline: the files opened for it beforehand, and what ends it from outside.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::catalog;
use crate::engine::{self, MinRate};
use crate::error::{Failure, Kind, Problem};
use crate::grammar::Script;
use crate::net::Address;
use crate::plan::{self, Plan};
use crate::platform::{self, ResidentMemory};
use crate::view::metrics::{Listener, Server};
use crate::view::{self, Progress, json, say};

use super::audience::Audience;
use super::ending::conclude;
use super::options::{RunOptions, command, stdout_is_piped};
use super::own_files::Taken;
use super::stats::StatsFile;
use super::{USAGE, limits, log, record, refuse};

/// A run that ends within this time needs no view, whose thread would be a good part of its cost.
const BRIEF: Duration = Duration::from_millis(100);

/// Runs a pipeline.
pub fn transfer((script, problems): (Script, Vec<Problem>), options: &RunOptions) -> ExitCode {
    log::start(options.log);
    let plan = match Plan::new(&script, problems, limits(options)) {
        Ok(plan) => plan,
        Err(error) => {
            let code = refuse(&error, options);
            if let Some(command) = meant_command(&script) {
                say(&format!("highwater: did you mean `highwater {command}`?\n"));
            }
            if !may_name(&script, options.stats.as_deref()) {
                leave_stats(options, USAGE, "invalid pipeline");
            }
            return code;
        }
    };
    if let Err(Unfit {
        code,
        message,
        leaves_stats,
    }) = check_own_files(&plan, options)
    {
        say(&format!("highwater: {message}\n"));
        if leaves_stats {
            leave_stats(options, code, &message);
        }
        return ExitCode::from(code);
    }
    let max_rss = match options.resident_limit(platform::free_memory) {
        Ok(limit) => limit,
        Err(message) => {
            say(&format!("highwater: {message}\n"));
            return ExitCode::from(USAGE);
        }
    };
    if let Some(message) = unwatchable(max_rss) {
        say(&format!("highwater: {message}\n"));
        let code = Kind::Resources.exit_code();
        leave_stats(options, code, message);
        return ExitCode::from(code);
    }
    // Before anything is opened or made: a run whose metrics cannot be served must have no effect.
    let metrics = match options.metrics.as_ref().map(serve).transpose() {
        Ok(metrics) => metrics,
        Err(failure) => return no_metrics(&failure, options),
    };
    let stats = match options.stats.as_deref().map(StatsFile::open).transpose() {
        Ok(stats) => stats,
        Err(failure) => {
            say(&format!("highwater: {failure}\n"));
            return ExitCode::from(failure.kind().exit_code());
        }
    };
    let begun = options.record.as_deref().map(|path| record::begin(path, &plan.text));
    let recorder = match begun.transpose() {
        Ok(recorder) => recorder,
        Err(failure) => {
            let code = failure.kind().exit_code();
            say(&format!("highwater: {failure}\n"));
            let _ = stats.map_or(Ok(()), |stats| stats.write(&never_began(code, &failure.to_string())));
            return ExitCode::from(code);
        }
    };
    let asked = Arc::new(AtomicBool::new(false));
    platform::prepare_signals(&asked);
    let settings = settings(options, max_rss, recorder.is_some());
    let progress = options.progress(|| uses_terminal(&plan));
    let shown = view::Settings {
        progress,
        interval: options.interval,
        asked,
        style: options.style(),
        keys: progress == Progress::Live && may_take_keys(&plan),
    };
    let mut audience = Audience::new(shown, options.quiet, recorder, metrics);
    audience.warn();
    let ending = engine::run(plan, settings, &mut audience);
    let snapshot = audience.finish();

    conclude(&ending, snapshot.as_ref(), &mut audience, stats, options)
}

/// The subcommand that a pipeline of one unknown stage may be a slip for.
fn meant_command(script: &Script) -> Option<String> {
    let [call] = script.calls.as_slice() else { return None };
    let name = str::from_utf8(&call.name.bytes).ok()?;
    let commands = command();
    let commands = commands.get_subcommands().filter(|command| !command.is_hide_set());
    let is_stage = plan::catalog().iter().any(|stage| stage.name == name);
    let near = catalog::nearest(name, commands.map(clap::Command::get_name)).filter(|_| !is_stage);
    near.map(str::to_owned)
}

/// Whether an invalid pipeline may have that file as a source or a sink: then it must not be written to.
fn may_name(script: &Script, path: Option<&Path>) -> bool {
    let name = path.and_then(Path::file_name).map(OsStrExt::as_bytes);
    name.is_some_and(|name| script.text.windows(name.len()).any(|part| part == name))
}

/// Why a run cannot write a file about itself.
struct Unfit {
    code: u8,
    message: String,
    /// Whether the file of `--stats` may still be written.
    leaves_stats: bool,
}

/// Checks the files that the run writes about itself, before anything is opened.
fn check_own_files(plan: &Plan, options: &RunOptions) -> Result<(), Unfit> {
    let stats = options.stats.as_deref().filter(|path| path.as_os_str() != "-");
    if stats.is_none() && options.record.is_none() {
        return Ok(());
    }
    let unfit = |failure: &Failure, message, leaves_stats| Unfit {
        code: failure.kind().exit_code(),
        message,
        leaves_stats,
    };
    let files = plan.files();
    let files = files.map_err(|(node, failure)| {
        let message = format!("{}: {failure}", plan.stages[node].text);
        unfit(&failure, message, false)
    })?;
    let mut taken = Taken::by(files);
    let mut take = |option, path, leaves_stats| {
        taken
            .take(option, path)
            .map_err(|failure| unfit(&failure, failure.to_string(), leaves_stats))
    };
    stats.map_or(Ok(()), |path| take("--stats", path, false))?;
    let record = options.record.as_deref();
    record.map_or(Ok(()), |path| take("--record", path, true))
}

/// Why a limit of resident memory cannot be kept.
pub fn unwatchable(max_rss: Option<u64>) -> Option<&'static str> {
    let is_unknown = max_rss.is_some() && !ResidentMemory::open().is_known();
    is_unknown.then_some("--max-rss: the system does not tell how much memory is resident: is /proc mounted?")
}

/// Binds the address of the metrics, and serves them.
pub fn serve(wanted: &Address) -> Result<Server, Failure> {
    let listener = Listener::bind(wanted)?;
    let url = listener.url();
    Server::start(listener).inspect(|_| say(&format!("highwater: metrics on {url}\n")))
}

/// Reports that the metrics cannot be served, so the run is not started.
fn no_metrics(failure: &Failure, options: &RunOptions) -> ExitCode {
    let code = failure.kind().exit_code();
    let message = format!("--metrics: {failure}");
    say(&format!("highwater: {message}\n"));
    leave_stats(options, code, &message);
    ExitCode::from(code)
}

/// Writes the end object of a run that never began.
fn leave_stats(options: &RunOptions, code: u8, error: &str) {
    if let Some(stats) = &options.stats {
        let _ = StatsFile::open(stats).and_then(|file| file.write(&never_began(code, error)));
    }
}

/// The end object of a run that never began.
fn never_began(code: u8, error: &str) -> String {
    let error = Some(error.to_owned());
    json::end(None, &[], &json::Exit { code, error })
}

/// Whether a terminal is a source or a sink: then it cannot show a picture as well.
fn uses_terminal(plan: &Plan) -> bool {
    plan.ends().any(|(_, facts)| facts.is_ok_and(|facts| facts.is_terminal))
}

/// Whether keys may be read from the terminal: not if a stage reads it, nor if standard output is a pipe.
fn may_take_keys(plan: &Plan) -> bool {
    let mut sources = plan.ends().filter(|(node, _)| plan.graph.input(*node).is_none());
    let is_read = sources.any(|(_, facts)| facts.is_ok_and(|facts| facts.is_terminal));
    !is_read && !stdout_is_piped()
}

/// The limits of the run. A recording begins at its first moment.
fn settings(options: &RunOptions, max_rss: Option<u64>, is_recorded: bool) -> engine::Settings {
    engine::Settings {
        timeout: options.timeout,
        stall_timeout: options.stall_timeout,
        drain: options.drain,
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
