//! One run of one program: how long it took, and what it held.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, pipe};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::contender::{Contender, Places};
use crate::data::{Fingerprint, Unspaced, fingerprint};

/// How often the peak of memory is read: it is gone when the process is.
const POLL_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Where the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// From file to /dev/null.
    Null,
    /// From file to a file that the line names.
    File,
    /// From file through a pipe to `cat >/dev/null`.
    Pipe,
    /// The same, and from a `cat` before it.
    Pipes,
    /// As through a pipe, and to the files of [`copies`].
    Tee,
    /// To a receiver in this process, which counts.
    Tcp,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Seconds until everything had arrived and every process was over.
    pub wall: f64,
    /// Seconds of user and system time of the program itself.
    pub cpu: f64,
    /// Its `VmHWM` in bytes; 0 where it lived too short for that.
    pub peak: u64,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub at: Instant,
    pub cpu: f64,
    pub peak: u64,
}

/// A process that is looked at while it runs.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    over: rustix::fd::OwnedFd,
    status: File,
    peak: u64,
}

impl Watched {
    pub fn new(child: Child) -> io::Result<Self> {
        let over = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let status = File::open(format!("/proc/{}/status", child.id()))?;
        let mut watched = Self {
            child,
            over,
            status,
            peak: 0,
        };
        watched.observe();
        Ok(watched)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The most memory that was seen.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Reads `VmHWM`; a process that is over has none.
    fn observe(&mut self) {
        let mut text = String::new();
        let read = self.status.seek(SeekFrom::Start(0));
        if read.and_then(|_| self.status.read_to_string(&mut text)).is_ok() {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            self.peak = self.peak.max(kibibytes.unwrap_or(0) << 10);
        }
    }

    /// Waits for its end, at most for a glance; answers whether it is over.
    pub fn is_over(&mut self) -> io::Result<bool> {
        let ready = poll(&mut [PollFd::new(&self.over, PollFlags::IN)], Some(&POLL_INTERVAL))?;
        self.observe();
        Ok(ready > 0)
    }

    /// Waits for its end.
    pub fn end(mut self) -> io::Result<Ended> {
        while !self.is_over()? {}
        let at = Instant::now();
        let before = children_time();
        let status = self.child.wait()?;
        Ok(Ended {
            status,
            at,
            cpu: children_time() - before,
            peak: self.peak,
        })
    }
}

/// Seconds of processor that reaped children took, in hundredths. (Their peak of memory is not usable in this way: it starts with ours.)
fn children_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the system counts");
    // The second field, the name, may hold anything; behind it, the 14th and 15th are the time of waited-for children.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
    #[allow(clippy::cast_precision_loss, reason = "a few minutes at most")]
    let seconds = ticks as f64 / clock_ticks_per_second() as f64;
    seconds
}

/// Fails unless the process ended well.
fn check(contender: &Contender, status: ExitStatus) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{}: {status}", contender.line())))
}

fn cat(input: impl Into<Stdio>) -> io::Result<Child> {
    Command::new("cat").stdin(input).stdout(Stdio::null()).spawn()
}

/// The files that `{out}.1` and `{out}.2` name.
fn copies(output: &Path) -> [PathBuf; 2] {
    ["1", "2"].map(|copy| output.with_extension(copy))
}

/// Removes what an earlier run has written, so that freeing its pages is not measured.
pub fn remove_outputs(output: &Path) {
    for path in copies(output).iter().map(PathBuf::as_path).chain([output]) {
        let _ = std::fs::remove_file(path);
    }
}

