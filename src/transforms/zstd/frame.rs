//! Reads a frame's header: RFC 8878, section 3.1.1.

use crate::transforms::codec::{Head, Likeness, compare, skippable};

/// The largest window that the library decodes: 2 GiB.
pub const LARGEST_WINDOW_LOG: u32 = 31;

const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Reads the first bytes of a frame.
pub fn head(head: &[u8]) -> Head {
    match compare(head, MAGIC) {
        Likeness::Same => member(head),
        Likeness::Shorter => Head::More(MAGIC.len() + 1),
        Likeness::Different => skippable(head),
    }
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its bytes, with the magic number.
    pub length: usize,
    /// Bytes of the window.
    window: u64,
    /// Bytes of the content, if it says so.
    pub content: Option<u64>,
    /// Whether the content was compressed with a dictionary.
    pub has_dictionary: bool,
    /// Whether a checksum follows the content.
    pub has_checksum: bool,
}

impl Header {
    /// Reads the first bytes of a frame, which begin with the magic number; with too few of them, says how many are
    /// needed.
    pub fn read(frame: &[u8]) -> Result<Self, usize> {
        let fixed = MAGIC.len() + 1;
        let Some(descriptor) = frame.get(MAGIC.len()) else {
            return Err(fixed);
        };
        let is_single_segment = descriptor & 0x20 != 0;
        let window = usize::from(!is_single_segment);
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size = match descriptor >> 6 {
            0 => usize::from(is_single_segment),
            flag => 1 << flag,
        };
        let length = fixed + window + dictionary + size;
        let fields = frame.get(fixed..length).ok_or(length)?;
        let (window, fields) = fields.split_at(window);
        let (dictionary, size) = fields.split_at(dictionary);
        let content = match size {
            [] => None,
            [a, b] => Some(256 + u64::from(u16::from_le_bytes([*a, *b]))),
            bytes => Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        };
        let window = match window {
            [descriptor] => {
                let base = 1 << (10 + u32::from(descriptor >> 3));
                base + base / 8 * u64::from(descriptor & 7)
            }
            // A single segment is its own window.
            _ => content.unwrap_or(0),
        };
        Ok(Self {
            length,
            window,
            content,
            has_dictionary: dictionary.iter().any(|byte| *byte != 0),
            has_checksum: descriptor & 4 != 0,
        })
    }
}

/// What a decoder needs for the frame that starts with these bytes.
fn member(frame: &[u8]) -> Head {
    match Header::read(frame) {
        Err(wanted) => Head::More(wanted),
        Ok(header) if header.has_dictionary => {
            Head::Unable("it was compressed with a dictionary, which is not supported")
        }
        Ok(header) if header.window > 1 << LARGEST_WINDOW_LOG => Head::Unable(TOO_LARGE),
        // A window larger than the content is never filled, and never allocated.
        Ok(Header { window, content, .. }) => Head::Member(content.map_or(window, |content| content.min(window))),
    }
}

const TOO_LARGE: &str = "its window is larger than 2 GiB, the most that the zstd library can decompress";

#[cfg(test)]
mod tests {
    use super::*;

    fn with_magic(header: &[u8]) -> Vec<u8> {
        [MAGIC, header].concat()
    }

    #[test]
    fn a_window_is_read_from_its_descriptor() {
        assert_eq!(head(&with_magic(&[0x04, 0x58])), Head::Member(2 << 20));
        assert_eq!(head(&with_magic(&[0x04, 0x59])), Head::Member((2 << 20) + (2 << 17)));
        assert_eq!(head(&with_magic(&[0x04, 21 << 3])), Head::Member(2 << 30));
        assert_eq!(head(&with_magic(&[0x04, 21 << 3 | 1])), Head::Unable(TOO_LARGE));
        assert_eq!(head(&with_magic(&[0x04, 0xff])), Head::Unable(TOO_LARGE));
    }

    #[test]
    fn a_single_segment_is_its_own_window() {
        assert_eq!(head(&with_magic(&[0x24, 200])), Head::Member(200));
        assert_eq!(head(&with_magic(&[0x64, 0, 1])), Head::Member(512));
        assert_eq!(head(&with_magic(&[0xa4, 1, 2, 3, 4])), Head::Member(0x0403_0201));
        let large = with_magic(&[0xe4, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(head(&large), Head::Unable(TOO_LARGE));
    }

    #[test]
    fn short_head_states_the_needed_bytes() {
        assert_eq!(head(&[]), Head::More(5));
        assert_eq!(head(&MAGIC[..3]), Head::More(5));
        assert_eq!(head(&with_magic(&[0x04])), Head::More(6));
        assert_eq!(head(&with_magic(&[0xc4])), Head::More(14));
        assert_eq!(head(&[0x28, 0xb6]), Head::Foreign);
    }

    #[test]
    fn a_dictionary_is_refused() {
        assert!(matches!(head(&with_magic(&[0x21, 7, 1])), Head::Unable(_)));
        assert_eq!(head(&with_magic(&[0x21, 0, 1])), Head::Member(1));
    }
}
