//! Rates in bytes per second.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::{Unit, split_unit};
use super::size::{UNITS, read};
use super::{Misread, format_size};

/// Bits are counted in powers of 1000, as networks do.
const BITS: &[Unit] = &[
    Unit::bits("bit", 1),
    Unit::bits("kbit", 1000),
    Unit::bits("Kbit", 1000),
    Unit::bits("Mbit", 1000_u64.pow(2)),
    Unit::bits("Gbit", 1000_u64.pow(3)),
    Unit::bits("Tbit", 1000_u64.pow(4)),
];

/// Reads a rate, in bytes per second: a size or a number of bits, with or without `/s`: `1MB/s`, `64K`, `8Mbit/s`.
///
/// # Errors
/// As for a size. `8Mb` is ambiguous, so it is refused and `8Mbit` suggested.
pub fn parse_rate(text: &str) -> Result<u64, Misread> {
    read_rate(text).map_err(|misread| misread.settled(read_rate))
}

/// Reads a rate. A suggestion may itself be wrong in another way.
fn read_rate(text: &str) -> Result<u64, Misread> {
    if let Some(misread) = per_something_else(text) {
        return Err(misread);
    }
    let (amount, per_second) = match text.strip_suffix("/s") {
        Some(amount) => (amount, "/s"),
        None => (text, ""),
    };
    let read = match ambiguous(amount) {
        Some(misread) => Err(misread),
        None => read(amount, "a rate", &[UNITS, BITS].concat()),
    };
    read.map_err(|mut misread| {
        misread.suggestion = misread.suggestion.map(|amount| amount + per_second);
        misread
    })
}

/// The problem of `Mb` and similar units, which can mean bits or bytes.
fn ambiguous(amount: &str) -> Option<Misread> {
    let (number, unit) = split_unit(amount);
    let prefix = unit.strip_suffix('b')?;
    matches!(prefix, "K" | "k" | "M" | "G" | "T").then(|| {
        Misread::new(format!(
            "`{unit}` is neither bits (`{prefix}bit`) nor bytes (`{prefix}B`)"
        ))
        .suggest(format!("{number}{prefix}bit"))
    })
}

/// `Mbps`, `MB/sec` and similar units.
fn per_something_else(text: &str) -> Option<Misread> {
    let (amount, is_bits) = ["/sec", "/second", "/S", "ps"]
        .iter()
        .find_map(|suffix| Some((text.strip_suffix(suffix)?, *suffix == "ps")))?;
    let amount = match amount.strip_suffix('b') {
        Some(prefix) if is_bits && !prefix.is_empty() => format!("{prefix}bit"),
        _ => amount.to_owned(),
    };
    Some(Misread::new("a rate ends in `/s`").suggest(format!("{amount}/s")))
}

/// What may pass in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Throughput {
    /// So many bytes.
    Bytes(u64),
    /// So many records.
    Records(u64),
}

/// As in a pipeline's text: `1.25MB/s`, `500records/s`.
impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(rate) => f.write_str(&readable_rate(*rate)),
            Self::Records(rate) => write!(f, "{rate}records/s"),
        }
    }
}

/// Reads a rate of bytes, or a whole number of records: `500records/s`.
///
/// # Errors
/// As for a rate; also if the number of records is not whole.
pub fn parse_throughput(text: &str) -> Result<Throughput, Misread> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_near = unit.trim_start_matches(' ').starts_with("rec");
    if is_near || unit.contains("record") {
        let number = &text[..text.len() - unit.len()];
        return match number.parse() {
            Ok(records) if unit == "records/s" => Ok(Throughput::Records(records)),
            Ok(records) if is_near => {
                Err(Misread::new("records pass in a second").suggest(format!("{records}records/s")))
            }
            _ => Err(Misread::new("a number of records is whole, and comes first")),
        };
    }
    parse_rate(text).map(Throughput::Bytes)
}

/// The shortest spelling of `bytes_per_second` that parses back to it: `1MB/s`.
#[must_use]
pub fn format_rate(bytes_per_second: u64) -> String {
    format_size(bytes_per_second) + "/s"
}

