//! Makes any bytes printable, and maps a byte of the source to its place in the printable text.

use std::ops::Range;

use super::credentials;

/// `bytes` on one line: control and other invisible characters and bytes that are not UTF-8 are escaped (`\n`, `\x1b`,
/// `\u{202e}`, `\xff`), and credentials in a URL are `***`. For display; it does not parse back.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    Shown::new(bytes, false).text
}

/// As [`shown`] for several lines: newlines stay newlines.
#[must_use]
pub fn shown_lines(bytes: &[u8]) -> String {
    Shown::lines(bytes).text
}

/// As [`shown`], cut to a length that is readable within a sentence.
#[must_use]
pub fn brief(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let mut text = shown(bytes);
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A source text made printable, with the new offset of each of its bytes.
pub(super) struct Shown {
    text: String,
    /// For every byte of the source, and for its end, the offset in `text` where it begins.
    offsets: Vec<usize>,
}

impl Shown {
    /// As [`shown`], but newlines stay newlines.
    pub(super) fn lines(bytes: &[u8]) -> Self {
        Self::new(bytes, true)
    }

    fn new(bytes: &[u8], keep_newlines: bool) -> Self {
        let mut this = Self {
            text: String::with_capacity(bytes.len()),
            offsets: Vec::with_capacity(bytes.len() + 1),
        };
        let secrets = credentials::find(bytes);
        for piece in bytes.utf8_chunks() {
            for c in piece.valid().chars() {
                if this.hides(&secrets, c.len_utf8()) {
                    continue;
                }
                this.mark(c.len_utf8());
                if is_plain(c) || (keep_newlines && c == '\n') {
                    this.text.push(c);
                } else if let Ok(byte) = u8::try_from(c)
                    && byte.is_ascii()
                {
                    this.push_escaped(byte);
                } else {
                    this.text.extend(c.escape_unicode());
                }
            }
            for &byte in piece.invalid() {
                if this.hides(&secrets, 1) {
                    continue;
                }
                this.mark(1);
                this.push_escaped(byte);
            }
        }
        this.mark(1);
        this
    }

    /// Whether the next `source_bytes` bytes are a secret. One marker replaces all of it, however long it is.
    fn hides(&mut self, secrets: &[Range<usize>], source_bytes: usize) -> bool {
        let at = self.offsets.len();
        let Some(secret) = secrets.iter().find(|secret| secret.contains(&at)) else {
            return false;
        };
        self.mark(source_bytes);
        if secret.end == at + source_bytes {
            self.text.push_str("***");
        }
        true
    }

    /// Records that the next `source_bytes` bytes of the source begin here.
    fn mark(&mut self, source_bytes: usize) {
        let here = self.text.len();
        self.offsets.extend(std::iter::repeat_n(here, source_bytes));
    }

    fn push_escaped(&mut self, byte: u8) {
        self.text.extend(byte.escape_ascii().map(char::from));
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the source's byte range `span` is shown, cut at the end of its first line: a caret line has one source
    /// line. A span outside the source marks its end.
    pub(super) fn span_on_one_line(&self, span: &Range<usize>) -> Range<usize> {
        let end_of_source = self.offsets.len() - 1;
        let start = self.offsets[span.start.min(end_of_source)];
        let end = self.offsets[span.end.min(end_of_source)].max(start);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |length| start + length);
        start..end.min(line_end)
    }
}

/// Whether `c` can be printed as it is: visible, on one line, and without an effect on the order of its neighbours.
fn is_plain(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_invisible(c))
}

/// Whether `c` is invisible: what Unicode calls `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt`), including
/// bidirectional controls, and the marks around annotations.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_characters_stay() {
        assert_eq!(shown("read é 文件".as_bytes()), "read é 文件");
    }

    #[test]
    fn invisible_characters_are_escaped() {
        assert_eq!(shown(b"a\n\t\x1b\x7f\xff"), r"a\n\t\x1b\x7f\xff");
        assert_eq!(shown("\u{202e}\u{a0}\u{85}".as_bytes()), r"\u{202e}\u{a0}\u{85}");
        let tags = "\u{e0041}\u{fe0f}\u{3164}\u{180e}\u{fff9}";
        assert_eq!(shown(tags.as_bytes()), r"\u{e0041}\u{fe0f}\u{3164}\u{180e}\u{fff9}");
        assert_eq!(shown_lines(b"a\n\x1bb"), "a\n\\x1bb");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(brief(&[b'a'; 60]), "a".repeat(60));
        assert_eq!(brief(&[b'a'; 61]), "a".repeat(60) + "…");
    }

    #[test]
    fn redacted_credentials_keep_later_offsets() {
        assert_eq!(
            shown(b"read https://me:\xffsecr\xc3\xa9t@host/a"),
            "read https://***@host/a"
        );
        let shown = Shown::lines(b"a://me:pw@h b");
        assert_eq!(shown.text(), "a://***@h b");
        assert_eq!(shown.span_on_one_line(&(0..11)), 0..9);
        assert_eq!(shown.span_on_one_line(&(12..13)), 10..11);
        assert_eq!(shown.span_on_one_line(&(5..8)), 4..4);
    }

    #[test]
    fn spans_follow_the_bytes() {
        let shown = Shown::lines("é\x1bz".as_bytes());
        assert_eq!(shown.text(), r"é\x1bz");
        assert_eq!(shown.span_on_one_line(&(2..3)), 2..6);
        assert_eq!(shown.span_on_one_line(&(3..4)), 6..7);
        assert_eq!(shown.span_on_one_line(&(40..50)), 7..7);
    }
}
