//! `highwater demo`: a fast source and a slow reader, first without backpressure, then with it, side by side; or, with
//! `--records`, links bounded by count alone, then by count and bytes.
//!
//! Each run is a process of its own, so that its resident memory is shown separately, and the second one starts clean.

use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::shown;
use crate::grammar::human_size;
use crate::platform::{self, ResidentMemory};
use crate::report::Format;
use crate::view::contrast::{Contrast, Course, ROWS, Shown, Subject, frame, introduction, story, verdict};
use crate::view::live::Line;
use crate::view::say;

use super::options::Color;

mod pair;
mod recordings;
mod screen;
mod trap;

use pair::{Heard, Pair};
use recordings::Recordings;
use screen::{Screen, columns};
use trap::Trap;

/// What a bounded pipeline may hold, in bytes: the default of `--memory`.
const CEILING: u64 = 8 << 20;
/// How many bytes the reader reads in both runs.
const READ: u64 = 16_000_000;
/// The part of the time after which the unbounded run should have reached its end.
const STOPPED_AT: f64 = 0.85;
/// With fewer ceilings of free memory there would be no visible difference.
const LEAST_CONTRAST: u64 = 3;
/// The most memory used, however large the program itself is.
const MOST_WASTED: u64 = 512 << 20;

/// Runs both pipelines for about `seconds` each, shows them, and draws the recordings into the file `report`.
pub fn run(records: bool, seconds: u32, report: Option<&Path>, is_ascii: bool, color: Color) -> ExitCode {
    if let Some(Err(why)) = report.map(Format::of) {
        say(&format!("highwater: demo: --report: {why}\n"));
        return ExitCode::from(2);
    }
    let recordings = match report.map(|_| Recordings::new(records)).transpose() {
        Ok(recordings) => recordings,
        Err(message) => {
            say(&format!("highwater: demo: {message}\n"));
            return ExitCode::from(4);
        }
    };
    let signal = platform::pending_signal();
    let resident = ResidentMemory::open().now();
    let plan = if records {
        Ok(Plan::Records(Trap::new(seconds, resident)))
    } else {
        Proportions::new(seconds, resident, platform::free_memory()).map(Plan::Backpressure)
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(message) => {
            say(&format!("highwater: demo: {message}\n"));
            return ExitCode::from(12);
        }
    };
    let mut contrast = plan.contrast();
    let mut screen = Screen::new(is_ascii, color);
    screen.print(&introduction(&contrast, columns()));
    for is_ignoring in [true, false] {
        let record = recordings.as_ref().map(|recordings| recordings.path(is_ignoring));
        let pair = Pair::start(&plan, is_ignoring, record.as_deref()).map_err(Stopped::Failed);
        let seen = pair.and_then(|pair| {
            watch(&mut contrast, is_ignoring, pair, &mut screen, || {
                signal.load(Ordering::Relaxed)
            })
        });
        match seen {
            Ok(()) => {}
            Err(Stopped::Unwritable(error)) => return super::unwritable(error),
            Err(Stopped::Signal(number)) => {
                screen.leave();
                drop(recordings);
                platform::end_as(number);
            }
            Err(Stopped::Failed(message)) => {
                screen.leave();
                say(&format!("highwater: demo: {message}\n"));
                return ExitCode::from(11);
            }
        }
    }
    screen.finish(&frame(&contrast, columns(), Shown::Both));
    screen.print(&verdict(&contrast, columns()));
    screen.print(&plan.commands());
    if let (Some(report), Some(recordings)) = (report, recordings) {
        let paths = [true, false].map(|is_ignoring| recordings.path(is_ignoring));
        if let Err((message, code)) = super::report::write(&paths, report) {
            say(&format!("highwater: demo: {message}\n"));
            return ExitCode::from(code);
        }
        let name = shown(report.as_os_str().as_bytes());
        screen.print(&screen::plain(&format!("\n  The report is in {name}")));
    }
    screen.check().map_or_else(super::unwritable, |()| ExitCode::SUCCESS)
}

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// A run without backpressure, and one with it.
    Backpressure(Proportions),
    /// A run whose links are bounded by count alone, and one by bytes as well.
    Records(Trap),
}

impl Plan {
    fn contrast(&self) -> Contrast {
        match self {
            Self::Backpressure(plan) => plan.contrast(),
            Self::Records(trap) => trap.contrast(),
        }
    }

    /// The arguments of the first or the second run besides those about its progress.
    fn arguments(&self, is_ignoring: bool) -> Vec<String> {
        match self {
            Self::Backpressure(plan) if is_ignoring => vec![
                "--ignore-backpressure".to_owned(),
                "--max-rss".to_owned(),
                plan.top.to_string(),
                plan.chain(),
            ],
            Self::Backpressure(plan) => vec![plan.chain()],
            Self::Records(_) => vec![Trap::pipeline(is_ignoring)],
        }
    }

    fn commands(&self) -> Vec<Line> {
        match self {
            Self::Backpressure(plan) => plan.commands(),
            Self::Records(_) => Trap::commands(),
        }
    }
}

/// Why the demo ended early.
enum Stopped {
    Signal(i32),
    Unwritable(io::Error),
    Failed(String),
}

