//! `highwater ctl`: controls a run from another terminal.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{Failure, Kind, shown};
use crate::grammar::{Throughput, parse_throughput};
use crate::platform::files::Stream;
use crate::platform::sockets::{limit_waits, peer_user};
use crate::platform::{files, process_name};

use super::control::message::{self, Reply, Request};
use super::control::place;

/// Which run, and what to do with it.
#[derive(Debug, Args)]
#[command(override_usage = "highwater ctl [PID COMMAND [WORD]...]")]
pub struct Ctl {
    /// The run's process number; without it, the runs that can be reached are listed
    #[arg(value_parser = parse_process, requires = "command")]
    pid: Option<u32>,
    /// What to do with it
    #[arg(value_enum)]
    command: Option<Command>,
    /// For set: the stage, by its name or number, and its rate=
    #[arg(value_name = "WORD")]
    words: Vec<String>,
}

/// What can be done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Command {
    /// Change a throttle's rate: set throttle rate=5MB/s, or set 2 rate=5MB/s
    Set,
    /// Pause the sink; the links upstream fill to their marks
    Pause,
    /// Resume the sink
    Resume,
    /// Print one sample, a line of JSON
    Stats,
}

/// A process number.
fn parse_process(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=0x7fff_ffff) => Ok(number),
        _ => Err("a run is named by its process number, as `pgrep highwater` lists it".to_owned()),
    }
}

/// Which processes have a control socket.
const WHO_HAS_ONE: &str = "a service has none, and a run makes one when it has lasted 0.1 s";

/// How long a run may take to reply: its control thread has no other work.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends the request to the run; returns the line of its reply. Without a run, lists those that can be reached.
///
/// # Errors
/// If the words are not a valid request, or the run cannot be reached or refuses.
pub fn run(ctl: &Ctl) -> Result<String, Failure> {
    let Some((pid, command)) = ctl.pid.zip(ctl.command) else {
        return Ok(runs());
    };
    let request = request(command, &ctl.words)?;
    let operation = || format!("ctl {pid}");
    let stream = connect(pid).map_err(|why| Failure::because(Kind::Connect, operation(), why))?;
    let reply = ask(&stream, &request).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::because(Kind::Timeout, operation(), "it does not answer")
        }
        _ => Failure::because(Kind::Connect, operation(), "it ended before it replied"),
    })?;
    match reply {
        Reply::Done(line) => Ok(line + "\n"),
        Reply::Refused(why) => Err(Failure::because(Kind::Usage, operation(), why)),
    }
}

