//! `highwater ctl`: steers a run from another terminal.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{Failure, Kind, shown};
use crate::grammar::parse_rate;
use crate::platform::files::Stream;
use crate::platform::process_name;
use crate::platform::sockets::{limit_waits, peer_user};

use super::control::message::{self, Reply, Request};
use super::control::place;

/// Which run, and what to do with it.
#[derive(Debug, Args)]
pub struct Ctl {
    /// The run's process number
    #[arg(value_parser = parse_process)]
    pid: u32,
    /// What to do with it
    #[arg(value_enum)]
    command: Command,
    /// For set: the stage, by its name or number, and its rate=
    #[arg(value_name = "WORD")]
    words: Vec<String>,
}

/// What can be done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Command {
    /// Change a throttle's rate: set throttle rate=5MB/s, or set 2 rate=5MB/s
    Set,
    /// Let the sink take nothing more; all that is upstream fills to its marks
    Pause,
    /// Let the sink go on
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

/// How long a run may take to answer: it has nothing else to do.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the run; answers the line that it has to say.
///
/// # Errors
/// Where the words ask for nothing that can be, the run cannot be reached, or refuses.
pub fn run(ctl: &Ctl) -> Result<String, Failure> {
    let request = request(ctl)?;
    let operation = || format!("ctl {}", ctl.pid);
    let stream = connect(ctl.pid).map_err(|why| Failure::because(Kind::Connect, operation(), why))?;
    let reply = ask(&stream, &request).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::because(Kind::Timeout, operation(), "it does not answer")
        }
        _ => Failure::because(Kind::Connect, operation(), "it ended before it answered"),
    })?;
    match reply {
        Reply::Done(line) => Ok(line + "\n"),
        Reply::Refused(why) => Err(Failure::because(Kind::Usage, operation(), why)),
    }
}

/// Reads the words before anybody is disturbed.
fn request(ctl: &Ctl) -> Result<Request, Failure> {
    let wrong = |why: String| Failure::because(Kind::Usage, "ctl", shown(why.as_bytes()));
    match (ctl.command, ctl.words.as_slice()) {
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
fn rate_of(word: &str) -> Result<u64, String> {
    let text = match word.split_once('=') {
        Some(("rate", text)) => text,
        Some((key, _)) => {
            return Err(format!(
                "`{key}` cannot be set; what can is rate=, for example rate=5MB/s"
            ));
        }
        None => word,
    };
    match parse_rate(text) {
        Ok(0) => Err("a rate of 0 lets nothing pass; pause does that, and the slowest rate is 1/s".to_owned()),
        Ok(rate) => Ok(rate),
        Err(misread) => Err(format!("rate `{text}`: {misread}")),
    }
}

/// Finds the run's socket and connects, or says who is there instead.
fn connect(pid: u32) -> Result<UnixStream, String> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match process.map(test_kill_process) {
        None | Some(Err(Errno::SRCH)) => return Err("there is no such process".to_owned()),
        Some(Err(Errno::PERM)) => return Err("the process belongs to somebody else".to_owned()),
        Some(_) => {}
    }
    let user = rustix::process::geteuid().as_raw();
    for folder in place::folders() {
        if place::check(&folder).is_err() {
            // Nothing of ours can be in there.
            continue;
        }
        let Ok(stream) = UnixStream::connect(place::socket(&folder, pid)) else {
            continue;
        };
        if peer_user(&stream).is_some_and(|peer| peer != user) {
            return Err("the process belongs to somebody else".to_owned());
        }
        return Ok(stream);
    }
    match process_name(pid) {
        // Whoever runs it chose the name.
        Some(name) if name != env!("CARGO_PKG_NAME") => {
            Err(format!("the process is `{}`, not highwater", shown(name.as_bytes())))
        }
        _ => Err(format!(
            "it has no control socket; a run makes one when it has lasted 0.1 s, in {}",
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
        let words = words.iter().map(|&word| word.to_owned()).collect();
        let asked = Ctl { pid: 1, command, words };
        request(&asked).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_rate_is_written_as_in_a_pipeline() {
        for words in [
            ["throttle", "rate=5MB/s"],
            ["throttle", "5MB/s"],
            ["throttle", "rate=40Mbit/s"],
        ] {
            let set = Request::Set {
                stage: "throttle".to_owned(),
                rate: 5_000_000,
            };
            assert_eq!(asked(Command::Set, &words), Ok(set));
        }
    }

    #[test]
    fn what_cannot_be_asked_says_what_can() {
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
                "ctl: `burst` cannot be set; what can is rate=, for example rate=5MB/s",
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
