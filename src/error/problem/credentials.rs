//! What in a text is nobody's to see: the credentials of URLs.

use std::ops::Range;

/// The user information of every URL in `text`, in bytes: what stands between `://` and the `@` before the host (RFC 3986,
/// section 3.2.1). A password that breaks that syntax with a `/`, `?` or `#` is found all the same.
pub fn find(text: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.windows(3).enumerate().filter(|(_, three)| three == b"://") {
        let start = at + 3;
        if found.last().is_some_and(|last| start <= last.end) {
            continue;
        }
        let word = &text[start..];
        let word = &word[..word.iter().position(u8::is_ascii_whitespace).unwrap_or(word.len())];
        let authority = word.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(word.len());
        let last_at = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'@');
        let end = last_at(&word[..authority])
            .or_else(|| last_at(word).filter(|_| !has_plain_port(&word[..authority])))
            .filter(|end| *end > 0);
        found.extend(end.map(|end| start..start + end));
    }
    found
}

/// Whether a host and its port look like that, and not like a name and the beginning of a password.
fn has_plain_port(authority: &[u8]) -> bool {
    let port = authority.iter().rposition(|byte| *byte == b':');
    port.is_none_or(|colon| {
        let port = &authority[colon + 1..];
        !port.is_empty() && port.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_wherever_they_stand() {
        for (text, secret) in [
            ("read tcp://user:pw@host:1 | write b", "user:pw"),
            ("https://token@host/a@b", "token"),
            ("https://a:b@c:d@host/", "a:b@c:d"),
            ("https://user:p/w?x#y@host/z", "user:p/w?x#y"),
            ("'ftp://user:it's@host'", "user:it's"),
            ("https://user:p://w@host", "user:p://w"),
        ] {
            let found = find(text.as_bytes());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(&text[found[0].clone()], secret, "{text}");
        }
        assert_eq!(find(b"a://b:c@d e://f@g").len(), 2);
    }

    #[test]
    fn nothing_else_is_hidden() {
        for text in [
            "tcp://host:1",
            "https://host:8080/a@b",
            "https://host/a@b",
            "a@b",
            "hash expect=@f",
            "://@",
        ] {
            assert_eq!(find(text.as_bytes()), [], "{text}");
        }
    }
}
