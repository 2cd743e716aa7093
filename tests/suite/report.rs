//! `--record` and `highwater report`: what is written while a pipeline runs, and the report of it.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use snapbox::{Data, assert_data_eq};

use crate::harness::{Folder, highwater};

/// A hand-made recording: `stalled`, `killed` or `check`.
fn recording(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    folder.join(format!("{name}.jsonl"))
}

/// The objects of a recording's whole lines.
fn lines(folder: &Folder, name: &str) -> Vec<Value> {
    let text = String::from_utf8(folder.read(name)).expect("text");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect()
}

#[test]
fn run_is_recorded_and_drawn() {
    let folder = Folder::new();
    let pipeline = "read /dev/zero | take 3MB | throttle 10MB/s | write out";
    highwater(["-q", "--record", "run.jsonl", "--stats", "stats.json", pipeline])
        .within(&folder)
        .run()
        .succeeds();
    let recorded = lines(&folder, "run.jsonl");
    let events: Vec<&str> = recorded
        .iter()
        .map(|line| line["event"].as_str().expect("an event"))
        .collect();
    let (header, samples) = events.split_first().expect("a header");
    let (end, samples) = samples.split_last().expect("an end");
    assert_eq!((*header, *end), ("run", "end"));
    assert!(samples.iter().all(|event| *event == "sample"), "{events:?}");
    assert_eq!(recorded[0]["text"], pipeline);
    assert_eq!(recorded[0]["interval_s"], 0.1);
    let stats: Value = serde_json::from_slice(&folder.read("stats.json")).expect("an object");
    assert_eq!(recorded.last(), Some(&stats));
    highwater(["report", "run.jsonl", "-o", "run.html"])
        .within(&folder)
        .run()
        .succeeds();
    let page = String::from_utf8(folder.read("run.html")).expect("text");
    for part in [
        "<!DOCTYPE html>",
        "The chain over time",
        "ceiling 8.00 MiB",
        "throttle 10MB/s",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn killed_run_can_be_drawn() {
    let folder = Folder::new();
    // The view reports before it records: after the third report two samples are in the file.
    let arguments = ["--progress", "json", "--interval", "100ms", "--record", "run.jsonl"];
    let mut running = highwater(
        arguments
            .into_iter()
            .chain(["read /dev/zero | throttle 1MB/s | write /dev/null"]),
    )
    .within(&folder)
    .start();
    for _ in 0..3 {
        assert!(running.line().contains("\"event\":\"sample\""));
    }
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal, Some(Signal::KILL.as_raw()));
    let recorded = lines(&folder, "run.jsonl");
    assert!(recorded.len() >= 3, "{}", recorded.len());
    assert!(recorded.iter().all(|line| line["event"] != "end"));
    highwater(["report", "run.jsonl", "-o", "run.svg"])
        .within(&folder)
        .run()
        .succeeds();
    let picture = String::from_utf8(folder.read("run.svg")).expect("text");
    assert!(picture.contains(">killed</text>"));
}

#[test]
fn failed_opening_is_recorded() {
    let folder = Folder::new();
    let run = highwater(["--record", "run.jsonl", "read missing | write out"])
        .within(&folder)
        .run();
    run.fails(3);
    let recorded = lines(&folder, "run.jsonl");
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[1]["exit"]["code"], 3);
    highwater(["report", "run.jsonl", "-o", "run.html"])
        .within(&folder)
        .run()
        .succeeds();
}

#[test]
fn full_disk_ends_only_the_recording() {
    let folder = Folder::new();
    let run = highwater([
        "--record",
        "/dev/full",
        "read /dev/zero | take 1MB | throttle 4MB/s | write out",
    ])
    .within(&folder)
    .run();
    assert_eq!(run.code, Some(0));
    assert_eq!(
        run.stderr,
        "highwater: --record: cannot write: No space left on device; the run goes on without it\n"
    );
    assert_eq!(folder.read("out").len(), 1_000_000);
}

#[test]
fn a_recording_replaces_an_older_one() {
    let folder = Folder::new();
    folder.write("run.jsonl", "x".repeat(100_000));
    highwater(["-q", "--record", "run.jsonl", "read /dev/zero | take 1KB | write out"])
        .within(&folder)
        .run()
        .succeeds();
    assert_eq!(lines(&folder, "run.jsonl")[0]["event"], "run");
}

