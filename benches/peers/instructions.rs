//! What the view costs, in instructions, where the machine counts them.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::compare::{Spread, megabytes};
use crate::contender::found;
use crate::data::Data;
use crate::report::{Report, Verdict};

/// The program that counts.
const PERF: &str = "perf";
const MUST: &str = "≤ 1 % more instructions";
const AIM: &str = "≤ 0.2 %";

/// Measures a copy through a link with the view and without.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let name = "view and meters on against off";
    report.progress(name);
    let input = data.tar(data.lane_size)?;
    let rounds = if is_quick { 3 } else { 9 };
    let on = ["--progress", "json", "--interval", "100ms"];
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (Some(off), Some(on)) = (counted(&["-q"], &input)?, counted(&on, &input)?) else {
            let why = "`perf stat -e instructions:u` is not supported here";
            report.note(format!("{name}: {why}"));
            let unknown = || Verdict::Unknown(why.to_owned());
            report.row(name, "–", &(MUST, unknown()), &(AIM, unknown()));
            return Ok(());
        };
        ratios.push((megabytes(on) / megabytes(off) - 1.0) * 100.0);
    }
    let more = Spread::of(ratios);
    report.row(
        name,
        &format!("{more} % more instructions"),
        &(MUST, Verdict::from(more.median <= 1.0)),
        &(AIM, Verdict::from(more.median <= 0.2)),
    );
    Ok(())
}

/// Instructions in user mode; `None` where they cannot be counted.
fn counted(options: &[&str], input: &Path) -> io::Result<Option<u64>> {
    let (Some(perf), Some(ours)) = (found(PERF), found(crate::contender::OURS)) else {
        return Ok(None);
    };
    let output = Command::new(perf)
        .args(["stat", "-x,", "-e", "instructions:u", "--"])
        .arg(ours)
        .args(options)
        .arg("read")
        .arg(input)
        .args(["high=1MiB", "::", "write", "-"])
        .stdout(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("instructions:u"));
    Ok(line.and_then(|line| line.split(',').next()?.parse().ok()))
}
