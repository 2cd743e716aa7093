//! Finds credentials in URLs so that they can be redacted.

use std::ops::Range;

/// The user information of every URL in `text`, as byte ranges: between `://` and the `@` before the host (RFC 3986,
/// section 3.2.1). A password that breaks that syntax with a `/`, `?`, `#` or a blank is found too, and so is one in a
/// URL that lacks a slash, which is recognised by its colon.
pub fn find(text: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.windows(2).enumerate().filter(|(_, two)| two == b":/") {
        let has_both = text.get(at + 2) == Some(&b'/');
        let start = at + if has_both { 3 } else { 2 };
        if found.last().is_some_and(|last| start <= last.end) {
            continue;
        }
        let rest = &text[start..];
        let word = &rest[..rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len())];
        let authority = &word[..word.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(word.len())];
        let end = if has_both {
            last_at(authority)
                .or_else(|| last_at(word).filter(|_| !has_plain_port(authority)))
                .or_else(|| behind_blanks(rest).filter(|_| !has_plain_port(authority)))
        } else {
            last_at(authority).filter(|end| authority[..*end].contains(&b':'))
        };
        found.extend(end.filter(|end| *end > 0).map(|end| start..start + end));
    }
    found
}

fn last_at(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'@')
}

/// The end of a password with blanks in it, if it is one: at an `@` of the same stage without a `=` before it, as
/// another word's `expect=@FILE` has.
fn behind_blanks(rest: &[u8]) -> Option<usize> {
    let stage = &rest[..rest.iter().position(|byte| *byte == b'|').unwrap_or(rest.len())];
    let at = stage.iter().position(|byte| *byte == b'@')?;
    (at > 0 && stage[at - 1] != b'=').then_some(at)
}

/// Whether this looks like a host and its port, and not like a name and the beginning of a password.
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
            ("'https://user:p w@host'", "user:p w"),
            ("read https://user:p\\ w@host | write b", "user:p\\ w"),
            ("tcp:/user:pw@host:1", "user:pw"),
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
            "read tcp://host:http | hash expect=@f",
            "tcp://host:http retry=2 expect=@f",
            "https://host/a b@c",
            "dir:/a@b",
        ] {
            assert!(find(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
