//! Golden pictures: a snapshot in, text out. `SNAPSHOTS=overwrite cargo test live` rewrites them.

use std::sync::Arc;
use std::time::Duration;

use snapbox::data::DataFormat;
use snapbox::{Data, IntoData, assert_data_eq};

use crate::engine::{BatchSample, ChildSample, RateLimit, Snapshot};
use crate::graph::{Graph, Id, Port};
use crate::stage::Outside;

use super::sample::{attached, branched, direct, history, programs, records, stage, throttled, unbounded};
use super::{Background, KeyLine, Line, Size, Style, frame, frame_with_keys};

const NO_COLOUR: Style = Style {
    colour: false,
    background: Background::Unknown,
};

fn shown(snapshot: &Snapshot, columns: usize, rows: usize, style: Style) -> String {
    let lines = frame(snapshot, &history(), Size { columns, rows });
    assert!(lines.len() < rows.max(2), "{} lines", lines.len());
    for line in &lines {
        assert!(line.columns() < columns.max(2), "{line:?}");
    }
    let text: String = lines.iter().map(|line| style.text(line) + "\n").collect();
    // Makes escape sequences readable.
    text.replace('\x1b', "␛")
}

fn shown_with(keys: &KeyLine, snapshot: &Snapshot, columns: usize, rows: usize) -> String {
    let lines = frame_with_keys(snapshot, &history(), Size { columns, rows }, keys);
    assert!(lines.len() < rows.max(2), "{} lines", lines.len());
    for line in &lines {
        assert!(line.columns() < columns.max(2), "{line:?}");
    }
    lines.iter().map(|line| NO_COLOUR.text(line) + "\n").collect()
}

/// The keys of a pipeline with one throttle.
fn keys() -> KeyLine {
    KeyLine {
        steers: true,
        turns: Some("throttle".to_owned()),
        ..KeyLine::default()
    }
}

/// The run after its rate was changed and its sink was paused.
fn paused() -> Snapshot {
    let mut snapshot = throttled();
    snapshot.run.paused = true;
    snapshot.stages.values_mut()[2].limit = Some(RateLimit {
        now: 1_250_000,
        initial: 1_000_000,
    });
    snapshot.stages.values_mut()[2].share = stage("", "", [0, 0], 0.0, [0.1, 0.0]).share;
    snapshot.stages.values_mut()[3].share = stage("", "", [0, 0], 0.0, [1.0, 0.0]).share;
    snapshot.stages.values_mut()[3].share.get_or_insert_default().outside = 1.0;
    let link = &mut snapshot.links.values_mut()[2];
    link.levels.buffered = link.levels.high;
    snapshot.bottleneck = Some(Id::numbered(3));
    snapshot
}

#[track_caller]
fn assert_picture(name: &str, actual: String) {
    let path = format!("{}/src/view/live/frames/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    assert_data_eq!(
        actual.into_data().raw(),
        Data::read_from(path.as_ref(), Some(DataFormat::Text)).raw()
    );
}

/// A followed file in batches, while one is committed.
fn batches() -> Snapshot {
    let mut snapshot = throttled();
    let stages = snapshot.stages.values_mut();
    (stages[0].backlog, stages[0].acknowledged) = (Some(3 << 20), Some(123_456_789));
    stages[3].batches = Some(BatchSample {
        committed: 12,
        failed: 1,
        is_committing: true,
        bytes: Some(5 << 20),
        records: Some(40_000),
        age: Some(Duration::from_millis(12_300)),
        last: Some("cannot write: No space left on device".to_owned()),
    });
    snapshot
}

#[test]
fn batches_and_backlog() {
    let pictures = [40, 80, 120].map(|columns| shown(&batches(), columns, 40, NO_COLOUR));
    assert_picture("batches", pictures.join("\n"));
    let mut draining = batches();
    draining.run.is_draining = true;
    assert!(shown(&draining, 120, 40, NO_COLOUR).contains("finishing: 2 batches to commit"));
    let mut single = batches();
    let filled = single.stages.values_mut()[3].batches.as_mut().expect("it has batches");
    filled.records = Some(1);
    assert!(shown(&single, 120, 40, NO_COLOUR).contains(", 1 record, "));
}

