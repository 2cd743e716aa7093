//! Whole reports of recordings that are made here or are in `tests/recordings`.

use std::path::Path;

use super::moments::{self, Kind};
use super::pauses::{PauseEnd, pauses};
use super::recording::{Body, Recording, Run};
use super::*;
use crate::flow::RecordLevels;

fn recorded(name: &str) -> Recording {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    read(&folder.join(name)).expect("a recording")
}

fn run(recording: &Recording) -> &Run {
    match &recording.body {
        Body::Run(run) => run,
        Body::Check(_) => panic!("{} is a check", recording.name),
    }
}

fn drawn(recordings: &[Recording], format: Format) -> String {
    String::from_utf8(draw(recordings, format).expect("drawn")).expect("text")
}

#[test]
fn stall_is_reported_once() {
    let recording = recorded("stalled.jsonl");
    let run = run(&recording);
    let found: Vec<(f64, f64)> = pauses(run, 1).iter().map(|pause| (pause.from, pause.to)).collect();
    assert_eq!(found, [(0.6, 2.1)]);
    assert_eq!(pauses(run, 0).len(), 1);
    let moments = moments::of(run);
    let told: Vec<(Kind, f64, &str)> = moments
        .iter()
        .map(|moment| (moment.kind, moment.at, moment.text.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                Kind::Paused,
                0.2,
                "read paused for the first time: the link to gzip is full"
            ),
            (
                Kind::Paused,
                0.6,
                "gzip paused for the first time: the link to write is full"
            ),
            (
                Kind::Paused,
                0.6,
                "gzip paused for 1.50 s: write took nothing, or too little"
            ),
            (Kind::Drained, 2.1, "gzip resumes: the link to write has drained"),
            (Kind::Ended, 3.04, "ended with exit code 0"),
        ]
    );
}

#[test]
fn killed_run_is_judged_by_samples() {
    let recording = recorded("killed.jsonl");
    let run = run(&recording);
    assert_eq!(verdict::bottleneck(run), Some(2));
    let busy = verdict::shares(run, 2).expect("known").busy;
    // Five samples of 0.9 and seven of 1.
    assert!((busy - (5.0 * 0.9 + 7.0) / 12.0).abs() < 1e-9, "{busy}");
    let last = moments::of(run).pop().expect("an end");
    assert_eq!((last.kind, last.at), (Kind::Failed, 1.2));
    assert!(pauses(run, 1).iter().all(|pause| pause.end == PauseEnd::Open));
}

#[test]
fn ended_producer_is_not_paused() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    let whole = pauses(run, 1);
    let [pause] = whole.as_slice() else {
        panic!("one pause: {whole:?}");
    };
    assert_eq!(pause.end, PauseEnd::Drained);
    let (from, to) = (pause.from, pause.to);
    // It sent its last bytes to the full link, and ended.
    let producer = run.last.links[1].from;
    for point in run.points.iter_mut().filter(|point| point.at > from + 1.0) {
        point.ended[producer] = true;
    }
    let ended = pauses(run, 1);
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].end, PauseEnd::ProducerEnded);
    assert!(ended[0].to < to, "{ended:?}");
    let told = moments::of(run);
    assert!(
        !told
            .iter()
            .any(|moment| moment.text.starts_with("gzip resumes") || moment.text.contains("still")),
        "{told:?}"
    );
}

#[test]
fn early_end_and_silence_are_moments() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    for point in &mut run.points[22..] {
        point.ended[0] = true;
        point.at += 7.0;
    }
    let told: Vec<(Kind, String)> = moments::of(run)
        .into_iter()
        .map(|moment| (moment.kind, moment.text))
        .collect();
    let silent = (
        Kind::Silent,
        "no sample for 7.10 s: the program was stopped, or had no processor".to_owned(),
    );
    assert!(told.contains(&silent), "{told:?}");
    assert!(
        told.contains(&(Kind::StageEnded, "read has ended".to_owned())),
        "{told:?}"
    );
}

