//! Runs a child: its standard input, output and error are each served as soon as they can be, so that no order in which it
//! reads and writes them can deadlock.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context as Waking, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::child::{Group, KILL_LIMIT};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Outlet, Wait};
use crate::platform::{ChildExit, cpu_time, has_terminal, pipe_from_child, pipe_to_child, wait_for_any};
use crate::stage::{ChildState, Context, DescriptorWaker, Outcome};

use super::ending;
use super::input::{Input, Written};
use super::output::{Given, LineRelay, Output};
use super::program::Program;

/// How often a child is checked for what no descriptor tells.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The same where no descriptor tells of a child's end.
const EXIT_INTERVAL: Duration = Duration::from_millis(20);
/// The first and the longest pause between two checks of how full a pipe is.
const LEVEL_PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(64)];

/// Runs a program from its start to its end, on this thread. Without an inlet it reads our standard input; without an outlet
/// its output is passed on line by line, as its standard error is.
///
/// # Errors
/// If it cannot be started or fails, or when a neighbour stopped. Its process group has ended then.
pub fn run(program: &Program, inlet: Option<Inlet>, outlet: Option<Outlet>, context: &Context) -> Outcome {
    let mut child = Child::start(program, inlet, outlet, context)?;
    let pid = child.group.child.id();
    context.findings.set_child(ChildState { pid, ended: None });
    // Until it is gone, the run has to wait for this stage.
    context.cancel.allow(program.grace + KILL_LIMIT);
    let served = child.serve();
    let cpu = child.cpu.unwrap_or_else(|| cpu_time(pid.cast_signed()));
    let outcome = match served {
        Ok(()) => child.finish(),
        Err(stop) => {
            child.end();
            Err(stop)
        }
    };
    context.findings.set_child(ChildState { pid, ended: Some(cpu) });
    outcome
}

struct Child<'a> {
    group: Group,
    exit: ChildExit,
    /// Whether it has no input of ours.
    is_source: bool,
    status: Option<ExitStatus>,
    /// The processor time that it took, once it has ended.
    cpu: Option<Duration>,
    input: Option<Input>,
    output: Option<Output>,
    /// Its standard error, and its standard output where that has no link.
    relays: Vec<LineRelay>,
    waker: Arc<DescriptorWaker>,
    context: &'a Context,
    grace: Duration,
    /// Whether the terminal may stop it.
    may_be_stopped: bool,
    /// Until when others that hold its output may give something, once it has ended and nothing comes.
    deadline: Option<Instant>,
    /// The next pause between two checks of how full a pipe is.
    level_pause: Duration,
    /// What its input pipe held at the last check.
    unread: u64,
}

impl<'a> Child<'a> {
    fn start(
        program: &Program,
        inlet: Option<Inlet>,
        outlet: Option<Outlet>,
        context: &'a Context,
    ) -> Result<Self, Stop> {
        let no_pipe = |error| cannot_start("cannot make a pipe", error);
        let waker = DescriptorWaker::new().map_err(|error| Failure::io(Kind::Resources, "cannot start", error))?;
        let mut relays = Vec::with_capacity(2);
        let mut listen = || -> Result<OwnedFd, Failure> {
            let (ours, theirs) = pipe_from_child().map_err(no_pipe)?;
            relays.push(LineRelay::new(ours, program.speaker.clone()));
            Ok(theirs)
        };
        let stderr = listen()?;
        let (output, stdout) = match outlet {
            Some(outlet) => {
                let (ours, theirs) = pipe_from_child().map_err(no_pipe)?;
                let ours = Arc::new(ours);
                if inlet.is_none() {
                    context.external_fd.reads(&ours);
                }
                (Some(Output::new(outlet, ours, inlet.is_none())), theirs)
            }
            None => (None, listen()?),
        };
        let (input, stdin) = match inlet {
            Some(inlet) => {
                let (theirs, ours) = pipe_to_child().map_err(no_pipe)?;
                let ours = Arc::new(ours);
                match &output {
                    Some(output) => {
                        // Between two stages no side of it is the pipeline's.
                        let pipes = [Some(&ours), output.pipe.as_ref()];
                        pipes
                            .into_iter()
                            .flatten()
                            .for_each(|pipe| context.external_fd.enlarge(pipe));
                    }
                    None => context.external_fd.writes(&ours),
                }
                (Some(Input::new(inlet, ours)), theirs.into())
            }
            None => (None, Stdio::inherit()),
        };
        let spawned = program.spawn(stdin, stdout.into(), stderr.into());
        let group = spawned.map_err(|error| cannot_start("cannot start", error))?;
        Ok(Self {
            exit: ChildExit::of(&group.child),
            group,
            status: None,
            cpu: None,
            is_source: input.is_none(),
            input,
            output,
            relays,
            waker: Arc::new(waker),
            context,
            grace: program.grace,
            may_be_stopped: !program.uses_terminal && has_terminal(),
            deadline: None,
            level_pause: LEVEL_PAUSES[0],
            unread: 0,
        })
    }

