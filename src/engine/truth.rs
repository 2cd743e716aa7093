//! Pipelines whose bottleneck and shares are known by construction, on a paused clock: the snapshots must show exactly
//! those, and a stall only where there is one.
//!
//! A pipeline moves at the pace of its slowest stage, so a stage that takes `c` ms where the slowest takes `m` is busy
//! for `c / m` of its time, and waits for the rest: for room if it is before the slowest, for input if it is behind it.

use std::time::Duration;

use super::{Share, Snapshot, StageSample};
use crate::flow::Wait;
use crate::graph::Id;

mod bench;

use bench::{Fake, Pace, codec, disk, observe, peer, stalls_after, throttle, with};

/// The promised accuracy of a share.
const ACCURACY: f64 = 0.03;

/// Busy, idle and backpressured.
type Shares = [f64; 3];

fn shares(snapshot: &Snapshot) -> Vec<Shares> {
    let of = |share: &Share| [share.busy, share.idle, share.backpressured];
    snapshot.stages.values().iter().map(|stage| of(&known(stage))).collect()
}

fn known(stage: &StageSample) -> Share {
    stage.share.expect("these stages are linked")
}

/// The shares that follow from costs in milliseconds: the slowest is busy all the time.
fn by_costs(costs: &[f64]) -> Vec<Shares> {
    let most = costs.iter().copied().fold(0.0, f64::max);
    let slowest = costs.iter().position(|cost| *cost >= most).expect("a stage");
    let share = |(at, cost): (usize, &f64)| {
        let (busy, rest) = (cost / most, 1.0 - cost / most);
        if at < slowest {
            [busy, 0.0, rest]
        } else {
            [busy, rest, 0.0]
        }
    };
    costs.iter().enumerate().map(share).collect()
}

/// Observes a pipeline for a minute, from when the window of five seconds is past its start: no share may ever be
/// farther off than promised, their means are exact, and the bottleneck is always named right.
#[track_caller]
fn tells_the_truth(fakes: &[Fake], expected: &[Shares], slowest: usize) {
    let mut sums = vec![[0.0; 3]; fakes.len()];
    let mut looks = 0.0;
    observe(fakes, 60, |tenth, snapshot| {
        if tenth <= 60 {
            return;
        }
        looks += 1.0;
        assert_eq!(
            snapshot.bottleneck.map(Id::number),
            Some(slowest),
            "after {tenth} tenths: {:?}",
            shares(snapshot)
        );
        for (at, (seen, expected)) in shares(snapshot).iter().zip(expected).enumerate() {
            for part in 0..3 {
                let error = (seen[part] - expected[part]).abs();
                assert!(
                    error <= ACCURACY,
                    "stage {at} after {tenth} tenths: {seen:?}, not {expected:?}"
                );
                sums[at][part] += seen[part];
            }
        }
    });
    for (at, (sum, expected)) in sums.iter().zip(expected).enumerate() {
        for part in 0..3 {
            let error = (sum[part] / looks - expected[part]).abs();
            assert!(
                error <= 0.002,
                "stage {at} in the mean: {:?}, not {expected:?}",
                sum.map(|sum| sum / looks)
            );
        }
    }
}

#[track_caller]
fn tells_costs(fakes: &[Fake], costs: &[f64], slowest: usize) {
    tells_the_truth(fakes, &by_costs(costs), slowest);
}

#[test]
fn a_slow_source_is_named() {
    tells_costs(&[disk(10), codec(3), peer(2)], &[10.0, 3.0, 2.0], 0);
    tells_costs(&[disk(10), codec(9), peer(9)], &[10.0, 9.0, 9.0], 0);
}

#[test]
fn a_slow_codec_is_named() {
    tells_costs(&[disk(2), codec(10), peer(4)], &[2.0, 10.0, 4.0], 1);
}

#[test]
fn throttle_is_named_with_its_wait() {
    let fakes = [disk(1), codec(3), throttle(10), peer(2)];
    tells_costs(&fakes, &[1.0, 3.0, 10.0, 2.0], 2);
    observe(&fakes, 20, |tenth, snapshot| {
        if tenth > 60 {
            assert!(
                known(&snapshot.stages.values()[2]).throttling > 1.0 - ACCURACY,
                "{:?}",
                snapshot.stages.values()[2]
            );
        }
    });
}

