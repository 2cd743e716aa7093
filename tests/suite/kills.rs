//! Runs that are killed in the middle, at moments chosen by a seed or a system call.
//!
//! `HIGHWATER_KILLS=200` kills so many of each kind instead of a few.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::{Folder, Run, highwater, noise, strace};

const SIZE: usize = 256 << 10;

fn wanted() -> usize {
    let given = std::env::var("HIGHWATER_KILLS").ok();
    given.map_or(20, |count| count.parse().expect("HIGHWATER_KILLS is a number"))
}

/// After how many written bytes each run is ended; more moments than runs, because some runs end before theirs.
fn moments(seed: u64, most: u64) -> impl Iterator<Item = u64> {
    (0..20 * wanted() as u64).map(move |at| {
        let random = noise(8, seed + at * 7919);
        u64::from_le_bytes(random.try_into().expect("8 bytes")) % most
    })
}

/// Starts a pipeline that reports its progress, and ends it by `signal` once it has written `moment` bytes.
fn end(folder: &Folder, pipeline: &str, moment: u64, signal: Signal) -> Run {
    let arguments = ["--progress", "json", "--interval", "1ms", pipeline];
    let mut running = highwater(arguments).within(folder).start();
    if running.writes(moment) {
        // It may have ended meanwhile.
        running.signal(signal);
    }
    running.wait()
}

/// Names that begin with a dot.
fn hidden(folder: &Folder) -> Vec<String> {
    let names = folder.names().into_iter();
    names.filter(|name| name.starts_with('.')).collect()
}

fn is_temporary(name: &str) -> bool {
    let digits = name.strip_prefix(".b.highwater-");
    digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

#[test]
fn killed_write_is_old_or_new() {
    let folder = Folder::new();
    let new = noise(SIZE, 1);
    folder.write("a", &new);
    let mut kills = 0;
    for moment in moments(1, SIZE as u64 * 9 / 8) {
        folder.write("b", "old");
        let run = end(&folder, "read a | throttle 4MB/s | write b", moment, Signal::KILL);
        let target = folder.read("b");
        match (run.code, run.signal) {
            (Some(0), None) => assert!(target == new && hidden(&folder).is_empty()),
            (None, Some(9)) => {
                assert!(target == b"old" || target == new, "{} bytes", target.len());
                for name in hidden(&folder) {
                    assert!(is_temporary(&name), "{name}");
                    std::fs::remove_file(folder.join(&name)).expect("removed");
                }
                kills += 1;
            }
            other => panic!("{other:?}: {}", run.stderr),
        }
        if kills == wanted() {
            break;
        }
    }
    assert_eq!(kills, wanted());
}

#[test]
fn signal_leaves_target_old_or_new() {
    let folder = Folder::new();
    let new = noise(SIZE, 2);
    folder.write("a", &new);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut ended = 0;
        for moment in moments(2, SIZE as u64 * 9 / 8) {
            folder.write("b", "old");
            let run = end(&folder, "read a | throttle 4MB/s | write b", moment, signal);
            let target = folder.read("b");
            match (run.code, run.signal) {
                (Some(0), None) => assert!(target == new),
                (None, Some(by)) if by == signal.as_raw() => {
                    assert!(target == b"old", "{signal:?} after {moment}: {} bytes", target.len());
                    ended += 1;
                }
                other => panic!("{other:?}: {}", run.stderr),
            }
            assert_eq!(hidden(&folder), [""; 0], "{signal:?} after {moment}");
            if ended == wanted() {
                break;
            }
        }
        assert_eq!(ended, wanted(), "{signal:?}");
    }
}

#[test]
fn repeatedly_killed_write_ends_whole() {
    const LARGE: usize = 1 << 20;
    let folder = Folder::new();
    let bytes = noise(LARGE, 3);
    folder.write("a", &bytes);
    let pipeline = "read a | throttle 4MB/s | write b resume=true checkpoint=16KiB";
    let mut kills = 0;
    for moment in moments(3, LARGE as u64 / 8) {
        let run = end(&folder, pipeline, moment, Signal::KILL);
        match (run.code, run.signal) {
            (Some(0), None) => {
                assert!(folder.read("b") == bytes);
                assert_eq!(hidden(&folder), [""; 0]);
                std::fs::remove_file(folder.join("b")).expect("removed");
            }
            (None, Some(9)) => {
                assert!(!folder.join("b").exists() || folder.read("b") == bytes);
                kills += 1;
            }
            other => panic!("{other:?}: {}", run.stderr),
        }
        if kills == wanted() {
            break;
        }
    }
    assert_eq!(kills, wanted());
    highwater(["-q", pipeline]).within(&folder).run().succeeds();
    assert!(folder.read("b") == bytes);
    assert_eq!(folder.names(), ["a", "b"]);
}

