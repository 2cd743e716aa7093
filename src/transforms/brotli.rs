//! brotli: RFC 7932. It has neither a magic number nor a checksum nor members.

use async_compression::Level;
use async_compression::codecs::brotli::params::EncoderParams;
use async_compression::codecs::{BrotliDecoder, BrotliEncoder};

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{FLUSH, Format, Head, Padding, Plain, compress, decompress, given_level, level};

/// The definition of `brotli`.
pub static BROTLI: Definition = Definition {
    name: "brotli",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to brotli",
    details: "The format has neither a magic number nor a checksum: it cannot be recognised, and flipped bits may go \
              unnoticed. `highwater explain` says what a level takes.\n\nWhen the input is slow, its output follows \
              within `flush`, so that the receiver need not wait for a full block.",
    params: &[level(0, 11, "5", "0 is fastest, 11 is smallest and slow"), FLUSH],
    examples: &[Example {
        text: "read page.html | brotli level=9 | write page.html.br",
        about: "compress a page for a web server",
    }],
    build: Build::Transform(plan_brotli),
};

/// The definition of `unbrotli`.
pub static UNBROTLI: Definition = Definition {
    name: "unbrotli",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress brotli",
    details: "Input that is corrupt, cut short or followed by anything is an error, as far as it shows: the format has \
              no checksum.\n\nThe memory that it takes is known when the first byte has come.",
    params: &[],
    examples: &[Example {
        text: "read page.html.br | unbrotli | write page.html",
        about: "decompress a page",
    }],
    build: Build::Transform(plan_unbrotli),
};

/// brotli, for its decoder.
static FORMAT: Format = Format {
    name: "brotli",
    head,
    decoder: || Box::new(Plain(BrotliDecoder::new())),
    base: DECODER,
    grows: true,
    padding: Padding::None,
    repeats: false,
};

/// Bytes that a decoder holds besides its window, mostly its Huffman tables. There are up to 256 of each of three
/// kinds, of up to 1128 entries of four bytes. Measured with ordinary files: up to 2.9 MiB.
const DECODER: u64 = 3584 << 10;

/// The bits of the encoder's window: 4 MiB, the default of its tool.
const WINDOW: i32 = 22;

/// KiB that an encoder holds at each level. It allocates as it goes, more for some contents than for others; this is the
/// most measured over programs, noise, and letters drawn from four, plus an eighth.
const ENCODER: [u64; 12] = [
    192, 656, 28_170, 28_170, 62_856, 62_578, 65_042, 73_300, 83_702, 103_528, 92_378, 91_233,
];

/// The size of the window: RFC 7932, section 9.1, and the large windows that the tool writes with `--large_window`.
fn head(head: &[u8]) -> Head {
    let Some(first) = head.first() else {
        return Head::More(1);
    };
    let window_bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, 1) => match head.get(1) {
            None => return Head::More(2),
            Some(second) => u32::from(second & 0x3f),
        },
        (_, 0, bits) => 8 + u32::from(bits),
        (_, bits, _) => 17 + u32::from(bits),
    };
    match window_bits {
        // While the window grows, the old one and the new one exist.
        10..=30 => Head::Member((1 << window_bits) + (1 << window_bits) / 2),
        _ => Head::Foreign,
    }
}

fn plan_brotli(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let level = given_level(args);
    let at = usize::try_from(level).unwrap_or(0).min(ENCODER.len() - 1);
    Ok(compress(ENCODER[at] << 10, args.duration("flush"), move || {
        BrotliEncoder::new(
            EncoderParams::default()
                .quality(Level::Precise(level))
                .window_size(WINDOW),
        )
    }))
}

fn plan_unbrotli(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(decompress(const { &[&FORMAT] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(bits: u32) -> Head {
        Head::Member((1 << bits) + (1 << bits) / 2)
    }

    #[test]
    fn window_is_read_from_first_bits() {
        assert_eq!(head(&[0x06]), window(16));
        assert_eq!(head(&[0x0b]), window(22));
        assert_eq!(head(&[0x0f]), window(24));
        assert_eq!(head(&[0x21]), window(10));
        assert_eq!(head(&[0x01]), window(17));
        assert_eq!(head(&[0x11]), Head::More(2));
        assert_eq!(head(&[0x11, 30]), window(30));
        assert_eq!(head(&[0x11, 31]), Head::Foreign);
    }
}
