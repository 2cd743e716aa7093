//! Checks a program: feeds it, reads its output slowly, and measures it ten times a second.

use std::ffi::OsString;
use std::fs::{DirBuilder, remove_dir_all};
use std::io::pipe;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, ioctl_fionbio};

use crate::child::{Group, wait_until};
use crate::error::{Failure, Kind, shown};
use crate::platform::{Tree, adopt_orphans, kill_descendants, shrink_pipe};

use super::error_output::ErrorOutput;
use super::feeder::Feeder;
use super::input::Input;
use super::interruption::Interruption;
use super::meter::{Meter, passed};
use super::schedule::{Phase, Schedule};
use super::series::Sample;
use super::slow_output::SlowOutput;
use super::verdict::{Ending, Evidence, judge_program};
use super::{Moment, Outcome, Pace, Report, Settings, Watcher};

/// How long a program may take to remove its temporary files after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait for the processes that have left its process group.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// Steps asleep with a closed input after which a program is not about to end.
const CLOSED: u32 = 5;

/// Checks the program that `command` names, with its arguments.
///
/// # Errors
/// [`Kind::Usage`] if it cannot be started or measured; errors of resources and of `watcher`. Also then, the program
/// and its descendants have ended.
pub fn check(
    command: &[OsString],
    input: Input,
    settings: &Settings,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, Failure> {
    let folder = TemporaryFolder::new();
    let meter = Meter::new(vec![Tree::Ours], folder.path())?;
    adopt_orphans(true);
    let interruption = Interruption::listen()?;
    let mut check = Check::start(command, input, folder, meter, settings)?;
    let end = check.run(&interruption, watcher);
    check.end(&interruption);
    Ok(match end? {
        End::Signal(signal) => Outcome::Interrupted(signal, check.meter.series.last().unwrap_or_default()),
        End::Ending(ending) => Outcome::Judged(check.report(&ending)),
    })
}

enum End {
    Signal(i32),
    Ending(Ending),
}

struct Check {
    group: Group,
    /// Removed when this is dropped.
    _folder: TemporaryFolder,
    feeder: Feeder,
    output: SlowOutput,
    error_line: ErrorOutput,
    schedule: Schedule,
    pace: Pace,
    meter: Meter,
    /// Steps asleep with its input closed.
    closed: u32,
    settings: Settings,
}

impl Check {
    fn start(
        command: &[OsString],
        input: Input,
        folder: TemporaryFolder,
        meter: Meter,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::io(Kind::Resources, "cannot make a pipe", error);
        let (stdin, feeding) = pipe().map_err(cannot)?;
        let (reading, stdout) = pipe().map_err(cannot)?;
        let (complaining, stderr) = pipe().map_err(cannot)?;
        shrink_pipe(feeding.as_fd());
        shrink_pipe(reading.as_fd());
        for ours in [feeding.as_fd(), reading.as_fd(), complaining.as_fd()] {
            ioctl_fionbio(ours, true).map_err(|error| cannot(error.into()))?;
        }
        let Some((name, arguments)) = command.split_first() else {
            return Err(Failure::because(
                Kind::Usage,
                "cannot start a program",
                "none was given",
            ));
        };
        // The command holds the program's ends of the pipes, so it is dropped at once.
        let mut program = Command::new(name);
        program.args(arguments).stdin(stdin).stdout(stdout).stderr(stderr);
        program.envs(folder.path().map(|path| ("TMPDIR", path)));
        let group = Group::spawn(&mut program, GRACE).map_err(|error| {
            let place = match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => Kind::Resources,
                _ => Kind::Usage,
            };
            Failure::io(place, format!("cannot start {}", shown(name.as_bytes())), error)
        })?;
        Ok(Self {
            group,
            _folder: folder,
            feeder: Feeder::new(feeding, input),
            output: SlowOutput::new(reading, settings.rate),
            error_line: ErrorOutput::new(complaining),
            schedule: Schedule::new(settings.length),
            pace: Pace::start(),
            meter,
            closed: 0,
            settings: *settings,
        })
    }

    fn run(&mut self, interruption: &Interruption, watcher: &mut dyn Watcher) -> Result<End, Failure> {
        watcher.begin()?;
        loop {
            if let Some(signal) = interruption.signal() {
                return Ok(End::Signal(signal));
            }
            if let Some(ending) = self.turn(watcher)? {
                return Ok(End::Ending(ending));
            }
        }
    }

    /// Ends the program and all its descendants.
    fn end(&mut self, interruption: &Interruption) {
        // A second signal ends the grace time.
        let forgotten = interruption.forget();
        self.group.end(|| interruption.came_again(&forgotten));
        // Processes that left the group.
        wait_until(LAST_GRACE, || !matches!(kill_descendants(), Ok(1..)));
    }

    /// Moves bytes until the next step is due, and takes that step.
    fn turn(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        let mut waited_for = Vec::with_capacity(3);
        let feeding = self.feeder.descriptor();
        waited_for.extend(feeding.as_ref().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let reading = self.output.descriptor();
        waited_for.extend(reading.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let complaining = self.error_line.pipe.as_ref();
        waited_for.extend(complaining.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let is_due = self.pace.wait(&mut waited_for)?;
        self.feeder.feed()?;
        self.output.read()?;
        self.error_line.read();
        if is_due { self.step(watcher) } else { Ok(None) }
    }

    fn step(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        let cannot = |error| Failure::io(Kind::Resources, "cannot look at the program", error);
        let used = self.meter.measure()?;
        // Read after the measurement, so that the measured process existed.
        let status = self.group.status().map_err(cannot)?;
        let before = self.meter.series.last().unwrap_or_default();
        // A process that is about to end has freed its memory: the previous sample counts.
        let is_gone = status.is_some() || used.processes == 0;
        let sample = Sample {
            elapsed: self.pace.elapsed(),
            rss: if is_gone { before.rss } else { used.rss },
            memory: if is_gone { before.memory } else { used.memory },
            disk: used.disk,
            accepted: self.feeder.accepted()?,
            returned: self.output.returned(),
            waiting: self.output.waiting()?,
            is_running: used.is_running,
            is_held: self.schedule.phase() == Phase::Held,
        };
        self.meter.series.add(sample);
        self.closed += u32::from(self.feeder.is_closed() && !sample.is_running);
        let mut phase = self.schedule.step(&sample);
        if self.schedule.is_judged_now() {
            let verdict = judge_program(self.evidence(&self.meter.series.samples()), &Ending::Done);
            phase = self.schedule.settle(&verdict);
        }
        let moment = Moment {
            doing: doing(phase),
            progress: self.schedule.progress(),
        };
        watcher.sample(&sample, moment)?;
        self.feeder.step();
        self.output.step(phase == Phase::Held);
        let is_over = phase == Phase::Over;
        Ok(match status {
            Some(status) => Some(Ending::Ended(how(status))),
            None if self.feeder.is_closed() && (self.closed >= CLOSED || is_over) => Some(Ending::InputClosed),
            None => passed(&self.settings, &sample).or(is_over.then_some(Ending::Done)),
        })
    }

    fn evidence<'a>(&self, samples: &'a [Sample]) -> Evidence<'a> {
        Evidence {
            samples,
            peak: self.meter.series.peak(),
            reaction: self.schedule.reaction(),
            written: self.meter.written(),
        }
    }

    /// The report, once the program has ended and has removed its temporary files.
    fn report(&mut self, ending: &Ending) -> Report {
        let samples = self.meter.series.samples();
        self.error_line.read();
        let error_line = self.error_line.line();
        Report {
            verdict: judge_program(self.evidence(&samples), ending),
            peak: self.meter.series.peak(),
            holder: self.meter.holder.take(),
            // A program that returned nothing may have refused its input.
            error_line: error_line.filter(|_| {
                let gave_nothing = samples.last().is_none_or(|last| last.given() == 0);
                gave_nothing || matches!(ending, Ending::Ended(_) | Ending::InputClosed)
            }),
            samples,
        }
    }
}

/// A folder for a program's temporary files, which is removed with its content.
struct TemporaryFolder(Option<PathBuf>);

impl TemporaryFolder {
    /// If it cannot be made, the program uses the common one.
    fn new() -> Self {
        let name = format!("highwater-check-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        // Canonical, because it is compared with the paths of open files.
        Self(made.ok().map(|()| path.canonicalize().unwrap_or(path)))
    }

    fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = remove_dir_all(path);
        }
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "waiting for it to read",
        Phase::Reading => "feeding it, reading its output slowly",
        Phase::Held => "feeding it, not reading its output at all",
        Phase::Over => "done",
    }
}

/// `with code 3`, `by signal 9`
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "by itself".to_owned(),
    }
}
