//! lz4: the LZ4 frame format, version 1.6.

use async_compression::Level;
use async_compression::codecs::lz4::params::EncoderParams;
use async_compression::codecs::{Lz4Decoder, Lz4Encoder};

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{
    FLUSH, Format, Head, Likeness, Padding, Plain, compare, compress, decompress, given_level, level, skippable,
};

/// The definition of `lz4`.
pub static LZ4: Definition = Definition {
    name: "lz4",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to lz4",
    details: "One frame of linked blocks of 64 KiB with a checksum of its content.\n\nWhen the input is slow, its \
              output follows within `flush`, so that the receiver need not wait for a full block.",
    params: &[level(1, 12, "1", "1 is fastest, 12 is smallest"), FLUSH],
    examples: &[Example {
        text: "read big.iso | lz4 | write big.iso.lz4",
        about: "compress a file",
    }],
    build: Build::Transform(plan_lz4),
};

/// The definition of `unlz4`.
pub static UNLZ4: Definition = Definition {
    name: "unlz4",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress lz4",
    details: "All frames are decompressed, skippable ones are passed over. Checksums are checked. Input that is corrupt, \
              cut short or followed by something else is an error. Frames of the old kind (`lz4 -l`) are not supported.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.lz4 | unlz4 | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan_unlz4),
};

/// lz4, for decoders.
pub static FORMAT: Format = Format {
    name: "lz4",
    head,
    decoder: || Box::new(Plain(Lz4Decoder::new())),
    base: DECODER,
    grows: true,
    padding: Padding::None,
    repeats: true,
};

const MAGIC: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
/// The format of before 2014, which the kernel still uses.
const LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];

/// Bytes that a decoder holds besides its blocks.
const DECODER: u64 = 32 << 10;

fn head(head: &[u8]) -> Head {
    match (compare(head, MAGIC), compare(head, LEGACY)) {
        (_, Likeness::Same) => Head::Unable("it is of the old kind (lz4 -l), which is not supported"),
        (Likeness::Same, _) => frame(&head[MAGIC.len()..]),
        (Likeness::Shorter, _) | (_, Likeness::Shorter) => Head::More(MAGIC.len()),
        _ => skippable(head),
    }
}

/// Reads the frame descriptor behind the magic number.
fn frame(descriptor: &[u8]) -> Head {
    let [flags, blocks, ..] = descriptor else {
        return Head::More(MAGIC.len() + 2);
    };
    // The decoder refuses sizes that the format does not have.
    let block = 1_u64 << (8 + 2 * u32::from((blocks >> 4 & 7).max(4)));
    let is_linked = flags & 0x20 == 0;
    // A compressed block, a decompressed one, and the history that linked blocks refer to.
    Head::Member(2 * block + if is_linked { 128 << 10 } else { 0 })
}

fn plan_lz4(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let level = given_level(args);
    // Measured: 213 KiB at level 1 and 449 KiB at the others, of which blocks are 192 KiB.
    let state = if level < 2 { 224 << 10 } else { 464 << 10 };
    Ok(compress(state, args.duration("flush"), move || {
        Lz4Encoder::new(
            EncoderParams::default()
                .level(Level::Precise(level))
                .content_checksum(true),
        )
    }))
}

fn plan_unlz4(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(decompress(const { &[&FORMAT] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_size_determines_the_memory() {
        assert_eq!(head(&[0x04, 0x22, 0x4d, 0x18, 0x64, 0x40]), Head::Member(128 << 10));
        assert_eq!(
            head(&[0x04, 0x22, 0x4d, 0x18, 0x44, 0x70]),
            Head::Member((8 << 20) + (128 << 10))
        );
        assert_eq!(head(&[0x04, 0x22]), Head::More(4));
        assert_eq!(head(&[0x04, 0x22, 0x4d, 0x18]), Head::More(6));
        assert!(matches!(head(LEGACY), Head::Unable(_)));
        assert_eq!(head(b"hi"), Head::Foreign);
    }
}