/// Runs one of the pipelines to its end, drawing meanwhile.
fn watch(
    contrast: &mut Contrast,
    is_ignoring: bool,
    mut pair: Pair,
    screen: &mut Screen,
    signal: impl Fn() -> usize,
) -> Result<(), Stopped> {
    /// A pipeline that is slower than planned by this factor is not waited for.
    const MOST: u32 = 30;
    screen.tell(&story(contrast, columns()));
    loop {
        let heard = pair.hear(Duration::from_millis(100));
        // Ctrl-C ends the child processes as well, and their messages about it do not matter.
        if let Ok(number @ 1..) = i32::try_from(signal()) {
            return Err(Stopped::Signal(number));
        }
        screen.check().map_err(Stopped::Unwritable)?;
        let span = contrast.span;
        let course: &mut Course = if is_ignoring {
            &mut contrast.ignoring
        } else {
            &mut contrast.heeding
        };
        match heard {
            Heard::Nothing => {}
            Heard::Point(point) => {
                course.points.push(point);
                // A bounded stream runs forever, so it is cut at its source, a little early: the contents of its links
                // still follow.
                let is_endless = contrast.subject == Subject::Backpressure && !is_ignoring;
                let is_seen = is_endless && point.at >= span * 15 / 16;
                if is_seen || point.at >= span * MOST {
                    pair.cut();
                }
            }
            Heard::End(end) => {
                course.points.push(end.last);
                course.end = Some(end);
                // A slow machine gets the time that it needed.
                contrast.span = span.max(course.points.last().map_or(span, |last| last.at));
                screen.draw(&frame(contrast, columns(), Shown::Running));
                return Ok(());
            }
            Heard::Gone(message) => return Err(Stopped::Failed(message)),
        }
        screen.draw(&frame(contrast, columns(), Shown::Running));
    }
}

/// The rates and sizes of both runs. Sizes in bytes, rates in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proportions {
    seconds: u32,
    /// The most that a bounded run uses, including the program.
    ceiling: u64,
    /// Where the unbounded run is stopped.
    top: u64,
    source_rate: u64,
    sink_rate: u64,
}

impl Proportions {
    /// Twelve ceilings, or a quarter of free memory; fast enough to get there in most of the time. `resident` is the
    /// program itself.
    fn new(seconds: u32, resident: u64, free: Option<u64>) -> Result<Self, String> {
        let ceiling = (CEILING + resident).next_multiple_of(1 << 20);
        let top = (ceiling * u64::from(ROWS)).min(free.map_or(MOST_WASTED, |free| free / 4).min(MOST_WASTED));
        if top < ceiling * LEAST_CONTRAST {
            let least = human_size(ceiling * LEAST_CONTRAST * 4);
            let has = free.map_or_else(
                || format!("this program alone has {}", human_size(resident)),
                |free| format!("{} of memory are free", human_size(free)),
            );
            return Err(format!("{has}; the demo needs {least}"));
        }
        let sink_rate = READ / u64::from(seconds);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate far below 2^53, rounded to a megabyte"
        )]
        let rise = ((top - resident) as f64 / (f64::from(seconds) * STOPPED_AT)) as u64;
        Ok(Self {
            seconds,
            ceiling,
            top,
            source_rate: (rise + sink_rate).next_multiple_of(1_000_000),
            sink_rate,
        })
    }

    fn contrast(&self) -> Contrast {
        Contrast {
            subject: Subject::Backpressure,
            ceiling: self.ceiling,
            top: self.top,
            span: Duration::from_secs(self.seconds.into()),
            source_rate: self.source_rate,
            sink_rate: self.sink_rate,
            ignoring: Course::default(),
            heeding: Course::default(),
        }
    }

    /// The pipeline of the source.
    fn source(&self) -> String {
        format!("read /dev/zero | throttle {}", rate(self.source_rate))
    }

    /// The pipeline that is shown.
    fn chain(&self) -> String {
        format!("throttle {} | write /dev/null", rate(self.sink_rate))
    }

    /// The commands of both runs, to be tried by hand.
    fn commands(&self) -> Vec<Line> {
        let mut text = String::from("\n  To see it as it runs:\n");
        let _ = writeln!(text, "    highwater -q '{}' |", self.source());
        let _ = writeln!(text, "      highwater --ignore-backpressure '{}'", self.chain());
        screen::plain(&text)
    }
}

/// As written in a pipeline: `30MB/s`.
fn rate(rate: u64) -> String {
    if rate.is_multiple_of(1_000_000) {
        format!("{}MB/s", rate / 1_000_000)
    } else {
        format!("{rate}/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn demo_fills_its_time_and_plot() {
        let plan = Proportions::new(8, 5 * MIB, Some(16 << 30)).expect("enough memory");
        assert_eq!((plan.ceiling, plan.top), (13 * MIB, 156 * MIB));
        assert_eq!(plan.source(), "read /dev/zero | throttle 26MB/s");
        assert_eq!(plan.chain(), "throttle 2MB/s | write /dev/null");
        let plan = Proportions::new(3, 5 * MIB, None).expect("enough memory");
        assert_eq!(plan.chain(), "throttle 5333333/s | write /dev/null");
    }

    #[test]
    fn small_machine_gets_a_quarter_of_memory() {
        let plan = Proportions::new(8, 5 * MIB, Some(200 * MIB)).expect("enough memory");
        assert_eq!(plan.top, 50 * MIB);
        assert_eq!(
            Proportions::new(8, 5 * MIB, Some(150 * MIB)),
            Err("150 MiB of memory are free; the demo needs 156 MiB".to_owned())
        );
    }
}