/// Runs it once, with the time taken.
pub fn timed(contender: &Contender, route: Route, input: &Path, output: &Path) -> io::Result<Took> {
    remove_outputs(output);
    let mut places = Places::new(input, output);
    if route == Route::Null {
        places.sink = "/dev/null";
    }
    if route == Route::Tcp {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        places.port = listener.local_addr()?.port();
        let mut command = contender.command(places)?;
        return thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&listener, drain));
            let begin = Instant::now();
            let ended = Watched::new(command.spawn()?)?.end()?;
            let sum = joined(receiver, places.port, ended.status);
            let over = Instant::now();
            check(contender, ended.status)?;
            if sum? != input.metadata()?.len() {
                return Err(io::Error::other(format!("{}: not all arrived", contender.line())));
            }
            Ok(took(begin, over, &ended))
        });
    }
    let mut command = contender.command(places)?;
    let mut sink = None;
    if matches!(route, Route::Pipe | Route::Pipes | Route::Tee) {
        let (reader, writer) = pipe()?;
        sink = Some(cat(reader)?);
        command.stdout(writer);
    }
    let begin = Instant::now();
    let feeder = feed(&mut command, route, input)?;
    let child = command.spawn()?;
    // Both ends of the pipes are the children's alone.
    drop(command);
    let ended = Watched::new(child)?.end()?;
    let mut over = ended.at;
    if let Some(mut sink) = sink {
        sink.wait()?;
        over = Instant::now();
    }
    if let Some(mut feeder) = feeder {
        feeder.wait()?;
    }
    check(contender, ended.status)?;
    Ok(took(begin, over, &ended))
}

/// Runs it `times` times in a row, without looking at it meanwhile.
pub fn timed_again(contender: &Contender, times: u32, input: &Path, output: &Path) -> io::Result<Took> {
    let mut places = Places::new(input, output);
    places.sink = "/dev/null";
    let mut wall = Duration::ZERO;
    let before = children_time();
    for _ in 0..times {
        let mut command = contender.command(places)?;
        let begin = Instant::now();
        let status = command.spawn()?.wait()?;
        wall += begin.elapsed();
        check(contender, status)?;
    }
    Ok(Took {
        wall: wall.as_secs_f64(),
        cpu: children_time() - before,
        peak: 0,
    })
}

fn took(begin: Instant, over: Instant, ended: &Ended) -> Took {
    Took {
        wall: (over - begin).as_secs_f64(),
        cpu: ended.cpu,
        peak: ended.peak,
    }
}

/// Starts what feeds it, where something does.
fn feed(command: &mut Command, route: Route, input: &Path) -> io::Result<Option<Child>> {
    if route != Route::Pipes {
        return Ok(None);
    }
    let (reader, writer) = pipe()?;
    command.stdin(reader);
    Command::new("cat").arg(input).stdout(writer).spawn().map(Some)
}

/// Accepts one sender, and does something with what it sends.
fn receive<T>(listener: &TcpListener, work: impl FnOnce(TcpStream) -> io::Result<T>) -> io::Result<T> {
    work(listener.accept()?.0)
}

/// What the receiver has to say. One that still waits for a program that failed is let go.
fn joined<T>(receiver: thread::ScopedJoinHandle<'_, io::Result<T>>, port: u16, status: ExitStatus) -> io::Result<T> {
    if !status.success() {
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    }
    receiver.join().expect("the receiver does not panic")
}

/// Reads to the end, and counts.
pub fn drain(mut reader: impl Read) -> io::Result<u64> {
    let mut block = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

/// Runs it once to see what comes out of it.
pub fn output_of(contender: &Contender, route: Route, input: &Path, output: &Path) -> io::Result<Fingerprint> {
    remove_outputs(output);
    let mut places = Places::new(input, output);
    if route == Route::Tcp {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        places.port = listener.local_addr()?.port();
        let mut command = contender.command(places)?;
        return thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&listener, fingerprint));
            let status = command.status()?;
            let sum = joined(receiver, places.port, status);
            check(contender, status)?;
            sum
        });
    }
    let mut command = contender.command(places)?;
    let feeder = feed(&mut command, route, input)?;
    if route == Route::File {
        check(contender, command.status()?)?;
        let file = File::open(output)?;
        return if contender.is_spaced {
            fingerprint(Unspaced::new(file))
        } else {
            fingerprint(file)
        };
    }
    let (reader, writer) = pipe()?;
    command.stdout(writer);
    let mut child = command.spawn()?;
    drop(command);
    let seen = fingerprint(reader)?;
    check(contender, child.wait()?)?;
    if let Some(mut feeder) = feeder {
        feeder.wait()?;
    }
    if route == Route::Tee {
        for copy in copies(output) {
            if fingerprint(File::open(copy)?)? != seen {
                return Err(io::Error::other(format!("{}: the outputs differ", contender.line())));
            }
        }
    }
    Ok(seen)
}
