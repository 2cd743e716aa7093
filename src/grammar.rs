//! Parses a text, or the shell's own words, into calls with spans; knows no stage by name.
//!
//! ```text
//! pipeline := stage ( "|" stage )*
//! stage    := NAME ( word | KEY "=" word | "(" pipeline ")" )*
//! ```
//!
//! Words are those of a POSIX shell with one level of unquoting and without any expansion: `'…'` is literal, `"…"`
//! knows `\"` and `\\`, a backslash outside quotes takes the next byte literally (and joins two lines before a
//! newline), and an unquoted newline is a space. `KEY` is `[a-z][a-z0-9-]*`; `KEY=` counts only where it is unquoted.
//! An unquoted `(` opens a group where a word could begin, and the `)` that closes it ends the word before it as well.
//!
//! Neither parser stops at the first problem: it returns what could be read together with all problems.

mod lexer;
mod parser;
mod quantity;
mod quote;
mod words;

use std::ops::Range;

pub use parser::parse;
pub use quantity::{
    Misread, Throughput, format_rate, format_size, human_count, human_size, parse_duration, parse_rate, parse_size,
    parse_throughput, readable_rate,
};
pub use quote::{quote, quote_value};
pub use words::{SEPARATOR, from_words, group_from_word};

/// One word, unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word itself: any bytes, because file names may hold any.
    pub bytes: Vec<u8>,
    /// Its place, quotes included, in bytes of the script's text.
    pub span: Range<usize>,
}

/// What follows a stage's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A word whose parameter follows from its position.
    Positional(Word),
    /// A word that names its parameter: `KEY=value`.
    Named {
        /// The part before the first `=`; always `[a-z][a-z0-9-]*`.
        key: Word,
        /// The part after it; may be empty.
        value: Word,
        /// The whole word, in bytes of the script's text.
        span: Range<usize>,
    },
    /// A pipeline as an argument: `( pipeline )`.
    Group(Group),
}

/// A pipeline that is written as an argument of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its stages that could be read, in order.
    pub calls: Vec<Call>,
    /// With its parentheses, in bytes of the script's text.
    pub span: Range<usize>,
}

impl Argument {
    /// The whole argument, in bytes of the script's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Positional(word) => word.span.clone(),
            Self::Named { span, .. } | Self::Group(Group { span, .. }) => span.clone(),
        }
    }

    /// The argument in its simplest spelling that parses back.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::Positional(word) => quote(&word.bytes),
            Self::Named { key, value, .. } => [&key.bytes[..], b"=", &quote_value(&value.bytes)].concat(),
            Self::Group(group) => {
                let calls: Vec<Vec<u8>> = group.calls.iter().map(Call::normalised).collect();
                [&b"("[..], &calls.join(&b" | "[..]), b")"].concat()
            }
        }
    }
}

/// One stage as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The stage's name.
    pub name: Word,
    /// The words after it, in order.
    pub arguments: Vec<Argument>,
    /// From the name to the last word, in bytes of the script's text.
    pub span: Range<usize>,
}

impl Call {
    /// The call in its simplest spelling that parses back: single spaces, and quotes only where they are needed.
    #[must_use]
    pub fn normalised(&self) -> Vec<u8> {
        let mut text = quote(&self.name.bytes);
        for argument in &self.arguments {
            text.push(b' ');
            text.extend(argument.text());
        }
        text
    }

    /// The call without its groups.
    #[must_use]
    pub fn without_groups(&self) -> Self {
        let mut call = self.clone();
        call.arguments
            .retain(|argument| !matches!(argument, Argument::Group(_)));
        call
    }
}

/// How a script was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As one text, with `|` between stages and groups in parentheses.
    #[default]
    Text,
    /// As the shell's own words, with `::` between stages; a group is one word.
    Words,
}

/// A parsed pipeline: the text, and the stages that could be read from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The text that every span points into.
    pub text: Vec<u8>,
    /// How it was given.
    pub form: Form,
    /// The stages that could be read, in order. Where a problem was reported, stages may be missing.
    pub calls: Vec<Call>,
}

/// The number of bytes of `word` that are a `KEY` followed by `=`.
fn key_length(word: &[u8]) -> Option<usize> {
    let length = word.iter().position(|&byte| byte == b'=')?;
    let (first, rest) = word[..length].split_first()?;
    let is_key = first.is_ascii_lowercase() && rest.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    is_key.then_some(length)
}
