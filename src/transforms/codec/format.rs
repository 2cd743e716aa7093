//! What the driver has to know of a format: how to recognise it, and its decoder.

use std::io;

use async_compression::codecs::DecodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};

/// A format: how its members are recognised, and its decoder.
pub struct Format {
    /// Its name in messages.
    pub name: &'static str,
    /// Identifies the first bytes of a member.
    pub head: fn(&[u8]) -> Head,
    /// Makes its decoder.
    pub decoder: fn() -> Box<dyn Decoder>,
    /// The base: bytes that the decoder holds, whatever the header says.
    pub base: u64,
    /// Whether the header may require more.
    pub grows: bool,
    /// What may follow the last member.
    pub padding: Padding,
    /// Whether a member may follow another.
    pub repeats: bool,
}

/// What the first bytes of a member are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Unknown: this many bytes are needed.
    More(usize),
    /// A member that needs this many bytes of memory to decode, besides the decoder's base.
    Member(u64),
    /// A frame of this many bytes, including these, that is skipped.
    Skippable(u64),
    /// Something else.
    Foreign,
    /// This format, but a variant that cannot be decoded, with the reason.
    Unable(&'static str),
}

/// Zero bytes behind the last member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Not allowed.
    None,
    /// Any number, as tapes leave them.
    Zeros,
    /// A multiple of four, behind each member.
    Fours,
}

/// The result of a call of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// In the middle of a member.
    Within,
    /// The member is complete, and all of its output has been returned.
    Ended,
    /// It continues once its state may use this many bytes in all, besides its base.
    Needs(u64),
}

/// A decompressor of one format: slices in, slices out.
pub trait Decoder: Send {
    /// Starts over, for another member.
    fn restart(&mut self) -> io::Result<()>;
    /// Decodes some of `input` to `output`. Without input, it returns the remaining output.
    ///
    /// # Errors
    /// If the input is corrupt.
    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<Step>;
    /// Allows its state to use `bytes`, besides its base.
    fn allow(&mut self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }
}

/// A library's decoder that can be called without input.
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
