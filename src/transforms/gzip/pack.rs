//! gzip members that are compressed at once.

use std::io;

use libdeflater::{CompressionLvl, Compressor, Crc};

use super::member::{FOOTER, HEADER, header};
use crate::transforms::members::Format;

/// gzip members with their size in the header.
#[derive(Debug, Clone, Copy)]
pub struct Pack {
    /// 1 to 12.
    pub level: i32,
}

impl Format for Pack {
    const WORKER: &str = "gzip worker";
    /// Filling a member takes a hundredth of the time that compressing one does, and a thread that waits for it leaves its
    /// processor to the one that fills.
    const SPARE: usize = 0;

    /// Incompressible data is stored, which adds at most 5 bytes per 5000: libdeflate's own bound.
    fn bound(&self, size: usize) -> usize {
        HEADER + FOOTER + size + 5 * (size / 5000 + 1) + 9
    }

    /// Measured at each level.
    fn compressor_bytes(&self) -> usize {
        match self.level {
            ..=1 => 208 << 10,
            2..=9 => 664 << 10,
            _ => 8816 << 10,
        }
    }

    fn effect(&self) -> String {
        format!("gzip level={}", self.level)
    }

    fn compressor(&self) -> impl FnMut(&[u8], &mut [u8]) -> io::Result<usize> + Send + 'static {
        let level = self.level;
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap_or_default());
        move |input, output| Ok(compress(&mut compressor, level, input, output))
    }
}

/// Compresses a member; returns its size in bytes.
fn compress(compressor: &mut Compressor, level: i32, input: &[u8], output: &mut [u8]) -> usize {
    let room = output.len() - FOOTER;
    let deflated = compressor
        .deflate_compress(input, &mut output[HEADER..room])
        .expect("the bound leaves room for what cannot be compressed");
    let footer = HEADER + deflated;
    let size = footer + FOOTER;
    let mut crc = Crc::new();
    crc.update(input);
    let length = |bytes: usize| u32::try_from(bytes).expect("a member is far smaller than 4 GiB");
    output[..HEADER].copy_from_slice(&header(length(size), level));
    output[footer..footer + 4].copy_from_slice(&crc.sum().to_le_bytes());
    output[footer + 4..size].copy_from_slice(&length(input.len()).to_le_bytes());
    size
}
