//! What the driver has to know of a format: how it looks, and what decodes it.

use std::io;

use async_compression::codecs::DecodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};

/// A format: how its members look, and what decodes them.
pub struct Format {
    /// Its name in messages.
    pub name: &'static str,
    /// Looks at the first bytes of a member.
    pub head: fn(&[u8]) -> Head,
    /// Makes its decoder.
    pub decoder: fn() -> Box<dyn Decoder>,
    /// Bytes that the decoder holds, whatever the header says.
    pub base: u64,
    /// Whether the header may ask for more.
    pub grows: bool,
    /// What may follow the last member.
    pub padding: Padding,
    /// Whether a member may follow another.
    pub repeats: bool,
}

/// What a member's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Nothing yet: it takes this many bytes to tell.
    More(usize),
    /// A member that takes this many bytes to decode, besides the decoder's base.
    Member(u64),
    /// A frame of this many bytes, these included, that is to be passed over.
    Skippable(u64),
    /// Something else.
    Foreign,
    /// This format, but of a kind that cannot be decoded, with the reason.
    Unable(&'static str),
}

/// Zero bytes behind the last member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// They are something else.
    None,
    /// Any number, as tapes leave them.
    Zeros,
    /// A multiple of four, behind each member.
    Fours,
}

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