#[test]
fn programs_of_others() {
    let pictures = [40, 80, 120].map(|columns| shown(&attached(), columns, 40, NO_COLOUR));
    assert_picture("attached", pictures.join("\n"));
}

#[test]
fn every_width_without_colour() {
    for columns in [40, 80, 120] {
        assert_picture(
            &format!("{columns}-columns"),
            shown(&throttled(), columns, 30, NO_COLOUR),
        );
    }
}

#[test]
fn record_links_show_both_levels() {
    let all: String = [40, 80, 120]
        .map(|columns| shown(&records(), columns, 40, NO_COLOUR) + "\n")
        .concat();
    assert_picture("records", all);
}

#[test]
fn branches_hang_on_their_stage() {
    let all: String = [40, 80, 120]
        .map(|columns| shown(&branched(), columns, 40, NO_COLOUR) + "\n")
        .concat();
    assert_picture("branches", all);
}

#[test]
fn branches_are_folded_around_the_bottleneck() {
    let all: String = [20, 14, 10]
        .map(|rows| format!("{rows} rows\n{}", shown(&branched(), 80, rows, NO_COLOUR)))
        .concat();
    assert_picture("branches-in-few-rows", all);
}

#[test]
fn nested_branches_leave_room_for_names() {
    let mut snapshot = branched();
    let mut graph = Graph::chain(2);
    let (mut stages, mut links) = (snapshot.stages.into_values(), snapshot.links.into_values());
    let (write, link) = (stages[6].clone(), links[0]);
    stages.truncate(2);
    links.truncate(1);
    let mut tees = vec![Id::numbered(1)];
    for _ in 0..8 {
        let tee = graph.append(tees[tees.len() - 1], Port::Bytes);
        tees.push(tee);
        stages.push(stages[1].clone());
        links.push(link);
    }
    for tee in tees.into_iter().rev() {
        for _ in 0..2 {
            graph.append(tee, Port::Bytes);
            stages.push(write.clone());
            links.push(link);
        }
    }
    snapshot.graph = Arc::new(graph);
    snapshot.stages = stages.into_iter().collect();
    snapshot.links = links.into_iter().collect();
    let all: String = [40, 80]
        .map(|columns| shown(&snapshot, columns, 120, NO_COLOUR) + "\n")
        .concat();
    assert_picture("nested-branches", all);
}

#[test]
fn colours_on_every_background() {
    for (name, background) in [
        ("dark", Background::Dark),
        ("light", Background::Light),
        ("unknown", Background::Unknown),
    ] {
        let style = Style {
            colour: true,
            background,
        };
        for columns in [40, 80, 120] {
            assert_picture(
                &format!("{columns}-columns-{name}"),
                shown(&throttled(), columns, 30, style),
            );
        }
    }
}

#[test]
fn few_rows_show_the_most_important() {
    let all: String = [16, 11, 9, 8, 7, 6, 4, 2, 1]
        .map(|rows| format!("{rows} rows\n{}", shown(&throttled(), 80, rows, NO_COLOUR)))
        .concat();
    assert_picture("few-rows", all);
}

#[test]
fn few_rows_and_columns() {
    let all: String = [20, 16, 12, 8, 5]
        .map(|rows| format!("{rows} rows\n{}", shown(&throttled(), 40, rows, NO_COLOUR)))
        .concat();
    assert_picture("few-rows-and-columns", all);
}

#[test]
fn a_direct_lane_has_no_links() {
    let mut copied = direct();
    copied.lane = "copy";
    for stage in copied.stages.values_mut() {
        stage.share = super::sample::stage("", "", [0, 0], 0.0, [1.0, 0.0]).share;
    }
    let all = shown(&direct(), 80, 24, NO_COLOUR) + "\n" + &shown(&copied, 80, 24, NO_COLOUR);
    assert_picture("direct-lane", all);
}

