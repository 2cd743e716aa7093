//! Splits bytes into words, bars and the parentheses of groups, with one level of unquoting.

use std::ops::Range;

use super::{Word, key_length, quote, quote_value};
use crate::error::Problem;
use crate::error::shown;

/// A piece of a pipeline's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Lexeme),
    /// An unquoted `|`, at this byte.
    Bar(usize),
    /// An unquoted `(` where a word could begin, at this byte.
    Open(usize),
    /// The unquoted `)` of a group, at this byte.
    Close(usize),
}

/// A word and how it was quoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub(super) word: Word,
    /// The length of an unquoted `KEY` with an unquoted `=` behind it.
    pub(super) key: Option<usize>,
    /// False if a quote was never closed: then the word is incomplete.
    pub(super) whole: bool,
}

/// Splits `text` into tokens. Where a problem is found, the token is still usable or left out.
pub(super) fn lex(text: &[u8]) -> (Vec<Token>, Vec<Problem>) {
    let mut lexer = Lexer {
        text,
        at: 0,
        depth: 0,
        problems: Vec::new(),
    };
    let mut tokens = Vec::new();
    while let Some(byte) = lexer.peek() {
        match byte {
            b' ' | b'\t' | b'\n' => lexer.at += 1,
            b'\\' if text.get(lexer.at + 1) == Some(&b'\n') => lexer.at += 2,
            b'|' => {
                tokens.push(Token::Bar(lexer.at));
                lexer.at += 1;
            }
            b'(' => {
                tokens.push(Token::Open(lexer.at));
                lexer.depth += 1;
                lexer.at += 1;
            }
            b')' if lexer.depth > 0 => {
                tokens.push(Token::Close(lexer.at));
                lexer.depth -= 1;
                lexer.at += 1;
            }
            _ => tokens.extend(lexer.word().map(Token::Word)),
        }
    }
    (tokens, lexer.problems)
}

struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    /// The number of open groups.
    depth: usize,
    problems: Vec<Problem>,
}

/// A word while it is being read.
#[derive(Default)]
struct Reading {
    bytes: Vec<u8>,
    /// The number of leading bytes that were unquoted.
    unquoted: usize,
    /// Whether there were quotes, which make even an empty word a word.
    quotes: bool,
    /// The first unquoted `(` or `)`.
    paren: Option<usize>,
    broken: bool,
}

impl Reading {
    fn push_unquoted(&mut self, byte: u8) {
        if self.unquoted == self.bytes.len() && !self.quotes {
            self.unquoted += 1;
        }
        self.bytes.push(byte);
    }

    fn key(&self) -> Option<usize> {
        key_length(&self.bytes).filter(|&length| length < self.unquoted)
    }
}

