//! How much is said to be done while a run goes on, and at its end.

use rustix::process::Signal;

use crate::harness::{Folder, highwater};

/// A pipeline is started, asked while it waits for tokens or for its input, and ended.
#[test]
fn bytes_behind_a_throttle_are_not_done() {
    let folder = Folder::new();
    folder.write("a", vec![7; 100_000]);
    for arguments in [
        [
            "--progress",
            "plain",
            "--interval",
            "20ms",
            "read a | throttle 1 | write b",
        ],
        [
            "--progress",
            "plain",
            "--interval",
            "20ms",
            "read a | buffer 1MiB | throttle 1 | write b",
        ],
    ] {
        let mut running = highwater(arguments).within(&folder).start();
        let mut line = running.line();
        // Until all of it is read.
        while !line.contains("  in 97.7 KiB  ") {
            line = running.line();
        }
        assert!(line.contains("  in 97.7 KiB  out 0 B (0 %)  "), "{line}");
        running.signal(Signal::TERM);
        running.wait();
    }
}

#[test]
fn an_end_has_done_what_was_expected() {
    let folder = Folder::new();
    folder.write("a", vec![7; 1000]);
    for (pipeline, expected, progress) in [
        ("read a | write b", Some(1000), Some(1.0)),
        ("read a | gzip | write b", Some(1000), Some(1.0)),
        ("read a | take 100 | write b", Some(100), Some(1.0)),
        ("read a | skip 100 | buffer 1KiB | write b", Some(900), Some(1.0)),
        ("read a | take 2000 | write b", Some(1000), Some(1.0)),
        ("read /dev/zero | take 100 | write b", Some(100), Some(1.0)),
        ("read - | take 2000 | write b", Some(2000), Some(1.0)),
        ("read - | write b", None, None),
    ] {
        let (input, mut output) = std::io::pipe().expect("a pipe");
        std::io::Write::write_all(&mut output, &[7; 1000]).expect("there is room");
        drop(output);
        let run = highwater(["--stats", "-", pipeline]).within(&folder).stdin(input).run();
        let end = run.end();
        assert_eq!(end["expected_bytes"].as_u64(), expected, "{pipeline}");
        assert_eq!(end["progress"].as_f64(), progress, "{pipeline}");
        assert!(end["remaining_s"].is_null(), "{pipeline}");
    }
}

#[test]
fn a_failed_run_has_done_what_its_sink_took() {
    let folder = Folder::new();
    folder.write("a", vec![7; 1000]);
    let run = highwater([
        "--stats",
        "-",
        "--chunk",
        "100",
        "read a size=4000 | limit 999 | write b",
    ])
    .within(&folder)
    .run();
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    let end = run.end();
    let sink = end["stages"][2]["bytes_out"].as_f64().expect("a number");
    let progress = end["progress"].as_f64().expect("a number");
    assert!((progress - sink / 999.0).abs() < 1e-6, "{end}");
}
