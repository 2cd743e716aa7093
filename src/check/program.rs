//! Checks a program: feeds it, reads it slowly, and looks at it ten times a second.

use std::ffi::OsString;
use std::io::{PipeReader, pipe};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, ioctl_fionbio};

use crate::child::{Group, wait_until};
use crate::error::{Failure, Kind, shown, shown_lines};
use crate::platform::{Tree, adopt_orphans, kill_descendants, shrink_pipe};

use super::course::{Course, Phase};
use super::feeder::Feeder;
use super::interruption::Interruption;
use super::series::{Sample, Series};
use super::slow_output::SlowOutput;
use super::verdict::{Ending, judge_program};
use super::{Moment, Outcome, Pace, Report, Settings, Watcher};

/// Bytes of a program's complaints that are kept: a dozen lines.
const COMPLAINT: usize = 1 << 10;
/// How long a program may take to remove its temporary files when it is asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait for what has left its process group.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// So many steps asleep with a closed input: one that is ending closes it, too, but a little before its end.
const CLOSED: u32 = 5;

/// Checks the program that `command` names, with its arguments.
///
/// # Errors
/// Where it cannot be started ([`Kind::Usage`]), where the system does not tell what is needed, where resources are
/// short, and where the watcher cannot go on. The program and all that it started have ended then, too.
pub fn check(command: &[OsString], settings: &Settings, watcher: &mut dyn Watcher) -> Result<Outcome, Failure> {
    // First of all: without it there is nothing to be found out.
    Tree::Ours
        .memory()
        .map_err(|error| Failure::io(Kind::Usage, "cannot measure a program's memory", error))?;
    adopt_orphans();
    let interruption = Interruption::listen()?;
    let mut check = Check::start(command, settings)?;
    let outcome = check.run(&interruption, watcher);
    check.end(&interruption);
    outcome
}

struct Check {
    group: Group,
    feeder: Feeder,
    output: SlowOutput,
    complaints: Complaints,
    course: Course,
    pace: Pace,
    series: Series,
    /// Steps in which it lived on with its input closed, and did nothing.
    closed: u32,
    max_rss: u64,
}

