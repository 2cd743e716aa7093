//! A service with made-up numbers, for the picture in the README.

use std::time::Duration;

use crate::engine::Share;
use crate::view::live::{Line, Size};

use super::look::{Row, Sight};
use super::picture::lines;

/// The live view of a service with 20 clients, of which 12 are slow.
#[must_use]
pub fn picture(size: Size) -> Vec<Line> {
    lines(&twenty_clients(), size, None)
}

/// 20 clients, of which 12 are slow.
pub(super) fn twenty_clients() -> Sight {
    let row = |number: u32| {
        let is_slow = number % 5 < 3;
        let backpressured = if is_slow { 0.97 } else { 0.04 };
        let busy = if is_slow { 0.02 } else { 0.93 };
        let rate = if is_slow {
            8e3 + 3.1e3 * f64::from(number)
        } else {
            4.2e6
        };
        let age = Duration::from_millis(187_300 - 8_700 * u64::from(number));
        Row {
            client: format!("10.0.3.{}:{}", 17 + number * 3, 51_204 + number * 17),
            route: if number.is_multiple_of(3) {
                "/orders.csv.gz"
            } else {
                "/customers.csv"
            }
            .to_owned(),
            bytes: if is_slow {
                1_240_000 + 61_000 * u64::from(number)
            } else {
                611_000_000
            },
            rate,
            level: Some(if is_slow { (262_144, 262_144) } else { (24_000, 262_144) }),
            share: Some(Share {
                busy,
                backpressured,
                idle: 1.0 - busy - backpressured,
                ..Share::default()
            }),
            client_wait: backpressured,
            age,
        }
    };
    Sight {
        rows: (0..20).map(row).collect(),
        waiting: 3,
        clients: 20,
        held: 24_300_000,
        memory: 64 << 20,
        rss: 36_100_000,
        ended: [1_204, 2, 31, 12, 5],
        age: Duration::from_secs(5_425),
        is_draining: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_says_what_is_promised() {
        let lines = picture(Size { columns: 110, rows: 40 });
        let text: String = lines
            .iter()
            .flat_map(|line| &line.pieces)
            .map(|(_, text)| text.as_str())
            .collect();
        assert!(
            text.contains("12 of 20 runs wait for slow clients; the slowest takes 7.81 KiB/s"),
            "{text}"
        );
    }
}
