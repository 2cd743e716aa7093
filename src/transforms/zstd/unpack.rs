//! zstd frames that are decompressed at once.
//!
//! A frame's header has the size of its content if that was known when it was compressed, and each block has its own
//! size before it (RFC 8878, sections 3.1.1.1.4 and 3.1.1.2): so its end is found by stepping from block to block. Other
//! tools put a skippable frame in front of each; it is taken together with the frame behind it.

use zstd_safe::{DCtx, compress_bound};

use super::FORMAT;
use super::frame::Header;
use crate::transforms::codec::{self, Head};
use crate::transforms::members::unpack::{Cut, Divisible};

/// Frames with the size of their content in their header.
#[derive(Debug, Clone, Copy)]
pub struct SizedFrames;

/// Bytes of a block's header.
const BLOCK: usize = 3;
/// Bytes of the checksum of the content.
const CHECKSUM: usize = 4;
/// The most bytes of skippable frames before a frame.
const SKIPPED: usize = 1 << 10;

/// A block's header: RFC 8878, section 3.1.1.2.
struct Block {
    is_last: bool,
    /// Bytes that follow the header; `None` for the reserved type.
    length: Option<usize>,
}

impl Block {
    fn read([low, middle, high]: [u8; BLOCK]) -> Self {
        let fields = u32::from_le_bytes([low, middle, high, 0]);
        let size = (fields >> 3) as usize;
        Self {
            is_last: fields & 1 == 1,
            length: match fields >> 1 & 3 {
                // As it is, or compressed.
                0 | 2 => Some(size),
                // One byte that is repeated.
                1 => Some(1),
                _ => None,
            },
        }
    }
}

/// Where the frame behind all skippable ones begins, and its header.
fn header(bytes: &[u8]) -> Result<(usize, Header), Cut> {
    let upto = |size| Cut::More {
        least: size,
        most: size,
    };
    let mut start = 0;
    loop {
        match (FORMAT.head)(&bytes[start..]) {
            Head::More(wanted) => return Err(upto(start + wanted)),
            Head::Skippable(size) => {
                start = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(start);
                if start > SKIPPED {
                    return Err(Cut::Unknown);
                }
                if start > bytes.len() {
                    return Err(upto(start));
                }
            }
            Head::Member(_) => {
                let header = Header::read(&bytes[start..]).map_err(|wanted| upto(start + wanted))?;
                return Ok((start, header));
            }
            Head::Foreign | Head::Unable(_) => return Err(Cut::Unknown),
        }
    }
}

fn cut(bytes: &[u8], seen: &mut usize) -> Result<Cut, Cut> {
    let (start, header) = header(bytes)?;
    let content = header.content.and_then(|content| usize::try_from(content).ok());
    let content = content
        .filter(|content| *content <= SizedFrames::LARGEST)
        .ok_or(Cut::Unknown)?;
    let blocks = start + header.length;
    let most = blocks + compress_bound(content) + CHECKSUM;
    let wanted = |least| match least {
        _ if least > most => Cut::Unknown,
        least if least > bytes.len() => Cut::More { least, most },
        _ => Cut::Whole,
    };
    *seen = blocks.max(*seen);
    loop {
        let Some(block) = bytes.get(*seen..).and_then(|rest| rest.first_chunk()) else {
            return Ok(wanted(*seen + BLOCK));
        };
        let block = Block::read(*block);
        let end = *seen + BLOCK + block.length.ok_or(Cut::Unknown)?;
        if block.is_last {
            return Ok(wanted(end + if header.has_checksum { CHECKSUM } else { 0 }));
        }
        *seen = end;
    }
}

impl Divisible for SizedFrames {
    const WORKER: &str = "unzstd worker";
    const LARGEST: usize = 9 << 20;
    const DECOMPRESSOR: usize = 256 << 10;
    const LEAST_THREADS: usize = 2;
    const FORMATS: &[&codec::Format] = const { &[&FORMAT] };

    fn cut(self, bytes: &[u8], seen: &mut usize) -> Cut {
        cut(bytes, seen).unwrap_or_else(|unable| unable)
    }

    fn content_size(self, member: &[u8]) -> usize {
        let content = header(member).ok().and_then(|(_, header)| header.content);
        content.and_then(|content| usize::try_from(content).ok()).unwrap_or(0)
    }

    fn decompressor(self) -> impl FnMut(&[u8], &mut [u8]) -> bool + Send + 'static {
        let mut context = None;
        move |frame, output| {
            if context.is_none() {
                context = DCtx::try_create();
            }
            // Without one, the decoder that reads any stream reports the error.
            let size = context.as_mut().map(|context| context.decompress(output, frame));
            size == Some(Ok(output.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of blocks as they are, with the size of its content and a checksum.
    fn frame(blocks: &[&[u8]]) -> Vec<u8> {
        let content: usize = blocks.iter().map(|block| block.len()).sum();
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x24, u8::try_from(content).expect("small")];
        for (number, block) in blocks.iter().enumerate() {
            let fields = u32::try_from(block.len()).expect("small") << 3 | u32::from(number + 1 == blocks.len());
            frame.extend_from_slice(&fields.to_le_bytes()[..BLOCK]);
            frame.extend_from_slice(block);
        }
        frame.extend_from_slice(&[1, 2, 3, 4]);
        frame
    }

    #[test]
    fn end_of_a_frame_is_found_from_block_to_block() {
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
        for before in [&[][..], &skippable] {
            let frame = [before, &frame(&[b"one", b"", b"three"])].concat();
            let (mut seen, mut length) = (0, 0);
            let mut steps = Vec::new();
            while length < frame.len() {
                let Cut::More { least, most } = SizedFrames.cut(&frame[..length], &mut seen) else {
                    panic!("it ends at {length} of {}", frame.len());
                };
                assert!(length < least && least <= most, "{length} {least} {most}");
                steps.push(least - before.len().min(least));
                length = least;
            }
            assert_eq!(SizedFrames.cut(&frame, &mut seen), Cut::Whole);
            assert_eq!(
                steps[steps.len() - 5..],
                [6, 9, 15, 18, 27],
                "header, three blocks, checksum: {steps:?}"
            );
            assert_eq!(SizedFrames.content_size(&frame), 8);
        }
    }

    #[test]
    fn frame_without_a_plain_end_is_not_cut() {
        let without_size = [0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0, 0];
        assert_eq!(SizedFrames.cut(&without_size, &mut 0), Cut::Unknown);
        let reserved = [0x28, 0xb5, 0x2f, 0xfd, 0x24, 8, 6, 0, 0];
        assert_eq!(SizedFrames.cut(&reserved, &mut 0), Cut::Unknown);
        let longer_than_its_content = [0x28, 0xb5, 0x2f, 0xfd, 0x24, 8, 0, 0xff, 0xff];
        assert_eq!(SizedFrames.cut(&longer_than_its_content, &mut 0), Cut::Unknown);
        assert_eq!(SizedFrames.cut(b"text", &mut 0), Cut::Unknown);
    }
}
