//! Driving compressors and decompressors: one loop for each direction, for every format.
//!
//! A codec is a synchronous machine that turns a slice into a slice. It gets a thread of its own, the chunks of its
//! input link as input and buffers of its output link as output, so its memory is its state and nothing else.

// Without some of the codecs, some of what they share has no user.
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

mod decode;
mod decoder;
mod encode;
mod format;
mod magic;
mod memory;
mod parameter;

#[cfg(test)]
mod tests;

pub use decode::{Decoding, Unpacking};
pub use decoder::{Decoder, Plain, Step};
pub use encode::Packing;
pub use format::{Format, Head, Padding};
pub use magic::{Likeness, compare, skippable};
pub use parameter::{FLUSH, THREADS, given_level, given_threads, level};

/// What a codec is given in one call, so that a cancelled run never waits long for one to come back.
const PIECE: usize = 64 << 10;
