//! A stage between a source and a sink: planned, and ready to be started.

use std::sync::Arc;

use crate::flow::{Inlet, Outlet};
use crate::graph::Port;

use super::{Context, Dial, Work};

/// What a transform gives out, as far as a terminal is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The bytes that came in, or some of them.
    AsItCame,
    /// Compressed: nothing that a terminal should show.
    Compressed,
    /// Decompressed: whatever it once was.
    Restored,
}

/// A transform whose parameters are right.
pub trait TransformPlan: Send {
    /// Takes no more than `memory` bytes where its parameters leave that open: asked before the state, where the user has
    /// set a ceiling.
    fn fit(&mut self, memory: u64) {
        let _ = memory;
    }
    /// Bytes of memory that it holds besides its links, as far as its parameters tell.
    fn state_bytes(&self) -> u64 {
        0
    }
    /// The high-water mark that it asks for on the link behind it, in bytes; one that the user set outranks it.
    fn high(&self) -> Option<u64> {
        None
    }
    /// Whether its input may ask for more memory than that, which it then claims from the [`Budget`](super::Budget).
    fn claims_later(&self) -> bool {
        false
    }
    /// Whether it may end its input before the input's own end.
    fn ends_early(&self) -> bool {
        false
    }
    /// Bytes of input that it needs at most for the first `output` bytes of its output; `None` stands for no bound.
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        let _ = output;
        None
    }
    /// Whether it passes every byte on as it came, and needs none that it does not pass: then it can start anywhere in the
    /// stream.
    fn starts_anywhere(&self) -> bool {
        false
    }
    /// What it gives out, as far as a terminal is concerned.
    fn content(&self) -> Content {
        Content::AsItCame
    }
    /// What it gives where `input` reaches it. What passes as it came stays what it is.
    ///
    /// # Errors
    /// What it would take instead.
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        if self.content() == Content::AsItCame {
            return Ok(input);
        }
        Mismatch::unless_bytes(input).map(|()| Port::Bytes)
    }
    /// Bytes per second that it lets pass at most.
    fn rate(&self) -> Option<u64> {
        None
    }
    /// How many of the first bytes it would drop; a source that can seek does it instead.
    fn leading_skip(&self) -> u64 {
        0
    }
    /// The rate that it keeps, where it keeps one that may be changed while it runs.
    fn dial(&self) -> Option<Arc<Dial>> {
        None
    }
    /// The small file that it leaves beside the stream: the parameter that names it, and its name.
    fn side_file(&self) -> Option<(&'static str, &[u8])> {
        None
    }
    /// Makes the stage; `skipped` of the leading bytes are skipped already.
    fn make(self: Box<Self>, skipped: u64) -> Box<dyn Stage>;
}

/// The general transform: anything that waits, or needs helpers.
pub trait Stage: Send {
    /// Starts the stage.
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work;
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
