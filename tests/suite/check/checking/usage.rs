//! What cannot be checked, and what a check writes.

use std::io::BufRead;

use crate::harness::{Folder, highwater};

#[test]
fn a_program_that_cannot_be_started_is_a_usage_error() {
    let folder = Folder::new();
    let plain = folder.write("plain", "no program");
    let plain = plain.to_str().expect("text");
    for (name, why) in [("/nonexistent/program", "No such file"), (plain, "Permission denied")] {
        let run = highwater(["check", "--", name]).run();
        assert!(run.fails(2).contains(why), "{}", run.stderr);
    }
}

#[test]
fn wrong_command_lines_say_what_would_be_right() {
    for (arguments, hint) in [
        (&["check"][..], "highwater check [OPTIONS] -- COMMAND"),
        (&["check", "cat"], "highwater check -- cat"),
        (&["check", "https://localhost/", "--pid=1"], "plain port"),
        (&["check", "--header=X: 1", "--", "cat"], "cannot be used with"),
        (
            &["check", "--input=a", "--input-kind=json", "--", "cat"],
            "cannot be used with",
        ),
        (&["check", "--input-kind=xml", "--", "cat"], "invalid value 'xml'"),
        (&["check", "--input=/dev/zero", "--", "cat"], "a regular file"),
        (&["check", "--seconds=1", "--", "cat"], "at least 2s"),
        (&["check", "--seconds=1s", "--", "cat"], "at least 2s"),
        (&["check", "--rate=0", "--", "cat"], "at least 1B/s"),
        (&["check", "--pid=1", "--", "cat"], "cannot be used with"),
        (
            &["check", "http://localhost/", "--pid=1", "--", "cat"],
            "cannot be used with",
        ),
    ] {
        let run = highwater(arguments).run();
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(hint), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn a_recording_has_its_three_kinds_of_line() {
    let folder = Folder::new();
    folder.write(
        "run.jsonl",
        "what was there before, and longer than what comes first".repeat(100),
    );
    let run = highwater(["check", "--seconds=2", "--record=run.jsonl", "--", "cat"])
        .within(&folder)
        .run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let text = String::from_utf8(folder.read("run.jsonl")).expect("text");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().expect("text")).collect();
    assert_eq!((events[0], events[events.len() - 1]), ("check", "check-end"));
    assert!(events.len() > 10 && events[1..events.len() - 1].iter().all(|event| *event == "check-sample"));
    assert_eq!(
        (&lines[0]["text"], &lines[0]["interval_s"]),
        (&"cat".into(), &0.1.into())
    );
    let said = String::from_utf8(run.stdout).expect("text");
    assert!(
        said.starts_with("✓ honours backpressure  cat\n") && said.contains("peak memory"),
        "{said}"
    );
}

#[test]
fn an_interrupted_check_says_what_it_saw() {
    let mut running = highwater(["check", "--json", "--", "cat"]).start();
    let mut lines = std::io::BufReader::new(running.take_stdout()).lines();
    // The header and a sample.
    for _ in 0..2 {
        lines.next().expect("a line").expect("text");
    }
    running.signal(rustix::process::Signal::INT);
    let last = lines.map(|line| line.expect("text")).last().expect("a line");
    let end: serde_json::Value = serde_json::from_str(&last).expect("an object");
    assert_eq!(
        (&end["verdict"], &end["exit"]["code"]),
        (&"interrupted".into(), &130.into())
    );
    let run = running.wait();
    assert!(run.stderr.contains("Interrupted after"), "{}", run.stderr);
    assert_eq!(run.signal, Some(rustix::process::Signal::INT.as_raw()));
}

#[test]
fn a_recording_that_cannot_be_written_ends_the_check_before_it_begins() {
    let run = highwater(["check", "--record=/nonexistent/run", "--", "cat"]).run();
    assert!(run.fails(4).contains("cannot open"), "{}", run.stderr);
    let run = highwater(["check", "--record=/dev/full", "--", "cat"]).run();
    assert!(run.fails(5).contains("No space left"), "{}", run.stderr);
}

#[test]
fn a_program_that_fails_is_quoted_without_what_a_terminal_would_obey() {
    let run = highwater([
        "check",
        "--",
        "sh",
        "-c",
        "printf 'no \\033[31msuch database\\n' >&2; exit 3",
    ])
    .run();
    let said = String::from_utf8(run.stdout).expect("text");
    assert_eq!(run.code, Some(13), "{said}");
    assert!(
        said.contains("ended with code 3") && said.contains("it said") && said.contains("no \\x1b[31msuch database"),
        "{said}"
    );
}

#[test]
fn the_help_fits_one_screen() {
    let run = highwater(["check", "-h"]).environment("COLUMNS", "80").run();
    let help = String::from_utf8(run.stdout).expect("text");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(help.contains("--max-rss") && help.contains("Exit codes"), "{help}");
    assert!(help.lines().count() <= 24, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
fn a_reader_of_the_lines_who_leaves_ends_the_check() {
    let mut running = highwater(["check", "--json", "--", "cat"]).start();
    let mut lines = std::io::BufReader::new(running.take_stdout());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
    assert!(line.contains(r#""event":"check""#), "{line}");
    drop(lines);
    let run = running.wait();
    assert_eq!((run.code, run.stderr.as_str()), (Some(141), ""));
}
