//! The drivers of compressors and decompressors: one loop for each direction, for every format.
//!
//! A codec is a synchronous function from slices to slices. It gets a thread of its own, the chunks of its input link
//! as input and buffers of its output link as output, so it needs no other memory than its state.

// Without some of the codecs, parts of what they share are unused.
#![cfg_attr(
    not(all(
        feature = "zstd",
        feature = "xz",
        feature = "bzip2",
        feature = "lz4",
        feature = "brotli"
    )),
    allow(dead_code, unused_imports)
)]

use crate::stage::{Content, Conversion, MemoryUse, Stage, TransformPlan};

mod decode;
mod encode;
mod format;
mod magic;
mod parameter;

#[cfg(test)]
mod tests;

pub use decode::{Decoding, decompress};
pub use encode::compress;
pub use format::{Decoder, Format, Head, Padding, Plain, Step};
pub use magic::{Likeness, compare, skippable};
pub use parameter::{FLUSH, THREADS, given_level, given_threads, level};

/// The input of one call, small enough that a cancelled run never waits long for the call.
const PIECE: usize = 64 << 10;

/// The plan of a stage that compresses or decompresses.
pub struct Codec<S> {
    /// The stage.
    pub stage: S,
    /// The kind of its output.
    pub content: Content,
    /// Bytes that it holds, as far as its parameters tell.
    pub state: u64,
    /// Whether it claims more once its input is known.
    pub claims_later: bool,
}

impl<S: Stage + 'static> TransformPlan for Codec<S> {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        Box::new(self.stage)
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }
}

impl<S: Send> MemoryUse for Codec<S> {
    fn state_bytes(&self) -> u64 {
        self.state
    }

    fn claims_later(&self) -> bool {
        self.claims_later
    }
}

impl<S: Send> Conversion for Codec<S> {
    fn content(&self) -> Option<Content> {
        Some(self.content)
    }
}
