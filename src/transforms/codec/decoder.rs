//! What decodes one format.

use std::io;

use async_compression::codecs::DecodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};

/// How far a call of a decoder came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// In the middle of a member.
    Within,
    /// All of a member has been given out.
    Ended,
    /// It goes on once its state may take this many bytes in all, besides its base.
    Needs(u64),
}

/// A decompressor of one format: slices in, slices out.
pub trait Decoder: Send {
    /// Starts over, for another member.
    ///
    /// # Errors
    /// If the library cannot.
    fn restart(&mut self) -> io::Result<()>;
    /// Decodes some of `input` to `output`. Without input, it gives out what it still has.
    ///
    /// # Errors
    /// If the input is corrupt.
    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<Step>;
    /// Says that its state may take `bytes`, besides its base.
    ///
    /// # Errors
    /// If the library cannot.
    fn allow(&mut self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }
}

/// A library's decoder that does not mind being called without input.
pub struct Plain<D>(pub D);

impl<D: DecodeV2 + Send> Decoder for Plain<D> {
    fn restart(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<Step> {
        let is_over = self.0.decode(input, output)?;
        Ok(if is_over { Step::Ended } else { Step::Within })
    }
}
