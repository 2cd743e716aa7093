//! Judges the samples of a check, without side effects.

mod program;
mod server;

pub use program::{Evidence, judge as judge_program, transforms};
pub use server::{Clients, Evidence as ServerEvidence, judge as judge_server};

use crate::grammar::human_size;

use super::series::{Sample, float, rise, second_half};

/// Less than this may be the heap of any program.
pub const NOISE: u64 = 1 << 20;
/// Bytes by which a runtime may grow in a short check: compiled code, a young heap that grows to its size.
const WARM_UP: u64 = 16 << 20;
/// A kept byte of input takes at least so much memory: the input does not compress to a quarter.
const LEAST_PER_BYTE: f64 = 0.25;

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It reads no more than it can pass on.
    Honours,
    /// It reads what it is given, and keeps it in memory or in files.
    Buffers,
    /// The evidence is not enough.
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

    /// It was seen to keep `seen` bytes.
    fn buffers(seen: u64, sentence: String, advice: &'static str) -> Self {
        /// More evidence would not change the verdict.
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

    fn with(self, certainty: Certainty) -> Self {
        Self { certainty, ..self }
    }

    /// Adds how the check ended, where it did not run to its own end.
    fn followed_by(self, ending: &Ending) -> Self {
        let how = match ending {
            Ending::Done | Ending::InputClosed => return self,
            Ending::TooLarge(limit) => format!("The check ended at --max-rss {}.", human_size(*limit)),
            Ending::TooMuchDisk(limit) => format!("The check ended at --max-disk {}.", human_size(*limit)),
            Ending::Ended(how) => format!("Then it ended {how}."),
        };
        Self {
            sentence: format!("{} {how}", self.sentence),
            ..self
        }
    }
}

/// Why the samples end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The check ran to its end.
    Done,
    /// What was checked passed this limit of memory, in bytes.
    TooLarge(u64),
    /// What was checked passed this limit of files, in bytes.
    TooMuchDisk(u64),
    /// What was checked exited; how, in words: `with code 3`.
    Ended(String),
    /// The program has closed its standard input.
    InputClosed,
}

/// What the memory did in the second half of the time.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Bytes by which it rose, by its robust slope.
    rise: f64,
    /// Bytes of rise that exceed the noise of this program.
    threshold: f64,
    /// Bytes at the end.
    level: u64,
}

impl Memory {
    fn of(samples: &[Sample]) -> Self {
        let late = second_half(samples);
        let rise = rise(late, |sample| sample.memory);
        // Four times the typical distance from the line: the saw-tooth of a garbage collector is no trend.
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
