//! Planned transforms, the capabilities that only some of them have, and transforms ready to be started.

use std::sync::Arc;

use crate::flow::{Inlet, Outlet};
use crate::graph::Port;

use super::{Context, Outside, RateControl, Resume, Work};

/// A transform with checked parameters.
///
/// What only some transforms have is a capability: a method here that returns it, and `None` for all others. A transform
/// that changes the bytes has a [`Conversion`]; one that passes on all or some of them as they came has a [`PassThrough`].
pub trait TransformPlan: Send {
    /// Makes the stage.
    fn make(self: Box<Self>) -> Box<dyn Stage>;
    /// The memory that it needs besides an ordinary link.
    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        None
    }
    /// The room that it needs for records, if it makes them or holds them.
    fn record_room(&self) -> Option<RecordRoom> {
        None
    }
    /// Called for a stage that has a [`RecordRoom`]: sets what it receives, and how large a record is at most, in bytes
    /// with its newline.
    fn settle_records(&mut self, input: Port, largest: u64) {
        let _ = (input, largest);
    }
    /// How much of its input becomes output, if it passes bytes on unchanged.
    fn pass_through(&self) -> Option<&dyn PassThrough> {
        None
    }
    /// What it turns its input into, where it changes the bytes. Where it does not, records stay the records that they
    /// were, and holes of a file stay holes.
    fn conversion(&self) -> Option<&dyn Conversion> {
        None
    }
    /// Whether what it sends carries the source's positions, and it can begin at any of them in a later run.
    fn keeps_positions(&self) -> bool {
        false
    }
    /// How it starts in the middle of the stream.
    ///
    /// # Errors
    /// Why it cannot, in a phrase.
    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        Err("needs the stream from its beginning")
    }
    /// Whether it may end its input before the input's own end.
    fn ends_early(&self) -> bool {
        false
    }
    /// The number of leading bytes that it drops. A source that can seek skips them instead, and the engine subtracts
    /// what was skipped.
    fn leading_skip(&mut self) -> Option<&mut u64> {
        None
    }
    /// What it waits for outside of the pipeline, if anything.
    fn outside(&self) -> Option<Outside> {
        None
    }
    /// Whether it can lend the pipe that its output comes from (see [`Outlet::lend`]), and accepts one as its input (see
    /// [`Inlet::lent`]).
    fn joins_pipes(&self) -> bool {
        false
    }
    /// The rate that it keeps, which may be changed while it runs.
    fn rate_control(&self) -> Option<&Arc<RateControl>> {
        None
    }
    /// The small file that it writes beside the stream: the parameter that names it, and its name.
    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        None
    }
}

/// A transform that needs memory.
pub trait MemoryUse {
    /// Bytes that it holds besides its links, as far as its parameters tell.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Whether its input may need more than that, which it then claims from the [`Budget`](super::Budget).
    fn claims_later(&self) -> bool {
        false
    }
    /// The high-water mark of the link behind it, in bytes; one that the user set takes precedence.
    fn high(&self) -> Option<u64> {
        None
    }
}

/// The room that a stage needs for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRoom {
    /// What bounds its records.
    pub bound: RecordBound,
    /// How many of the largest size it holds besides its links. Its `state_bytes` have them once the size is set.
    pub held: u64,
}

/// What bounds the records of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordBound {
    /// The stage before it.
    Upstream,
    /// It makes the records, and the plan chooses the bound.
    Open,
    /// It makes the records, and the user set the bound, in bytes.
    Given(u64),
}

/// A transform that passes all or some of its bytes unchanged.
pub trait PassThrough {
    /// The most bytes of input that it needs for the first `output` bytes of its output; `None` stands for no bound.
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        output
    }
    /// How many bytes it sends for those that it receives.
    fn output_size(&self) -> OutputSize {
        OutputSize::Same
    }
}

/// How many bytes a stage sends for those that it receives, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputSize {
    /// The same number.
    #[default]
    Same,
    /// A part of the input, after which the stream ends.
    Part {
        /// The number of leading bytes that it drops.
        skip: u64,
        /// The most that it passes then; `None` for all.
        most: Option<u64>,
    },
    /// The same number, but it fails above this limit.
    Limited(u64),
    /// Known only at run time.
    Changed,
}

/// A transform that changes the kind or the content of the data.
pub trait Conversion {
    /// Whether it compresses or decompresses; `None` for neither.
    fn content(&self) -> Option<Content> {
        None
    }
    /// What it sends if it receives `input`.
    ///
    /// # Errors
    /// What it would accept instead.
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_bytes(input).map(|()| Port::Bytes)
    }
}

/// What a codec sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Compressed: not fit for a terminal.
    Compressed,
    /// Decompressed: of any kind, and usually more bytes than were received.
    Restored,
}

/// A stage cannot accept the data that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// What it accepts.
    pub takes: Port,
    /// The stages that would convert the data.
    pub through: &'static [&'static str],
}

impl Mismatch {
    /// Checks for a stage that accepts bytes, or records that are lines of bytes.
    ///
    /// # Errors
    /// If `input` is neither.
    pub fn unless_bytes(input: Port) -> Result<(), Self> {
        match input {
            Port::Bytes | Port::Lines | Port::Json => Ok(()),
            Port::Messages => Err(Self {
                takes: Port::Bytes,
                through: &["lines"],
            }),
        }
    }

    /// Checks for a stage that accepts JSON.
    ///
    /// # Errors
    /// If `input` is anything else.
    pub fn unless_json(input: Port) -> Result<(), Self> {
        Self::unless(input == Port::Json, Port::Json, &["from-json", "from-csv", "from-sse"])
    }

    /// Checks for a stage that accepts lines, which JSON records are, too.
    ///
    /// # Errors
    /// If `input` is anything else.
    pub fn unless_lines(input: Port) -> Result<(), Self> {
        Self::unless(matches!(input, Port::Lines | Port::Json), Port::Lines, Self::FRAMERS)
    }

    /// Checks for a stage that accepts records of any kind.
    ///
    /// # Errors
    /// If `input` has none.
    pub fn unless_records(input: Port) -> Result<(), Self> {
        Self::unless(input.has_records(), Port::Lines, Self::FRAMERS)
    }

    /// The stages that make records of bytes.
    const FRAMERS: &[&str] = &["lines", "from-json", "from-csv", "from-sse"];

    fn unless(accepted: bool, takes: Port, through: &'static [&'static str]) -> Result<(), Self> {
        if accepted { Ok(()) } else { Err(Self { takes, through }) }
    }
}

/// The general transform: anything that waits, or needs several threads.
pub trait Stage: Send {
    /// Starts the stage.
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work;
}