#[test]
fn notable_kernel_queue_is_shown() {
    let mut snapshot = throttled();
    for (at, bytes) in [(0, 300 << 10), (3, 1000 << 10)] {
        let stage = &mut snapshot.stages.values_mut()[at];
        (stage.kernel_queue, stage.kernel_queue_capacity) = (Some(bytes), Some(1 << 20));
    }
    let empty = shown(&throttled(), 80, 30, NO_COLOUR);
    assert_eq!(
        shown(&snapshot, 80, 30, NO_COLOUR),
        empty,
        "it was never a good part so far"
    );
    for at in [0, 3] {
        snapshot.stages.values_mut()[at].kernel_queue_peak = 1000 << 10;
    }
    snapshot.bottleneck = Some(Id::numbered(3));
    snapshot.stages.values_mut()[3].share = stage("", "", [0, 0], 0.0, [1.0, 0.0]).share;
    snapshot.stages.values_mut()[3].share.get_or_insert_default().outside = 0.97;
    snapshot.stages.values_mut()[3].outside = Some(Outside::Peer);
    let all: String = [40, 80, 120]
        .map(|columns| shown(&snapshot, columns, 30, NO_COLOUR) + "\n")
        .concat();
    assert_picture("kernel-queues", all);
}

#[test]
fn level_above_mark_shows_the_excess() {
    let dark = Style {
        colour: true,
        background: Background::Dark,
    };
    let all: String = [(40, NO_COLOUR), (80, NO_COLOUR), (80, dark), (120, NO_COLOUR)]
        .map(|(columns, style)| shown(&unbounded(), columns, 24, style) + "\n")
        .concat();
    assert_picture("unbounded", all);
}

#[test]
fn finishing_is_never_a_hundred_percent() {
    let mut snapshot = throttled();
    snapshot
        .links
        .values_mut()
        .iter_mut()
        .for_each(|link| link.levels.buffered = 0);
    for stage in snapshot.stages.values_mut() {
        (stage.bytes_in, stage.bytes_out) = (73_400_320, 73_400_320);
    }
    let all_read = shown(&snapshot, 80, 24, NO_COLOUR);
    assert!(
        all_read.contains("99 %") && !all_read.contains("finishing"),
        "{all_read}"
    );
    let last = snapshot.stages.len() - 1;
    snapshot.stages.values_mut()[..last]
        .iter_mut()
        .for_each(|stage| stage.ended = true);
    snapshot.bottleneck = Some(Id::numbered(last));
    assert_picture("finishing", shown(&snapshot, 80, 24, NO_COLOUR));
}

#[test]
fn names_may_be_wide_and_long() {
    let mut snapshot = throttled();
    snapshot.stages.values_mut()[0].text = "read /srv/archive/日本語のとても長いファイル名/バックアップ.iso".to_owned();
    snapshot.stages.values_mut()[3].text = r"write 'a\nb' clobber=false connect-timeout=10s mode=600".to_owned();
    snapshot.bottleneck = Some(Id::numbered(3));
    let all: String = [40, 80]
        .map(|columns| shown(&snapshot, columns, 24, NO_COLOUR) + "\n")
        .concat();
    assert_picture("names", all);
}

#[test]
fn many_stages_are_folded_around_the_bottleneck() {
    let mut snapshot = throttled();
    let (mut stages, mut links) = (snapshot.stages.into_values(), snapshot.links.into_values());
    let (gzip, link) = (stages[1].clone(), links[1]);
    for _ in 0..20 {
        stages.insert(1, gzip.clone());
        links.insert(1, link);
    }
    snapshot.graph = Arc::new(Graph::chain(stages.len()));
    snapshot.stages = stages.into_iter().collect();
    snapshot.links = links.into_iter().collect();
    snapshot.bottleneck = Some(Id::numbered(22));
    assert_picture("many-stages", shown(&snapshot, 80, 24, NO_COLOUR));
}

#[test]
fn an_unknown_size_has_no_percent() {
    let mut snapshot = throttled();
    snapshot.run.expected = None;
    snapshot.measure_progress();
    snapshot.run.elapsed = Duration::from_secs(3723);
    snapshot.bottleneck = Some(Id::numbered(0));
    for (stage, idle) in snapshot.stages.values_mut().iter_mut().zip([0.0, 0.8, 0.9, 0.97]) {
        stage.share = super::sample::stage("", "", [0, 0], 0.0, [1.0 - idle, idle]).share;
    }
    snapshot.stages.values_mut()[0].share.get_or_insert_default().outside = 0.93;
    snapshot.stages.values_mut()[0].outside = Some(Outside::Disk);
    assert_picture("unknown-size", shown(&snapshot, 80, 24, NO_COLOUR));
}

