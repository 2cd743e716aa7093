//! A contrast for tests and the README, recorded from a real run of `highwater demo`.

use std::time::Duration;

use super::{Contrast, Course, End, Point, Subject};

const MIB: u64 = 1 << 20;
/// The rates of the source and the reader, in bytes per second.
const RATES: [u64; 2] = [26_000_000, 2_000_000];

/// Resident KiB, five times a second.
#[allow(clippy::unreadable_literal, reason = "a table is read by its columns")]
const IGNORING: &[u64] = &[
    11336, 16156, 20972, 25908, 30208, 35132, 40064, 44940, 49808, 54608, 59412, 64152, 68836, 73920, 78596, 83532,
    87824, 92308, 97304, 102036, 105760, 110684, 115432, 120420, 125232, 129644, 133688, 139448, 143996, 149052,
    152896, 157064,
];
const HEEDING: &[u64] = &[
    5040, 5904, 6168, 6168, 6168, 6172, 6172, 6172, 6172, 6172, 6172, 6172, 6172, 6172, 6176, 6176, 6176, 6176, 6176,
    6176, 6176, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6184, 6200,
    6200, 6520, 6520,
];

/// The recorded contrast.
#[must_use]
pub fn recorded() -> Contrast {
    let stopped = "stopped at 156 MiB resident (--max-rss): 12 times the ceiling of a bounded run; at this rate memory would \
                   have been full in 16 min; without --ignore-backpressure the same chain stays below 13.0 MiB";
    let ignoring = End {
        code: 7,
        error: Some(stopped.to_owned()),
        last: Point {
            at: Duration::from_millis(6_612),
            rss: 164_229_120,
            given: 168_296_448,
            delivered: 13_191_664,
            paused: 0.0,
        },
        peak: 164_229_120,
    };
    let heeding = End {
        code: 0,
        error: None,
        last: Point {
            at: Duration::from_millis(8_400),
            rss: 6_709_248,
            given: 16_575_440,
            delivered: 16_575_440,
            paused: 0.956,
        },
        peak: 6_709_248,
    };
    let [source_rate, sink_rate] = RATES;
    Contrast {
        subject: Subject::Backpressure,
        ceiling: 13 * MIB,
        top: 156 * MIB,
        span: Duration::from_millis(8_400),
        source_rate,
        sink_rate,
        ignoring: course(IGNORING, source_rate, 0, 0.0, ignoring),
        heeding: course(HEEDING, sink_rate, MIB, 0.97, heeding),
    }
}

/// Of `highwater demo --records`, in twelve steps.
#[must_use]
pub fn records() -> Contrast {
    let run = |resident: [u64; 12]| {
        let moments = (0..).map(|count| Duration::from_millis(700 * count));
        let points = moments.zip(resident).map(|(at, mib)| Point {
            at,
            rss: mib * MIB,
            given: 60 * MIB,
            delivered: 30 * MIB,
            paused: 0.98,
        });
        let points: Vec<Point> = points.collect();
        let last = Point {
            given: 72 * MIB,
            delivered: 72 * MIB,
            ..points[11]
        };
        Course {
            end: Some(End {
                code: 0,
                error: None,
                last,
                peak: resident.into_iter().max().unwrap_or(0) * MIB,
            }),
            points,
        }
    };
    Contrast {
        subject: Subject::Records,
        ceiling: 13 * MIB,
        top: 55 * MIB,
        span: Duration::from_secs(8),
        source_rate: 20,
        sink_rate: 20,
        ignoring: run([6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 45, 45]),
        heeding: run([6, 9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10]),
    }
}

/// A run whose source gave `ahead` bytes and then `rate` per second, with one observation at the end.
fn course(resident: &[u64], rate: u64, ahead: u64, paused: f64, end: End) -> Course {
    let moments = (0..).map(|count| 310 + 200 * count);
    let points = moments.zip(resident).map(|(millis, kib)| Point {
        at: Duration::from_millis(millis),
        rss: kib << 10,
        given: ahead + rate * millis / 1000,
        delivered: RATES[1] * millis / 1000,
        paused,
    });
    Course {
        points: points.chain([end.last]).collect(),
        end: Some(end),
    }
}
