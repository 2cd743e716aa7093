//! Ours and a peer in turns, and what comes of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::contender::{Contender, found};
use crate::data::{Data, Fingerprint, fingerprint};
use crate::report::{Report, Verdict};
use crate::run::{Route, Took, output_of, remove_outputs, timed, timed_again};

/// What is done, by us and by others.
#[derive(Debug)]
pub struct Work {
    pub name: &'static str,
    pub route: Route,
    pub input: PathBuf,
    /// What must come out, after `unpack`.
    pub expected: PathBuf,
    /// What restores the output of a compressor.
    pub unpack: Option<&'static str>,
    /// So many runs in a row are one measurement.
    pub repeat: u32,
    pub ours: Contender,
    pub peers: Vec<Contender>,
    pub must: Goal,
    pub aim: Goal,
}

/// What is wanted of the ratios.
#[derive(Debug, Clone, Copy, Default)]
pub struct Goal {
    /// As the table of goals says it; empty where it says nothing.
    pub text: &'static str,
    /// The peer that counts; all of them where there is none.
    pub peer: Option<&'static str>,
    /// The most that ours may take of its wall time.
    pub wall: f64,
    /// Other peers that count, and the most that ours may take of their wall time.
    pub others: &'static [(&'static str, f64)],
    /// The most megabytes that ours may take.
    pub megabytes: Option<f64>,
    /// The most that ours may take of its memory.
    pub peak: Option<f64>,
    /// Whose output ours may not exceed.
    pub size: Option<&'static str>,
}

impl Goal {
    /// Of the wall time of one peer.
    pub const fn of(peer: &'static str, wall: f64, text: &'static str) -> Self {
        Self {
            text,
            peer: Some(peer),
            wall,
            others: &[],
            megabytes: None,
            peak: None,
            size: None,
        }
    }

    /// Of the wall time of whoever is fastest.
    pub const fn of_best(wall: f64, text: &'static str) -> Self {
        Self {
            text,
            peer: None,
            wall,
            others: &[],
            megabytes: None,
            peak: None,
            size: None,
        }
    }

    pub const NONE: Self = Self::of_best(f64::MAX, "");

    /// The most that ours may take of a peer's wall time, if it counts.
    fn limit(&self, faced: &Faced) -> Option<f64> {
        if faced.is_self {
            return None;
        }
        let Some(peer) = self.peer else {
            return Some(self.wall);
        };
        let mut limits = std::iter::once((peer, self.wall)).chain(self.others.iter().copied());
        limits.find_map(|(name, limit)| (name == faced.name).then_some(limit))
    }

    fn verdict(&self, faced: &[Faced], our_size: u64) -> Verdict {
        if self.text.is_empty() {
            return Verdict::None;
        }
        let counted: Vec<(&Faced, f64)> = (faced.iter())
            .filter_map(|faced| Some((faced, self.limit(faced)?)))
            .collect();
        let named = self.peer.into_iter().chain(self.others.iter().map(|(name, _)| *name));
        let missing: Vec<&str> = named
            .filter(|name| counted.iter().all(|(faced, _)| faced.name != *name))
            .collect();
        if counted.is_empty() && missing.is_empty() {
            return Verdict::Unknown("no peer did run".to_owned());
        }
        let is_small = self.size.is_none_or(|peer| {
            let size = faced.iter().find(|faced| faced.name == peer).map(|faced| faced.size);
            size.is_none_or(|size| our_size <= size)
        });
        let is_reached = is_small
            && counted.iter().all(|(faced, limit)| {
                faced.wall.median <= *limit
                    && self.peak.is_none_or(|most| faced.memory.median <= most)
                    && self.megabytes.is_none_or(|most| faced.peaks[0] <= most)
            });
        if is_reached && !missing.is_empty() {
            return Verdict::Unknown(format!("{} did not run", missing.join(" and ")));
        }
        Verdict::from(is_reached)
    }
}

/// A median and what it lies between.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self {
                median: f64::NAN,
                min: f64::NAN,
                max: f64::NAN,
            };
        };
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self { median, min, max }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if !self.median.is_finite() {
            return f.write_str("–");
        }
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

/// Ours against one peer.
#[derive(Debug)]
struct Faced {
    name: String,
    /// Whether it was ours again, to see the noise.
    is_self: bool,
    size: u64,
    /// Ours as a share of the peer's.
    wall: Spread,
    cpu: Spread,
    memory: Spread,
    /// As they were.
    walls: [f64; 2],
    peaks: [f64; 2],
}

