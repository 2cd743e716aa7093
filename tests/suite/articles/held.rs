//! What a slow consumer makes a program hold.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use serde_json::Value;

use super::{program, records};
use crate::harness::{Folder, highwater, noise, peer};

/// A program that says what its streams hold.
struct Watched {
    child: Child,
    stdout: ChildStdout,
    stderr: BufReader<ChildStderr>,
}

impl Watched {
    /// Starts one on a file, with a consumer that reads nothing yet.
    fn start(name: &str, folder: &Folder, input: &str) -> Option<Self> {
        let mut child = peer("node")?
            .arg("-r")
            .args([program("watched"), program(name)])
            .stdin(folder.open(input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node starts");
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Some(Self { child, stdout, stderr })
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Reads all of its output; returns that, and the most that a stream held.
    fn end(mut self) -> (Vec<u8>, Value) {
        let mut output = Vec::new();
        self.stdout.read_to_end(&mut output).expect("its output");
        let said = self.stderr.lines().map(|line| line.expect("text")).last();
        assert!(self.child.wait().expect("it ends").success());
        (output, serde_json::from_str(&said.expect("a line")).expect("an object"))
    }
}

#[test]
fn an_ignored_write_holds_the_whole_file() {
    const SIZE: usize = 8 << 20;
    /// A piece of Node's, and what a pipe holds.
    const PIECE: u64 = 64 << 10;
    let folder = Folder::new();
    let data = noise(SIZE, 7);
    folder.write("a", &data);
    let Some(mut broken) = Watched::start("copy_write", &folder, "a") else {
        return;
    };
    // It has read the whole file before a byte was taken.
    assert_eq!(broken.says(), "read");
    let (output, held) = broken.end();
    assert!(output == data);
    assert!(held["bytes"].as_u64() >= Some(SIZE as u64 - 2 * PIECE), "{held}");

    let mut good = Watched::start("copy_pipe", &folder, "a").expect("node is there");
    assert_eq!(good.says(), "paused");
    let (output, held) = good.end();
    assert!(output == data);
    assert!(held["bytes"].as_u64() <= Some(2 * PIECE), "{held}");

    let mut ours = highwater([
        "--progress",
        "json",
        "--interval",
        "10ms",
        "read a high=64KiB | write -",
    ])
    .within(&folder)
    .start();
    let mut stdout = ours.take_stdout();
    let is_full = |line: String| {
        let sample: Value = serde_json::from_str(&line).expect("an object");
        sample["links"][0]["times_full"].as_u64() > Some(0)
    };
    while !is_full(ours.line()) {}
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).expect("its output");
    assert!(output == data);
    let end = ours.wait().end();
    assert_eq!(end["links"][0]["peak_bytes"], PIECE, "{end}");
}

#[test]
fn four_rows_are_a_hint_in_node() {
    let folder = Folder::new();
    folder.write("a", records(20_000));
    let Some(mut program) = Watched::start("rows_marked", &folder, "a") else {
        return;
    };
    assert_eq!(program.says(), "paused");
    let (_, held) = program.end();
    // A piece of 64 KiB makes as many rows as are in it; marks_of_rows_and_bytes_differ has ours.
    assert!(held["objects"].as_u64() > Some(100), "{held}");
}
