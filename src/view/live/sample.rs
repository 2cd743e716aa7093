//! Snapshots for tests and the README, with the numbers of real runs.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{
    ChildSample, FileSample, LinkSample, Moment, Origin, RecordCounts, RunSample, Share, Snapshot, StageSample,
};
use crate::flow::{LinkLevels, RecordLevels};
use crate::graph::{EdgeMap, Graph, Id, Port};
use crate::stage::{OutputSize, Outside};

use super::history::History;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// `read big.iso | gzip | throttle 1MB/s | write tcp://127.0.0.1:9000` after half a minute.
#[must_use]
pub fn throttled() -> Snapshot {
    let stages = [
        stage("read", "read big.iso", [55_967_744; 2], 1_507_328.0, [0.0002, 0.0]),
        changing(stage(
            "gzip",
            "gzip",
            [55_574_528, 36_700_160],
            1_006_290.0,
            [0.0005, 0.0],
        )),
        throttling(stage(
            "throttle",
            "throttle 1MB/s",
            [36_306_944, 36_210_872],
            1_000_124.0,
            [1.0, 0.0],
        )),
        stage(
            "write",
            "write tcp://127.0.0.1:9000",
            [36_210_872; 2],
            1_000_124.0,
            [0.0086, 0.9914],
        ),
    ];
    let mut snapshot = Snapshot {
        moment: Moment::Running,
        origin: Origin::Run,
        run: RunSample {
            elapsed: Duration::from_millis(37_106),
            rss: 13_615_104,
            rss_peak: 13_623_296,
            buffered: 1_048_576,
            buffered_peak: 1_130_496,
            pool_free: 81_920,
            state: 2_933_600,
            state_peak: 2_933_600,
            limit: 8 * MIB,
            is_unbounded: false,
            expected: Some(73_400_320),
            resumed: 0,
            progress: None,
            remaining: None,
            paused: false,
            is_draining: false,
        },
        lane: "linked",
        graph: Arc::new(Graph::chain(stages.len())),
        bottleneck: Some(Id::numbered(2)),
        stages: stages.into_iter().collect(),
        links: [link(512 * KIB, 144, 367), link(512 * KIB, 139, 367), link(0, 0, 0)]
            .into_iter()
            .collect(),
        hashes: Vec::new(),
        urls: Vec::new(),
    };
    snapshot.measure_progress();
    snapshot
}

/// `read - | throttle 2MB/s | write /dev/null` six seconds after its backpressure was ignored.
#[must_use]
pub fn unbounded() -> Snapshot {
    let mut snapshot = throttled();
    snapshot.run.is_unbounded = true;
    snapshot.run.elapsed = Duration::from_millis(6_204);
    snapshot.run.expected = None;
    snapshot.graph = Arc::new(Graph::chain(3));
    snapshot.stages = [
        stage("read", "read -", [146 * MIB; 2], 24_700_000.0, [1.0, 0.0]),
        throttling(stage(
            "throttle",
            "throttle 2MB/s",
            [12_713_984, 12_410_000],
            2_000_100.0,
            [1.0, 0.0],
        )),
        stage("write", "write /dev/null", [12_410_000; 2], 2_000_100.0, [0.01, 0.99]),
    ]
    .into_iter()
    .collect();
    snapshot.bottleneck = Some(Id::numbered(1));
    (snapshot.run.buffered, snapshot.run.buffered_peak) = (134 * MIB, 134 * MIB);
    (snapshot.run.state, snapshot.run.state_peak, snapshot.run.pool_free) = (0, 0, 0);
    (snapshot.run.rss, snapshot.run.rss_peak) = (139 * MIB, 139 * MIB);
    let mut risen = link(134 * MIB, 1, 0);
    risen.levels.peak = 134 * MIB;
    risen.fill_rate = 22_700_000.0;
    snapshot.links = [risen, link(0, 0, 0)].into_iter().collect();
    snapshot.measure_progress();
    snapshot
}