impl Lexer<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads one word; `None` if it was only parentheses or joined lines.
    fn word(&mut self) -> Option<Lexeme> {
        let start = self.at;
        let mut reading = Reading::default();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'|' => break,
                // Behind a `(` in the same word it belongs to that one.
                b')' if self.depth > 0 && reading.paren.is_none() => break,
                b'\'' => self.single_quoted(&mut reading),
                b'"' => self.double_quoted(&mut reading),
                b'\\' => self.escaped(&mut reading),
                b'(' | b')' => {
                    reading.paren.get_or_insert(self.at);
                    reading.push_unquoted(byte);
                    self.at += 1;
                }
                _ => {
                    reading.push_unquoted(byte);
                    self.at += 1;
                }
            }
        }
        let span = start..self.at;
        if let Some(paren) = reading.paren {
            self.refuse_paren(paren, &reading);
            // Without them the later checks do not report the same problem again.
            reading.bytes.retain(|byte| !matches!(byte, b'(' | b')'));
        }
        if reading.bytes.is_empty() && !reading.quotes {
            return None;
        }
        Some(Lexeme {
            key: reading.key(),
            whole: !reading.broken,
            word: Word {
                bytes: reading.bytes,
                span,
            },
        })
    }

    fn single_quoted(&mut self, reading: &mut Reading) {
        let open = self.at;
        reading.quotes = true;
        self.at += 1;
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\'');
        reading.bytes.extend(&rest[..length.unwrap_or(rest.len())]);
        self.at += length.map_or(rest.len(), |length| length + 1);
        if length.is_none() {
            self.refuse_open_quote(open, reading);
        }
    }

    fn double_quoted(&mut self, reading: &mut Reading) {
        let open = self.at;
        reading.quotes = true;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match (byte, self.peek()) {
                (b'"', _) => return,
                (b'\\', Some(next @ (b'"' | b'\\'))) => {
                    reading.bytes.push(next);
                    self.at += 1;
                }
                _ => reading.bytes.push(byte),
            }
        }
        self.refuse_open_quote(open, reading);
    }

    fn escaped(&mut self, reading: &mut Reading) {
        let backslash = self.at;
        self.at += 2;
        match self.text.get(backslash + 1) {
            // As in a shell, the line continues. A KEY split by it is not one, so that keys appear in the text as they
            // are.
            Some(b'\n') => reading.quotes |= !reading.bytes.is_empty(),
            Some(&byte) => {
                reading.quotes = true;
                reading.bytes.push(byte);
            }
            None => {
                self.at = self.text.len();
                reading.broken = true;
                self.problems.push(
                    Problem::at(backslash..self.at, "a backslash with nothing behind it")
                        .help(r"for a backslash itself write `\\`"),
                );
            }
        }
    }

    fn refuse_open_quote(&mut self, open: usize, reading: &mut Reading) {
        reading.broken = true;
        let mark = char::from(self.text[open]);
        self.problems.push(
            Problem::at(open..open + 1, format!("a quote `{mark}` is never closed"))
                .label("opened here")
                .help(format!(r"close it, or write `\{mark}` for the character itself")),
        );
    }

    fn refuse_paren(&mut self, paren: usize, reading: &Reading) {
        let quoted = match reading.key() {
            Some(key) => {
                let (key, value) = reading.bytes.split_at(key + 1);
                [key, &quote_value(value)].concat()
            }
            None => quote(&reading.bytes),
        };
        let text = shown(&quoted);
        let (message, help) = if self.text[paren] == b'(' {
            let help = format!("parentheses in a word are quoted: `{text}`; for a group put a space before it");
            ("`(` in a word is not quoted", help)
        } else {
            (
                "`)` closes no group",
                format!("take it away, or quote the word: `{text}`"),
            )
        };
        self.problems.push(Problem::at(paren..paren + 1, message).help(help));
    }
}