/// The second fsync is that of the folder: the new file is in its place by then, and the signal changes nothing any
/// more.
#[test]
fn signal_after_rename_is_too_late() {
    for count in [1, 2] {
        let folder = Folder::new();
        folder.write("a", "new");
        folder.write("b", "old");
        let Some(mut command) = strace() else { return };
        let output = command
            .args(["-f", "-o", "/dev/null", "-e", "trace=fsync", "-e"])
            .arg(format!("inject=fsync:signal=TERM:when={count}"))
            .args([env!("CARGO_BIN_EXE_highwater"), "read a | write b"])
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("strace starts");
        let is_done = output.status.code() == Some(0);
        assert!(is_done || output.status.signal() == Some(15), "{output:?}");
        assert!(is_done || count == 1, "{output:?}");
        assert_eq!(folder.read("b"), if is_done { b"new" } else { b"old" });
        assert_eq!(folder.names(), ["a", "b"]);
    }
}

/// Kills a run when one of its threads makes the `count`th of these system calls; returns `None` if it never does.
fn killed_at(folder: &Folder, call: &str, count: usize, arguments: &[&str]) -> Option<bool> {
    let mut command: Command = strace()?;
    let status = command
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={count}"))
        .arg(env!("CARGO_BIN_EXE_highwater"))
        .args(arguments)
        .env_remove("LD_LIBRARY_PATH")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace starts");
    Some(!status.success())
}

/// The calls that write bytes and checksums, and rename files.
const STEPS: [&str; 8] = [
    "write",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fchmod",
    "flock",
    "/^rename",
    "/^unlink",
];

#[test]
fn kill_at_any_step_is_atomic() {
    let folder = Folder::new();
    let new = noise(100_000, 4);
    folder.write("a", &new);
    let mut kills = 0;
    for step in STEPS {
        for count in 1.. {
            folder.write("b", "old");
            let arguments = ["-q", "--chunk", "32KiB", "read a high=128KiB | write b"];
            let Some(killed) = killed_at(&folder, step, count, &arguments) else {
                return;
            };
            let target = folder.read("b");
            if !killed {
                assert!(target == new);
                break;
            }
            assert!(
                target == b"old" || target == new,
                "{step} {count}: {} bytes",
                target.len()
            );
            for name in hidden(&folder) {
                assert!(is_temporary(&name), "{name}");
                std::fs::remove_file(folder.join(&name)).expect("removed");
            }
            kills += 1;
        }
    }
    // Four pieces, two for durability, the permissions and the rename.
    assert!(kills >= 8, "{kills} kills");
}

#[test]
fn kill_at_any_step_is_resumable() {
    let folder = Folder::new();
    let bytes = noise(100_000, 5);
    folder.write("a", &bytes);
    let arguments = [
        "-q",
        "--chunk",
        "32KiB",
        "read a | write b resume=true checkpoint=32KiB",
    ];
    let mut kills = 0;
    for step in STEPS {
        for count in 1.. {
            let Some(killed) = killed_at(&folder, step, count, &arguments) else {
                return;
            };
            let is_there = folder.join("b").exists();
            assert!(!is_there || folder.read("b") == bytes, "{step} {count}");
            // Killed twice at the same step: the second time on the way from where the first ended.
            let _ = killed && killed_at(&folder, step, count, &arguments).is_some();
            highwater(arguments).within(&folder).run().succeeds();
            assert!(folder.read("b") == bytes, "{step} {count}");
            assert_eq!(folder.names(), ["a", "b"], "{step} {count}");
            std::fs::remove_file(folder.join("b")).expect("removed");
            if !killed {
                break;
            }
            kills += 1;
        }
    }
    // Four pieces and three checkpoints, eight for durability, and what opens and ends it.
    assert!(kills >= 20, "{kills} kills");
}
