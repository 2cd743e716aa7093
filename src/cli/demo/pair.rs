//! One run: a fast source, and the process of the pipeline whose memory is shown.

use std::env::current_exe;
use std::io::{self, BufRead, BufReader, pipe};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::platform;
use crate::view::contrast::{End, Point};

use super::trap::Trap;
use super::{Plan, Proportions};

/// Both sides; dropping this ends them.
pub struct Pair {
    source: Source,
    chain: Child,
    events: Receiver<String>,
}

/// What feeds the pipeline.
enum Source {
    /// A process.
    Process(Child),
    /// A thread, which ends when this is set or the pipeline is gone.
    Thread(Arc<AtomicBool>),
}

impl Source {
    /// Starts the source; returns what the pipeline reads as well.
    fn start(plan: &Plan) -> Result<(Self, Stdio), String> {
        match plan {
            Plan::Backpressure(plan) => Self::process(plan),
            Plan::Records(trap) => Self::thread(*trap),
        }
    }

    fn process(plan: &Proportions) -> Result<(Self, Stdio), String> {
        let mut source = program()?
            .args(["-q", &plan.source()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| unstarted(&error))?;
        let stream = source.stdout.take().map_or_else(Stdio::null, Stdio::from);
        Ok((Self::Process(source), stream))
    }

    fn thread(trap: Trap) -> Result<(Self, Stdio), String> {
        let (reader, writer) = pipe().map_err(|error| format!("cannot create a pipe: {error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // A pipeline that has gone is noticed by what it does not say any more.
        platform::spawn("demo", 256 << 10, move || drop(trap.write(writer, &stopped)))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok((Self::Thread(stop), Stdio::from(reader)))
    }

    fn end(&mut self) {
        match self {
            Self::Process(child) => end(child),
            Self::Thread(stop) => stop.store(true, Ordering::Relaxed),
        }
    }
}

/// This program once more.
fn program() -> Result<Command, String> {
    let program = current_exe().map_err(|error| format!("cannot find the program itself: {error}"))?;
    Ok(Command::new(program))
}

fn unstarted(error: &io::Error) -> String {
    format!("cannot start the program once more: {error}")
}

/// A message of the pipeline.
pub enum Heard {
    /// None within the time.
    Nothing,
    /// A sample.
    Point(Point),
    /// Its end.
    End(End),
    /// It ended without a readable message; the last text.
    Gone(String),
}

impl Pair {
    /// Starts the source, and the pipeline behind it, with a recording to `record` if given.
    pub fn start(plan: &Plan, is_ignoring: bool, record: Option<&Path>) -> Result<Self, String> {
        let mut chain = program()?;
        let (mut source, stream) = Source::start(plan)?;
        chain.args(["--progress", "json", "--interval", "50ms"]);
        if let Some(path) = record {
            chain.arg("--record").arg(path);
        }
        let chain = chain
            .args(plan.arguments(is_ignoring))
            .stdin(stream)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut chain = match chain {
            Ok(chain) => chain,
            Err(error) => {
                source.end();
                return Err(unstarted(&error));
            }
        };
        let events = chain.stderr.take().map_or_else(|| channel().1, listen);
        Ok(Self { source, chain, events })
    }

    /// The pipeline's next message, within `patience`.
    pub fn hear(&mut self, patience: Duration) -> Heard {
        match self.events.recv_timeout(patience) {
            Ok(line) => read(&line),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Gone("the run ended without any output".to_owned()),
        }
    }

    /// Ends the source; the pipeline still delivers what it holds.
    pub fn cut(&mut self) {
        self.source.end();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.source.end();
        end(&mut self.chain);
    }
}

/// Ends a run by a signal, so that it can remove its socket.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // A process that was waited for has no valid number any more.
    if let (Some(pid), Ok(None)) = (pid, child.try_wait()) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let _ = child.wait();
}

/// Reads lines on a thread of its own, so that drawing never delays the pipeline.
fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    // Without a thread there are no messages, which is reported.
    let _ = platform::spawn("demo", 256 << 10, move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A line of the pipeline: a stats object, unless it could not even start.
fn read(line: &str) -> Heard {
    let Ok(object) = serde_json::from_str::<Value>(line) else {
        let line = line.strip_prefix("highwater: ").unwrap_or(line);
        return Heard::Gone(line.to_owned());
    };
    let point = Point {
        at: Duration::try_from_secs_f64(object["elapsed_s"].as_f64().unwrap_or(0.0)).unwrap_or_default(),
        rss: object["rss_bytes"].as_u64().unwrap_or(0),
        given: object["stages"][0]["bytes_in"].as_u64().unwrap_or(0),
        delivered: last(&object["stages"])["bytes_out"].as_u64().unwrap_or(0),
        paused: object["stages"][0]["backpressured"].as_f64().unwrap_or(0.0),
    };
    let Some(exit) = object.get("exit") else {
        return Heard::Point(point);
    };
    let code = exit["code"].as_u64().and_then(|code| u8::try_from(code).ok());
    let peak = object["rss_peak_bytes"].as_u64().unwrap_or(0);
    Heard::End(End {
        code: code.unwrap_or(u8::MAX),
        error: exit["error"].as_str().map(str::to_owned),
        // A stopped run has freed its memory: the picture ends at the last level.
        last: Point {
            rss: if code == Some(0) { point.rss } else { peak },
            ..point
        },
        peak,
    })
}

fn last(stages: &Value) -> &Value {
    stages.as_array().and_then(|stages| stages.last()).unwrap_or(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = r#""rss_bytes":7,"rss_peak_bytes":9,
        "stages":[{"bytes_in":5,"bytes_out":5,"backpressured":0.5},{"bytes_in":4,"bytes_out":3}]"#;

    #[test]
    fn a_sample_is_a_point() {
        let Heard::Point(point) = read(&format!(r#"{{"elapsed_s":1.5,{STAGES}}}"#)) else {
            panic!("a sample");
        };
        assert_eq!((point.at.as_millis(), point.rss), (1500, 7));
        assert_eq!((point.given, point.delivered), (5, 3));
    }

    #[test]
    fn stopped_run_ends_at_its_peak() {
        let line = format!(r#"{{"elapsed_s":2,{STAGES},"exit":{{"code":7,"error":"stopped"}}}}"#);
        let Heard::End(end) = read(&line) else {
            panic!("an end");
        };
        assert_eq!((end.code, end.error.as_deref()), (7, Some("stopped")));
        assert_eq!((end.peak, end.last.rss), (9, 9));
    }

    #[test]
    fn a_run_that_cannot_start_says_why() {
        let Heard::Gone(why) = read("highwater: --max-rss 9GiB would stop the run too late") else {
            panic!("no object");
        };
        assert_eq!(why, "--max-rss 9GiB would stop the run too late");
    }
}
