//! Programs next to each other, whose bytes pass from pipe to pipe inside the kernel.

use highwater::platform::JOINS_PIPES;
use rustix::process::Signal;
use serde_json::Value;

use crate::exec::Alive;
use crate::harness::{Folder, highwater, noise};

/// Runs a pipeline that succeeds; returns what its end object says.
#[track_caller]
fn stats(folder: &Folder, pipeline: &str) -> Value {
    let run = highwater(["--stats", "stats", pipeline]).within(folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_slice(&folder.read("stats")).expect("an object")
}

#[test]
fn every_byte_passes_and_is_counted() {
    const PIPE: usize = 64 << 10;
    const LARGE: usize = 1 << 20;
    let folder = Folder::new();
    for size in [
        0,
        1,
        4095,
        4097,
        PIPE - 1,
        PIPE,
        PIPE + 1,
        LARGE - 1,
        LARGE,
        LARGE + 1,
        2 * LARGE,
        5 * LARGE + 7,
    ] {
        let bytes = noise(size, 3);
        folder.write("a", &bytes);
        let stats = stats(&folder, "exec cat a | exec cat | exec dd bs=5000 status=none | write b");
        assert!(folder.read("b") == bytes, "{size}");
        for stage in stats["stages"].as_array().expect("stages") {
            let counts = [&stage["bytes_in"], &stage["bytes_out"]];
            assert_eq!(counts.map(Value::as_u64), [Some(size as u64); 2], "{stage}");
        }
        for link in stats["links"].as_array().expect("links") {
            assert_eq!(link["buffered_bytes"], 0, "{link}");
            assert!(link["peak_bytes"].as_u64() <= link["high_bytes"].as_u64(), "{link}");
        }
    }
}

#[test]
fn small_writes_pass_in_order() {
    let folder = Folder::new();
    let said = stats(
        &folder,
        "exec seq 30000 | sh 'while read -r n; do echo $n; done' | write b",
    );
    let lines = String::from_utf8(folder.read("b")).expect("text");
    assert!(lines.lines().eq((1..=30_000).map(|number| number.to_string())));
    assert_eq!(said["stages"][1]["bytes_in"].as_u64(), Some(lines.len() as u64));
}

/// Each program writes a file once it has seen the end of its input.
#[test]
fn a_failure_leaves_the_programs_behind_without_an_end() {
    for failing in 0..3 {
        let folder = Folder::new();
        let alive = Alive::in_folder(&folder);
        let stage = |at: usize| {
            let input = if at == 0 { "head -c 3M /dev/zero" } else { "cat" };
            let end = if at == failing { "exit 3" } else { "echo > ended" };
            format!("sh 'exec 9>alive; {input}; {end}{at}'")
        };
        let pipeline = [stage(0), stage(1), stage(2)].join(" | ");
        let run = highwater([format!("{pipeline} | write b")]).within(&folder).run();
        assert_eq!(run.code, Some(11), "{}", run.stderr);
        let (failed, said) = (stage(failing), run.stderr.lines().last().unwrap_or_default());
        assert!(
            said.starts_with(&format!("highwater: {failed}: exited with code 3")),
            "{said}"
        );
        alive.all_have_ended();
        let ended = folder.names().into_iter().filter(|name| name.starts_with("ended"));
        let expected: Vec<String> = (0..failing).map(|at| format!("ended{at}")).collect();
        assert_eq!(ended.collect::<Vec<_>>(), expected);
        assert!(!folder.join("b").exists());
    }
}

#[test]
fn a_reader_that_wants_no_more_ends_all_in_front() {
    for (pipeline, expected) in [
        ("exec yes | exec cat | exec head -c 4", &b"y\ny\n"[..]),
        ("sh 'yes; exit 5' | exec cat | take 4", b"y\ny\n"),
        ("exec cat /dev/zero | sh 'exec <&-; echo x' | exec cat", b"x\n"),
        // It waits for bytes that never come.
        ("exec sleep 1000 | exec cat | exec echo x", b"x\n"),
    ] {
        assert_eq!(highwater([pipeline]).run().succeeds(), expected, "{pipeline}");
    }
}

#[test]
fn a_grandchild_is_read_to_its_end() {
    let folder = Folder::new();
    let fifo = folder.fifo("f");
    let pipeline = "sh grace=10m 'cat f & echo begun >&2' | exec cat | write b";
    let mut running = highwater([pipeline]).within(&folder).start();
    assert_eq!(running.line(), "highwater: sh: begun\n");
    let bytes = noise(3 << 20, 5);
    std::fs::write(fifo, &bytes).expect("written");
    assert_eq!(running.wait().code, Some(0));
    assert!(folder.read("b") == bytes);
    let run = highwater(["sh grace=10ms 'exec 9>&1; sleep 1000 & echo' | exec cat"]).run();
    assert!(run.fails(11).contains("still holds its output open"), "{}", run.stderr);
}

/// Nothing holds the output of the first program open: it waits in the pipe for longer than the grace.
#[test]
fn unread_output_outlasts_the_grace() {
    let folder = Folder::new();
    let fifo = folder.fifo("f");
    let pipeline = "exec grace=10ms seq 100000 | sh 'cat f; cat' | write b";
    let arguments = ["--progress", "json", "--interval", "10ms", pipeline];
    let mut running = highwater(arguments).within(&folder).start();
    let mut elapsed = 0.0;
    while elapsed < 0.2 {
        let sample: Value = serde_json::from_str(&running.line()).expect("a sample");
        elapsed = sample["elapsed_s"].as_f64().expect("a time");
    }
    std::fs::write(fifo, "").expect("written");
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(folder.read("b").split(|byte| *byte == b'\n').count(), 100_001);
}

#[test]
fn an_explicit_mark_keeps_the_link() {
    let folder = Folder::new();
    let stats = stats(
        &folder,
        "exec high=128K head -c 1M /dev/zero | exec cat | exec cat | write b",
    );
    let marks = |at: usize| {
        let link = &stats["links"][at];
        ["high_bytes", "low_bytes"].map(|key| link[key].as_u64().expect("bytes"))
    };
    assert_eq!(marks(0), [128 << 10, 64 << 10]);
    let [high, low] = marks(1);
    if JOINS_PIPES {
        // A writer goes on as soon as a page is free.
        assert_eq!(high - low, 4096);
    }
}

#[test]
fn a_stopped_reader_fills_everything_in_front() {
    let pipeline = "exec cat /dev/zero | exec cat | sh 'kill -STOP $$; cat'";
    let folder = Folder::new();
    let mut running = highwater(["--progress", "json", "--interval", "1ms", pipeline])
        .within(&folder)
        .start();
    loop {
        let sample: Value = serde_json::from_str(&running.line()).expect("a sample");
        let is_full = |at: usize| sample["links"][at]["buffered_bytes"] == sample["links"][at]["high_bytes"];
        let waits = |at: usize| sample["stages"][at]["backpressured"].as_f64() > Some(0.9);
        if is_full(0) && is_full(1) && waits(0) && waits(1) {
            // What pipes hold is no memory of ours.
            assert!(!JOINS_PIPES || sample["buffered_bytes"] == 0, "{sample}");
            break;
        }
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(15));
}

#[test]
fn lines_in_a_stopped_pipe_count_as_pages() {
    let pipeline = "exec yes | exec stdbuf -oL cat | sh 'kill -STOP $$; cat'";
    let mut running = highwater(["--progress", "json", "--interval", "1ms", pipeline]).start();
    loop {
        let sample: Value = serde_json::from_str(&running.line()).expect("a sample");
        let link = &sample["links"][1];
        if link["times_full"].as_u64() > Some(0) {
            assert!(!JOINS_PIPES || link["buffered_bytes"] == link["high_bytes"], "{link}");
            break;
        }
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(15));
}
