//! Decimal numbers with a unit, in exact integer arithmetic.

use super::Misread;

/// The value of a unit: `scale / per` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    pub(super) scale: u64,
    pub(super) per: u64,
}

impl Unit {
    /// A unit of `scale` bytes.
    pub(super) const fn bytes(name: &'static str, scale: u64) -> Self {
        Self { name, scale, per: 1 }
    }

    /// A unit of `scale` bits.
    pub(super) const fn bits(name: &'static str, scale: u64) -> Self {
        Self { name, scale, per: 8 }
    }
}

/// Splits `text` at the end of its number. The unit may be anything.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `number` times `unit`, in bytes, cut off below a whole byte.
///
/// # Errors
/// If `number` is not `DIGITS` or `DIGITS.DIGITS`, does not fit in 64 bits of bytes, or is above zero but less than a
/// byte.
pub(super) fn multiply(number: &str, unit: Unit) -> Result<u64, Misread> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(not_a_number(number, unit.name));
    }
    let too_large = || Misread::new("more than fits 64 bits of bytes");
    let scale = u128::from(unit.scale);
    // Cutting off after each division gives the same as cutting off once at the end, so any number of digits is exact.
    let below_one = fraction
        .bytes()
        .rev()
        .fold(0, |below, digit| (u128::from(digit - b'0') * scale + below) / 10);
    let total = whole
        .parse::<u128>()
        .ok()
        .and_then(|whole| whole.checked_mul(scale)?.checked_add(below_one))
        .ok_or_else(too_large)?;
    let bytes = u64::try_from(total / u128::from(unit.per)).map_err(|_| too_large())?;
    let is_something = number.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if bytes == 0 && is_something {
        return Err(Misread::new("less than one byte").suggest("1"));
    }
    Ok(bytes)
}

fn not_a_number(number: &str, unit: &str) -> Misread {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let misread = Misread::new("a number is digits, with an optional point and digits behind it");
    match fraction {
        _ if number.is_empty() || number == "." => misread,
        "" => misread.suggest(format!("{whole}{unit}")),
        _ => misread.suggest(format!("{whole}.{fraction}{unit}")),
    }
}

/// Checks the outline of `text` before its unit, and suggests the nearest text that is better.
///
/// `noun` names the expected value, with its article.
pub(super) fn check_outline(text: &str, noun: &str) -> Result<(), Misread> {
    if text.is_empty() {
        return Err(Misread::new(format!("{noun} is expected")));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return Err(Misread::new(format!("{noun} cannot be negative")).suggest(rest));
    }
    if let Some(rest) = text.strip_prefix('+') {
        return Err(Misread::new(format!("{noun} has no sign")).suggest(rest));
    }
    if text.contains(char::is_whitespace) {
        let joined: String = text.split_whitespace().collect();
        return Err(Misread::new(format!("{noun} has no space in it")).suggest(joined));
    }
    if text.contains('_') {
        return Err(Misread::new(format!("{noun} has no `_` in it")).suggest(text.replace('_', "")));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(Misread::new(format!("{noun} begins with a digit")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_digits_stay_exact() {
        let tebi = Unit::bytes("T", 1 << 40);
        assert_eq!(multiply("0.0000000000009094947017729282379150390625", tebi), Ok(1));
        assert_eq!(
            multiply("0.9999999999999999999999999999999999999999999999", tebi),
            Ok((1 << 40) - 1)
        );
        assert_eq!(multiply("1.99999999999999", Unit::bytes("", 1)), Ok(1));
    }

    #[test]
    fn bits_are_cut_to_bytes() {
        let bits = Unit::bits("bit", 1);
        assert_eq!(multiply("8", bits), Ok(1));
        assert_eq!(multiply("15.9", bits), Ok(1));
        assert_eq!(multiply("7", bits).unwrap_err().message, "less than one byte");
    }
}