#[test]
fn programs_show_their_memory() {
    let mut snapshot = branched();
    for (at, pid, mebibytes, cores) in [(1, 4711, 2, 0.04), (2, 4712, 31, 1.98)] {
        snapshot.stages.values_mut()[at].children = vec![ChildSample {
            pid,
            rss: mebibytes << 20,
            cpu: Duration::from_secs_f64(37.0 * cores),
            cores,
        }];
    }
    let all: String = [40, 80, 120]
        .map(|columns| shown(&snapshot, columns, 30, NO_COLOUR) + "\n")
        .concat();
    assert_picture("programs", all);
    assert!(shown(&programs(), 120, 30, NO_COLOUR).contains("it uses a whole core"));
}

#[test]
fn keys_and_pause_are_shown() {
    let all: String = [40, 80, 120]
        .map(|columns| shown_with(&keys(), &paused(), columns, 30) + "\n")
        .concat();
    assert_picture("keys", all);
}

#[test]
fn explanation_is_below_or_instead() {
    let explaining = KeyLine { asked: 1, ..keys() };
    let all: String = [(80, 40), (80, 24), (40, 16)]
        .map(|(columns, rows)| shown_with(&explaining, &throttled(), columns, rows) + "\n")
        .concat();
    let second = KeyLine { asked: 2, ..keys() };
    assert_picture("explained", all + &shown_with(&second, &throttled(), 40, 16));
}

#[test]
fn explanation_is_of_what_is_shown() {
    let explaining = KeyLine {
        asked: 1,
        ..KeyLine::default()
    };
    let mut queued = programs();
    let source = &mut queued.stages.values_mut()[0];
    (source.kernel_queue, source.kernel_queue_capacity) = (Some(300 << 10), Some(1 << 20));
    source.kernel_queue_peak = 300 << 10;
    for (name, snapshot) in [
        ("branches", branched()),
        ("records", records()),
        ("programs", queued),
        ("attached", attached()),
        ("direct-lane", direct()),
        ("unbounded", unbounded()),
        ("batches", batches()),
    ] {
        let all: String = [40, 80, 120]
            .map(|columns| shown_with(&explaining, &snapshot, columns, 90) + "\n")
            .concat();
        assert_picture(&format!("explained-{name}"), all);
    }
}

#[test]
fn key_message_is_shown_in_few_rows() {
    let several = KeyLine {
        steers: true,
        turns: Some("throttle 2".to_owned()),
        has_several: true,
        ..KeyLine::default()
    };
    let answer = KeyLine {
        note: Some("throttle at 1.25MB/s".to_owned()),
        ..keys()
    };
    let all: String = [(&several, 30), (&answer, 30), (&answer, 8), (&keys(), 8)]
        .map(|(keys, rows)| shown_with(keys, &throttled(), 80, rows) + "\n")
        .concat();
    assert_picture("keys-in-few-rows", all);
}

#[test]
fn nothing_is_too_small_to_survive() {
    let mut odd = throttled();
    odd.stages.push(stage("write", "", [0, 0], f64::MAX, [0.0, 0.0]));
    odd.graph = Arc::new(Graph::chain(5));
    odd.stages.values_mut()[0].rate = 1e-9;
    odd.run.limit = 0;
    for columns in 0..130 {
        for rows in [0, 1, 2, 3, 5, 8, 13, 21, 29] {
            shown(&odd, columns, rows, NO_COLOUR);
            shown(&direct(), columns, rows, NO_COLOUR);
            shown(&branched(), columns, rows, NO_COLOUR);
            shown_with(&keys(), &odd, columns, rows);
            for asked in 0..4 {
                let note = (asked == 0).then(|| "an answer".to_owned());
                shown_with(&KeyLine { asked, note, ..keys() }, &paused(), columns, rows);
            }
        }
    }
}

#[test]
fn readme_picture_is_well_formed() {
    let lines: Vec<Line> = frame(&throttled(), &history(), Size { columns: 88, rows: 40 });
    let svg = super::svg::svg("A run", "highwater 'a & b <c>'", &lines, super::svg::Blocks::Bars);
    assert!(svg.contains("a &amp; b &lt;c>") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}
