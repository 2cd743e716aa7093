//! `highwater attach`: looks at a pipeline that is already running.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{Timespec, poll};
use rustix::process::geteuid;

use crate::attach::{Census, Look, Pipeline};
use crate::engine::{Sampler, Snapshot};
use crate::error::{Failure, Kind, shown};
use crate::grammar::human_size;
use crate::net::Address;
use crate::platform::other_process::{ProcessFiles, owner};
use crate::platform::{end_as, pending_signal, prepare_signals, process_name, terminal_size};
use crate::view::live::{History, Line, Paint, Size, Style, frame};
use crate::view::metrics::parse_address;
use crate::view::record::{Recorder, stopped};
use crate::view::{self, Progress, View, json, plain, say, say_exactly, summary};

use super::options::{Color, ProgressChoice, parse_interval, stdout_is_piped, style};
use super::stats::StatsFile;
use super::transfer::serve;
use super::{fail, print, record};

/// Which pipeline, and how it is shown.
#[derive(Debug, Args)]
pub struct AttachOptions {
    /// A process of the pipeline, by its number or its program's name
    ///
    /// One that is in no pipeline, such as a shell, stands for those of its descendants.
    #[arg(value_name = "PID|PROGRAM")]
    what: Option<String>,

    /// Print one picture on stdout, after one interval, and end
    #[arg(long)]
    once: bool,

    /// What to show: auto, live, plain, json or none [default: auto]
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    progress: Option<ProgressChoice>,

    /// How often plain and json report; a bare number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,

    /// When to use colour: auto, always, never
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        hide_possible_values = true
    )]
    color: Color,

    /// Serve the numbers to Prometheus at http://HOST:PORT/metrics
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address, conflicts_with = "once")]
    metrics: Option<Address>,

    /// At the end, write one line of JSON to a file; - is stderr
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    stats: Option<PathBuf>,

    /// Write every sample to a file, for `highwater report`
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    record: Option<PathBuf>,
}

/// Looks at a pipeline, and returns the exit code.
pub fn run(options: &AttachOptions) -> ExitCode {
    match attach(options) {
        Ok(code) => code,
        Err(failure) => fail(&failure),
    }
}

fn attach(options: &AttachOptions) -> Result<ExitCode, Failure> {
    let census = Census::take().map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => Failure::because(Kind::Usage, "attach", "it needs the /proc of Linux"),
        _ => Failure::io(Kind::Source, "attach: cannot list the processes", error),
    })?;
    let Some(what) = &options.what else {
        return Ok(print(&candidates(&census)));
    };
    let mut pipelines = find(&census, what)?;
    pipelines.sort_by_key(|pipeline| std::cmp::Reverse(moved(pipeline)));
    for pipeline in &pipelines {
        tell_others(pipeline);
    }
    if options.once {
        return Ok(once(&pipelines, options));
    }
    let [shown, others @ ..] = pipelines.as_slice() else {
        return Ok(ExitCode::SUCCESS);
    };
    for other in others {
        let text = other.text();
        say(&format!(
            "highwater: attach: another pipeline is `highwater attach {}`: {text}\n",
            number(other)
        ));
    }
    follow(shown, options)
}

/// The pipelines that a process number or a program's name stands for.
fn find(census: &Census, what: &str) -> Result<Vec<Pipeline>, Failure> {
    let operation = format!("attach {}", shown(what.as_bytes()));
    let gone = |why: &str| Failure::because(Kind::Source, operation.clone(), why);
    let pids = match what.parse::<i32>() {
        Ok(pid) if pid.unsigned_abs() == std::process::id() => {
            return Err(Failure::because(Kind::Usage, operation, "that is this process"));
        }
        Ok(pid) if census.process(pid).is_none() => return Err(gone("there is no such process")),
        Ok(pid) => vec![pid],
        Err(_) => census.named(what),
    };
    let Some(first) = pids.first() else {
        return Err(gone("no such program is running; `highwater attach` lists what is"));
    };
    let pipelines = census.pipelines_of(&pids);
    if !pipelines.is_empty() {
        return Ok(pipelines);
    }
    if pids.iter().all(|pid| census.hides(*pid)) {
        let user = owner(*first).map_or_else(|| "another user".to_owned(), |user| format!("user {user}"));
        return Err(gone(&format!(
            "its descriptors may not be seen: it belongs to {user}; run highwater as that user or as root"
        )));
    }
    let why = "no pipe joins it or a descendant to another process; `highwater attach` lists what can be looked at";
    Err(Failure::because(Kind::Usage, operation, why))
}

/// The number to name a pipeline by.
fn number(pipeline: &Pipeline) -> i32 {
    let mut stages = pipeline.stages.values().iter();
    stages.find(|stage| !stage.is_owner).map_or(0, |stage| stage.pid)
}

/// The most bytes that any of its processes has moved.
fn moved(pipeline: &Pipeline) -> u64 {
    let stages = pipeline.stages.values().iter().filter(|stage| !stage.is_owner);
    let moved = stages.filter_map(|stage| ProcessFiles::open(stage.pid).transferred());
    moved.map(|(read, written)| read.max(written)).max().unwrap_or(0)
}

