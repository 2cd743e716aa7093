//! The numbers of JSON, compared exactly: no float has room for all of them.

use std::cmp::Ordering;

use super::Scanner;

/// Whether `text` is a number as JSON writes it, and nothing else.
#[must_use]
pub fn is_number(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'-' | b'0'..=b'9')) && Scanner::new().scan(text, true) == Ok(Some(text.len()))
}

/// Compares two numbers of JSON by their values.
#[must_use]
pub fn compare_numbers(one: &[u8], other: &[u8]) -> Ordering {
    if let (Some(one), Some(other)) = (small(one), small(other)) {
        return one.cmp(&other);
    }
    let (one, other) = (Decimal::of(one), Decimal::of(other));
    match (one.sign(), other.sign()) {
        (1, 1) => one.compare_magnitude(&other),
        (-1, -1) => other.compare_magnitude(&one),
        (sign, other_sign) => sign.cmp(&other_sign),
    }
}

/// The value of an integer of few digits.
fn small(number: &[u8]) -> Option<i64> {
    let (digits, sign) = match number.strip_prefix(b"-") {
        Some(digits) => (digits, -1),
        None => (number, 1),
    };
    let is_small = digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    is_small.then(|| {
        let value = digits
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        sign * value
    })
}

/// A number as `0.DIGITS` times a power of ten; the first digit is not 0.
struct Decimal<'a> {
    is_negative: bool,
    /// The digits before and behind the point, without leading zeros.
    digits: [&'a [u8]; 2],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(number: &'a [u8]) -> Self {
        let (is_negative, number) = match number.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let split = |bytes: &'a [u8], at: Option<usize>| match at {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (bytes, &[][..]),
        };
        let (mantissa, power) = split(number, number.iter().position(|byte| matches!(byte, b'e' | b'E')));
        let (whole, fraction) = split(mantissa, mantissa.iter().position(|byte| *byte == b'.'));
        let zeros = |digits: &[u8]| digits.iter().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros(whole)..];
        let skipped = if whole.is_empty() { zeros(fraction) } else { 0 };
        let point = if whole.is_empty() {
            -i64::try_from(skipped).unwrap_or(i64::MAX)
        } else {
            i64::try_from(whole.len()).unwrap_or(i64::MAX)
        };
        Self {
            is_negative,
            digits: [whole, &fraction[skipped..]],
            exponent: read_power(power).saturating_add(point),
        }
    }

    /// -1, 0 or 1. There is one zero.
    fn sign(&self) -> i8 {
        match (self.digits, self.is_negative) {
            ([[], []], _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let digits = |decimal: &Self| {
            let [whole, fraction] = decimal.digits;
            whole.len() + fraction.len()
        };
        let length = digits(self).max(digits(other));
        let padded = |decimal: &Self| {
            let [whole, fraction] = decimal.digits;
            whole
                .iter()
                .chain(fraction)
                .copied()
                .chain(std::iter::repeat(b'0'))
                .take(length)
        };
        let exponents = self.exponent.cmp(&other.exponent);
        exponents.then_with(|| padded(self).cmp(padded(other)))
    }
}

/// The largest power of ten that is told from others; the margin is for the places before and behind the point.
const MOST: i64 = i64::MAX / 4;

/// A power of ten; one that is too large for a number is the largest there is.
fn read_power(power: &[u8]) -> i64 {
    let (digits, sign) = match power.split_first() {
        Some((b'-', digits)) => (digits, -1),
        Some((b'+', digits)) => (digits, 1),
        _ => (power, 1),
    };
    let value = digits.iter().fold(0_i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit.wrapping_sub(b'0') & 15))
            .min(MOST)
    });
    sign * value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compared(one: &str, other: &str) -> Ordering {
        compare_numbers(one.as_bytes(), other.as_bytes())
    }

    #[test]
    fn numbers_compare_by_value() {
        for equal in [
            ["1", "1.0"],
            ["1e2", "100"],
            ["0", "-0"],
            ["0e9", "0.000"],
            ["12.5e-1", "1.25"],
            ["0.001E3", "1"],
            ["123456789012345678901", "1.23456789012345678901e20"],
            ["-1.50", "-1.5"],
        ] {
            assert_eq!(compared(equal[0], equal[1]), Ordering::Equal, "{equal:?}");
        }
        for rising in [
            ["9007199254740992", "9007199254740993"],
            ["9223372036854775807", "9223372036854775808"],
            ["1e308", "1e400"],
            ["-1e400", "-1e308"],
            ["-1", "0"],
            ["-0", "1e-999"],
            ["0.1", "0.10000000000000000001"],
            ["99", "100"],
            ["-2", "-1.5"],
            ["1e-99999999999999999999", "1e99999999999999999999"],
        ] {
            assert_eq!(compared(rising[0], rising[1]), Ordering::Less, "{rising:?}");
            assert_eq!(compared(rising[1], rising[0]), Ordering::Greater, "{rising:?}");
        }
    }

    #[test]
    fn only_whole_numbers_are_numbers() {
        for text in ["0", "-0", "1e5", "1.5E+3", "10"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in [
            "", "-", "01", "1.", ".5", "+1", "1e", " 1", "1 ", "0x1", "NaN", "1,2", "1_0", "true",
        ] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn floats_compare_as_numbers_do(one in -1e9..1e9_f64, other in -1e9..1e9_f64, whole: i32) {
            let expected = one.partial_cmp(&other).expect("no NaN");
            prop_assert_eq!(compared(&format!("{one:e}"), &format!("{other}")), expected);
            let expected = one.partial_cmp(&f64::from(whole)).expect("no NaN");
            prop_assert_eq!(compared(&format!("{one}"), &whole.to_string()), expected);
        }
    }
}
