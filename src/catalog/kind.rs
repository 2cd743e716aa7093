//! The kinds of parameter values, and how each is read.

use std::time::Duration;

use super::Scheme;
use crate::grammar::{Misread, Throughput, parse_duration, parse_size, parse_throughput};

/// The kind of a parameter's value. A new kind needs a variant here, one of `Value`, an arm in each method below, and a
/// getter in `arguments`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Bytes: `64K`, `1.5MiB`, `10MB`.
    Size,
    /// Bytes or records per second: `1MB/s`, `8Mbit/s`, `500records/s`.
    Rate,
    /// `500ms`, `5s`, `2m`, `1h`.
    Duration,
    /// An endpoint with one of these schemes, or a path if there are none: any bytes, at least one.
    Endpoint(&'static [&'static Scheme]),
    /// Any bytes.
    Bytes,
    /// Any UTF-8 text.
    Text,
    /// A pipeline in parentheses, which has no value.
    Pipeline,
    /// `true`, `yes`, `1`, or `false`, `no`, `0`.
    Flag,
    /// A whole number within inclusive bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A value that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Size(u64),
    Rate(Throughput),
    Duration(Duration),
    Endpoint(Vec<u8>),
    Bytes(Vec<u8>),
    Text(String),
    Flag(bool),
    Integer(i64),
    Choice(&'static str),
}

impl Kind {
    /// The placeholder for a value in a table: `SIZE`, `1..9`, `crc32|sha256`.
    #[must_use]
    pub fn placeholder(self) -> String {
        match self {
            Self::Size => "SIZE".into(),
            Self::Rate => "RATE".into(),
            Self::Duration => "DURATION".into(),
            Self::Endpoint(_) => "ENDPOINT".into(),
            Self::Bytes => "WORD".into(),
            Self::Text => "TEXT".into(),
            Self::Pipeline => "PIPELINE".into(),
            Self::Flag => "true|false".into(),
            Self::Integer { min, max } => match (min, max) {
                (i64::MIN, i64::MAX) => "NUMBER".into(),
                (_, i64::MAX) => format!("{min}.."),
                (i64::MIN, _) => format!("..{max}"),
                _ => format!("{min}..{max}"),
            },
            Self::Choice(words) => words.join("|"),
        }
    }

    /// How a value is written, for an error without a near spelling.
    pub(super) fn how(self) -> String {
        match self {
            Self::Size => "a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)".into(),
            Self::Rate => {
                "a rate is a size, or a number of bits or records, a second: 1MB/s, 512KiB/s, 8Mbit/s, 500records/s"
                    .into()
            }
            Self::Duration => "a duration is a number with ns, us, ms, s, m, h or d: 500ms, 5s, 1h30m".into(),
            Self::Endpoint(_) => "an endpoint is a path, `-`, or a URL".into(),
            Self::Bytes | Self::Text => "a text is UTF-8".into(),
            Self::Pipeline => "a pipeline is written in parentheses: `(gzip | write a.gz)`".into(),
            Self::Flag => "a flag is true or false".into(),
            Self::Integer { .. } => format!("a whole number is expected: {}", self.placeholder()),
            Self::Choice(words) => format!("it is one of {}", words.join(", ")),
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// If `bytes` is not a valid value, with the nearest one that is.
    pub(super) fn read(self, bytes: &[u8]) -> Result<Value, Misread> {
        let text = || str::from_utf8(bytes).map_err(|_| Misread::new("it is not UTF-8"));
        match self {
            Self::Size => parse_size(text()?).map(Value::Size),
            Self::Rate => parse_throughput(text()?).map(Value::Rate),
            Self::Duration => parse_duration(text()?).map(Value::Duration),
            Self::Endpoint(_) if bytes.is_empty() => Err(Misread::new("it is empty")),
            Self::Endpoint(_) => Ok(Value::Endpoint(bytes.to_vec())),
            Self::Bytes => Ok(Value::Bytes(bytes.to_vec())),
            Self::Pipeline => Err(Misread::new("it is not in parentheses")),
            Self::Text => Ok(Value::Text(text()?.to_owned())),
            Self::Flag => read_flag(text()?).map(Value::Flag),
            Self::Integer { min, max } => read_integer(text()?, min, max).map(Value::Integer),
            Self::Choice(words) => read_choice(text()?, words).map(Value::Choice),
        }
    }
}

fn read_flag(text: &str) -> Result<bool, Misread> {
    match text {
        "true" | "yes" | "1" => return Ok(true),
        "false" | "no" | "0" => return Ok(false),
        _ => {}
    }
    let misread = Misread::new("it is neither true nor false");
    Err(match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" => misread.suggest("true"),
        "false" | "no" | "off" | "n" | "f" => misread.suggest("false"),
        other => match super::unknown::nearest(other, ["true", "false"]) {
            Some(word) => misread.suggest(word),
            None => misread,
        },
    })
}

fn read_integer(text: &str, min: i64, max: i64) -> Result<i64, Misread> {
    let Ok(number) = text.parse::<i64>() else {
        return Err(Misread::new("it is not a whole number"));
    };
    if number < min {
        return Err(Misread::new(format!("the least is {min}")).suggest(min.to_string()));
    }
    if number > max {
        return Err(Misread::new(format!("the most is {max}")).suggest(max.to_string()));
    }
    Ok(number)
}

fn read_choice(text: &str, words: &'static [&'static str]) -> Result<&'static str, Misread> {
    if let Some(&word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let misread = Misread::new("there is no such choice");
    Err(match super::unknown::nearest(text, words.iter().copied()) {
        Some(word) => misread.suggest(word),
        None => misread,
    })
}
