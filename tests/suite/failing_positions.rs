//! A failure at each position of pipelines of two to six stages: everything stops, and the one error is reported once.
//!
//! The source is endless unless it fails itself, so a stage that does not stop makes the test hang.

use std::io::Write;

use crate::harness::{Folder, Run, highwater, reset};

/// Stages that change nothing: a task that may drop, a task that may end early, and one that waits for a clock.
const NEIGHBOURS: [&str; 3] = ["skip 0", "take 1T", "throttle 100G"];

/// All chains of `stages` stages whose transforms are neighbours, but for the one at `at`.
fn chains(source: &str, sink: &str, stages: usize, failing: Option<(usize, &str)>) -> Vec<String> {
    let chain = |turn: usize| {
        let transforms = (1..stages - 1).map(|position| match failing {
            Some((at, stage)) if at == position => stage,
            _ => NEIGHBOURS[(position + turn) % NEIGHBOURS.len()],
        });
        let all: Vec<&str> = std::iter::once(source).chain(transforms).chain([sink]).collect();
        all.join(" | ")
    };
    (0..NEIGHBOURS.len()).map(chain).collect()
}

/// The stage, the operation and the code are right, nothing else was printed, and no file is left.
#[track_caller]
fn failed(folder: &Folder, pipeline: &str, run: &Run, code: i32, line: &str) {
    let said: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| !line.contains(": listening on "))
        .collect();
    assert_eq!((run.code, said.len()), (Some(code), 1), "{pipeline}: {}", run.stderr);
    assert!(said[0].starts_with(line), "{pipeline}: {}", said[0]);
    assert_eq!(folder.names(), ["b"], "{pipeline}");
    assert_eq!(folder.read("b"), b"old", "{pipeline}");
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("b", "old");
    folder
}

#[test]
fn the_source() {
    let folder = folder();
    for stages in 2..=6 {
        for pipeline in chains("read tcp-listen://:0", "write b", stages, None) {
            let mut running = highwater([pipeline.as_str()]).within(&folder).start();
            let mut peer = running.connect();
            peer.write_all(&[0; 1000]).expect("written");
            reset(peer);
            let expected = "highwater: read tcp-listen://:0: cannot read: Connection reset by peer (after ";
            failed(&folder, &pipeline, &running.wait(), 3, expected);
        }
    }
}

#[test]
fn a_transform() {
    let folder = folder();
    for stages in 3..=6 {
        for at in 1..stages - 1 {
            for pipeline in chains("read /dev/zero", "write b", stages, Some((at, "gunzip"))) {
                let run = highwater([pipeline.as_str()]).within(&folder).run();
                let expected = "highwater: gunzip: cannot decompress gzip input: this is not gzip: it starts with 00";
                failed(&folder, &pipeline, &run, 6, expected);
            }
        }
    }
}

#[test]
fn a_transform_between_others_that_hold_bytes() {
    let folder = folder();
    for at in 1..=3 {
        let mut transforms = ["gzip level=1", "gzip level=1", "gzip level=1"];
        transforms[at - 1] = "gunzip";
        if at > 1 {
            // Behind a gzip, only what was compressed once can be decompressed twice.
            transforms[at - 2] = "skip 1";
        }
        let pipeline = format!("read /dev/zero | {} | write b", transforms.join(" | "));
        let run = highwater([pipeline.as_str()]).within(&folder).run();
        failed(&folder, &pipeline, &run, 6, "highwater: gunzip: ");
    }
}

#[test]
fn the_sink() {
    let folder = folder();
    for stages in 2..=6 {
        for pipeline in chains("read /dev/zero", "write /dev/full", stages, None) {
            let run = highwater([pipeline.as_str()]).within(&folder).run();
            let expected = "highwater: write /dev/full: cannot write: No space left on device (after 0 B)";
            failed(&folder, &pipeline, &run, 5, expected);
        }
    }
}

#[test]
fn two_at_once_are_one_error() {
    let folder = folder();
    let run = highwater(["read /dev/zero | gunzip | gunzip | write b"])
        .within(&folder)
        .run();
    failed(&folder, "two decoders", &run, 6, "highwater: gunzip: ");
}