#[test]
fn unsuitable_recording_is_refused_first() {
    let folder = Folder::new();
    folder.write("source", "abc");
    folder.write("old", "old");
    std::fs::create_dir(folder.join("folder")).expect("made");
    std::fs::hard_link(folder.join("source"), folder.join("link")).expect("linked");
    folder.fifo("fifo");
    let names = folder.names();
    let cases = [
        ("folder", "read source | write out", "is a directory; name a file in it"),
        (
            "fifo",
            "read source | write out",
            "is not a file; a recording does not wait for a reader",
        ),
        (
            "-",
            "read source | write out",
            "standard output carries data; for a file so named write ./-",
        ),
        (
            "source",
            "read source | write out",
            "is the same file as the source; write to another name",
        ),
        (
            "link",
            "read source | write out",
            "is the same file as the source; write to another name",
        ),
        (
            "old",
            "read source | write old",
            "is the same file as the sink; write to another name",
        ),
        (
            "old",
            "read source | write old append=true",
            "is the same file as the sink; write to another name",
        ),
        (
            "out",
            "read source | write out",
            "is the same file as the sink; write to another name",
        ),
        (
            "out",
            "read source | write out clobber=false",
            "is the same file as the sink; write to another name",
        ),
    ];
    for (file, pipeline, why) in cases {
        let run = highwater(["--record", file, pipeline]).within(&folder).run();
        assert_eq!(run.fails(2), format!("highwater: --record {file}: {why}"), "{pipeline}");
        assert_eq!(folder.names(), names, "{pipeline}");
    }
    let run = highwater(["--record", "stats", "--stats", "stats", "read source | write out"])
        .within(&folder)
        .run();
    assert_eq!(
        run.fails(2),
        "highwater: --record stats: is the same file as --stats; write to another name"
    );
    let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
    assert_eq!(stats["exit"]["code"], 2);
    let run = highwater(["--record", "missing/run", "read source | write out"])
        .within(&folder)
        .run();
    assert_eq!(
        run.fails(4),
        "highwater: --record missing/run: cannot open: No such file or directory"
    );
    assert_eq!(
        (folder.read("source"), folder.read("old")),
        (b"abc".to_vec(), b"old".to_vec())
    );
}

/// The golden reports are beside the recordings: `SNAPSHOTS=overwrite` rewrites them.
#[test]
fn a_report_is_the_same_every_time() {
    let folder = Folder::new();
    let golden = |name: &str| {
        let path = recording(name).with_extension("");
        Data::read_from(&path, Some(snapbox::data::DataFormat::Text)).raw()
    };
    for (recordings, name) in [
        (vec!["stalled"], "stalled.svg"),
        (vec!["stalled"], "stalled.html"),
        (vec!["stalled", "killed"], "compared.svg"),
        (vec!["check"], "check.html"),
    ] {
        let paths: Vec<PathBuf> = recordings.into_iter().map(recording).collect();
        let mut arguments: Vec<&str> = vec!["report"];
        arguments.extend(paths.iter().map(|path| path.to_str().expect("text")));
        arguments.extend(["-o", name]);
        highwater(arguments).within(&folder).run().succeeds();
        let drawn = String::from_utf8(folder.read(name)).expect("text");
        assert_data_eq!(Data::text(drawn).raw(), golden(name));
    }
}

#[test]
fn invalid_recording_is_refused_with_line() {
    let folder = Folder::new();
    folder.write("run.jsonl", std::fs::read(recording("stalled")).expect("a file"));
    folder.write("bad.jsonl", "{\"schema\":1,\"event\":\"end\"}\n");
    let names = folder.names();
    let mut cases = vec![
        (
            "bad.jsonl",
            "r.html",
            6,
            "bad.jsonl:1: it has no header, as if written by --stats or --progress json; a recording begins with \
             {\"schema\":1,\"event\":\"run\",…}, as `highwater --record FILE` writes it",
        ),
        (
            "missing.jsonl",
            "r.html",
            3,
            "missing.jsonl: cannot read: No such file or directory",
        ),
        (
            "run.jsonl",
            "r.pdf",
            2,
            "-o r.pdf: reports cannot be written as .pdf; the name ends in .html, .svg or .png",
        ),
        (
            "run.jsonl",
            "r",
            2,
            "-o r: its name does not say what to write; it ends in .html, .svg or .png",
        ),
        (
            "run.jsonl",
            "missing/r.html",
            4,
            "-o missing/r.html: cannot create: No such file or directory",
        ),
    ];
    if cfg!(not(feature = "png")) {
        cases.push((
            "run.jsonl",
            "r.png",
            2,
            "-o r.png: this highwater was built without PNG, which takes a renderer and its fonts; write .svg or \
             .html, or build it with `cargo install --path . --features png`",
        ));
    }
    for (recording, output, code, why) in cases {
        let run = highwater(["report", recording, "-o", output]).within(&folder).run();
        assert_eq!(run.fails(code), format!("highwater: report: {why}"));
        assert_eq!(folder.names(), names);
    }
    std::fs::hard_link(folder.join("run.jsonl"), folder.join("run.svg")).expect("linked");
    let run = highwater(["report", "run.jsonl", "-o", "run.svg"])
        .within(&folder)
        .run();
    assert_eq!(
        run.fails(2),
        "highwater: report: -o run.svg: it is the same file as the recording run.jsonl; write to another name"
    );
}
