//! JSON through COPY, whose text form would escape every backslash once more.
//!
//! The CSV form with characters that JSON never has as they are (RFC 8259, section 7: control characters are escaped in
//! strings) needs no escapes. A value of the type `json` may have line breaks between its tokens: such a row is quoted.

/// The options of a COPY of one column of JSON.
pub const OPTIONS: &str = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')";
const QUOTE: u8 = 1;

/// Makes rows lines: drops the quotes, and makes the line breaks between them blanks.
#[derive(Debug, Default)]
pub struct Lines {
    is_quoted: bool,
}

impl Lines {
    /// Changes what was read next, in place; returns how long it is now.
    pub fn unquote(&mut self, bytes: &mut [u8]) -> usize {
        if !self.is_quoted && memchr::memchr(QUOTE, bytes).is_none() {
            return bytes.len();
        }
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            if byte == QUOTE {
                self.is_quoted = !self.is_quoted;
                continue;
            }
            let is_break = self.is_quoted && matches!(byte, b'\n' | b'\r');
            bytes[kept] = if is_break { b' ' } else { byte };
            kept += 1;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_at_every_cut() {
        let rows = b"{\"a\":1}\n\x01{\"b\":\n  [1,\r\n2]}\x01\n{\"c\":\"\\n\\\\\"}\n";
        for cut in 0..=rows.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in [&rows[..cut], &rows[cut..]] {
                let mut part = part.to_vec();
                let length = lines.unquote(&mut part);
                found.extend_from_slice(&part[..length]);
            }
            let expected = "{\"a\":1}\n{\"b\":   [1,  2]}\n{\"c\":\"\\n\\\\\"}\n";
            assert_eq!(String::from_utf8(found).expect("text"), expected);
        }
    }
}
