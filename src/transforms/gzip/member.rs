//! gzip members with their size in the header: RFC 1952, with an extra field.
//!
//! RFC 1952 lets members follow one another and lets a header carry extra fields, so any gzip reads such a stream. A
//! reader that knows the field finds the next member without decompressing this one. Two such fields are in use, and
//! both are understood: `IG`, four bytes with the size of the whole member, as mgzip, crabz and this program write it;
//! and `BC`, two bytes with that size less one, of BGZF (SAM/BAM format specification, section 4.1).

/// Bytes of the header that we write.
pub const HEADER: usize = 20;
/// Bytes of a member's footer: checksum and length.
pub const FOOTER: usize = 8;
/// Bytes of a header up to the length of its extra fields, and that length.
const FIXED: usize = 12;
/// The flag that says that extra fields follow; with any other, the header has a name, a comment or a checksum.
const EXTRA: u8 = 4;

/// The header of a member of `size` bytes, header and footer included.
pub fn header(size: u32, level: i32) -> [u8; HEADER] {
    let mut header = [
        0x1f, 0x8b, 8, EXTRA, 0, 0, 0, 0, 0, 0xff, 8, 0, b'I', b'G', 4, 0, 0, 0, 0, 0,
    ];
    header[8] = match level {
        ..=1 => 4,
        9.. => 2,
        _ => 0,
    };
    header[HEADER - 4..].copy_from_slice(&size.to_le_bytes());
    header
}

/// What the first bytes of a member say about its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sized {
    /// More bytes are needed.
    Unknown,
    /// The member's size is not in its header.
    No,
    /// The size of the whole member, in bytes.
    Yes(usize),
}

/// The number of leading bytes that are needed, given too few of them.
pub fn wanted(bytes: &[u8]) -> usize {
    match bytes.get(10..FIXED) {
        Some(length) => FIXED + usize::from(u16::from_le_bytes([length[0], length[1]])),
        None => FIXED,
    }
}

/// Looks for the size of the member that starts with `bytes`.
pub fn sized(bytes: &[u8]) -> Sized {
    if bytes.len() < FIXED {
        return Sized::Unknown;
    }
    if bytes[..4] != [0x1f, 0x8b, 8, EXTRA] {
        return Sized::No;
    }
    let length = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    let Some(mut fields) = bytes.get(FIXED..FIXED + length) else {
        return Sized::Unknown;
    };
    while let [one, two, low, high, rest @ ..] = fields {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(value) = rest.get(..length) else { break };
        let member = match ([*one, *two], value) {
            ([b'I', b'G'], [a, b, c, d]) => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
            ([b'B', b'C'], [a, b]) => u64::from(u16::from_le_bytes([*a, *b])) + 1,
            _ => {
                fields = &rest[length..];
                continue;
            }
        };
        let header = FIXED + usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let member = usize::try_from(member).unwrap_or(0);
        // An impossible size is ignored: the member is read like any other.
        return if member > header + FOOTER {
            Sized::Yes(member)
        } else {
            Sized::No
        };
    }
    Sized::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_header_tells_its_size() {
        let header = header(70_000, 6);
        assert_eq!(sized(&header), Sized::Yes(70_000));
        assert_eq!(sized(&header[..11]), Sized::Unknown);
        assert_eq!(sized(&header[..19]), Sized::Unknown);
    }

    #[test]
    fn a_block_of_bgzf_tells_its_size() {
        let block = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 0x1b, 0];
        assert_eq!(sized(&block), Sized::Yes(0x1c));
    }

    #[test]
    fn other_headers_do_not() {
        let plain = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c];
        assert_eq!(sized(&plain), Sized::No);
        let mut named = header(70_000, 6);
        named[3] |= 8;
        assert_eq!(sized(&named), Sized::No);
        assert_eq!(sized(&header(20, 6)), Sized::No, "shorter than itself");
    }
}
