//! The members of an object, in place. The value was checked before.

use std::ops::Range;

use memchr::memchr;

/// One member of an object. Offsets in bytes of the whole value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The content of the name, without its quotes.
    pub name: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

/// Walks over the members of an object. If the value is none, there are none.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    /// The members of the object that begins at `start`, behind any white space.
    #[must_use]
    pub fn new(bytes: &'a [u8], start: usize) -> Self {
        let at = skip_space(bytes, start);
        let is_object = bytes.get(at) == Some(&b'{');
        Self {
            bytes,
            at: if is_object { at + 1 } else { bytes.len() },
        }
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    #[inline]
    fn next(&mut self) -> Option<Member> {
        let bytes = self.bytes;
        let mut at = skip_space(bytes, self.at);
        if bytes.get(at) == Some(&b',') {
            at = skip_space(bytes, at + 1);
        }
        if bytes.get(at) != Some(&b'"') {
            self.at = bytes.len();
            return None;
        }
        let quote = string_end(bytes, at + 1);
        let name = at + 1..quote;
        // Behind the closing quote and the colon.
        at = skip_space(bytes, skip_space(bytes, quote + 1) + 1).min(bytes.len());
        let end = skip_value(bytes, at);
        self.at = end;
        Some(Member { name, value: at..end })
    }
}

/// Walks over the strings in a value, each with its quotes; the names of members are left out.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Strings<'a> {
    /// The strings in the value that begins at `start` and ends where `bytes` do.
    #[must_use]
    pub fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, at: start }
    }
}

impl Iterator for Strings<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let start = self.at + memchr(b'"', self.bytes.get(self.at..)?)?;
            let end = (string_end(self.bytes, start + 1) + 1).min(self.bytes.len());
            self.at = end;
            // Only a name has a colon behind it.
            if self.bytes.get(skip_space(self.bytes, end)) != Some(&b':') {
                return Some(start..end);
            }
        }
    }
}

/// The content of a string without its quotes; `None` for any other value.
#[must_use]
#[inline]
pub fn content(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The offset behind the value that begins at `at`.
#[must_use]
#[inline]
pub fn skip_value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => (string_end(bytes, at + 1) + 1).min(bytes.len()),
        Some(b'{' | b'[') => skip_container(bytes, at),
        _ => {
            let scalar = bytes.get(at..).unwrap_or_default().iter();
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            at + scalar.take_while(|byte| !is_end(byte)).count()
        }
    }
}

fn skip_container(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b'"' => at = string_end(bytes, at + 1),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The offset of the quote that ends the string in which `at` is.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let is_zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    loop {
        while let Some(word) = bytes.get(at..at + 8) {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            let found = is_zero(word ^ (LOW * u64::from(b'"'))) | is_zero(word ^ (LOW * u64::from(b'\\')));
            if found != 0 {
                at += found.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

#[inline]
fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        let members = Members::new(text.as_bytes(), 0);
        members
            .map(|member| (&text[member.name], &text[member.value]))
            .collect()
    }

    #[test]
    fn members_are_found_in_place() {
        let text = r#" { "a" : 1 ,"b\"c":"x,}\\" , "d":[{"e":[]},"]"] , "f":{} , "":null } "#;
        let expected = [
            ("a", "1"),
            (r#"b\"c"#, r#""x,}\\""#),
            ("d", r#"[{"e":[]},"]"]"#),
            ("f", "{}"),
            ("", "null"),
        ];
        assert_eq!(members(text), expected);
        for other in ["[1]", "\"a\"", "{}", "", " 1"] {
            assert_eq!(members(other), [], "{other}");
        }
    }

    #[test]
    fn names_are_not_among_the_strings() {
        let text = r#"{"a":"b","c" : ["d",{"e":"f\":"}],"g":1} "#;
        let strings: Vec<&str> = Strings::new(text.as_bytes(), 0).map(|string| &text[string]).collect();
        assert_eq!(strings, [r#""b""#, r#""d""#, r#""f\":""#]);
        assert_eq!(Strings::new(b"\"open", 0).next(), Some(0..5));
    }

    #[test]
    fn truncated_objects_end_quietly() {
        let text = br#"{"a":{"b":["c\"",1]},"d":2}"#;
        for end in 0..text.len() {
            let cut = &text[..end];
            let values = Members::new(cut, 0).map(|member| &cut[member.value]);
            assert!(values.count() <= 2, "{end}");
        }
    }
}