/// A readable rate that still parses back: `1.25MB/s`, if two decimals are exact.
#[must_use]
pub fn readable_rate(bytes_per_second: u64) -> String {
    let units = UNITS
        .iter()
        .filter(|unit| matches!(unit.name, "kB" | "MB" | "GB" | "TB"));
    let fitting = units.rev().find(|unit| bytes_per_second >= unit.scale);
    match fitting {
        Some(unit) if bytes_per_second.is_multiple_of(unit.scale / 100) => {
            let hundredths = bytes_per_second % unit.scale / (unit.scale / 100);
            let decimal = format!("{}.{hundredths:02}", bytes_per_second / unit.scale);
            let decimal = decimal.trim_end_matches('0').trim_end_matches('.');
            format!("{decimal}{}/s", unit.name)
        }
        _ => format_rate(bytes_per_second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(text: &str, message: &str, suggestion: Option<&str>) {
        let misread = parse_rate(text).unwrap_err();
        assert_eq!(
            (misread.message.as_str(), misread.suggestion.as_deref()),
            (message, suggestion)
        );
    }

    #[test]
    fn sizes_and_bits_per_second() {
        for (text, rate) in [
            ("1MB/s", 1_000_000),
            ("1MB", 1_000_000),
            ("1M/s", 1 << 20),
            ("500", 500),
            ("8Mbit/s", 1_000_000),
            ("1Mbit", 125_000),
            ("1kbit/s", 125),
            ("0.5Gbit/s", 62_500_000),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn wrong_spellings_get_the_right_one() {
        refused("8Mb", "`Mb` is neither bits (`Mbit`) nor bytes (`MB`)", Some("8Mbit"));
        refused(
            "8Mb/s",
            "`Mb` is neither bits (`Mbit`) nor bytes (`MB`)",
            Some("8Mbit/s"),
        );
        refused("8Mbps", "a rate ends in `/s`", Some("8Mbit/s"));
        refused("8MBps", "a rate ends in `/s`", Some("8MB/s"));
        refused("8MB/sec", "a rate ends in `/s`", Some("8MB/s"));
        refused("8mbit/s", "there is no unit `mbit`", Some("8Mbit/s"));
        refused("1mb/s", "there is no unit `mb`", Some("1MB/s"));
        refused("1 MB/s", "a rate has no space in it", Some("1MB/s"));
        refused("-5", "a rate cannot be negative", Some("5"));
        refused("7bit/s", "less than one byte", Some("1/s"));
        refused("5/m", "there is no unit `/m`", None);
        refused("fast", "a rate begins with a digit", None);
    }

    #[test]
    fn records_pass_in_a_second() {
        assert_eq!(parse_throughput("500records/s"), Ok(Throughput::Records(500)));
        for rate in [Throughput::Records(500), Throughput::Bytes(1_250_000)] {
            assert_eq!(parse_throughput(&rate.to_string()), Ok(rate));
        }
        assert_eq!(parse_throughput("500/s"), Ok(Throughput::Bytes(500)));
        for near in [
            "500records",
            "500 records/s",
            "500record/s",
            "500rec/s",
            "500records/min",
        ] {
            let misread = parse_throughput(near).unwrap_err();
            assert_eq!(misread.suggestion.as_deref(), Some("500records/s"), "{near}");
        }
        for wrong in [
            "records/s",
            "1.5records/s",
            "99999999999999999999records/s",
            "5krecords/s",
        ] {
            assert_eq!(parse_throughput(wrong).unwrap_err().suggestion, None, "{wrong}");
        }
    }

    #[test]
    fn readable_rates_have_common_units() {
        for (rate, text) in [
            (1, "1/s"),
            (900, "900/s"),
            (1_100, "1.1kB/s"),
            (900_000, "900kB/s"),
            (1_250_000, "1.25MB/s"),
            (1_048_576, "1MiB/s"),
            (10_000_000, "10MB/s"),
            (1_234_567, "1234567/s"),
        ] {
            assert_eq!(readable_rate(rate), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(rate: u64) {
            prop_assert_eq!(parse_rate(&format_rate(rate)), Ok(rate));
            prop_assert_eq!(parse_rate(&readable_rate(rate)), Ok(rate));
            let nice = rate / 10_000 * 10_000;
            prop_assert_eq!(parse_rate(&readable_rate(nice)), Ok(nice));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in r"[0-9.kKMbitBps/ -]{0,12}|.{0,8}") {
            let _ = parse_rate(&text);
        }
    }
}