/// Measures a row, and reports it.
pub fn compare(work: &Work, pairs: usize, data: &Data, report: &mut Report) -> io::Result<()> {
    let output = data.path("output");
    report.progress(work.name);
    let expected = fingerprint(File::open(&work.expected)?)?;
    let our_size = checked(work, &work.ours, expected, &output)?;
    let mut faced = Vec::new();
    for peer in &work.peers {
        if found(peer.program()).is_none() {
            report.note(format!("{}: {} is missing", work.name, peer.name));
            continue;
        }
        match face(work, peer, expected, pairs, &output) {
            Ok(one) => faced.push(one),
            Err(error) => report.note(format!("{}: {}: {error}", work.name, peer.name)),
        }
    }
    remove_outputs(&output);
    report.table(&table(work, &faced, our_size));
    let ratio = |goal: &Goal| {
        let counted = (faced.iter()).filter_map(|faced| Some((faced, faced.wall.median / goal.limit(faced)?)));
        let nearest = counted.max_by(|(_, a), (_, b)| a.total_cmp(b));
        nearest.map_or_else(|| "–".to_owned(), |(one, _)| format!("{} × {}", one.wall, one.name))
    };
    report.row(
        work.name,
        &ratio(&work.must),
        &(work.must.text, work.must.verdict(&faced, our_size)),
        &(work.aim.text, work.aim.verdict(&faced, our_size)),
    );
    Ok(())
}

/// Whether the output is what it must be; answers its size.
fn checked(work: &Work, contender: &Contender, expected: Fingerprint, output: &Path) -> io::Result<u64> {
    let wrong = || io::Error::other(format!("{}: wrong output", contender.line()));
    if let Some(unpack) = work.unpack {
        let line = format!("{} > {{out}}", contender.line());
        let packed = output_of(&Contender::named("", &line), Route::File, &work.input, output)?;
        let mut child = Command::new(unpack)
            .arg("-dc")
            .stdin(File::open(output)?)
            .stdout(Stdio::piped())
            .spawn()?;
        let restored = fingerprint(child.stdout.take().expect("stdout is a pipe"))?;
        let is_right = child.wait()?.success() && restored == expected;
        return if is_right { Ok(packed.length) } else { Err(wrong()) };
    }
    let seen = output_of(contender, work.route, &work.input, output)?;
    if seen == expected {
        Ok(seen.length)
    } else {
        Err(wrong())
    }
}

/// A B B A, as often as it takes.
fn face(work: &Work, peer: &Contender, expected: Fingerprint, pairs: usize, output: &Path) -> io::Result<Faced> {
    let size = checked(work, peer, expected, output)?;
    let run = |contender| {
        if work.repeat > 1 {
            timed_again(contender, work.repeat, &work.input, output)
        } else {
            timed(contender, work.route, &work.input, output)
        }
    };
    let mut taken: Vec<[Took; 2]> = Vec::new();
    for pair in 0..pairs {
        if pair % 2 == 0 {
            let ours = run(&work.ours)?;
            taken.push([ours, run(peer)?]);
        } else {
            let theirs = run(peer)?;
            taken.push([run(&work.ours)?, theirs]);
        }
    }
    let ratio = |of: fn(&Took) -> f64| Spread::of(taken.iter().map(|[ours, theirs]| of(ours) / of(theirs)));
    let medians =
        |of: fn(&Took) -> f64| [0, 1].map(|which| Spread::of(taken.iter().map(|pair| of(&pair[which]))).median);
    Ok(Faced {
        name: peer.name.clone(),
        is_self: peer.name.ends_with("A/A"),
        size,
        wall: ratio(|took| took.wall),
        cpu: ratio(|took| took.cpu),
        memory: ratio(|took| megabytes(took.peak)),
        walls: medians(|took| took.wall),
        peaks: medians(|took| megabytes(took.peak)),
    })
}

#[expect(clippy::cast_precision_loss, reason = "no file or process here has 2^53 bytes")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn table(work: &Work, faced: &[Faced], our_size: u64) -> String {
    let mut text = format!("### {}\n\n`{}`\n\n", work.name, work.ours.line());
    let packs = work.unpack.is_some();
    text.push_str("| peer | wall s, ours : peer | wall | user+sys | peak RSS | MB, ours : peer |");
    text.push_str(if packs { " output MB, ours : peer |\n" } else { "\n" });
    text.push_str("|---|---|---|---|---|---|");
    text.push_str(if packs { "---|\n" } else { "\n" });
    for one in faced {
        let [ours, theirs] = one.walls;
        let [our_peak, their_peak] = one.peaks;
        let _ = write!(
            text,
            "| {} | {ours:.3} : {theirs:.3} | {} | {} |",
            one.name, one.wall, one.cpu
        );
        if work.repeat > 1 {
            text.push_str(" – | – |");
        } else {
            let _ = write!(text, " {} | {our_peak:.1} : {their_peak:.1} |", one.memory);
        }
        if packs {
            let _ = write!(text, " {:.2} : {:.2} |", megabytes(our_size), megabytes(one.size));
        }
        text.push('\n');
    }
    text
}
