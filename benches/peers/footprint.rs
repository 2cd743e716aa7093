//! Memory behind a sink that takes nothing, and after a long run through one that does.

use std::fmt::Write as _;
use std::io::{self, pipe};
use std::path::Path;
use std::thread;

use crate::compare::{Spread, megabytes};
use crate::contender::{Contender, Places, found};
use crate::data::Data;
use crate::report::{Report, Verdict};
use crate::run::{Watched, drain};

/// So many glances without a change, and nothing moves any more.
const STILL: u32 = 20;

/// A chain of ours, what it must keep to, and others that do the same.
struct Row {
    name: &'static str,
    stages: &'static str,
    /// Megabytes.
    must: f64,
    must_text: &'static str,
    /// Megabytes.
    aim: f64,
    aim_text: &'static str,
    peers: &'static [&'static str],
}

const ROWS: [Row; 2] = [
    Row {
        name: "peak RSS, read | throttle | write",
        stages: "throttle 4GB/s",
        must: 10.0,
        must_text: "≤ 10 MB, growth ≤ 256 KiB",
        aim: 8.0,
        aim_text: "≤ 8 MB",
        peers: &[
            "pv -q -L 4000000000 {in}",
            "mbuffer -q -s 64k -m 8M -r 4G -i {in}",
            "socat -u -b262144 FILE:{in} STDOUT",
            "node -e fs.createReadStream(process.argv[1]).pipe(process.stdout) {in}",
        ],
    },
    Row {
        name: "peak RSS, read | gzip | throttle | write",
        stages: "gzip :: throttle 4GB/s",
        must: 13.0,
        must_text: "≤ 13 MB, growth ≤ 256 KiB",
        aim: 10.0,
        aim_text: "≤ 10 MB",
        peers: &[
            "pigz -c {in}",
            "node -e \
             fs.createReadStream(process.argv[1]).pipe(zlib.createGzip()).pipe(process.stdout) {in}",
        ],
    },
];

/// What may come with fifteen more GiB.
const GROWTH: f64 = 0.262_144;

/// Measures both chains.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let rounds = if is_quick { 1 } else { 3 };
    // Quick runs take a quarter of everything.
    let sizes = if is_quick {
        ["256MiB", "4GiB"]
    } else {
        ["1GiB", "16GiB"]
    };
    let input = data.tar(data.codec_size)?;
    for row in ROWS {
        report.progress(row.name);
        let ours = Contender::new(&format!("highwater -q read {{in}} :: {} :: write -", row.stages));
        let stalled = Spread::of(repeated(rounds, || stalled(&ours, &input))?);
        let [small, large] = sizes.map(|size| {
            let line = format!(
                "highwater -q read /dev/zero :: take {size} :: {} :: write -",
                row.stages
            );
            repeated(rounds, || flowing(&Contender::new(&line), &input)).map(Spread::of)
        });
        let (small, large) = (small?, large?);
        let growth = large.median - small.median;
        let mut table = format!(
            "### {}\n\n`{}`, no reader\n\n| tool | peak, MB |\n|---|---|\n| highwater | {stalled} |\n",
            row.name,
            ours.line()
        );
        for line in row.peers {
            let peer = Contender::new(line);
            if found(peer.program()).is_none() {
                report.note(format!("{}: {} is missing", row.name, peer.name));
                continue;
            }
            let peak = Spread::of(repeated(rounds, || self::stalled(&peer, &input))?);
            let _ = writeln!(table, "| {} | {peak} |", peer.name);
        }
        let [less, more] = sizes;
        let _ = writeln!(
            table,
            "| highwater, {less} of zeros | {small} |\n| highwater, {more} of zeros | {large} |"
        );
        report.table(&table);
        let peak = stalled.max.max(small.max).max(large.max);
        report.row(
            row.name,
            &format!(
                "stalled {stalled} MB, zeros {small} MB, {:+.0} KiB from {less} to {more}",
                growth * 1e6 / 1024.0
            ),
            &(row.must_text, Verdict::from(peak <= row.must && growth <= GROWTH)),
            &(row.aim_text, Verdict::from(peak <= row.aim)),
        );
    }
    Ok(())
}

fn repeated(rounds: u32, mut measure: impl FnMut() -> io::Result<u64>) -> io::Result<Vec<f64>> {
    (0..rounds).map(|_| measure().map(megabytes)).collect()
}

/// The peak of one whose output nobody reads until it has come to rest, and of the rest of its run.
fn stalled(contender: &Contender, input: &Path) -> io::Result<u64> {
    let output = Path::new("");
    let mut command = contender.command(Places::new(input, output))?;
    let (reader, writer) = pipe()?;
    command.stdout(writer);
    let mut watched = Watched::new(command.spawn()?)?;
    drop(command);
    let io = format!("/proc/{}/io", watched.pid().as_raw_nonzero());
    let mut seen = (0, String::new());
    let mut still = 0;
    while still < STILL && !watched.is_over()? {
        let now = (watched.peak(), std::fs::read_to_string(&io)?);
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
    finish(contender, watched, reader)
}

/// The peak of one whose output is read as fast as it comes.
fn flowing(contender: &Contender, input: &Path) -> io::Result<u64> {
    let output = Path::new("");
    let mut command = contender.command(Places::new(input, output))?;
    let (reader, writer) = pipe()?;
    command.stdout(writer);
    let watched = Watched::new(command.spawn()?)?;
    drop(command);
    finish(contender, watched, reader)
}

fn finish(contender: &Contender, watched: Watched, reader: io::PipeReader) -> io::Result<u64> {
    let draining = thread::spawn(move || drain(reader));
    let ended = watched.end()?;
    draining.join().expect("no panic")?;
    if ended.status.success() {
        Ok(ended.peak)
    } else {
        Err(io::Error::other(format!("{}: {}", contender.line(), ended.status)))
    }
}