impl Check {
    fn start(command: &[OsString], settings: &Settings) -> Result<Self, Failure> {
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
        // What is built here is dropped at once: it holds the program's ends of the pipes.
        let mut program = Command::new(name);
        program.args(arguments).stdin(stdin).stdout(stdout).stderr(stderr);
        let group = Group::spawn(&mut program, GRACE).map_err(|error| {
            let place = match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => Kind::Resources,
                _ => Kind::Usage,
            };
            Failure::io(place, format!("cannot start {}", shown(name.as_bytes())), error)
        })?;
        Ok(Self {
            group,
            feeder: Feeder::new(feeding),
            output: SlowOutput::new(reading, settings.rate),
            complaints: Complaints::new(complaining),
            course: Course::new(settings.length),
            pace: Pace::start(),
            series: Series::default(),
            closed: 0,
            max_rss: settings.max_rss,
        })
    }

    fn run(&mut self, interruption: &Interruption, watcher: &mut dyn Watcher) -> Result<Outcome, Failure> {
        watcher.begin()?;
        loop {
            if let Some(signal) = interruption.signal() {
                return Ok(Outcome::Interrupted(signal));
            }
            if let Some(ending) = self.turn(watcher)? {
                return Ok(Outcome::Judged(self.report(&ending, Tree::Ours.stored())));
            }
        }
    }

    /// Ends the program with all that it has started.
    fn end(&mut self, interruption: &Interruption) {
        // The signal that ended the check leaves the program its grace; a second one does not.
        interruption.forget();
        self.group.end(|| interruption.signal().is_some());
        // Those that left the group, and those whose parents have ended.
        wait_until(LAST_GRACE, || !matches!(kill_descendants(), Ok(1..)));
    }

    /// Moves what can be moved until the next step is due, and takes that.
    fn turn(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        let mut waited_for = Vec::with_capacity(3);
        let feeding = self.feeder.descriptor();
        waited_for.extend(feeding.as_ref().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let reading = self.output.descriptor();
        waited_for.extend(reading.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let complaining = self.complaints.pipe.as_ref();
        waited_for.extend(complaining.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let is_due = self.pace.wait(&mut waited_for)?;
        self.feeder.feed()?;
        self.output.read()?;
        self.complaints.read();
        if is_due { self.step(watcher) } else { Ok(None) }
    }

    fn step(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        let cannot = |error| Failure::io(Kind::Resources, "cannot look at the program", error);
        let status = self.group.status().map_err(cannot)?;
        let memory = Tree::Ours.memory().map_err(cannot)?;
        let sample = Sample {
            elapsed: self.pace.elapsed(),
            // One that has ended held what it held until then.
            rss: match (status, self.series.last()) {
                (Some(_), Some(last)) => last.rss,
                _ => memory.rss,
            },
            accepted: self.feeder.accepted()?,
            returned: self.output.returned(),
            waiting: self.output.waiting()?,
            is_running: memory.is_running,
            is_held: self.course.phase() == Phase::Held,
        };
        self.series.add(sample);
        self.closed += u32::from(self.feeder.is_closed() && !sample.is_running);
        let phase = self.course.step(&sample);
        let moment = Moment {
            doing: doing(phase),
            progress: self.course.progress(),
        };
        watcher.sample(&sample, moment)?;
        self.output.step(phase == Phase::Held);
        Ok(match status {
            Some(status) => Some(Ending::Ended(how(status))),
            None if sample.rss > self.max_rss => Some(Ending::TooLarge(self.max_rss)),
            None if self.feeder.is_closed() && (self.closed >= CLOSED || phase == Phase::Over) => {
                Some(Ending::InputClosed)
            }
            None if phase == Phase::Over => Some(Ending::Done),
            None => None,
        })
    }

    fn report(&mut self, ending: &Ending, stored: u64) -> Report {
        let samples = self.series.samples();
        let stillness = self.course.stillness();
        self.complaints.read();
        Report {
            verdict: judge_program(&samples, ending, stillness, stored),
            samples,
            complaint: match ending {
                Ending::Ended(_) => self.complaints.text(),
                Ending::Done | Ending::InputClosed | Ending::TooLarge(_) => String::new(),
            },
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

/// The end of what a program writes to its standard error.
struct Complaints {
    /// `None` once nobody can write any more.
    pipe: Option<PipeReader>,
    tail: Vec<u8>,
    is_cut: bool,
}

impl Complaints {
    fn new(pipe: PipeReader) -> Self {
        Self {
            pipe: Some(pipe),
            tail: Vec::new(),
            is_cut: false,
        }
    }

    /// Takes what there is now.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        // One that complains without end gets no more than its turn.
        for _ in 0..16 {
            let Some(pipe) = &self.pipe else { break };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(count) if count > 0 => {
                    self.tail.extend_from_slice(&buffer[..count]);
                    let surplus = self.tail.len().saturating_sub(COMPLAINT);
                    self.tail.drain(..surplus);
                    self.is_cut |= surplus > 0;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    /// Its last whole lines, with everything escaped that a terminal would obey.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let whole = match text.split_once('\n') {
            Some((_, rest)) if self.is_cut => rest,
            _ => &text,
        };
        let lines = whole.trim_end().replace('\t', "    ").replace("\r\n", "\n");
        shown_lines(lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn complaints_keep_their_last_whole_lines_and_no_control_characters() {
        let (reader, mut writer) = pipe().expect("a pipe");
        ioctl_fionbio(&reader, true).expect("does not block");
        let mut complaints = Complaints::new(reader);
        writer.write_all(b"one\n\x1b[31mtwo\ttabs\x07\n").expect("room");
        complaints.read();
        assert_eq!(complaints.text(), "one\n\\x1b[31mtwo    tabs\\x07");
        for line in 0..1000 {
            writeln!(writer, "line {line}").expect("room");
            complaints.read();
        }
        let text = complaints.text();
        assert!(
            text.starts_with("line ") && text.ends_with("line 999") && text.len() <= COMPLAINT,
            "{text}"
        );
    }
}