/// The runs that can be reached, a line each.
fn runs() -> String {
    let sockets = place::folders()
        .into_iter()
        .flat_map(|folder| files::entries(folder).unwrap_or_default());
    let mut pids: Vec<u32> = sockets.filter_map(|path| place::process_of(&path)).collect();
    pids.sort_unstable();
    pids.dedup();
    let rows = pids.into_iter().filter_map(|pid| {
        let Ok(Reply::Done(stats)) = ask(&connect(pid).ok()?, &Request::Stats) else {
            return None;
        };
        let stats: serde_json::Value = serde_json::from_str(&stats).ok()?;
        let stages = stats["stages"].as_array()?;
        let texts: Vec<&str> = stages.iter().filter_map(|stage| stage["text"].as_str()).collect();
        Some(format!("{pid:>8}  {}\n", texts.join(" | ")))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return format!("no run can be reached; {WHO_HAS_ONE}\n");
    }
    format!("{:>8}  stages\n{rows}", "pid")
}

/// Reads the words before a connection is made.
fn request(command: Command, words: &[String]) -> Result<Request, Failure> {
    let wrong = |why: String| Failure::because(Kind::Usage, "ctl", shown(why.as_bytes()));
    match (command, words) {
        (Command::Set, [stage, rate]) => Ok(Request::Set {
            stage: stage.clone(),
            rate: rate_of(rate).map_err(wrong)?,
        }),
        (Command::Set, _) => {
            let why = "set needs a stage and a rate, for example: set throttle rate=5MB/s";
            Err(wrong(why.to_owned()))
        }
        (Command::Pause, []) => Ok(Request::Pause),
        (Command::Resume, []) => Ok(Request::Resume),
        (Command::Stats, []) => Ok(Request::Stats),
        (_, [word, ..]) => Err(wrong(format!("`{word}` is one word too many"))),
    }
}

/// `rate=5MB/s`, or the rate alone, as in a pipeline.
fn rate_of(word: &str) -> Result<Throughput, String> {
    let text = match word.split_once('=') {
        Some(("rate", text)) => text,
        Some((key, _)) => {
            return Err(format!("`{key}` cannot be set, only rate=, for example rate=5MB/s"));
        }
        None => word,
    };
    match parse_throughput(text) {
        Ok(Throughput::Bytes(0) | Throughput::Records(0)) => {
            Err("a rate of 0 lets nothing pass; pause does that, and the slowest rate is 1/s".to_owned())
        }
        Ok(rate) => Ok(rate),
        Err(misread) => Err(format!("rate `{text}`: {misread}")),
    }
}

/// Finds the run's socket and connects, or describes the process that has the number.
fn connect(pid: u32) -> Result<UnixStream, String> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match process.map(test_kill_process) {
        None | Some(Err(Errno::SRCH)) => return Err("there is no such process".to_owned()),
        Some(Err(Errno::PERM)) => return Err("the process belongs to another user".to_owned()),
        Some(_) => {}
    }
    let user = rustix::process::geteuid().as_raw();
    for folder in place::folders() {
        if place::check(&folder).is_err() {
            // A folder of another user cannot hold a socket of ours.
            continue;
        }
        let Ok(stream) = UnixStream::connect(place::socket(&folder, pid)) else {
            continue;
        };
        if peer_user(&stream).is_some_and(|peer| peer != user) {
            return Err("the process belongs to another user".to_owned());
        }
        return Ok(stream);
    }
    match process_name(pid) {
        // The name was chosen by the program's user.
        Some(name) if name != env!("CARGO_PKG_NAME") => {
            Err(format!("the process is `{}`, not highwater", shown(name.as_bytes())))
        }
        _ => Err(format!(
            "it has no control socket; {WHO_HAS_ONE}, in {}",
            place::folders()
                .first()
                .map_or_else(String::new, |folder| shown(folder.as_os_str().as_bytes()))
        )),
    }
}

fn ask(stream: &UnixStream, request: &Request) -> io::Result<Reply> {
    limit_waits(stream, SERVER_TIMEOUT)?;
    message::send(Stream(stream), request)?;
    message::receive(Stream(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(command: Command, words: &[&str]) -> Result<Request, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        request(command, &words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn ctl_rate_is_written_as_in_pipelines() {
        let bytes = Throughput::Bytes(5_000_000);
        for (word, rate) in [
            ("rate=5MB/s", bytes),
            ("5MB/s", bytes),
            ("rate=40Mbit/s", bytes),
            ("rate=500records/s", Throughput::Records(500)),
        ] {
            let set = Request::Set {
                stage: "throttle".to_owned(),
                rate,
            };
            assert_eq!(asked(Command::Set, &["throttle", word]), Ok(set));
        }
    }

    #[test]
    fn invalid_ctl_request_suggests_a_valid_one() {
        for (command, words, why) in [
            (
                Command::Set,
                &["throttle"][..],
                "ctl: set needs a stage and a rate, for example: set throttle rate=5MB/s",
            ),
            (
                Command::Set,
                &["throttle", "rate=8Mb/s"],
                "ctl: rate `8Mb/s`: `Mb` is neither bits (`Mbit`) nor bytes (`MB`); did you mean `8Mbit/s`?",
            ),
            (
                Command::Set,
                &["throttle", "burst=1M"],
                "ctl: `burst` cannot be set, only rate=, for example rate=5MB/s",
            ),
            (
                Command::Set,
                &["throttle", "rate=0"],
                "ctl: a rate of 0 lets nothing pass; pause does that, and the slowest rate is 1/s",
            ),
            (Command::Pause, &["now"], "ctl: `now` is one word too many"),
        ] {
            assert_eq!(asked(command, words), Err(why.to_owned()));
        }
    }
}