    /// Serves its streams until it has ended, and with it its output.
    fn serve(&mut self) -> Outcome {
        let task_waker = Waker::from(self.waker.clone());
        let mut waking = Waking::from_waker(&task_waker);
        let context = self.context;
        let mut tripped = pin!(context.cancel.tripped());
        while !self.is_over() {
            self.waker.clear();
            if tripped.as_mut().poll(&mut waking).is_ready() {
                return Err(Stop::PeerClosed);
            }
            self.turn(&mut waking)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let has_output = self.output.as_ref().is_some_and(|output| output.pipe.is_some());
        let waits = has_output && self.deadline.is_none_or(|deadline| Instant::now() < deadline);
        self.status.is_some() && !waits
    }

    /// Waits until something can be done, and does it.
    fn turn(&mut self, waking: &mut Waking<'_>) -> Outcome {
        if let Some(input) = &mut self.input
            && !input.refill(waking)?
        {
            // All of it was given, and this is its end.
            self.input = None;
        }
        if let Some(output) = &mut self.output {
            output.look_behind(waking)?;
        }
        if self.output.as_ref().is_some_and(|output| output.is_full) {
            self.read(waking)?;
            if self.is_over() {
                // That was its end, and nothing is left to wait for.
                return Ok(());
            }
        }
        let ready = self.wait()?;
        if ready.stdin || ready.in_front {
            self.write(ready.in_front)?;
        }
        if self.deadline.is_some() && self.output.as_mut().is_some_and(Output::is_being_taken) {
            self.deadline = None;
        }
        if ready.stdout {
            self.read(waking)?;
        }
        for (relay, _) in self.relays.iter_mut().zip(ready.relays).filter(|(_, ready)| *ready) {
            relay
                .read()
                .map_err(|error| Failure::io(Kind::Child, "cannot read its standard error", error))?;
        }
        if ready.exit && self.status.is_none() {
            let cannot = |error| Failure::io(Kind::Resources, "cannot wait for it", error);
            // Once it has been waited for, the system does not tell any more.
            let cpu = cpu_time(self.group.child.id().cast_signed());
            self.status = self.group.status().map_err(cannot)?;
            if self.status.is_some() {
                self.cpu = Some(cpu);
                // It reads no more.
                self.input = None;
            }
        }
        Ok(())
    }

    /// Gives it what there is: out of the pipe of the program in front, if that has something.
    fn write(&mut self, is_in_front: bool) -> Outcome {
        let Some(input) = &mut self.input else { return Ok(()) };
        let cannot = |error| Failure::io(Kind::Child, "cannot write to it", error);
        let written = if is_in_front { input.splice() } else { input.write() };
        match written.map_err(cannot)? {
            Written::Refused => self.input = None,
            Written::Bytes(count) => {
                if count > 0 {
                    self.level_pause = LEVEL_PAUSES[0];
                }
                let meter = &self.context.meter;
                if self.output.is_some() {
                    meter.add_settled(count as u64);
                } else {
                    meter.add_out(count as u64);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, waking: &mut Waking<'_>) -> Outcome {
        let Some(output) = &mut self.output else { return Ok(()) };
        match output.read(waking)? {
            Given::Bytes(count) => {
                self.level_pause = LEVEL_PAUSES[0];
                self.deadline = None;
                if self.is_source {
                    self.context.meter.add_in(count as u64);
                }
            }
            Given::NoRoom => self.deadline = None,
            Given::Nothing | Given::End => {}
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<Ready, Stop> {
        let is_full = self.output.as_ref().is_some_and(|output| output.is_full);
        if self.status.is_some() && !is_full {
            self.deadline.get_or_insert(Instant::now() + self.grace);
        }
        let (kind, mut changes) = self.waits_for();
        let input = self.input.as_mut();
        changes |= input.is_some_and(Input::look_in_front);
        let limit = [
            changes.then(|| self.next_level_pause()),
            self.input.as_ref().and_then(|input| input.mover().rest()),
            self.deadline
                .map(|deadline| deadline.saturating_duration_since(Instant::now())),
            (self.status.is_none() && self.exit.descriptor().is_none()).then_some(EXIT_INTERVAL),
            self.may_be_stopped.then_some(CHECK_INTERVAL),
        ];
        let limit = limit.into_iter().flatten().min();
        let ready = {
            let _waiting = self.context.meter.wait(kind);
            self.poll(limit, is_full)?
        };
        if self.may_be_stopped && !ready.stdout && !ready.stdin && !ready.in_front {
            self.check_not_stopped()?;
        }
        Ok(ready)
    }

    /// Waits for everything that can be served now.
    fn poll(&self, limit: Option<Duration>, is_full: bool) -> Result<Ready, Failure> {
        let waker = self.waker.descriptor();
        // An entry that is not waited for is the waker, without events.
        let watch = watch_or(waker);
        let input = self.input.as_ref();
        let wanted = match input {
            Some(input) if input.awaits_room() => PollFlags::OUT,
            // An error tells that the child has closed it.
            _ => PollFlags::empty(),
        };
        let in_front = input.and_then(|input| input.mover().awaits_bytes()).map(AsFd::as_fd);
        let relay = |at: usize| Some(self.relays.get(at)?.pipe.as_ref()?.as_fd());
        let stdout = self.output.as_ref().filter(|output| !is_full && !output.is_lent);
        let mut fds = [
            watch(Some(waker), PollFlags::IN),
            watch(input.map(|input| input.pipe().as_fd()), wanted),
            watch(in_front, PollFlags::IN),
            watch(
                stdout.and_then(|output| Some(output.pipe.as_ref()?.as_fd())),
                PollFlags::IN,
            ),
            watch(relay(0), PollFlags::IN),
            watch(relay(1), PollFlags::IN),
            watch(self.exit.descriptor().filter(|_| self.status.is_none()), PollFlags::IN),
        ];
        wait_for_any(&mut fds, limit).map_err(|error| Failure::io(Kind::Resources, "cannot wait for it", error))?;
        let [_, stdin, in_front, stdout, stderr, said, exit] = fds.map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            stdin,
            in_front: in_front || input.is_some_and(|input| input.mover().rest().is_some()),
            stdout,
            relays: [stderr, said],
            exit: exit || self.exit.descriptor().is_none(),
        })
    }

    /// What it waits for, and whether that may change without anything to be told by.
    fn waits_for(&mut self) -> (Wait, bool) {
        let wait = match (&mut self.output, &self.input) {
            (Some(output), _) if output.is_full => output.holds_child_up().then_some(Wait::Backpressured),
            // The consumer counts that time as backpressured.
            (Some(output), _) if output.is_lent && output.outlet.is_held_up() => return (Wait::Outside, false),
            (_, Some(input)) if input.is_starved() => {
                let unread = input.unread();
                let taken = std::mem::replace(&mut self.unread, unread).saturating_sub(unread);
                self.context.meter.add_settled(taken);
                (unread == 0).then_some(Wait::Idle)
            }
            (_, Some(input)) if input.mover().rest().is_some() => return (input.mover().kind_of_wait(), false),
            _ => return (Wait::Outside, false),
        };
        // Without a kind the child works on what is in its pipe, or into the one behind it.
        (wait.unwrap_or(Wait::Outside), wait.is_none())
    }

    /// How long to wait before a pipe is looked at again.
    fn next_level_pause(&mut self) -> Duration {
        let pause = self.level_pause;
        self.level_pause = (pause * 2).min(LEVEL_PAUSES[1]);
        pause
    }

    /// A terminal stops a program in the background that wants something of it.
    fn check_not_stopped(&self) -> Outcome {
        let is_terminals = |signal: &i32| [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(signal);
        if self.exit.stopping_signal().as_ref().is_some_and(is_terminals) {
            let why = "it wants the terminal; with tty=true before the program it may use it";
            return Err(Failure::because(Kind::Child, "was stopped", why).into());
        }
        Ok(())
    }

    /// Its status is known, and its output has ended or will not.
    fn finish(mut self) -> Outcome {
        self.relays.iter_mut().for_each(LineRelay::end);
        let last = self.relays.first().and_then(LineRelay::last);
        let failure = match self.status {
            Some(status) if !status.success() => Some(ending::failure(status, last)),
            _ if self.output.as_ref().is_some_and(|output| output.pipe.is_some()) => {
                let why = "something that it started still holds its output open";
                Some(Failure::because(Kind::Child, "ended before its output", why))
            }
            _ => None,
        };
        if self.output.as_ref().is_some_and(|output| output.outlet.is_closed()) {
            self.end();
            return Err(Stop::PeerClosed);
        }
        if let Some(failure) = failure {
            self.end();
            return Err(failure.into());
        }
        self.group.leave();
        if let Some(output) = self.output {
            output.outlet.finish();
        }
        Ok(())
    }

    /// Ends it and its group. Its input stays open for so long: a child takes the end of that for success.
    fn end(&mut self) {
        let (relays, output) = (&mut self.relays, &mut self.output);
        let has_ended = self.group.end(|| {
            // Not before the signal: otherwise a script whose program cannot write any more goes on with its next command.
            if let Some(output) = output {
                output.pipe = None;
            }
            for relay in relays.iter_mut() {
                let _ = relay.read();
            }
            false
        });
        if !has_ended {
            tracing::warn!("process group {} did not end", self.group.child.id());
        }
        self.relays.iter_mut().for_each(LineRelay::end);
        self.input = None;
    }
}

fn cannot_start(operation: &str, error: io::Error) -> Failure {
    let place = match Errno::from_io_error(&error) {
        Some(Errno::AGAIN) => Kind::Resources,
        Some(Errno::NOENT | Errno::ACCESS) => Kind::Usage,
        _ => Kind::Child,
    };
    Failure::io(place, operation, error)
}

/// Waits for a descriptor, or, where there is none, for nothing of `other`.
fn watch_or<'fd>(other: BorrowedFd<'fd>) -> impl Fn(Option<BorrowedFd<'fd>>, PollFlags) -> PollFd<'fd> {
    move |fd, events| match fd {
        Some(fd) => PollFd::from_borrowed_fd(fd, events),
        None => PollFd::from_borrowed_fd(other, PollFlags::empty()),
    }
}

/// What can be served.
#[allow(clippy::struct_excessive_bools, reason = "one for each descriptor")]
struct Ready {
    stdin: bool,
    /// The pipe of the program in front.
    in_front: bool,
    stdout: bool,
    relays: [bool; 2],
    exit: bool,
}
