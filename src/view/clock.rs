//! Times for eyes.

use std::time::Duration;

/// `0.42 s`, `12.3 s`, `2:05`, `1:02:05`.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = time.as_secs();
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A time that passes: `4.2 s`, `2:05`.
#[must_use]
pub fn passing(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else {
        clock(time)
    }
}

/// How long something will take: an estimate has no tenths.
#[must_use]
pub fn estimate(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs() + 1);
    if whole < Duration::from_secs(60) {
        return format!("{} s", whole.as_secs());
    }
    clock(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_as_many_digits_as_matter() {
        for (millis, text) in [
            (0, "0.00 s"),
            (420, "0.42 s"),
            (9_994, "9.99 s"),
            (9_999, "10.0 s"),
            (59_940, "59.9 s"),
            (60_000, "1:00"),
            (3_725_000, "1:02:05"),
        ] {
            assert_eq!(clock(Duration::from_millis(millis)), text);
        }
    }
}
