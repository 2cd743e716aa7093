//! Planned transforms, the capabilities that only some of them have, and transforms ready to be started.

use std::sync::Arc;

use crate::flow::{Inlet, Outlet};
use crate::graph::Port;

use super::{Context, Outside, RateControl, Work};

/// A transform whose parameters are right.
///
/// What only some transforms have is a capability: a method here that returns it, and `None` for all others.
pub trait TransformPlan: Send {
    /// Makes the stage.
    fn make(self: Box<Self>) -> Box<dyn Stage>;
    /// The memory that it asks for besides an ordinary link.
    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        None
    }
    /// How much of its input its output takes, where it passes bytes on unchanged.
    fn pass_through(&self) -> Option<&dyn PassThrough> {
        None
    }
    /// What it turns its input into, where it changes the bytes.
    fn conversion(&self) -> Option<&dyn Conversion> {
        None
    }
    /// Whether it may end its input before the input's own end.
    fn ends_early(&self) -> bool {
        false
    }
    /// How many of the first bytes it drops. A source that can seek skips them instead, and the engine subtracts what it
    /// has skipped.
    fn leading_skip(&mut self) -> Option<&mut u64> {
        None
    }
    /// What it waits for when it waits for the outside, where it does.
    fn outside(&self) -> Option<Outside> {
        None
    }
    /// The rate that it keeps, which may be changed while it runs.
    fn rate_control(&self) -> Option<&Arc<RateControl>> {
        None
    }
    /// The small file that it leaves beside the stream: the parameter that names it, and its name.
    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        None
    }
}

/// A transform that asks for memory.
pub trait MemoryUse {
    /// Bytes that it holds besides its links, as far as its parameters tell.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// Whether its input may ask for more than that, which it then claims from the [`Budget`](super::Budget).
    fn claims_later(&self) -> bool {
        false
    }
    /// The high-water mark of the link behind it, in bytes; one that the user set outranks it.
    fn high(&self) -> Option<u64> {
        None
    }
}

/// A transform that passes on all or some of its bytes as they came.
pub trait PassThrough {
    /// Bytes of input that it needs at most for the first `output` bytes of its output; `None` stands for no bound.
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        output
    }
    /// Whether it can start anywhere in the stream: it passes every byte, and needs none that it does not pass.
    fn starts_anywhere(&self) -> bool {
        false
    }
    /// How many bytes it gives for those that come to it.
    fn output_size(&self) -> OutputSize {
        OutputSize::Same
    }
}

/// How many bytes a stage gives for those that come to it, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputSize {
    /// As many.
    #[default]
    Same,
    /// All but so many, and then so many at most, whatever comes; the stream ends behind them.
    Part {
        /// What it drops first.
        skip: u64,
        /// What it passes then; `None` for all.
        most: Option<u64>,
    },
    /// As many, and it fails where that is more than so many.
    Limited(u64),
    /// That only shows while it runs.
    Changed,
}

/// A transform whose output is something else than its input.
pub trait Conversion {
    /// Whether it compresses or decompresses; `None` for neither.
    fn content(&self) -> Option<Content> {
        None
    }
    /// What it gives where `input` reaches it.
    ///
    /// # Errors
    /// What it would take instead.
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_bytes(input).map(|()| Port::Bytes)
    }
}

/// What comes out of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Compressed: nothing that a terminal should show.
    Compressed,
    /// Decompressed: more bytes than went in, of any kind.
    Restored,
}

/// A stage cannot take what reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// What it takes.
    pub takes: Port,
    /// The stages that would turn what reaches it into that.
    pub through: &'static [&'static str],
}

impl Mismatch {
    /// Of what takes bytes, or records that are lines of bytes.
    ///
    /// # Errors
    /// Where `input` is neither.
    pub fn unless_bytes(input: Port) -> Result<(), Self> {
        match input {
            Port::Bytes | Port::Lines | Port::Json => Ok(()),
            Port::Messages => Err(Self {
                takes: Port::Bytes,
                through: &["lines"],
            }),
        }
    }
}

/// The general transform: anything that waits, or needs helpers.
pub trait Stage: Send {
    /// Starts the stage.
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work;
}
