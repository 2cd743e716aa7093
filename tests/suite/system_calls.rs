//! How many system calls the bytes cost: what a regression of a direct path or a link changes on every machine, without a clock.
//! The bounds are a few times what is needed; blocks of 8 KiB, or a call for each small piece, break them all.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::skip;

const MIB: usize = 1 << 20;
/// What is copied: a sixteenth of a GiB.
const SIZE: usize = 64 * MIB;
/// Pieces of a copying loop and of a link in it: 256 KiB each.
const PIECES: u64 = 256;
/// What a run may need besides: starting, threads, the end.
const DRAIN_LIMIT: u64 = 400;
/// Where memory comes from.
const MEMORY: [&str; 5] = ["mmap", "munmap", "mremap", "brk", "madvise"];

/// How often each system call was made.
struct Calls(HashMap<String, u64>);

impl Calls {
    fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|&name| self.0.get(name)).sum()
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

/// A folder with data, where there is something that counts.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        let can_trace = Command::new("strace")
            .args(["-c", "-o", "/dev/null", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if can_trace {
            let folder = tempfile::tempdir().expect("a folder");
            return Some(Self { folder });
        }
        skip::skip("strace is missing, or may not trace");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that takes its room on the disk.
    fn data(&self, size: usize) -> PathBuf {
        let path = self.path(&format!("data-{size}"));
        let mut file = File::create(&path).expect("created");
        let mut state = 88_172_645_463_325_252_u64;
        let mut block = Vec::with_capacity(MIB);
        for _ in 0..size / MIB {
            block.clear();
            while block.len() < MIB {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                block.extend_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block).expect("written");
        }
        path
    }

    /// A traced run that is not started yet.
    fn trace(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-c", "-o"])
            .arg(self.path("calls"))
            .arg(env!("CARGO_BIN_EXE_highwater"))
            .args(arguments)
            // Cargo's folders of libraries would all be searched.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// What was counted: a table whose fourth column is the count, and whose last is the name.
    fn calls(&self) -> Calls {
        let text = std::fs::read_to_string(self.path("calls")).expect("a table");
        let rows = text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words.last().filter(|&&name| name != "total")?;
            Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
        });
        let calls = Calls(rows.collect());
        assert!(calls.all() > 0, "{text}");
        println!("{text}");
        calls
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Calls {
        assert!(self.trace(arguments).status().expect("strace starts").success());
        self.calls()
    }

    /// Runs it with its output in a pipe, which is read as fast as it fills.
    #[track_caller]
    fn run_into_pipe(&self, stdin: impl Into<Stdio>, arguments: &[&str]) -> Calls {
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut command = self.trace(arguments);
        let mut child = command.stdin(stdin).stdout(writer).spawn().expect("strace starts");
        drop(command);
        let mut block = vec![0; MIB];
        let mut total = 0;
        loop {
            match reader.read(&mut block).expect("read") {
                0 => break,
                count => total += count,
            }
        }
        assert!(child.wait().expect("it ends").success());
        assert_eq!(total, SIZE);
        self.calls()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

#[test]
fn file_to_file_is_a_few_calls() {
    let Some(bench) = Bench::new() else { return };
    let (data, copy) = (bench.data(SIZE), bench.path("copy"));
    let calls = bench.run(&["-q", "read", text(&data), "::", "write", text(&copy), "sync=false"]);
    // 64 a GiB, and one each to start and to end with.
    assert!((1..=64 / 16 + 2).contains(&calls.of(&["copy_file_range"])));
    assert!(calls.all() <= DRAIN_LIMIT, "{} calls", calls.all());
}

#[test]
fn the_disk_begins_before_the_end_where_it_is_waited_for() {
    let Some(bench) = Bench::new() else { return };
    let (data, copy) = (bench.data(SIZE), bench.path("copy"));
    for marks in [&[][..], &["high=1MiB"]] {
        let begun = |sync: &str| {
            let stages = [&["-q", "read", text(&data)], marks, &["::", "write", text(&copy), sync]].concat();
            let calls = bench.run(&stages);
            (calls.of(&["sync_file_range"]), calls.of(&["fsync"]))
        };
        // Once each 16 MiB; then the file, and its folder.
        assert_eq!(begun("sync=true"), (64 / 16, 2), "{marks:?}");
        assert_eq!(begun("sync=false"), (0, 0), "{marks:?}");
    }
}

#[test]
fn file_to_pipe_is_large_pieces() {
    let Some(bench) = Bench::new() else { return };
    let data = bench.data(SIZE);
    let calls = bench.run_into_pipe(Stdio::null(), &["-q", "read", text(&data), "::", "write", "-"]);
    assert!(calls.of(&["read"]) <= PIECES + PIECES / 4);
    // A pipe may take a piece in parts, and be waited for between them.
    assert!(calls.all() <= 6 * PIECES + DRAIN_LIMIT, "{} calls", calls.all());
}

#[test]
fn pipe_to_pipe_is_large_pieces() {
    let Some(bench) = Bench::new() else { return };
    let data = bench.data(SIZE);
    let mut feeder = Command::new("cat")
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cat starts");
    let fed = feeder.stdout.take().expect("stdout is a pipe");
    let calls = bench.run_into_pipe(fed, &["-q", "read", "-", "::", "write", "-"]);
    assert!(feeder.wait().expect("it ends").success());
    // 64 KiB at a time is what a pipe wakes its other end for, if that is in a hurry.
    assert!(calls.of(&["splice", "read", "write"]) <= 8 * PIECES);
    assert!(calls.all() <= 12 * PIECES + DRAIN_LIMIT, "{} calls", calls.all());
}

#[test]
fn a_link_wakes_seldom() {
    let Some(bench) = Bench::new() else { return };
    let data = bench.data(SIZE);
    let stages = ["read", text(&data), "high=1MiB", "::", "write", "/dev/null"];
    let run = |options: &[&str]| bench.run(&[options, &stages].concat());
    let off = run(&["-q"]);
    assert!(off.of(&["read"]) <= PIECES + PIECES / 4);
    assert!(off.of(&["write"]) <= PIECES + PIECES / 4);
    // Falling asleep and being woken, on either side, for every piece.
    assert!(off.of(&["futex"]) <= 5 * PIECES + DRAIN_LIMIT);
    assert!(off.all() <= 8 * PIECES + DRAIN_LIMIT, "{} calls", off.all());

    let on = run(&["--progress", "json"]);
    // How often the two ends meet asleep is chance.
    let without_chance = |calls: &Calls| calls.all() - calls.of(&["futex", "sched_yield", "restart_syscall"]);
    let (off, on) = (without_chance(&off), without_chance(&on));
    assert!(on <= off + 150, "{on} calls with the view, {off} without");
}

#[test]
fn memory_is_recycled() {
    let Some(bench) = Bench::new() else { return };
    let [small, large] = [16 * MIB, SIZE].map(|size| bench.data(size));
    for stages in [
        &["high=1MiB", "::", "write", "/dev/null"][..],
        &["::", "gzip", "threads=2", "::", "write", "/dev/null"],
        &["::", "throttle", "10GB/s", "::", "write", "/dev/null"],
    ] {
        let asked = |data: &Path| bench.run(&[&["-q", "read", text(data)], stages].concat()).of(&MEMORY);
        let (less, more) = (asked(&small), asked(&large));
        assert!(more <= less + 32, "{stages:?}: {less} and {more} requests for memory");
    }
}
