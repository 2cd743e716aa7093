//! The command line: options, subcommands, which view to show, exit codes.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::catalog;
use crate::error::{ChainError, Failure, Kind, bug, keep_panics};
use crate::grammar::{self, Script};
use crate::plan::{self, Limits, Plan};
use crate::platform::{self, Descriptor};
use crate::view::ascii::for_locale;
use crate::view::say;

mod attach;
mod audience;
mod check;
mod control;
mod ctl;
mod demo;
mod ending;
mod explain;
mod generate;
mod help;
mod log;
mod misuse;
mod options;
mod own_files;
mod record;
mod report;
#[cfg(feature = "http")]
mod serve;
mod stats;
mod transfer;

use options::{Color, Command, Invocation, RunOptions};
use transfer::transfer;

/// The exit code of an invalid command line or pipeline.
const USAGE: u8 = 2;

/// Runs the command line and returns its exit code. If a signal ended the run, the process ends by that signal instead.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    platform::share_one_heap();
    keep_panics();
    catch_unwind(AssertUnwindSafe(|| dispatch(arguments))).unwrap_or_else(|payload| {
        platform::release_keyboard();
        let bug = bug(&*payload);
        say(&format!("highwater: {bug}\n"));
        ExitCode::from(bug.kind().exit_code())
    })
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let invocation = match options::parse(arguments.clone()) {
        Ok(invocation) => invocation,
        Err(error) if !error.use_stderr() => return print(&rendered(&error, &std::io::stdout())),
        Err(error) => {
            misuse::print(error, &arguments);
            return ExitCode::from(USAGE);
        }
    };
    match invocation {
        Invocation::Pipeline { text, options } => transfer(grammar::parse(&text), &options),
        Invocation::Words { words, options } => transfer(grammar::from_words(&words), &options),
        Invocation::Filter { options } => transfer((Script::default(), Vec::new()), &options),
        Invocation::Help => print(&help::short()),
        Invocation::Nothing => {
            say(&help::short());
            ExitCode::from(USAGE)
        }
        Invocation::Command(Command::Generate { what, to }) => match generate::write(what, &to) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail(&failure),
        },
        Invocation::Command(Command::Demo {
            records,
            seconds,
            report,
            ascii,
            color,
        }) => demo::run(records, seconds, report.as_deref(), ascii, color),
        Invocation::Command(Command::Ctl(ctl)) => match ctl::run(&ctl) {
            Ok(line) => print(&line),
            Err(failure) => fail(&failure),
        },
        Invocation::Command(Command::Report { recordings, output }) => match report::write(&recordings, &output) {
            Ok(()) => ExitCode::SUCCESS,
            Err((message, code)) => {
                say(&format!("highwater: {message}\n"));
                ExitCode::from(code)
            }
        },
        #[cfg(feature = "http")]
        Invocation::Command(Command::Serve(options)) => serve::run(&options),
        Invocation::Command(Command::Attach(options)) => attach::run(&options),
        Invocation::Command(Command::Check(options)) => check::run(&options),
        Invocation::Command(Command::Stages { name }) => stages(name.as_deref()),
        Invocation::Command(Command::Explain { pipeline, options }) => {
            let (script, problems) = match pipeline.as_slice() {
                [text] => grammar::parse(std::os::unix::ffi::OsStrExt::as_bytes(text.as_os_str())),
                words => grammar::from_words(words),
            };
            match Plan::new(&script, problems, limits(&options)) {
                Ok(plan) => match options.resident_limit(platform::free_memory) {
                    Ok(limit) => match transfer::unwatchable(limit) {
                        Some(message) => {
                            say(&format!("highwater: {message}\n"));
                            ExitCode::from(Kind::Resources.exit_code())
                        }
                        None => print(&explain::text(&plan, limit)),
                    },
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

/// Writes to standard output, whose reader may close it early.
fn print(text: &str) -> ExitCode {
    // Rust opens /dev/null if there is none.
    if let Err(error) = Descriptor::standard_output() {
        return unwritable(error);
    }
    let mut out = std::io::stdout();
    let written = out.write_all(for_locale(text).as_bytes()).and_then(|()| out.flush());
    written.map_or_else(unwritable, |()| ExitCode::SUCCESS)
}

/// Reports that standard output cannot be written; a reader that closed it is no error.
fn unwritable(error: std::io::Error) -> ExitCode {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return ExitCode::from(Kind::ReaderLeft.exit_code());
    }
    fail(&Failure::io(Kind::Sink, "cannot write to standard output", error))
}

/// Prints a failure, and returns its exit code.
fn fail(failure: &Failure) -> ExitCode {
    say(&format!("highwater: {failure}\n"));
    ExitCode::from(failure.kind().exit_code())
}

/// The parser's help or error, with colours if the stream shows them.
fn rendered(error: &clap::Error, stream: &impl IsTerminal) -> String {
    let text = error.render();
    if Color::Auto.applies_to(stream.is_terminal()) {
        text.ansi().to_string()
    } else {
        text.to_string()
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
    let columns = platform::terminal_size(std::io::stderr()).map(|(columns, _)| columns.into());
    say(&format!("{}\n", error.render(colour, columns)));
    ExitCode::from(USAGE)
}
