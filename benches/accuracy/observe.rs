//! One run of the program, and what it said of itself.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::chains::{Around, Chain, Shares, Slowest};
use crate::pacing;

/// What was seen of a chain.
#[derive(Debug, Default)]
pub struct Seen {
    /// The mean of the shares that were reported, for each stage, in percent.
    pub shares: Vec<Shares>,
    /// Who was named, sample by sample, with the seconds since the start.
    pub named: Vec<(f64, usize)>,
}

/// How long links, pipes and sockets may fill, and the window of five seconds with what comes then, before it counts.
const WARM_UP: f64 = 8.0;

/// Runs a chain for so long, or through all its turns.
pub fn observe(chain: &Chain, length: Duration) -> io::Result<Seen> {
    let length = match chain.slowest {
        Slowest::Turns(turn, _) => length.max(turn * 3),
        _ => length,
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The peer's kernel takes no more than a little.
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 64 << 10)?;
    let url = format!("tcp://{}", listener.local_addr()?);
    let limit = format!("{}ms", length.as_millis());
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args([
        "--memory",
        "16MiB",
        "--progress",
        "json",
        "--interval",
        "100ms",
        "--timeout",
        &limit,
    ]);
    command.arg(chain.pipeline.replace("{peer}", &url));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match chain.around {
        Around::Feeder(_) => drop(command.stdin(Stdio::piped())),
        Around::Reader(_) => drop(command.stdout(Stdio::piped())),
        Around::Nothing | Around::Peer(_) => {}
    }
    let mut child = command.spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    match chain.around.clone() {
        Around::Nothing => {}
        Around::Feeder(paces) => drop(input.map(|input| thread::spawn(move || pacing::feed(input, &paces)))),
        Around::Reader(pace) => drop(output.map(|output| thread::spawn(move || pacing::drain(output, pace)))),
        Around::Peer(pace) => drop(thread::spawn(move || pacing::drain(listener.accept()?.0, pace))),
    }
    let mut samples = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let sample: Result<Value, _> = serde_json::from_str(&line?);
            samples.extend(sample.ok().filter(|sample| sample["event"] == "sample"));
        }
    }
    child.wait()?;
    Ok(Seen::of(&samples))
}

impl Seen {
    fn of(samples: &[Value]) -> Self {
        let mut seen = Self::default();
        let mut before = 0.0;
        let mut whole = 0.0;
        for sample in samples {
            let at = sample["elapsed_s"].as_f64().unwrap_or(0.0);
            // A share is of the time since the sample before.
            let time = at - std::mem::replace(&mut before, at);
            let stages = sample["stages"].as_array().map_or(&[][..], |stages| stages.as_slice());
            // None of these chains ends by itself: a stage that has ended is one that was told to.
            if at < WARM_UP || stages.iter().any(|stage| stage["ended"] == true) {
                continue;
            }
            whole += time;
            seen.shares.resize(stages.len(), [0.0; 3]);
            for (sums, stage) in seen.shares.iter_mut().zip(stages) {
                for (sum, part) in sums.iter_mut().zip(["busy", "idle", "backpressured"]) {
                    *sum += stage[part].as_f64().unwrap_or(0.0) * time * 100.0;
                }
            }
            let named = sample["bottleneck"]["stage"].as_u64();
            seen.named
                .extend(named.and_then(|stage| Some((at, usize::try_from(stage).ok()?))));
        }
        for sum in seen.shares.iter_mut().flatten() {
            *sum /= whole;
        }
        seen
    }
}
