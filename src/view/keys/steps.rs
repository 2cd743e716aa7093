//! Preferred rates as steps of the `+` and `-` keys.

/// The preferred numbers of ISO 3, series R'20, in hundredths: each is 10 to 14 % above the one before.
const PREFERRED: [u64; 20] = [
    100, 110, 125, 140, 160, 180, 200, 220, 250, 280, 320, 360, 400, 450, 500, 560, 630, 710, 800, 900,
];

/// All whole preferred numbers in ascending order.
fn preferred() -> impl DoubleEndedIterator<Item = u64> {
    let decades = (0..19).map(|power| 10_u64.pow(power));
    decades.flat_map(|decade| {
        PREFERRED.into_iter().filter_map(move |hundredths| {
            let whole = u128::from(hundredths) * u128::from(decade);
            (whole % 100 == 0).then(|| u64::try_from(whole / 100).unwrap_or(u64::MAX))
        })
    })
}

/// The next preferred rate above `rate`, per second.
#[must_use]
pub fn faster(rate: u64) -> u64 {
    preferred().find(|one| *one > rate).unwrap_or(rate)
}

/// The next preferred rate below `rate`, per second; never 0.
#[must_use]
pub fn slower(rate: u64) -> u64 {
    preferred().rev().find(|one| *one < rate).unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_nice_number_nearby() {
        for (rate, up, down) in [
            (1_000_000, 1_100_000, 900_000),
            (1_048_576, 1_100_000, 1_000_000),
            (5_000_000, 5_600_000, 4_500_000),
            (999, 1_000, 900),
            (10, 11, 9),
            (1, 2, 1),
        ] {
            assert_eq!((faster(rate), slower(rate)), (up, down), "from {rate}");
        }
    }

    #[test]
    fn rate_steps_are_at_most_a_quarter() {
        let mut rate = 20;
        while rate < 1_000_000_000_000 {
            let next = faster(rate);
            assert!(next > rate && (next - rate) * 4 <= rate, "{rate} to {next}");
            assert_eq!(slower(next), rate);
            rate = next;
        }
    }

    #[test]
    fn there_is_a_fastest_and_a_slowest() {
        assert_eq!((faster(u64::MAX), slower(1)), (u64::MAX, 1));
    }
}
