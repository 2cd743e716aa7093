//! xz: the .xz file format, version 1.2.

use std::num::NonZeroU32;

use async_compression::codecs::Xz2Encoder;
use async_compression::codecs::lzma::params::{LzmaEncoderParams, MtStreamBuilder};
use liblzma::stream::Check;

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{
    Format, Head, Likeness, Padding, THREADS, compare, compress, decompress, given_level, given_threads, level,
};

mod decoder;

use decoder::XzDecoder;

/// The definition of `xz`.
pub static XZ: Definition = Definition {
    name: "xz",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to xz",
    details: "The levels are those of xz, and so is the memory that they take: 94 MiB at level 6, 9 MiB at level 1. \
              `highwater explain` says how much. Checksums are CRC64.\n\nWith more threads than one the stream is cut \
              into blocks that are compressed independently, each of three times the size of the level's dictionary; \
              that takes a multiple of the memory.\n\nOutput comes when there is enough input: the format cannot be \
              flushed.",
    params: &[level(0, 9, "6", "0 is fastest, 9 is smallest"), THREADS],
    examples: &[
        Example {
            text: "read big.iso | xz | write big.iso.xz",
            about: "compress a file",
        },
        Example {
            text: "read big.iso | xz level=1 threads=2 | write big.iso.xz",
            about: "compress it fast, on two threads",
        },
    ],
    build: Build::Transform(plan_xz),
};

/// The definition of `unxz`.
pub static UNXZ: Definition = Definition {
    name: "unxz",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress xz",
    details: "All streams are decompressed. Checksums are checked; where a stream has one of a kind that xz does not know \
              either, a warning says that its integrity is not verified. Input that is corrupt, cut short or followed by \
              something else is an error; zero bytes between and behind the streams are passed over where their number is \
              a multiple of four. A file of the older format, .lzma, is decompressed as well; it has no checksum.\n\nThe \
              memory that it takes is known when the first bytes of a block have come: up to 128 MiB by default, and \
              what `--memory` allows where that is given.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.xz | unxz | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan_unxz),
};

/// xz, for decoders.
pub static FORMAT: Format = Format {
    name: "xz",
    head: |head| match compare(head, MAGIC) {
        // The memory of a block is stated in its own header: the decoder reports it when it gets there.
        Likeness::Same => Head::Member(0),
        Likeness::Shorter => Head::More(MAGIC.len()),
        Likeness::Different => Head::Foreign,
    },
    decoder: || Box::new(XzDecoder::new()),
    base: DECODER,
    grows: true,
    padding: Padding::Fours,
    repeats: true,
};

/// xz or the older .lzma, which has neither a magic number nor a checksum, for `unxz`.
static XZ_OR_LZMA: Format = Format {
    name: "xz",
    head: |head| match (FORMAT.head)(head) {
        Head::Foreign => lzma_head(head),
        xz => xz,
    },
    decoder: || Box::new(XzDecoder::new()),
    base: DECODER,
    grows: true,
    padding: Padding::Fours,
    repeats: true,
};

/// A header has the properties, the size of the dictionary, and that of the content, which may be unknown: see
/// lzma-file-format.txt of XZ Utils.
fn lzma_head(head: &[u8]) -> Head {
    const HEADER: usize = 13;
    if head.first().is_some_and(|properties| *properties != 0x5d) {
        return Head::Foreign;
    }
    let Some(header) = head.get(..HEADER) else {
        return Head::More(HEADER);
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (dictionary, content) = (number(&header[1..5]), number(&header[5..]));
    // A power of two, or one and a half times that.
    let is_usual = dictionary.is_power_of_two() || dictionary.count_ones() == 2 && dictionary & dictionary << 1 != 0;
    let is_plausible = content == u64::MAX || content < 1 << 38;
    if (is_usual || dictionary == u64::from(u32::MAX)) && is_plausible {
        Head::Member(0)
    } else {
        Head::Foreign
    }
}

const MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0x00];

/// Bytes that a decoder holds before its first block.
const DECODER: u64 = 64 << 10;

/// KiB that an encoder holds at each level, on one thread. Measured over 40 MiB of programs, with liblzma 5.8.
const SINGLE: [u64; 10] = [
    2779, 8794, 16_470, 31_830, 48_210, 95_318, 95_314, 189_526, 377_946, 689_242,
];

fn plan_xz(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let level = given_level(args).unsigned_abs();
    let threads = NonZeroU32::new(given_threads(args)).unwrap_or(NonZeroU32::MIN);
    Ok(compress(encoder_state(level, threads), None, move || {
        encoder(level, threads)
    }))
}

fn plan_unxz(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(decompress(const { &[&XZ_OR_LZMA] }))
}

/// Bytes that an encoder holds.
fn encoder_state(level: u32, threads: NonZeroU32) -> u64 {
    if threads.get() == 1 {
        let single = SINGLE[usize::try_from(level).unwrap_or(9).min(9)];
        return (single + 32) << 10;
    }
    liblzma::stream::MtStreamBuilder::new()
        .threads(threads.get())
        .preset(level)
        .check(Check::Crc64)
        .memusage()
}

fn encoder(level: u32, threads: NonZeroU32) -> Xz2Encoder {
    let parameters = if threads.get() == 1 {
        LzmaEncoderParams::Easy {
            preset: level,
            check: Check::Crc64,
        }
    } else {
        let mut builder = MtStreamBuilder::default();
        // A call returns within this time, so that a cancelled run need not wait for a block.
        builder
            .threads(threads)
            .preset(level)
            .check(Check::Crc64)
            .timeout_ms(10);
        LzmaEncoderParams::MultiThread { builder }
    };
    let encoder = Xz2Encoder::try_from(parameters);
    encoder.unwrap_or_else(|error| panic!("liblzma refuses level {level} with {threads} threads: {error}"))
}