/// `read big.iso | write copy.iso`, copied by one system call.
#[must_use]
pub fn direct() -> Snapshot {
    let mut snapshot = throttled();
    snapshot.lane = "copy_file_range";
    snapshot.graph = Arc::new(Graph::chain(2));
    snapshot.stages = [
        stage("read", "read big.iso", [2_147_483_648; 2], 912_261_120.0, [1.0, 0.0]),
        stage("write", "write copy.iso", [2_147_483_648; 2], 912_261_120.0, [1.0, 0.0]),
    ]
    .into_iter()
    .map(|stage| StageSample { share: None, ..stage })
    .collect();
    snapshot.links = EdgeMap::default();
    snapshot.run.expected = Some(4_294_967_296);
    snapshot.run.elapsed = Duration::from_millis(2_351);
    (snapshot.run.buffered, snapshot.run.buffered_peak) = (0, 0);
    (snapshot.run.state, snapshot.run.state_peak) = (0, 0);
    snapshot.bottleneck = Some(Id::numbered(0));
    snapshot.measure_progress();
    snapshot
}

/// `read big.iso | tee (gzip | write a.gz) (write slow.img) | hash sha256 | write copy.iso`, whose second branch is slow.
#[must_use]
pub fn branched() -> Snapshot {
    let mut snapshot = throttled();
    let mut graph = Graph::chain(2);
    let tee = Id::numbered(1);
    let gzip = graph.append(tee, Port::Bytes);
    graph.append(gzip, Port::Bytes);
    graph.append(tee, Port::Bytes);
    let hash = graph.append(tee, Port::Bytes);
    graph.append(hash, Port::Bytes);
    snapshot.graph = Arc::new(graph);
    let mut slow = stage("write", "write slow.img", [32 * MIB; 2], 1_048_576.0, [0.99, 0.01]);
    slow.share.get_or_insert_default().outside = 0.98;
    slow.outside = Some(Outside::Disk);
    snapshot.stages = [
        stage("read", "read big.iso", [34 * MIB; 2], 1_048_576.0, [0.01, 0.0]),
        stage("tee", "tee", [33 * MIB; 2], 1_048_576.0, [0.0, 0.01]),
        changing(stage("gzip", "gzip", [33 * MIB, 20 * MIB], 640_000.0, [0.04, 0.96])),
        stage("write", "write a.gz", [20 * MIB; 2], 640_000.0, [0.01, 0.99]),
        slow,
        stage("hash", "hash sha256", [33 * MIB; 2], 1_048_576.0, [0.02, 0.98]),
        stage("write", "write copy.iso", [33 * MIB; 2], 1_048_576.0, [0.03, 0.97]),
    ]
    .into_iter()
    .collect();
    let empty = || link(0, 0, 0);
    let full = |times, millis| link(512 * KIB, times, millis);
    snapshot.links = [full(32, 990), empty(), empty(), full(31, 980), empty(), empty()]
        .into_iter()
        .collect();
    snapshot.bottleneck = Some(Id::numbered(4));
    snapshot.measure_progress();
    snapshot
}

/// `cat big.iso | zstd -9 | pv -q > big.iso.zst`, programs of others, after eight seconds.
#[must_use]
pub fn attached() -> Snapshot {
    let mut snapshot = throttled();
    let file = |name: &str, offset, size| FileSample {
        path: format!("/srv/{name}"),
        offset,
        size,
    };
    let stages = [
        (
            stage("cat", "cat big.iso", [67_108_864; 2], 8_388_608.0, [0.0011, 0.0]),
            2217,
            1_875_968,
            0.052,
        ),
        (
            changing(stage(
                "zstd",
                "zstd -9",
                [67_108_864, 20_443_136],
                2_555_392.0,
                [1.0, 0.0],
            )),
            2218,
            89_550_848,
            0.997,
        ),
        (
            stage("pv", "pv -q", [20_443_136; 2], 2_555_392.0, [0.0249, 0.9751]),
            2219,
            1_806_336,
            0.024,
        ),
    ];
    let stages = stages.into_iter().map(|(stage, pid, rss, cores)| StageSample {
        children: vec![ChildSample {
            pid,
            rss,
            cpu: Duration::from_secs_f64(cores * 8.0),
            cores,
        }],
        ..stage
    });
    snapshot.origin = Origin::Processes;
    snapshot.graph = Arc::new(Graph::chain(3));
    snapshot.stages = stages.collect();
    let ends = snapshot.stages.values_mut();
    ends[0].file = Some(file("big.iso", 101_449_728, 708_700_160));
    ends[2].file = Some(file("big.iso.zst", 22_245_376, 22_245_376));
    let mut links = [link(64 * KIB, 131, 212), link(0, 0, 0)];
    for link in &mut links {
        (link.levels.high, link.levels.low) = (64 * KIB, 60 * KIB);
    }
    snapshot.links = links.into_iter().collect();
    snapshot.bottleneck = Some(Id::numbered(1));
    snapshot.run = RunSample {
        elapsed: Duration::from_millis(8_009),
        rss: 93_233_152,
        rss_peak: 93_233_152,
        buffered: 64 * KIB,
        buffered_peak: 128 * KIB,
        limit: 128 * KIB,
        progress: Some(0.143),
        remaining: Some(Duration::from_secs(72)),
        ..RunSample::default()
    };
    snapshot
}

