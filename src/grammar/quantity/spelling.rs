//! Formats sizes: exactly, so that they parse back, or rounded for reading.

use super::size::UNITS;

/// The shortest spelling of `bytes` that parses back to it: `256KiB`, `1MB`, `1.5MB`, `1234567`.
///
/// Of equally short ones a whole number with a unit comes first. `K` and similar units are not used: they are easily
/// misread.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let units = || {
        UNITS
            .iter()
            .filter(|unit| unit.name.ends_with('B') && unit.name != "KB")
    };
    let whole = units()
        .filter(|unit| bytes != 0 && bytes.is_multiple_of(unit.scale))
        .map(|unit| format!("{}{}", bytes / unit.scale, unit.name));
    let decimal = units().filter_map(|unit| Some(format!("{}{}", exact_decimal(bytes, unit.scale)?, unit.name)));
    whole
        .chain([bytes.to_string()])
        .chain(decimal)
        .min_by_key(String::len)
        .unwrap_or_default()
}

/// `bytes / scale` with a decimal point, if at most three decimals are exact; with more, a smaller unit is shorter.
fn exact_decimal(bytes: u64, scale: u64) -> Option<String> {
    let mut text = format!("{}.", bytes / scale);
    let mut rest = u128::from(bytes % scale);
    for _ in 0..3 {
        rest *= 10;
        text += &(rest / u128::from(scale)).to_string();
        rest %= u128::from(scale);
        if rest == 0 {
            return Some(text);
        }
    }
    None
}

/// `bytes` rounded for reading, with three significant digits and a binary unit: `12.0 MiB`. Below 1 KiB it is exact:
/// `512 B`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let scales = (10_u32..).step_by(10).map(|shift| 1_u128 << shift);
    let number = units.into_iter().zip(scales).find_map(|(unit, scale)| {
        let number = three_digits(bytes, scale, 1024)?;
        Some(format!("{number} {unit}"))
    });
    number.unwrap_or_else(|| unreachable!("2^64 bytes are 16 EiB"))
}

/// `count` for reading: exact below 10,000, then with three significant digits: `12.3k`, `4.56M`.
#[must_use]
pub fn human_count(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    let units = ["k", "M", "G", "T", "P", "E"];
    let scales = (1..).map(|power| 1000_u128.pow(power));
    let number = units.into_iter().zip(scales).find_map(|(unit, scale)| {
        let number = three_digits(count, scale, 1000)?;
        Some(number + unit)
    });
    number.unwrap_or_else(|| unreachable!("2^64 are 18 E"))
}

/// `value / unit` rounded to three significant digits; `None` if that is `limit` or more.
fn three_digits(value: u64, unit: u128, limit: u128) -> Option<String> {
    [(2, 1000), (1, 1000), (0, limit)]
        .into_iter()
        .find_map(|(decimals, limit)| {
            let scale = 10_u128.pow(decimals);
            // Rounding may add a digit (9.999 → 10.00), so it comes before the choice of digits and of the unit.
            let rounded = (u128::from(value) * scale + unit / 2) / unit;
            let (whole, below) = (rounded / scale, rounded % scale);
            (rounded < limit).then(|| match decimals {
                0 => whole.to_string(),
                1 => format!("{whole}.{below}"),
                _ => format!("{whole}.{below:02}"),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::super::parse_size;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exact_sizes_are_short() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1000, "1kB"),
            (1024, "1KiB"),
            (1500, "1500"),
            (4097, "4097"),
            (262_144, "256KiB"),
            (1_000_000, "1MB"),
            (1_234_567, "1234567"),
            (1_500_000, "1.5MB"),
            (1_572_864, "1.5MiB"),
            (8 << 20, "8MiB"),
            (1 << 40, "1TiB"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn human_sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_239, "10.0 KiB"),
            (102_400, "100 KiB"),
            (1023 << 10, "1023 KiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (12 << 20, "12.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn human_counts_are_exact_or_short() {
        for (count, text) in [
            (0, "0"),
            (9999, "9999"),
            (10_000, "10.0k"),
            (99_949, "99.9k"),
            (99_950, "100k"),
            (999_500, "1.00M"),
            (3_000_000, "3.00M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(human_count(count), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(digits in 0..1000_u64, shift in 0..54_u32, any: u64) {
            for bytes in [digits << shift, any, any >> shift, digits * 10_u64.pow(shift % 16)] {
                prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            }
        }

        #[test]
        fn human_sizes_never_panic(bytes: u64, shift in 0..64_u32) {
            prop_assert!(human_size(bytes >> shift).len() <= 8);
        }
    }
}
