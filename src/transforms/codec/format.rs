//! What the driver has to know of a format.

use super::Decoder;

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