impl Lexeme {
    /// The part before the `=` and the part after it, where this is `KEY=value`.
    pub(super) fn into_argument(self) -> super::Argument {
        let Some(key) = self.key else {
            return super::Argument::Positional(self.word);
        };
        let span: Range<usize> = self.word.span;
        // An unquoted KEY= has as many bytes in the text as in the word.
        let equals = span.start + key;
        super::Argument::Named {
            key: Word {
                bytes: self.word.bytes[..key].to_vec(),
                span: span.start..equals,
            },
            value: Word {
                bytes: self.word.bytes[key + 1..].to_vec(),
                span: equals + 1..span.end,
            },
            span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Argument, parse};
    use crate::error::ChainError;
    use snapbox::{IntoData, str};

    /// The words of the only stage, named ones as `KEY -> value`.
    #[track_caller]
    fn words(text: &str) -> Vec<String> {
        let (script, problems) = parse(text.as_bytes());
        assert_eq!(problems, []);
        let [call] = &script.calls[..] else {
            panic!("{script:?}");
        };
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        std::iter::once(text_of(&call.name.bytes))
            .chain(call.arguments.iter().map(|argument| match argument {
                Argument::Positional(word) => text_of(&word.bytes),
                Argument::Named { key, value, .. } => {
                    format!("{} -> {}", text_of(&key.bytes), text_of(&value.bytes))
                }
                Argument::Group(group) => panic!("{group:?}"),
            }))
            .collect()
    }

    #[track_caller]
    fn refused(text: &str, expected: snapbox::data::Inline) {
        let (script, problems) = parse(text.as_bytes());
        let error = ChainError {
            text: script.text,
            problems,
        };
        snapbox::assert_data_eq!(error.to_string(), expected.raw());
    }

    #[test]
    fn space_tab_and_newline_part_words() {
        assert_eq!(words(" a\tb\n\nc "), ["a", "b", "c"]);
    }

    #[test]
    fn single_quotes_are_literal() {
        assert_eq!(words(r#"a 'b | \" (c)'d"#), ["a", r#"b | \" (c)d"#]);
    }

    #[test]
    fn double_quotes_know_two_escapes() {
        assert_eq!(words(r#"a "b\"\\\n$x""#), ["a", r#"b"\\n$x"#]);
    }

    #[test]
    fn a_backslash_takes_the_next_byte() {
        assert_eq!(words(r"a b\ c\|\\\n"), ["a", r"b c|\n"]);
    }

    #[test]
    fn a_backslash_joins_lines() {
        assert_eq!(words("a \\\n  b \\\nc=d e\\\nf"), ["a", "b", "c -> d", "ef"]);
    }

    #[test]
    fn quotes_make_a_word_of_nothing() {
        assert_eq!(words("a '' \"\""), ["a", "", ""]);
    }

    #[test]
    fn nothing_is_expanded() {
        assert_eq!(
            words("a ~/b $c *.d `e` #f ; & <g"),
            ["a", "~/b", "$c", "*.d", "`e`", "#f", ";", "&", "<g"]
        );
    }

    #[test]
    fn keys_are_lower_case_and_unquoted() {
        assert_eq!(
            words(r"a key-2=v K=v 'k'=v k\=v 'k=v' 2=v k=v=w ./k=v -k=v =v"),
            [
                "a",
                "key-2 -> v",
                "K=v",
                "k=v",
                "k=v",
                "k=v",
                "2=v",
                "k -> v=w",
                "./k=v",
                "-k=v",
                "=v"
            ]
        );
        assert_eq!(words("a k= k='x y'z"), ["a", "k -> ", "k -> x yz"]);
    }

    #[test]
    fn the_name_is_never_a_key() {
        assert_eq!(words("a=b"), ["a=b"]);
    }

    #[test]
    fn spans_cover_the_quotes() {
        let (script, _) = parse(b"ab 'c d' k='e f'");
        let call = &script.calls[0];
        assert_eq!(call.span, 0..16);
        assert_eq!(call.arguments[0].span(), 3..8);
        let Argument::Named { key, value, span } = &call.arguments[1] else {
            panic!("{call:?}");
        };
        assert_eq!(
            (key.span.clone(), value.span.clone(), span.clone()),
            (9..10, 11..16, 9..16)
        );
    }

    #[test]
    fn open_quote_is_marked_at_its_start() {
        refused(
            "read 'big.iso | gzip",
            str![[r#"
error: a quote `'` is never closed
  |
1 | read 'big.iso | gzip
  |      ^ opened here
  |
  = help: close it, or write `\'` for the character itself
"#]],
        );
        refused(
            r#"read "big.iso\" | gzip"#,
            str![[r#"
error: a quote `"` is never closed
  |
1 | read "big.iso\" | gzip
  |      ^ opened here
  |
  = help: close it, or write `\"` for the character itself
"#]],
        );
    }

    #[test]
    fn a_last_backslash_is_marked() {
        refused(
            r"read a\",
            str![[r#"
error: a backslash with nothing behind it
  |
1 | read a\
  |       ^
  |
  = help: for a backslash itself write `\\`
"#]],
        );
    }

    #[test]
    fn parentheses_are_reserved() {
        refused(
            "read file(1).txt | write path=copy(1)",
            str![[r#"
error: `(` in a word is not quoted
  |
1 | read file(1).txt | write path=copy(1)
  |          ^
  |
  = help: parentheses in a word are quoted: `'file(1).txt'`; for a group put a space before it

error: `(` in a word is not quoted
  |
1 | read file(1).txt | write path=copy(1)
  |                                   ^
  |
  = help: parentheses in a word are quoted: `path='copy(1)'`; for a group put a space before it
"#]],
        );
        refused(
            "( read a )",
            str![[r#"
error: `(` where a stage's name is expected
  |
1 | ( read a )
  | ^
  |
  = help: a group is an argument of a stage: `tee (gzip | write a.gz)`
"#]],
        );
    }
}