#[test]
fn several_runs_are_drawn_over_each_other() {
    let page = drawn(&[recorded("stalled.jsonl"), recorded("killed.jsonl")], Format::Html);
    for part in [
        "2 runs compared",
        "A RSS, peak",
        "B RSS, peak",
        "class=\"r0\"",
        "class=\"r1\"",
        ">killed<",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Memory and rates together, a pipeline each.
    assert_eq!(page.matches("<section class=\"figure\">").count(), 4);
}

#[test]
fn link_full_by_count_is_drawn_in_records() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    run.last.links[1].sample.levels.records = Some(RecordLevels {
        buffered: 0,
        peak: 500,
        high: 500,
        low: 250,
    });
    run.last.links[1].sample.levels.peak /= 2;
    let page = drawn(&[recording], Format::Html);
    for text in [
        "high 500 records",
        "low 250 records",
        "at most 500 records of 500 records, and",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_name_cannot_become_markup() {
    let mut recording = recorded("stalled.jsonl");
    let evil = "read </text><script>alert(1)</script>\" onload=\"x\u{0}";
    recording.name = evil.to_owned();
    recording.header.text = evil.into();
    recording.header.started = evil.to_owned();
    recording.header.version = evil.into();
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    for stage in &mut run.last.stages {
        let stage = stage.sample.to_mut();
        stage.name = evil.into();
        stage.text = evil.into();
    }
    run.last.lane = evil.into();
    let exit = run.last.exit.as_mut().expect("an end").to_mut();
    (exit.code, exit.error) = (4, Some(evil.to_owned()));
    for format in [Format::Html, Format::Svg] {
        let text = drawn(std::slice::from_ref(&recording), format);
        assert!(text.contains("&lt;script&gt;"));
        assert!(!text.contains("<script") && !text.contains("\" onload") && !text.contains('\u{0}'));
    }
}

#[test]
fn a_report_refers_to_nothing_outside_it() {
    let all = ["stalled.jsonl", "killed.jsonl", "check.jsonl"].map(recorded);
    for format in [Format::Html, Format::Svg] {
        let text = drawn(&all, format).replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "src=", "@import", "url(", "<script"] {
            assert!(!text.contains(outside), "{outside}");
        }
    }
}

#[test]
fn a_long_run_makes_no_large_report() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    let short = run.sampled().to_vec();
    run.points = (0..36_000_u32)
        .map(|at| {
            let mut point = short[at as usize % short.len()].clone();
            point.at = f64::from(at + 1) / 10.0;
            point
        })
        .collect();
    run.last.exit = None;
    let page = drawn(&[recording], Format::Html);
    assert!(page.len() < 600_000, "{} bytes", page.len());
}

#[test]
fn unstarted_run_draws_nothing() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    run.points.truncate(1);
    run.points[0].at = 0.0;
    run.last.stages.clear();
    run.last.links.clear();
    run.last.bottleneck = None;
    let page = drawn(&[recording], Format::Html);
    assert!(page.contains("It ended before its stages were started."));
    assert!(!page.contains("<section class=\"figure\">"));
}

#[cfg(feature = "png")]
#[test]
fn png_has_colours_and_letters() {
    let drawn = draw(&[recorded("stalled.jsonl")], Format::Png).expect("drawn");
    let image = resvg::tiny_skia::Pixmap::decode_png(&drawn).expect("a PNG");
    let count = |red, green, blue| {
        let pixels = image.pixels().iter();
        pixels
            .filter(|pixel| (pixel.red(), pixel.green(), pixel.blue()) == (red, green, blue))
            .count()
    };
    assert!(count(0xcb, 0x3b, 0x3b) > 10_000, "busy");
    assert!(count(0xa7, 0xb0, 0xbc) > 10_000, "backpressured");
    // The colour of the title, which only letters have.
    assert!(count(0x10, 0x15, 0x1d) > 1_000, "letters");
}

#[test]
fn ignored_backpressure_shows_no_pauses() {
    let mut recording = recorded("stalled.jsonl");
    let Body::Run(run) = &mut recording.body else {
        panic!("a run");
    };
    run.last.run.is_unbounded = true;
    let levels = &mut run.last.links[1].sample.levels;
    levels.peak = levels.high + 1;
    assert_eq!(pauses(run, 1), []);
    let moments = moments::of(run);
    assert!(
        moments.iter().all(|moment| !moment.text.contains("paused for")),
        "{moments:?}"
    );
    let drawn = drawn(&[recording], Format::Html);
    for said in [
        "passed the mark, and nothing paused it",
        "passed its mark",
        "because backpressure was ignored",
        "Backpressure was ignored: the chain held up to",
    ] {
        assert!(drawn.contains(said), "no {said:?}");
    }
}

