//! Diagnostics on standard error, one line each.

use std::fmt;
use std::io;

use clap::ValueEnum;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::writer::OptionalWriter;
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::exec;
use crate::view::say;

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what ends a run.
    Error,
    /// What a user should know of.
    Warn,
    /// What happens, step by step.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything that is no library's.
    Trace,
}

/// Starts to log. To be called once a process.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Messages {
            // Where a library fails, what called it says so.
            has_libraries: level >= Level::INFO,
        })
        .event_format(OneLine)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// `highwater: warning: the source grew`
struct OneLine;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if event.metadata().target() == exec::TARGET {
            // A child's own words, which are no message of a level.
            write!(to, "highwater: ")?;
            context.format_fields(to.by_ref(), event)?;
            return writeln!(to);
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(to, "highwater: {level}: ")?;
        context.format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Where messages go.
struct Messages {
    /// Whether those of libraries are said as well.
    has_libraries: bool,
}

impl<'a> MakeWriter<'a> for Messages {
    type Writer = OptionalWriter<StandardError>;

    fn make_writer(&'a self) -> Self::Writer {
        OptionalWriter::some(StandardError)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let is_ours = metadata.target().starts_with(env!("CARGO_PKG_NAME"));
        // What libraries trace may have passwords in it.
        let may_be_said = self.has_libraries && *metadata.level() != Level::TRACE;
        if is_ours || may_be_said {
            OptionalWriter::some(StandardError)
        } else {
            OptionalWriter::none()
        }
    }
}

/// Standard error with a bounded wait.
struct StandardError;

impl io::Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
