//! The strings of JSON: decoding and encoding.

use memchr::memchr;

/// Whether a string has no escapes: then its content is its text.
#[must_use]
#[inline]
pub fn is_plain(content: &[u8]) -> bool {
    memchr(b'\\', content).is_none()
}

/// Whether the content of a string stands for `name`.
#[must_use]
#[inline]
pub fn name_is(content: &[u8], name: &[u8]) -> bool {
    // Most names differ in their first byte.
    if let (Some(first), Some(expected)) = (content.first(), name.first())
        && first != expected
        && *first != b'\\'
    {
        return false;
    }
    // An escape is longer than what it stands for.
    if content.len() <= name.len() {
        return content == name && !content.contains(&b'\\');
    }
    if !content.contains(&b'\\') {
        return false;
    }
    let mut decoded = Vec::with_capacity(content.len());
    decode(content, &mut decoded);
    decoded == name
}

/// Appends the text that the content of a string stands for. Half of a surrogate pair becomes U+FFFD.
pub fn decode(mut content: &[u8], text: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', content) {
        text.extend_from_slice(&content[..at]);
        content = &content[at + 1..];
        let Some((&kind, rest)) = content.split_first() else {
            return;
        };
        content = rest;
        let byte = match kind {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, length) = code_point(content);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                content = &content[length..];
                continue;
            }
            other => other,
        };
        text.push(byte);
    }
    text.extend_from_slice(content);
}

/// [`decode`] into a buffer that is used again and again, and never takes more memory than the longest content.
pub fn decode_anew(content: &[u8], text: &mut Vec<u8>) {
    text.clear();
    text.reserve_exact(content.len());
    decode(content, text);
}

/// The character whose digits behind `\u` begin `bytes`, and the number of bytes that it takes.
fn code_point(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = str::from_utf8(bytes.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, bytes.len().min(4));
    };
    if (0xd800..0xdc00).contains(&first)
        && bytes.get(4..6) == Some(br"\u")
        && let Some(second @ 0xdc00..0xe000) = unit(6)
    {
        let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// Writes `text` as a string, with its quotes, through `put`.
pub fn encode(text: &[u8], mut put: impl FnMut(&[u8])) {
    put(b"\"");
    encode_content(text, &mut put);
    put(b"\"");
}

/// Writes `text` as the content of a string through `put`: what has to be escaped is, and nothing else.
pub fn encode_content(text: &[u8], mut put: impl FnMut(&[u8])) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (mut plain, mut at) = (0, 0);
    loop {
        at += plain_length(&text[at..]);
        let Some(&byte) = text.get(at) else { break };
        put(&text[plain..at]);
        at += 1;
        plain = at;
        match byte {
            b'"' => put(br#"\""#),
            b'\\' => put(br"\\"),
            b'\n' => put(br"\n"),
            b'\r' => put(br"\r"),
            b'\t' => put(br"\t"),
            0x08 => put(br"\b"),
            0x0c => put(br"\f"),
            _ => {
                put(br"\u00");
                put(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    put(&text[plain..]);
}

pub(super) const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;

/// The number of plain characters that begin `bytes`: neither quotes nor backslashes nor control characters.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 8) {
        let special = specials(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    at + bytes[at..].iter().take_while(|byte| is_plain(byte)).count()
}

/// The high bits of the bytes that end a run of plain characters. A bit above the first one may be wrong.
#[inline]
pub(super) fn specials(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(LOW_BITS) & !word;
    let quotes = is_zero(word ^ (LOW_BITS * u64::from(b'"')));
    let backslashes = is_zero(word ^ (LOW_BITS * u64::from(b'\\')));
    let controls = word.wrapping_sub(LOW_BITS * 0x20) & !word;
    (quotes | backslashes | controls) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(content: &str) -> String {
        let mut text = Vec::new();
        decode(content.as_bytes(), &mut text);
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn escapes_stand_for_characters() {
        assert_eq!(decoded(r#"\"\\\/\b\f\n\r\t"#), "\"\\/\u{8}\u{c}\n\r\t");
        assert_eq!(decoded(r"a\u00e9\uD83D\uDE00z"), "aé😀z");
        assert_eq!(decoded(r"\ud83d|\ude00|\ud83dA"), "\u{fffd}|\u{fffd}|\u{fffd}A");
        assert!(name_is(r"us\u0065r".as_bytes(), b"user") && !name_is(br"\u0075", b"user"));
    }

    proptest! {
        #[test]
        fn encoded_text_is_read_back(text: String) {
            let mut encoded = Vec::new();
            encode(text.as_bytes(), |bytes| encoded.extend_from_slice(bytes));
            prop_assert_eq!(serde_json::from_slice::<String>(&encoded).expect("JSON"), text.clone());
            let inner = str::from_utf8(&encoded[1..encoded.len() - 1]).expect("UTF-8");
            prop_assert_eq!(decoded(inner), text);
        }

        #[test]
        fn strings_are_decoded_as_serde_does(content in r#"([a-zé]|\\[nrt"\\/bf]|\\u00[0-7][0-9a-fA-F]|\\ud83d\\ude0[0-9])*"#) {
            let expected: String = serde_json::from_str(&format!("\"{content}\"")).expect("JSON");
            prop_assert_eq!(decoded(&content), expected);
        }
    }
}