/// `read | tee (write slow) | write fast`, whose branch pauses and continues after the other output has ended.
fn branched() -> Recording {
    let stage = |index: usize, name: &str, bytes: u64, ended: bool| {
        format!(
            r#"{{"index":{index},"name":"{name}","text":"{name} {index}","bytes_in":{bytes},"bytes_out":{bytes},"busy":0.5,"idle":0.0,"backpressured":0.5,"waiting_outside":0.0,"throttling":0.0,"ended":{ended}}}"#
        )
    };
    let link = |from: usize, to: usize, full: u64, drains: u64| {
        format!(
            r#"{{"from":{from},"to":{to},"buffered_bytes":{},"peak_bytes":8,"high_bytes":8,"low_bytes":4,"times_full":{full},"times_empty":0,"drains":{drains},"longest_pause_s":0}}"#,
            8 * (full - drains)
        )
    };
    let sample = |event: &str, at: u32, full: u64, drains: u64, ended: bool, exit: &str| {
        let stages = [
            stage(0, "read", 100, ended),
            stage(1, "tee", 100, ended),
            stage(2, "write", 10 * u64::from(at), event == "end"),
            stage(3, "write", 90, ended),
        ];
        let links = [link(0, 1, 0, 0), link(1, 2, full, drains), link(1, 3, full, drains)];
        format!(
            r#"{{"schema":1,"event":"{event}","elapsed_s":{at},"rss_bytes":1,"rss_peak_bytes":1,"buffered_bytes":1,"buffered_peak_bytes":1,"state_bytes":0,"memory_limit_bytes":8,"expected_bytes":100,"bottleneck":{{"stage":2,"name":"write"}},"stages":[{}],"links":[{}],"lane":"linked"{exit}}}"#,
            stages.join(","),
            links.join(",")
        )
    };
    let lines = [
        r#"{"schema":1,"event":"run","started":"2026-01-01T00:00:00Z","text":"read | tee (write slow) | write fast","version":"0.1.0","interval_s":1.0}"#.to_owned(),
        sample("sample", 1, 1, 0, false, ""),
        sample("sample", 3, 1, 1, false, ""),
        sample("sample", 5, 1, 1, true, ""),
        sample("end", 10, 1, 1, true, r#","exit":{"code":0,"error":null}"#),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    std::fs::write(&path, lines.join("\n") + "\n").expect("written");
    read(&path).expect("a recording")
}

#[test]
fn a_tree_is_asked_for_its_sinks() {
    let recording = branched();
    let run = run(&recording);
    let out: Vec<u64> = run.points.iter().map(|point| point.bytes_out).collect();
    assert_eq!(out, [100, 120, 140, 190]);
    let moments = moments::of(run);
    let told: Vec<(f64, &str)> = moments.iter().map(|moment| (moment.at, moment.text.as_str())).collect();
    // Both branches paused, and neither is the cause of the other's pause.
    assert_eq!(
        told,
        [
            (
                1.0,
                "tee paused for the first time: the links to write 2, write 3 are full"
            ),
            (1.0, "tee paused for 2.00 s: write 3 took nothing, or too little"),
            (1.0, "tee paused for 2.00 s: write 2 took nothing, or too little"),
            (3.0, "tee resumes: the link to write 3 has drained"),
            (3.0, "tee resumes: the link to write 2 has drained"),
            (5.0, "read has ended"),
            (5.0, "tee has ended"),
            (5.0, "write 3 has ended"),
            (
                5.0,
                "no sample for 5.00 s: the program was stopped, or had no processor"
            ),
            (10.0, "ended with exit code 0"),
        ]
    );
    let svg = drawn(&[recording], Format::Svg);
    assert_eq!(
        svg.matches(r#"class="rail""#).count(),
        4,
        "three links and a turn: {svg}"
    );
}
