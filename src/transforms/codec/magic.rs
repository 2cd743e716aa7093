//! Identifies formats by their first bytes: for decoders, and for errors about foreign input.

use super::Head;

/// The most bytes that are needed to identify a format.
pub const LONGEST: usize = 6;

/// The first bytes of formats, from their specifications.
const KNOWN: &[(&[u8], &str)] = &[
    (&[0x1f, 0x8b], "gzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0x00], "xz"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4 of the old kind"),
    (&[0x5d, 0x00, 0x00], "lzma"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "a zip archive"),
    (&[0x1f, 0x9d], "compress (.Z)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
];

/// The name of a format that starts like `head`, or a description of what it looks like.
pub fn describe(head: &[u8]) -> String {
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return format!("it looks like {name}");
    }
    if head
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        return format!("it looks like text: `{}`", head.escape_ascii());
    }
    let hex: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("it starts with {}", hex.join(" "))
}

/// How `head` compares with a magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It starts with it.
    Same,
    /// It does so far, but is shorter.
    Shorter,
    /// It does not.
    Different,
}

/// Compares `head` with a magic number.
pub fn compare(head: &[u8], magic: &[u8]) -> Likeness {
    if head.starts_with(magic) {
        Likeness::Same
    } else if magic.starts_with(head) {
        Likeness::Shorter
    } else {
        Likeness::Different
    }
}

/// The magic number of frames that zstd and lz4 skip, without its first byte, whose lower half is free: RFC 8878,
/// section 3.1.2.
pub const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// Whether `head` starts a skippable frame.
pub fn skippable(head: &[u8]) -> Head {
    let Some((0x50..=0x5f, rest)) = head.split_first() else {
        return if head.is_empty() { Head::More(1) } else { Head::Foreign };
    };
    match (compare(rest, SKIPPABLE), head.get(4..8)) {
        (Likeness::Different, _) => Head::Foreign,
        (Likeness::Same, Some(&[a, b, c, d])) => Head::Skippable(8 + u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => Head::More(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_input_is_described() {
        assert_eq!(describe(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]), "it looks like zstd");
        assert_eq!(describe(b"hello\n"), "it looks like text: `hello\\n`");
        assert_eq!(describe(&[0, 1]), "it starts with 00 01");
    }

    #[test]
    fn skippable_frame_states_its_length() {
        let frame = [0x5a, 0x2a, 0x4d, 0x18, 3, 1, 0, 0];
        assert_eq!(skippable(&frame), Head::Skippable(8 + 259));
        assert_eq!(skippable(&frame[..5]), Head::More(8));
        assert_eq!(skippable(&[0x5a, 0x2b]), Head::Foreign);
        assert_eq!(skippable(&[0x4f]), Head::Foreign);
    }
}
