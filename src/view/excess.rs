//! Formats how far a value is above its mark.

/// `1.4×`, `63×`; `None` if it is not above.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
pub fn excess(value: u64, mark: u64) -> Option<String> {
    if value <= mark || mark == 0 {
        return None;
    }
    let times = value as f64 / mark as f64;
    Some(if times < 9.95 {
        format!("{times:.1}×")
    } else {
        format!("{times:.0}×")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_below_mark_has_no_excess() {
        assert_eq!(excess(10, 10), None);
        assert_eq!(excess(10, 0), None);
    }

    #[test]
    fn two_digits_are_enough() {
        let shown = [11, 14, 99, 100, 6_340].map(|value| excess(value, 10).expect("above"));
        assert_eq!(shown, ["1.1×", "1.4×", "9.9×", "10×", "634×"]);
    }
}