/// The memory of those programs.
#[must_use]
pub fn steady() -> History {
    let mut history = History::default();
    for half in 0..16_u32 {
        history.add(Duration::from_millis(500) * half, 93_233_152);
    }
    history
}

/// `read run.jsonl | from-json high-records=500 | where level == error | throttle 500records/s | write errors.jsonl` after
/// ten seconds.
#[must_use]
pub fn records() -> Snapshot {
    let with = |mut stage: StageSample, received, sent, record_rate| {
        stage.records = Some(RecordCounts {
            received,
            sent,
            ..RecordCounts::default()
        });
        stage.record_rate = record_rate;
        stage
    };
    let mut framer = stage(
        "from-json",
        "from-json high-records=500",
        [85 * MIB, 84 * MIB],
        8_400_000.0,
        [0.03, 0.0],
    );
    framer = with(framer, 0, 20_680, 2_000.0);
    framer.records.get_or_insert_default().rejected = 3;
    let filter = stage(
        "where",
        "where level == error",
        [82 * MIB, 21 * MIB],
        2_100_000.0,
        [0.02, 0.0],
    );
    let throttle = throttling(stage(
        "throttle",
        "throttle 500records/s",
        [20 * MIB; 2],
        2_048_000.0,
        [1.0, 0.0],
    ));
    let write = stage("write", "write errors.jsonl", [20 * MIB; 2], 2_048_000.0, [0.01, 0.99]);
    let mut snapshot = throttled();
    snapshot.graph = Arc::new({
        let mut graph = Graph::chain(2);
        let mut last = Id::numbered(1);
        for _ in 0..3 {
            last = graph.append(last, Port::Json);
        }
        graph
    });
    snapshot.stages = [
        stage("read", "read run.jsonl", [86 * MIB; 2], 8_600_000.0, [0.01, 0.0]),
        framer,
        with(filter, 20_180, 5_250, 512.0),
        with(throttle, 5_000, 5_000, 500.0),
        with(write, 5_000, 0, 500.0),
    ]
    .into_iter()
    .collect();
    let counted = |mut link: LinkSample, buffered, peak| {
        (link.levels.high, link.levels.low) = (4 * MIB, 2 * MIB);
        link.levels.peak = 3 * MIB;
        link.levels.records = Some(RecordLevels {
            buffered,
            peak,
            high: 500,
            low: 250,
        });
        link
    };
    snapshot.links = [
        link(512 * KIB, 40, 250),
        counted(link(2080 * KIB, 21, 480), 500, 500),
        counted(link(1228 * KIB, 12, 510), 388, 500),
        link(0, 0, 0),
    ]
    .into_iter()
    .collect();
    snapshot.bottleneck = Some(Id::numbered(3));
    snapshot.run.elapsed = Duration::from_millis(10_012);
    snapshot.run.expected = None;
    snapshot.measure_progress();
    snapshot
}

