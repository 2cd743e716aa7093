//! How exact a throttle is, seen from a pipe that is read as it fills.

use std::fmt::Write as _;
use std::io::{self, Read, pipe};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::{Spread, megabytes};
use crate::contender::{Contender, Places, found};
use crate::data::Data;
use crate::report::{Report, Verdict};
use crate::run::Watched;

/// The span over which no tool may be much ahead.
const WINDOW: Duration = Duration::from_millis(100);

/// What came out of a pipe, and when.
#[derive(Debug)]
struct Seen {
    arrivals: Vec<(Instant, u64)>,
    wall: f64,
    cpu: f64,
}

/// Measures both rates.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let (seconds, rounds) = if is_quick { (2, 1) } else { (5, 3) };
    for (name, rate) in [("throttle 1 MB/s", 1_000_000), ("throttle 100 MB/s", 100_000_000)] {
        report.progress(name);
        row(name, rate, seconds, rounds, data, report)?;
    }
    Ok(())
}

fn row(name: &str, rate: u64, seconds: u64, rounds: usize, data: &Data, report: &mut Report) -> io::Result<()> {
    let input = data.tar(rate * seconds)?;
    let throttled = format!("highwater -q read {{in}} :: throttle {rate} :: write -");
    let contenders = [
        Contender::new(&throttled),
        Contender::new(&format!("pv -q -L {rate} {{in}}")),
        Contender::new(&format!("mbuffer -q -s 64k -m 8M -r {rate} -i {{in}}")),
    ];
    let mut table = format!(
        "### {name}\n\n`{throttled}`, {seconds} s, {rounds} times\n\n\
         | tool | mean error, % | largest 100 ms window | CPU beyond the same copy, % |\n|---|---|---|---|\n"
    );
    for contender in contenders {
        if found(contender.program()).is_none() {
            report.note(format!("{name}: {} is missing", contender.name));
            continue;
        }
        let is_ours = contender.name == "highwater";
        let mut errors = Vec::new();
        let mut windows = Vec::new();
        let mut extra = Vec::new();
        for _ in 0..rounds {
            let seen = observe(&contender, &input)?;
            errors.push((mean(&seen.arrivals) / per_second(rate) - 1.0) * 100.0);
            windows.push(largest(&seen.arrivals) / (per_second(rate) * WINDOW.as_secs_f64()));
            if is_ours {
                let free = observe(&Contender::new("highwater -q read {in} :: write -"), &input)?;
                extra.push((seen.cpu - free.cpu) / seen.wall * 100.0);
            }
        }
        let (errors, windows, extra) = (Spread::of(errors), Spread::of(windows), Spread::of(extra));
        let error = format!("{:+.3} ({:+.3} to {:+.3})", errors.median, errors.min, errors.max);
        let _ = writeln!(table, "| {} | {error} | {windows} | {extra} |", contender.name);
        if is_ours {
            let within = |error: f64| errors.min.abs().max(errors.max.abs()) <= error;
            report.row(
                name,
                &format!("error {error} %, window {windows} ×, {extra} % CPU"),
                &(
                    "mean ≤ 0.5 %, no 100 ms window above 1.1 ×",
                    Verdict::from(within(0.5) && windows.median <= 1.1),
                ),
                &(
                    "mean ≤ 0.1 %, ≤ 1 % CPU beyond the same copy",
                    Verdict::from(within(0.1) && extra.median <= 1.0),
                ),
            );
        }
    }
    report.table(&table);
    Ok(())
}

fn observe(contender: &Contender, input: &Path) -> io::Result<Seen> {
    let output = Path::new("");
    let mut command = contender.command(Places::new(input, output))?;
    let (mut reader, writer) = pipe()?;
    command.stdout(writer);
    let begin = Instant::now();
    let child = command.spawn()?;
    drop(command);
    let watching = thread::spawn(move || Watched::new(child)?.end());
    let mut block = vec![0; 1 << 20];
    let mut arrivals = Vec::new();
    loop {
        let count = reader.read(&mut block)?;
        if count == 0 {
            break;
        }
        arrivals.push((Instant::now(), count as u64));
    }
    let ended = watching.join().expect("no panic")?;
    if !ended.status.success() || arrivals.iter().map(|(_, count)| count).sum::<u64>() != input.metadata()?.len() {
        return Err(io::Error::other(format!("{}: not whole", contender.line())));
    }
    Ok(Seen {
        arrivals,
        wall: (ended.at - begin).as_secs_f64(),
        cpu: ended.cpu,
    })
}

fn per_second(rate: u64) -> f64 {
    megabytes(rate) * 1e6
}

/// Bytes a second from the first arrival, which starts the clock, to the last.
fn mean(arrivals: &[(Instant, u64)]) -> f64 {
    let [(first, _), rest @ ..] = arrivals else {
        return f64::NAN;
    };
    let total: u64 = rest.iter().map(|(_, count)| count).sum();
    rest.last()
        .map_or(f64::NAN, |(last, _)| per_second(total) / (*last - *first).as_secs_f64())
}

/// The most bytes that arrived within a window.
fn largest(arrivals: &[(Instant, u64)]) -> f64 {
    let mut most = 0;
    let mut inside = 0;
    let mut end = 0;
    for (begin, (at, count)) in arrivals.iter().enumerate() {
        while let Some((_, more)) = arrivals.get(end).filter(|(other, _)| *other < *at + WINDOW) {
            inside += more;
            end += 1;
        }
        debug_assert!(end > begin, "an arrival is in its own window");
        most = most.max(inside);
        inside -= count;
    }
    per_second(most)
}
