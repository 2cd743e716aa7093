//! Quotes a word so that it parses back.

use super::key_length;

/// Quotes `word` so that it parses back to itself as a name or a positional word.
///
/// The shortest of three forms: bare, `'…'`, or `"…"`; a word that would be taken as `KEY=` is quoted.
#[must_use]
pub fn quote(word: &[u8]) -> Vec<u8> {
    if word.is_empty() || key_length(word).is_some() {
        in_quotes(word)
    } else {
        quote_value(word)
    }
}

/// Quotes `word` so that it parses back to itself behind a `KEY=`, where an empty word and another `=` need no quotes.
#[must_use]
pub fn quote_value(word: &[u8]) -> Vec<u8> {
    if word.iter().any(|&byte| is_special(byte)) {
        in_quotes(word)
    } else {
        word.to_vec()
    }
}

/// Single quotes hold anything but themselves; double quotes hold anything once `"` and `\` are escaped.
fn in_quotes(word: &[u8]) -> Vec<u8> {
    if !word.contains(&b'\'') {
        return [b"'", word, b"'"].concat();
    }
    let mut quoted = vec![b'"'];
    for &byte in word {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// Whether an unquoted `byte` would end a word or have a meaning of its own.
fn is_special(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'|' | b'(' | b')' | b'\'' | b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::super::{Argument, parse};
    use super::*;
    use proptest::prelude::*;

    fn quoted(word: &str) -> String {
        String::from_utf8(quote(word.as_bytes())).unwrap()
    }

    #[test]
    fn plain_words_stay_bare() {
        for word in [
            "big.iso",
            "~/a",
            "$HOME",
            "*.gz",
            "-",
            "tcp://h:1/?a=b&c",
            "A=b",
            "=",
            "::",
            "é",
        ] {
            assert_eq!(quoted(word), word);
        }
    }

    #[test]
    fn others_take_the_shortest_quotes() {
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a|b"), "'a|b'");
        assert_eq!(quoted("a\\b"), "'a\\b'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"\\"), "\"it's \\\"\\\\\"");
    }

    #[test]
    fn word_like_a_key_is_quoted() {
        assert_eq!(quoted("a=b"), "'a=b'");
        assert_eq!(quote_value(b"a=b"), b"a=b");
        assert_eq!(quote_value(b""), b"");
    }

    /// Words with many special bytes.
    fn word() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![any::<u8>(), proptest::sample::select(b"'\"\\ \n\t|()=ab-".as_slice())];
        proptest::collection::vec(byte, 0..20)
    }

    proptest! {
        #[test]
        fn every_word_survives(word in word(), value in word()) {
            let text = [b"name ".as_slice(), &quote(&word), b" key=", &quote_value(&value)].concat();
            let (script, problems) = parse(&text);
            prop_assert_eq!(problems, []);
            prop_assert_eq!(script.calls.len(), 1);
            match &script.calls[0].arguments[..] {
                [Argument::Positional(positional), Argument::Named { key, value: named, .. }] => {
                    prop_assert_eq!(&positional.bytes, &word);
                    prop_assert_eq!(&key.bytes, b"key");
                    prop_assert_eq!(&named.bytes, &value);
                }
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert_eq!(script.calls[0].normalised(), text);
        }
    }
}
