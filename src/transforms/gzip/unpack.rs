//! gzip members that are decompressed at once.

use libdeflater::Decompressor;
use memchr::memmem;

use super::FORMAT;
use super::member::{self, FOOTER};
use crate::transforms::codec;
use crate::transforms::members::unpack::{Cut, Divisible};

/// Members whose size is in their header.
#[derive(Debug, Clone, Copy)]
pub struct Sized;

impl Divisible for Sized {
    const WORKER: &str = "gunzip worker";
    const LARGEST: usize = 4 << 20;
    const DECOMPRESSOR: usize = 32 << 10;
    const LEAST_THREADS: usize = 1;
    const FORMATS: &[&codec::Format] = const { &[&FORMAT] };

    fn cut(self, bytes: &[u8], _: &mut usize) -> Cut {
        member::cut(bytes)
    }

    /// The size in the footer, modulo 2³².
    fn content_size(self, member: &[u8]) -> usize {
        member.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize
    }

    fn decompressor(self) -> impl FnMut(&[u8], &mut [u8]) -> bool + Send + 'static {
        let mut decompressor = Decompressor::new();
        move |member, output| {
            let came_to = decompressor.gzip_decompress(member, output);
            // The library does not report where the member ended, only that a valid footer followed. If the last bytes
            // occur nowhere else, that footer was the last, and no bytes are hidden between the data and it.
            let footer = member.len() - FOOTER;
            came_to == Ok(output.len()) && memmem::find(member, &member[footer..]) == Some(footer)
        }
    }
}
