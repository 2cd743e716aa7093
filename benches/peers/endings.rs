//! From a signal or an error to the end of the process.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::process::{Signal, kill_process};

use crate::compare::Spread;
use crate::contender::{Contender, Places};
use crate::data::Data;
use crate::report::{Report, Verdict};
use crate::run::Watched;

/// What ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// While it runs, as its view says.
    Interrupt,
    /// After a first byte came out of its output, which nobody reads from then on.
    InterruptStalled,
    /// Its reader leaves.
    ReaderLeaves,
}

const CASES: [(&str, Cause, &str); 7] = [
    (
        "direct lane to /dev/null",
        Cause::Interrupt,
        "read /dev/zero :: write /dev/null",
    ),
    (
        "direct lane to a stalled pipe",
        Cause::InterruptStalled,
        "read /dev/zero :: write -",
    ),
    (
        "throttle 1 B/s",
        Cause::InterruptStalled,
        "read /dev/zero :: throttle 1 :: write -",
    ),
    (
        "gzip to a file",
        Cause::Interrupt,
        "read /dev/urandom :: gzip threads=2 :: write {out}",
    ),
    (
        "zstd level=19 to a file",
        Cause::Interrupt,
        "read {in} :: zstd level=19 :: write {out}",
    ),
    (
        "TCP, no reader",
        Cause::Interrupt,
        "read /dev/zero :: write tcp://127.0.0.1:{port}",
    ),
    (
        "gzip, the reader leaves",
        Cause::ReaderLeaves,
        "read /dev/urandom :: gzip threads=2 :: write -",
    ),
];

/// Measures every case.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let name = "SIGINT or an error to exit";
    report.progress(name);
    let rounds = if is_quick { 3 } else { 9 };
    let input = data.tar(data.codec_size)?;
    let output = data.path("output");
    let mut table = format!("### {name}\n\n| chain | ms |\n|---|---|\n");
    let mut worst = (0.0, "");
    for (case, cause, stages) in CASES {
        let taken: Vec<f64> = (0..rounds)
            .map(|_| ending(cause, stages, &input, &output))
            .collect::<io::Result<_>>()?;
        let spread = Spread::of(taken);
        let _ = writeln!(table, "| {case}: `{stages}` | {spread} |");
        if spread.max > worst.0 {
            worst = (spread.max, case);
        }
    }
    report.table(&table);
    report.row(
        name,
        &format!("at most {:.1} ms ({})", worst.0, worst.1),
        &("≤ 100 ms", Verdict::from(worst.0 <= 100.0)),
        &("≤ 20 ms", Verdict::from(worst.0 <= 20.0)),
    );
    let _ = std::fs::remove_file(output);
    Ok(())
}

/// Milliseconds from the cause to the end.
fn ending(cause: Cause, stages: &str, input: &Path, output: &Path) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    // A view that nobody reads would fill its pipe, and be one more thing to wait for.
    let view = if cause == Cause::Interrupt {
        "--progress json --interval 10ms"
    } else {
        "-q"
    };
    let line = format!("highwater {view} {stages}");
    let mut places = Places::new(input, output);
    places.port = port;
    let mut command = Contender::new(&line).command(places)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if cause == Cause::Interrupt {
        wait_until_it_runs(&mut child)?;
    } else if let Some(stdout) = &mut child.stdout {
        stdout.read_exact(&mut [0])?;
    }
    let (reader, messages) = (child.stdout.take(), child.stderr.take());
    // Nobody reads the messages from here on: they are few, and a pipe holds them.
    let watched = Watched::new(child)?;
    let begin = Instant::now();
    if cause == Cause::ReaderLeaves {
        drop(reader);
    } else {
        kill_process(watched.pid(), Signal::INT)?;
    }
    let ended = watched.end()?;
    drop((messages, listener));
    let expected = if cause == Cause::ReaderLeaves {
        ended.status.code() == Some(141) || ended.status.signal() == Some(Signal::PIPE.as_raw())
    } else {
        ended.status.signal() == Some(Signal::INT.as_raw())
    };
    if !expected {
        return Err(io::Error::other(format!("{line}: {}", ended.status)));
    }
    Ok((ended.at - begin).as_secs_f64() * 1e3)
}

/// Reads its view until the first byte has come in.
fn wait_until_it_runs(child: &mut Child) -> io::Result<()> {
    let mut messages = BufReader::new(child.stderr.as_mut().expect("stderr is a pipe"));
    let mut line = String::new();
    while messages.read_line(&mut line)? > 0 {
        let sample: serde_json::Value = serde_json::from_str(&line)?;
        if sample["stages"][0]["bytes_out"].as_u64() > Some(0) {
            return Ok(());
        }
        line.clear();
    }
    Err(io::Error::other("it ended before a byte moved"))
}
