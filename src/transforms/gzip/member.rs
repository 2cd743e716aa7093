//! gzip members with their size in the header: RFC 1952, with an extra field.
//!
//! RFC 1952 lets members follow one another and lets a header carry extra fields, so any gzip reads such a stream. A
//! reader that knows the field finds the next member without decompressing this one. Two such fields are in use, and
//! both are understood: `IG`, four bytes with the size of the whole member, as mgzip, crabz and this program write it;
//! and `BC`, two bytes with that size less one, of BGZF (SAM/BAM format specification, section 4.1).

use crate::transforms::members::unpack::Cut;

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

/// Looks for the end of the member that starts with `bytes`.
pub fn cut(bytes: &[u8]) -> Cut {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Cut::More {
            least: FIXED,
            most: FIXED,
        };
    };
    if fixed[..4] != [0x1f, 0x8b, 8, EXTRA] {
        return Cut::Unknown;
    }
    let header = FIXED + usize::from(u16::from_le_bytes([fixed[10], fixed[11]]));
    let Some(mut fields) = bytes.get(FIXED..header) else {
        return Cut::More {
            least: header,
            most: header,
        };
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
        return match usize::try_from(member) {
            // An impossible size is ignored: the member is read like any other.
            Ok(size) if size <= header + FOOTER => Cut::Unknown,
            Ok(size) if size > bytes.len() => Cut::More {
                least: size,
                most: size,
            },
            Ok(_) => Cut::Whole,
            Err(_) => Cut::Unknown,
        };
    }
    Cut::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upto(size: usize) -> Cut {
        Cut::More {
            least: size,
            most: size,
        }
    }

    #[test]
    fn our_own_header_tells_its_size() {
        let header = header(70_000, 6);
        assert_eq!(cut(&header[..11]), upto(12));
        assert_eq!(cut(&header[..19]), upto(20));
        assert_eq!(cut(&header), upto(70_000));
        let whole = [&header[..], &vec![0; 70_000 - HEADER]].concat();
        assert_eq!(cut(&whole), Cut::Whole);
    }

    #[test]
    fn a_block_of_bgzf_tells_its_size() {
        let block = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 0x1b, 0];
        assert_eq!(cut(&block), upto(0x1c));
    }

    #[test]
    fn other_headers_do_not() {
        let plain = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c];
        assert_eq!(cut(&plain), Cut::Unknown);
        let mut named = header(70_000, 6);
        named[3] |= 8;
        assert_eq!(cut(&named), Cut::Unknown);
        assert_eq!(cut(&header(20, 6)), Cut::Unknown, "shorter than itself");
    }
}
