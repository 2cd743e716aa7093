//! Sizes in bytes.

use super::number::{Unit, check_outline, multiply, split_unit};
use super::{Misread, format_size};

/// Every unit of a size. Of two that differ only in case, the first is the one suggested.
pub(super) const UNITS: &[Unit] = &[
    Unit::bytes("", 1),
    Unit::bytes("B", 1),
    Unit::bytes("K", 1 << 10),
    Unit::bytes("M", 1 << 20),
    Unit::bytes("G", 1 << 30),
    Unit::bytes("T", 1 << 40),
    Unit::bytes("KiB", 1 << 10),
    Unit::bytes("MiB", 1 << 20),
    Unit::bytes("GiB", 1 << 30),
    Unit::bytes("TiB", 1 << 40),
    Unit::bytes("kB", 1000),
    Unit::bytes("KB", 1000),
    Unit::bytes("MB", 1000_u64.pow(2)),
    Unit::bytes("GB", 1000_u64.pow(3)),
    Unit::bytes("TB", 1000_u64.pow(4)),
];

/// Reads a size, in bytes: `512`, `64K`, `1.5MiB`, `10MB`.
///
/// # Errors
/// For anything else, with the nearest right spelling if there is one: `1mb`, `1 MB`, `-5`, `1e6`, more than 64 bits
/// hold, and less than one byte but not zero.
pub fn parse_size(text: &str) -> Result<u64, Misread> {
    let read = |text: &str| read(text, "a size", UNITS);
    read(text).map_err(|misread| misread.settled(read))
}

/// Reads a number with one of `units`. A suggestion may itself be wrong in another way.
pub(super) fn read(text: &str, noun: &str, units: &[Unit]) -> Result<u64, Misread> {
    check_outline(text, noun)?;
    let (number, unit) = split_unit(text);
    match units.iter().find(|known| known.name == unit) {
        Some(known) => multiply(number, *known),
        None => Err(unknown_unit(number, unit, noun, units)),
    }
}

fn unknown_unit(number: &str, unit: &str, noun: &str, units: &[Unit]) -> Misread {
    if let Some(exponent) = unit.strip_prefix(['e', 'E'])
        && !exponent.is_empty()
    {
        let misread = Misread::new(format!("{noun} has no exponent"));
        return match in_full(number, exponent) {
            Some(bytes) => misread.suggest(format_size(bytes)),
            None => misread,
        };
    }
    let misread = Misread::new(format!("there is no unit `{unit}`"));
    let nearest = units
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(unit))
        .map(|known| known.name);
    match nearest {
        Some(name) => misread.suggest(format!("{number}{name}")),
        None => misread,
    }
}

/// `number` times ten to the power of `exponent`.
fn in_full(number: &str, exponent: &str) -> Option<u64> {
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let scale = 10_u64.checked_pow(exponent.parse().ok()?)?;
    multiply(number, Unit::bytes("", scale)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(text: &str, message: &str, suggestion: Option<&str>) {
        let misread = parse_size(text).unwrap_err();
        assert_eq!(
            (misread.message.as_str(), misread.suggestion.as_deref()),
            (message, suggestion)
        );
    }

    #[test]
    fn units_are_gnus() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1K", 1024),
            ("1KiB", 1024),
            ("1kB", 1000),
            ("1KB", 1000),
            ("2M", 2 << 20),
            ("2MB", 2_000_000),
            ("3GiB", 3 << 30),
            ("3GB", 3_000_000_000),
            ("4T", 4 << 40),
            ("4TB", 4_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(parse_size("1.5MiB"), Ok(1_572_864));
        assert_eq!(parse_size("0.1MB"), Ok(100_000));
        assert_eq!(parse_size("10B"), Ok(10));
        assert_eq!(parse_size("1.0001K"), Ok(1024));
    }

    #[test]
    fn wrong_spellings_get_the_right_one() {
        refused("1mb", "there is no unit `mb`", Some("1MB"));
        refused("1Mb", "there is no unit `Mb`", Some("1MB"));
        refused("1k", "there is no unit `k`", Some("1K"));
        refused("1kib", "there is no unit `kib`", Some("1KiB"));
        refused("10b", "there is no unit `b`", Some("10B"));
        refused("1 MB", "a size has no space in it", Some("1MB"));
        refused("-1 mb", "a size cannot be negative", Some("1MB"));
        refused("-5", "a size cannot be negative", Some("5"));
        refused("+5", "a size has no sign", Some("5"));
        refused("1_000", "a size has no `_` in it", Some("1000"));
        refused("1e6", "a size has no exponent", Some("1MB"));
        refused("0.5", "less than one byte", Some("1"));
        refused(
            ".5M",
            "a number is digits, with an optional point and digits behind it",
            Some("0.5M"),
        );
        refused(
            "5.M",
            "a number is digits, with an optional point and digits behind it",
            Some("5M"),
        );
    }

    #[test]
    fn hopeless_size_gets_no_suggestion() {
        refused("", "a size is expected", None);
        refused("lots", "a size begins with a digit", None);
        refused("-x", "a size cannot be negative", None);
        refused("5MB/s", "there is no unit `MB/s`", None);
        refused("1e99", "a size has no exponent", None);
        refused(
            "1.2.3",
            "a number is digits, with an optional point and digits behind it",
            None,
        );
        refused("18446744073709551616", "more than fits 64 bits of bytes", None);
        refused("16777216T", "more than fits 64 bits of bytes", None);
        refused(&"9".repeat(99), "more than fits 64 bits of bytes", None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r"[0-9.eEkKmMgGtTiIbB +_-]{0,12}|.{0,8}") {
            if let Err(Misread { suggestion: Some(text), .. }) = parse_size(&text) {
                prop_assert!(parse_size(&text).is_ok());
            }
        }
    }
}
