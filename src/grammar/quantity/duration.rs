//! Durations.

use std::time::Duration;

use super::Misread;
use super::number::{check_outline, split_unit};

/// The units, each with spellings that are recognised but not accepted.
const UNITS: &[(&str, &[&str])] = &[
    ("ns", &["nsec", "nanos"]),
    ("us", &["µs", "usec", "micros"]),
    ("ms", &["msec", "millis"]),
    ("s", &["sec", "secs", "second", "seconds"]),
    ("m", &["min", "mins", "minute", "minutes"]),
    ("h", &["hr", "hrs", "hour", "hours"]),
    ("d", &["day", "days"]),
];

/// A hundred years: the clocks of common systems can represent a moment that far ahead.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// Reads a duration: `500ms`, `5s`, `1.5s`, `1h30m`.
///
/// # Errors
/// For anything else, with the nearest right spelling if there is one. A bare number is refused, because seconds and
/// milliseconds are equally likely; so is every unit not in lower case, because `M` could mean months.
pub fn parse_duration(text: &str) -> Result<Duration, Misread> {
    read(text).map_err(|misread| misread.settled(read))
}

fn read(text: &str) -> Result<Duration, Misread> {
    check_outline(text, "a duration")?;
    let mut rest = text;
    let mut nearest = String::new();
    let mut wrong = None;
    while !rest.is_empty() {
        let (number, behind) = split_unit(rest);
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let known = understood(unit);
        if known != Some(unit) {
            wrong.get_or_insert(unit);
        }
        nearest += number;
        nearest += known.unwrap_or(unit);
        rest = next;
    }
    match wrong {
        Some("") => Err(Misread::new("a duration needs a unit").suggest(nearest)),
        Some(unit) => Err(Misread::new(format!("there is no unit `{unit}`")).suggest(nearest)),
        None => match humantime::parse_duration(text) {
            Ok(duration) if duration > LONGEST => Err(Misread::new("that is more than a hundred years")),
            read => read.map_err(|error| Misread::new(error.to_string())),
        },
    }
}

/// The unit that `unit` is or was probably meant to be. A bare number is seconds.
fn understood(unit: &str) -> Option<&'static str> {
    if unit.is_empty() {
        return Some("s");
    }
    let unit = unit.to_lowercase();
    UNITS
        .iter()
        .find(|(name, others)| *name == unit || others.contains(&unit.as_str()))
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(text: &str, message: &str, suggestion: Option<&str>) {
        let misread = parse_duration(text).unwrap_err();
        assert_eq!(
            (misread.message.as_str(), misread.suggestion.as_deref()),
            (message, suggestion)
        );
    }

    #[test]
    fn units_are_short_and_lower_case() {
        for (text, duration) in [
            ("500ms", Duration::from_millis(500)),
            ("5s", Duration::from_secs(5)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_secs(120)),
            ("1h30m", Duration::from_secs(5400)),
            ("10us", Duration::from_micros(10)),
            ("7ns", Duration::from_nanos(7)),
            ("1d", Duration::from_secs(86_400)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn wrong_spellings_get_the_right_one() {
        refused("5", "a duration needs a unit", Some("5s"));
        refused("5M", "there is no unit `M`", Some("5m"));
        refused("5S", "there is no unit `S`", Some("5s"));
        refused("5sec", "there is no unit `sec`", Some("5s"));
        refused("5µs", "there is no unit `µs`", Some("5us"));
        refused("5 s", "a duration has no space in it", Some("5s"));
        refused("1h30", "a duration needs a unit", Some("1h30s"));
        refused("-5s", "a duration cannot be negative", Some("5s"));
    }

    #[test]
    fn hopeless_duration_gets_no_suggestion() {
        refused("5y", "there is no unit `y`", None);
        refused("", "a duration is expected", None);
        refused("soon", "a duration begins with a digit", None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r"[0-9.nuµmshdM -]{0,30}|.{0,8}") {
            let _ = parse_duration(&text);
        }
    }
}
