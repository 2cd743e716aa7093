//! A contrast for tests and the README, recorded from a real run of `highwater demo`.

use std::time::Duration;

use super::{Contrast, Course, End, Point, Subject};

const MIB: u64 = 1 << 20;
/// The rates of the source and the reader, in bytes per second.
const RATES: [u64; 2] = [29_000_000, 2_000_000];

/// Resident KiB, five times a second.
#[allow(clippy::unreadable_literal, reason = "a table is read by its columns")]
const IGNORING: &[u64] = &[
    16692, 22620, 28296, 33812, 39600, 45184, 50904, 53560, 58480, 64064, 69852, 74960, 80236, 85624, 91140, 96860,
    102444, 107484, 112524, 117020, 122604, 128124, 133844, 139428, 145004, 150596, 156248, 160472, 164692, 169596,
    175588, 181308,
];
const HEEDING: &[u64] = &[
    9048, 9088, 9088, 9288, 9288, 9292, 9292, 9296, 9300, 9300, 9304, 9308, 9328, 9336, 9336, 9336, 9336, 9336, 9336,
    9340, 9344, 9348, 9352, 9356, 9360, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364, 9364,
    9364, 9556,
];

/// The recorded contrast.
#[must_use]
pub fn recorded() -> Contrast {
    let stopped = "stopped at 180 MiB resident (--max-rss): 11 times the ceiling of a bounded run; at this rate memory would \
                   have been full in 14 min; without --ignore-backpressure the same chain stays below 17.0 MiB";
    let ignoring = End {
        code: 7,
        error: Some(stopped.to_owned()),
        last: Point {
            at: Duration::from_millis(6_640),
            rss: 188_874_752,
            given: 181_862_400,
            delivered: 13_137_200,
            paused: 0.0,
        },
        peak: 188_874_752,
    };
    let heeding = End {
        code: 0,
        error: None,
        last: Point {
            at: Duration::from_millis(8_146),
            rss: 9_785_344,
            given: 16_121_856,
            delivered: 16_121_856,
            paused: 0.978,
        },
        peak: 9_850_880,
    };
    let [source_rate, sink_rate] = RATES;
    Contrast {
        subject: Subject::Backpressure,
        ceiling: 17 * MIB,
        top: 180 * MIB,
        span: Duration::from_millis(8_146),
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
