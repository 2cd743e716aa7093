//! bzip2: blocks of 100 to 900 kB, each with a checksum of its own.

use async_compression::Level;
use async_compression::codecs::{BzDecoder, BzEncoder};

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{Format, Head, Likeness, Padding, Plain, compare, compress, decompress, given_level, level};

/// The definition of `bzip2`.
pub static BZIP2: Definition = Definition {
    name: "bzip2",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to bzip2",
    details: "The level is the size of a block in units of 100 kB. Output comes when a block is full: the format \
              cannot be flushed.",
    params: &[level(1, 9, "9", "1 takes least memory, 9 is smallest")],
    examples: &[Example {
        text: "read big.iso | bzip2 | write big.iso.bz2",
        about: "compress a file",
    }],
    build: Build::Transform(plan_bzip2),
};

/// The definition of `bunzip2`.
pub static BUNZIP2: Definition = Definition {
    name: "bunzip2",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress bzip2",
    details: "All streams are decompressed. Checksums are checked. Input that is corrupt, cut short or followed by \
              something else is an error.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.bz2 | bunzip2 | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan_bunzip2),
};

/// bzip2, for decoders.
pub static FORMAT: Format = Format {
    name: "bzip2",
    head,
    decoder: || Box::new(Plain(BzDecoder::new())),
    base: DECODER,
    grows: true,
    padding: Padding::None,
    repeats: true,
};

const MAGIC: &[u8] = b"BZh";

/// Bytes that a decoder holds besides its block.
const DECODER: u64 = 80 << 10;

fn head(head: &[u8]) -> Head {
    match (compare(head, MAGIC), head.get(MAGIC.len())) {
        // Four bytes for each byte of a block.
        (Likeness::Same, Some(level @ b'1'..=b'9')) => Head::Member(u64::from(level - b'0') * 400_000),
        (Likeness::Same, Some(_)) => Head::Unable("its block size is not one of bzip2's"),
        (Likeness::Different, _) => Head::Foreign,
        _ => Head::More(MAGIC.len() + 1),
    }
}

fn plan_bzip2(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let level = given_level(args);
    // Measured: 1099 KiB at level 1, 781 KiB more for each further one: eight bytes for each byte of a block.
    let state = (320 << 10) + u64::from(level.unsigned_abs()) * (784 << 10);
    Ok(compress(state, None, move || {
        BzEncoder::new(Level::Precise(level).into(), 0)
    }))
}

fn plan_bunzip2(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(decompress(const { &[&FORMAT] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_tells_what_a_block_takes() {
        assert_eq!(head(b"BZh9"), Head::Member(3_600_000));
        assert_eq!(head(b"BZ"), Head::More(4));
        assert!(matches!(head(b"BZh0"), Head::Unable(_)));
        assert_eq!(head(b"PK"), Head::Foreign);
    }
}