/// `exec tar c /usr/share | exec gzip -9 | write usr.tar.gz` after five seconds.
#[must_use]
pub fn programs() -> Snapshot {
    let program = |text, bytes, rate, busy, outside, child| {
        let mut stage = stage("exec", text, bytes, rate, busy);
        stage.share.get_or_insert_default().outside = outside;
        stage.outside = Some(Outside::Child);
        stage.children = vec![child];
        changing(stage)
    };
    let child = |pid, rss, cpu, cores| ChildSample {
        pid,
        rss,
        cpu: Duration::from_millis(cpu),
        cores,
    };
    let mut tar = program(
        "exec tar c /usr/share",
        [53_012_480; 2],
        10_382_650.0,
        [0.184, 0.0],
        0.167,
        child(10_672, 2_547_712, 270, 0.053),
    );
    (tar.kernel_queue, tar.kernel_queue_capacity, tar.kernel_queue_peak) = (Some(MIB), Some(MIB), MIB);
    let gzip = program(
        "exec gzip -9",
        [52_488_192, 14_680_064],
        2_875_130.0,
        [0.998, 0.002],
        0.978,
        child(10_673, 1_769_472, 5_020, 0.984),
    );
    let write = stage(
        "write",
        "write usr.tar.gz",
        [14_680_064; 2],
        2_875_130.0,
        [0.003, 0.997],
    );
    let mut snapshot = throttled();
    snapshot.graph = Arc::new(Graph::chain(3));
    snapshot.stages = [tar, gzip, write].into_iter().collect();
    // The pipes of both programs, joined in the kernel.
    let mut joined = link(2028 * KIB, 96, 168);
    (joined.levels.peak, joined.levels.high, joined.levels.low) = (2 * MIB, 2 * MIB, 2 * MIB - 64 * KIB);
    snapshot.links = [joined, link(0, 0, 0)].into_iter().collect();
    snapshot.bottleneck = Some(Id::numbered(1));
    snapshot.run.elapsed = Duration::from_millis(5_106);
    snapshot.run.expected = None;
    (snapshot.run.rss, snapshot.run.rss_peak) = (9_416_704, 9_416_704);
    (snapshot.run.buffered, snapshot.run.buffered_peak) = (0, 64 * KIB);
    (snapshot.run.state, snapshot.run.state_peak) = (32 * KIB, 32 * KIB);
    snapshot.measure_progress();
    snapshot
}

/// The memory of `throttled`, second by second.
#[must_use]
pub fn history() -> History {
    let mut history = History::default();
    for half in 0..74_u32 {
        let rss = match half {
            0 | 1 => 13_418_496,
            2..8 => 13_500_416,
            8..56 => 13_606_912,
            _ => 13_615_104,
        };
        history.add(Duration::from_millis(500) * half, rss);
    }
    history
}

/// A stage with these shares of busy and idle; the rest is backpressured.
#[must_use]
pub fn stage(
    name: &'static str,
    text: &str,
    [bytes_in, bytes_out]: [u64; 2],
    rate: f64,
    share: [f64; 2],
) -> StageSample {
    let [busy, idle] = share;
    StageSample {
        name: name.into(),
        text: text.to_owned(),
        bytes_in,
        bytes_out,
        share: Some(Share {
            busy,
            idle,
            backpressured: 1.0 - busy - idle,
            ..Share::default()
        }),
        rate,
        ..StageSample::default()
    }
}

fn changing(mut stage: StageSample) -> StageSample {
    stage.output_size = OutputSize::Changed;
    stage
}

fn throttling(mut stage: StageSample) -> StageSample {
    let share = stage.share.get_or_insert_default();
    share.throttling = share.busy;
    stage
}

/// A link of half a mebibyte that was full `times`, at most for `millis`.
fn link(buffered: u64, times: u64, millis: u64) -> LinkSample {
    LinkSample {
        levels: LinkLevels {
            buffered,
            peak: if times > 0 { 512 * KIB } else { 120 * KIB },
            high: 512 * KIB,
            low: 256 * KIB,
            times_full: times,
            times_empty: u64::from(times == 0) * 6962,
            drains: times,
            longest_pause: Duration::from_millis(millis),
            records: None,
        },
        fill_rate: 0.0,
        full_in: None,
    }
}