#[test]
fn slow_sink_is_named_despite_busy_neighbour() {
    tells_costs(&[disk(2), codec(6), peer(10)], &[2.0, 6.0, 10.0], 2);
    tells_costs(&[disk(8), codec(8), peer(10)], &[8.0, 8.0, 10.0], 2);
}

#[test]
fn bursty_peer_is_named() {
    // Its kernel queue takes eight chunks, and nothing until its program has read them.
    let slow = with("write", Some(Wait::Outside), Pace::Burst { chunks: 8, millis: 80 });
    tells_costs(&[disk(2), codec(4), slow], &[2.0, 4.0, 10.0], 2);
}

#[test]
fn bursty_source_is_named() {
    let bursts = with("read", Some(Wait::Outside), Pace::Burst { chunks: 8, millis: 100 });
    // It sends eight chunks in 100 ms; the others have 32 ms and 16 ms of work with them.
    tells_costs(&[bursts, codec(4), peer(2)], &[12.5, 4.0, 2.0], 0);
}

#[test]
fn currently_slow_stage_is_named() {
    const SECONDS: u64 = 20;
    let pace = |millis| Pace::Alternating {
        seconds: SECONDS,
        millis,
    };
    let fakes = [
        with("read", Some(Wait::Outside), pace([10, 2])),
        codec(1),
        with("write", Some(Wait::Outside), pace([2, 10])),
    ];
    observe(&fakes, 120, |tenth, snapshot| {
        let (phase, within) = ((tenth - 1) / 10 / SECONDS % 2, (tenth - 1) % (SECONDS * 10));
        // Half a window into its phase, the new one has the larger part of it, whatever the links still held.
        if within > 35 {
            let expected = [0, 2][usize::try_from(phase).expect("0 or 1")];
            assert_eq!(
                snapshot.bottleneck.map(Id::number),
                Some(expected),
                "{tenth} tenths: {:?}",
                shares(snapshot)
            );
        }
        if within > 60 {
            let expected = by_costs(&[[10.0, 1.0, 2.0], [2.0, 1.0, 10.0]][usize::from(phase == 1)]);
            for (seen, expected) in shares(snapshot).iter().flatten().zip(expected.iter().flatten()) {
                assert!(
                    (seen - expected).abs() <= ACCURACY,
                    "{tenth} tenths: {:?}",
                    shares(snapshot)
                );
            }
        }
    });
}

#[test]
fn short_phases_do_not_flap() {
    let pace = |millis| Pace::Alternating { seconds: 1, millis };
    // One second the source is the slower one, by a quarter; the next the sink is, by far: over both it is busier.
    let fakes = [
        with("read", Some(Wait::Outside), pace([4, 1])),
        with("write", Some(Wait::Outside), pace([3, 16])),
    ];
    observe(&fakes, 60, |tenth, snapshot| {
        if tenth > 60 {
            assert_eq!(
                snapshot.bottleneck.map(Id::number),
                Some(1),
                "{tenth} tenths: {:?}",
                shares(snapshot)
            );
        }
    });
}

#[test]
fn one_of_two_equal_stages_stays_named() {
    let fakes = [disk(10), codec(2), peer(10)];
    let mut named = Vec::new();
    observe(&fakes, 60, |tenth, snapshot| {
        if tenth > 60 {
            named.push(snapshot.bottleneck.map(Id::number));
            for at in [0, 2] {
                assert!(shares(snapshot)[at][0] > 1.0 - ACCURACY, "{:?}", shares(snapshot));
            }
        }
    });
    named.dedup();
    assert!(named == [Some(0)] || named == [Some(2)], "{named:?}");
}

#[test]
fn only_a_silent_peer_stalls() {
    const LIMIT: Duration = Duration::from_secs(10);
    const AN_HOUR: u64 = 3600;
    for silence in [9_000, 9_900] {
        assert_eq!(stalls_after(&[disk(2), codec(4), peer(silence)], LIMIT, AN_HOUR), None);
        assert_eq!(stalls_after(&[disk(silence), codec(4), peer(2)], LIMIT, AN_HOUR), None);
    }
    // The first look after the links are full, a second after the start, is the last one that sees motion.
    assert_eq!(
        stalls_after(&[disk(11_000), codec(4), peer(2)], LIMIT, AN_HOUR),
        Some(10)
    );
    assert_eq!(
        stalls_after(&[disk(2), codec(4), peer(12_000)], LIMIT, AN_HOUR),
        Some(11)
    );
}
