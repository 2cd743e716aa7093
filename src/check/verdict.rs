//! What the samples come to. Pure: the same samples have the same verdict.

mod program;
mod server;

pub use program::{Evidence, judge as judge_program, transforms};
pub use server::{Clients, Evidence as ServerEvidence, judge as judge_server};

use crate::grammar::human_size;

use super::series::{Sample, float, rise, second_half};

/// Less than this is what any program's heap may do.
pub const NOISE: u64 = 1 << 20;
/// What a runtime may still take to warm up in a short check: compiled code, a young heap that grows to its size.
const WARMING_UP: u64 = 16 << 20;
/// A kept byte of input takes at least so much memory; four bytes in one would be a compressor, and the input has no
/// air to let out.
const LEAST_PER_BYTE: f64 = 0.25;

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It takes no more than it can pass on.
    Honours,
    /// It takes what it is given, and keeps it in memory or in files.
    Buffers,
    /// It cannot be told.
    Unclear,
}

impl Finding {
    /// The exit code that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Honours => 0,
            Self::Buffers => 1,
            Self::Unclear => 13,
        }
    }

    /// The word for it in a recording.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Honours => "honours",
            Self::Buffers => "buffers",
            Self::Unclear => "unclear",
        }
    }
}

/// Whether looking longer could change a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It could not.
    Final,
    /// It is well founded once the check has taken its length.
    Enough,
    /// It could.
    Open,
}

/// The finding, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was found out.
    pub finding: Finding,
    /// The evidence in a few sentences.
    pub sentence: String,
    /// What to change: in the program, or in the check. Empty where there is nothing.
    pub advice: &'static str,
    /// Whether it needs more evidence.
    pub certainty: Certainty,
    /// Bytes that it was seen to keep, of a program that buffers.
    pub seen: u64,
}

impl Verdict {
    pub(super) fn honours(sentence: String, certainty: Certainty) -> Self {
        Self {
            finding: Finding::Honours,
            sentence,
            advice: "",
            certainty,
            seen: 0,
        }
    }

    /// It kept `seen` bytes.
    fn buffers(seen: u64, sentence: String, advice: &'static str) -> Self {
        /// No machine should have to give more to be believed.
        const CLEAR: u64 = 1 << 30;
        Self {
            finding: Finding::Buffers,
            sentence,
            advice,
            certainty: if seen >= CLEAR {
                Certainty::Final
            } else {
                Certainty::Enough
            },
            seen,
        }
    }

    fn unclear(sentence: String, advice: &'static str, certainty: Certainty) -> Self {
        Self {
            finding: Finding::Unclear,
            sentence,
            advice,
            certainty,
            seen: 0,
        }
    }

    fn saying(self, more: &str) -> Self {
        Self {
            sentence: format!("{} {more}", self.sentence),
            ..self
        }
    }
}

/// Why the samples end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The check took its course.
    Done,
    /// What was checked passed this many bytes of memory, and was stopped or left alone.
    TooLarge(u64),
    /// What was checked wrote this many bytes to files, and was stopped or left alone.
    TooMuchDisk(u64),
    /// What was checked ended by itself; how, in words: `with code 3`.
    Ended(String),
    /// The program has closed its standard input.
    InputClosed,
}

/// What the memory did in the second half of the time.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Bytes by which it rose, by its robust slope.
    rise: f64,
    /// Bytes that would be called rising: more than the noise of this very program.
    threshold: f64,
    /// Bytes at the end.
    level: u64,
}

impl Memory {
    fn of(samples: &[Sample]) -> Self {
        let late = second_half(samples);
        let rise = rise(late, |sample| sample.memory);
        // Four times the typical distance from the line: a saw-tooth of a collector is no trend.
        let threshold = float(NOISE).max(4.0 * scatter(late, rise));
        Self {
            rise,
            threshold,
            level: late.last().map_or(0, |last| last.memory),
        }
    }

    fn rises(&self) -> bool {
        self.rise >= self.threshold
    }
}

/// The median distance of the memory from the line of its slope.
fn scatter(samples: &[Sample], rise: f64) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return 0.0;
    };
    let span = last.since(first).as_secs_f64();
    let line = |sample: &Sample| match span {
        span if span > 0.0 => rise * sample.since(first).as_secs_f64() / span,
        _ => 0.0,
    };
    let mut offsets: Vec<f64> = samples
        .iter()
        .map(|sample| float(sample.memory) - line(sample))
        .collect();
    let middle = middle(&mut offsets);
    let mut distances: Vec<f64> = offsets.iter().map(|offset| (offset - middle).abs()).collect();
    self::middle(&mut distances)
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Bytes for a sentence; what has sunk is 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and below 2^53"
)]
fn size(bytes: f64) -> String {
    human_size(bytes.max(0.0) as u64)
}