/// All pipelines that can be looked at, the largest first.
fn candidates(census: &Census) -> String {
    let mut pipelines: Vec<(u64, Pipeline)> = census.pipelines().into_iter().map(|one| (moved(&one), one)).collect();
    pipelines.sort_by_key(|(moved, _)| std::cmp::Reverse(*moved));
    let hidden = census.pids().into_iter().filter(|pid| census.hides(*pid)).count();
    if hidden > 0 {
        say(&format!(
            "highwater: attach: {hidden} processes of other users may not be seen; root sees all\n"
        ));
    }
    if pipelines.is_empty() {
        return "no pipeline is running\n".to_owned();
    }
    let columns = terminal_size(io::stdout()).map_or(usize::MAX, |(columns, _)| usize::from(columns));
    let rows = pipelines.iter().map(|(moved, pipeline)| {
        let text = pipeline.text();
        let row = format!("{:>8}  {:>9}  {text}", number(pipeline), human_size(*moved));
        let row = Line::default().with(Paint::Plain, row).cut_to(columns);
        row.pieces.into_iter().map(|(_, text)| text).collect::<String>() + "\n"
    });
    format!("{:>8}  {:>9}  pipeline\n", "pid", "moved") + &rows.collect::<String>()
}

/// Says what belongs to a pipeline besides what is shown.
fn tell_others(pipeline: &Pipeline) {
    let hint = if geteuid().is_root() {
        "; from a container, only its own processes are seen"
    } else {
        "; root sees all"
    };
    for (pid, writes) in &pipeline.loose {
        let (verb, end) = if *writes {
            ("reads from", "output")
        } else {
            ("writes to", "input")
        };
        let name = process_name(pid.unsigned_abs()).unwrap_or_default();
        let name = shown(name.as_bytes());
        say(&format!(
            "highwater: attach: no process that may be seen {verb} the pipe at the {end} of {name} ({pid}){hint}\n"
        ));
    }
    for other in &pipeline.others {
        say(&format!(
            "highwater: attach: process {other} is joined to it, too, and is not shown: `highwater attach {other}`\n"
        ));
    }
}

/// Prints a picture of each.
fn once(pipelines: &[Pipeline], options: &AttachOptions) -> ExitCode {
    let mut looks: Vec<Look> = pipelines.iter().map(Look::new).collect();
    let mut samplers: Vec<Sampler> = looks.iter().map(|look| Sampler::new(look.attached())).collect();
    let end = Instant::now() + options.interval;
    loop {
        let mut goes_on = false;
        let mut pause = Duration::from_secs(1);
        for look in &mut looks {
            goes_on |= look.sample();
            pause = pause.min(look.interval());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !goes_on {
            break;
        }
        wait(pause.min(left));
    }
    let is_terminal = io::IsTerminal::is_terminal(&io::stdout());
    let style = style(options.color, is_terminal);
    let pictures = samplers.iter_mut().map(|sampler| {
        let snapshot = sampler.sample();
        match options.progress {
            Some(ProgressChoice::Json) => json::sample(&snapshot),
            Some(ProgressChoice::Plain) => plain::line(&snapshot),
            _ => picture(&snapshot, style),
        }
    });
    print(&pictures.collect::<String>())
}

/// Waits for that long, or until a signal.
fn wait(time: Duration) {
    // A time too long for the call is one more look.
    let time = Timespec::try_from(time).unwrap_or_default();
    let _ = poll(&mut [], Some(&time));
}

fn picture(snapshot: &Snapshot, style: Style) -> String {
    let columns = terminal_size(io::stdout()).map_or(80, |(columns, _)| usize::from(columns));
    let size = Size {
        columns,
        rows: usize::MAX,
    };
    let mut history = History::default();
    history.add(snapshot.run.elapsed, snapshot.run.rss);
    let lines = frame(snapshot, &history, size);
    lines.iter().map(|line| style.text(line) + "\n").collect()
}

/// Shows a pipeline until it ends, or a signal ends this.
fn follow(pipeline: &Pipeline, options: &AttachOptions) -> Result<ExitCode, Failure> {
    let metrics = options.metrics.as_ref().map(serve).transpose()?;
    let stats = options.stats.as_deref().map(StatsFile::open).transpose()?;
    let text = pipeline.text();
    let begun = options.record.as_deref().map(|path| record::begin(path, &text));
    let recorder = begun.transpose()?;
    let asked = Arc::new(AtomicBool::new(false));
    prepare_signals(&asked);
    let signal = pending_signal();
    let progress = options.progress.unwrap_or(ProgressChoice::Auto).shown();
    let style = style(options.color, io::IsTerminal::is_terminal(&io::stderr()));
    let settings = view::Settings {
        progress,
        interval: options.interval,
        asked,
        style,
        keys: !stdout_is_piped(),
    };
    let mut look = Look::new(pipeline);
    if let Some(metrics) = &metrics {
        metrics.show(look.attached());
    }
    let view = View::observe(look.attached(), settings, recorder);
    while signal.load(Ordering::Relaxed) == 0 && look.sample() {
        wait(look.interval());
    }
    let (snapshot, mut recorder) = view.finish();
    drop(metrics);
    let signal = i32::try_from(signal.load(Ordering::Relaxed)).unwrap_or(0);
    let exit = json::Exit {
        code: u8::try_from(signal).map_or(0, |signal| if signal == 0 { 0 } else { 128 + signal }),
        error: None,
    };
    let end = json::end(Some(&snapshot), &[], &exit);
    if let Some(recorder) = &mut recorder {
        recorder.end(&end);
    }
    if let Some(error) = recorder.as_mut().and_then(Recorder::trouble) {
        say(&stopped(error));
    }
    match progress {
        Progress::Json => say_exactly(&end),
        Progress::Live | Progress::Plain => say(&summary::text(&snapshot, true, style, summary::columns())),
        Progress::None => {}
    }
    stats.map_or(Ok(()), |stats| stats.write(&end))?;
    if signal != 0 {
        end_as(signal);
    }
    Ok(ExitCode::SUCCESS)
}
