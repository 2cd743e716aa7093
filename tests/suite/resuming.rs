//! `write F resume=true`: what stays after a run that ended early, and how another run continues it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::harness::{Folder, Run, Running, highwater, noise};

mod transforms;

const PART: &str = ".b.highwater-part";
const JOURNAL: &str = ".b.highwater-journal";
const SIZE: usize = 256 << 10;
const CHECKPOINT: u64 = 16 << 10;
const PIPELINE: &str = "read a | write b resume=true checkpoint=16KiB";
/// It takes longer than any test waits.
const SLOW: &str = "read a | throttle 1kB/s | write b resume=true";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", noise(SIZE, 6));
    folder
}

/// A run that has written something, and will not end by itself.
fn begun(folder: &Folder) -> Running {
    let arguments = ["--progress", "json", "--interval", "1ms", SLOW];
    let mut running = highwater(arguments).within(folder).start();
    assert!(running.writes(1), "it ended");
    running
}

/// Runs it into a limit of the file size, which is behind a few checkpoints: blocks of `ulimit` have 512 bytes or 1
/// KiB.
fn interrupt(folder: &Folder) {
    let script = "ulimit -f 128; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_highwater"),
            "--chunk",
            "16KiB",
            PIPELINE,
        ])
        .current_dir(folder.path())
        .output()
        .expect("sh starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A folder in which a run was interrupted behind a checkpoint.
fn interrupted() -> Folder {
    let folder = folder();
    interrupt(&folder);
    assert_eq!(folder.names(), [JOURNAL, PART, "a"]);
    folder
}

/// Runs it again, which must continue and succeed.
#[track_caller]
fn goes_on(folder: &Folder) {
    goes_on_with(folder, PIPELINE);
}

#[track_caller]
fn goes_on_with(folder: &Folder, pipeline: &str) {
    let run = highwater(["--stats", "-", pipeline]).within(folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let read = run.end()["stages"][0]["bytes_in"].as_u64().expect("a number");
    assert!(read <= SIZE as u64 - CHECKPOINT, "{read} bytes were read again");
    assert!(folder.read("b") == folder.read("a"));
    assert_eq!(folder.names(), ["a", "b"]);
}

fn again(folder: &Folder) -> Run {
    highwater([PIPELINE]).within(folder).run()
}

#[test]
fn interrupted_run_is_not_rewritten() {
    goes_on(&interrupted());
}

#[test]
fn continued_run_tells_where_it_begins() {
    let folder = interrupted();
    let plan = highwater(["explain", PIPELINE]).within(&folder).run();
    let plan = String::from_utf8(plan.stdout).expect("text");
    assert!(plan.contains("creates b, going on at "), "{plan}");
    assert_eq!(folder.names(), [JOURNAL, PART, "a"]);

    let mut running = begun(&folder);
    let sample: serde_json::Value = serde_json::from_str(&running.line()).expect("a sample");
    running.signal(Signal::TERM);
    running.wait();
    let resumed = sample["resumed_bytes"].as_u64().expect("a number");
    assert!(resumed >= CHECKPOINT, "{sample}");
    let done = sample["progress"].as_f64().expect("a number");
    let share = f64::from(u32::try_from(resumed * 1000 / SIZE as u64).expect("small"));
    assert!(done * 1000.0 >= share, "{sample}");

    let run = again(&folder);
    assert!(
        run.stderr.starts_with("highwater: goes on at ") && run.stderr.contains(" of the source, where"),
        "{}",
        run.stderr
    );
    interrupt(&folder);
    let quiet = highwater(["-q", PIPELINE]).within(&folder).run();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn byte_preserving_stages_may_differ() {
    for pipeline in [
        "read a | throttle 1GB/s | write b resume=true",
        "read ./a high=1MiB low=16KiB | buffer 1MiB | write b resume=true checkpoint=1MiB verify=true",
        "read a zero-copy=true size=5 | write b resume=true mode=640",
    ] {
        goes_on_with(&interrupted(), pipeline);
    }
}

#[test]
fn signal_keeps_part_and_old_target() {
    let folder = folder();
    folder.write("b", "old");
    let running = begun(&folder);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(15));
    assert_eq!(folder.read("b"), b"old");
    assert_eq!(folder.names(), [JOURNAL, PART, "a", "b"]);
}

#[test]
fn part_is_private_until_renamed() {
    let folder = folder();
    let old = folder.write("b", "old");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).expect("set");
    interrupt(&folder);
    assert_eq!(folder.read("b"), b"old");
    for name in [PART, JOURNAL] {
        let mode = folder.join(name).metadata().expect("there").mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    goes_on(&folder);
    assert_eq!(old.metadata().expect("there").mode() & 0o777, 0o640);
}

mod refused {
    use super::*;

    /// Ends with `code` and a line that contains `why`, and changes nothing.
    #[track_caller]
    fn refuses(folder: &Folder, code: i32, why: &str) {
        let contents = || [PART, JOURNAL].map(|name| std::fs::read(folder.join(name)).ok());
        let before = contents();
        let run = highwater(["-q", PIPELINE]).within(folder).run();
        assert!(run.fails(code).contains(why), "{}", run.stderr);
        assert!(contents() == before, "something was changed");
        assert!(!folder.join("b").exists());
    }

    #[test]
    fn modified_source_is_refused() {
        let folder = interrupted();
        let source = OpenOptions::new().write(true).open(folder.join("a")).expect("opened");
        source.write_all_at(b"other", 0).expect("written");
        source
            .set_modified(SystemTime::now() + Duration::from_secs(1))
            .expect("set");
        refuses(
            &folder,
            10,
            "the source has changed: it was written to since; remove ./.b.highwater-part",
        );
    }

    #[test]
    fn resized_source_is_refused() {
        let folder = interrupted();
        let source = OpenOptions::new().append(true).open(folder.join("a")).expect("opened");
        source.write_all_at(b"more", 0).expect("written");
        refuses(&folder, 10, "it had 262144 bytes and has 262148");
    }

    #[test]
    fn replaced_source_is_refused() {
        let folder = interrupted();
        let modified = folder.join("a").metadata().expect("there").modified().expect("known");
        let other = folder.write("c", noise(SIZE, 7));
        let file = File::options().write(true).open(&other).expect("opened");
        file.set_modified(modified).expect("set");
        std::fs::rename(other, folder.join("a")).expect("renamed");
        refuses(&folder, 10, "it is another file");
    }

    #[test]
    fn part_of_another_source_is_refused() {
        let folder = interrupted();
        let other = folder.write("c", noise(SIZE, 8));
        let run = highwater(["read c | write b resume=true"]).within(&folder).run();
        let expected = "it belongs to another source, `a`";
        assert!(run.fails(2).contains(expected), "{}", run.stderr);
        std::fs::remove_file(other).expect("removed");
        goes_on(&folder);
    }

    #[test]
    fn changed_part_is_refused() {
        let folder = interrupted();
        let part = OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.join(PART))
            .expect("opened");
        let mut byte = [0];
        part.read_exact_at(&mut byte, 5).expect("read");
        part.write_all_at(&[byte[0] ^ 1], 5).expect("written");
        refuses(&folder, 10, "have the sum");
    }

    #[test]
    fn shortened_part_is_refused() {
        let folder = interrupted();
        let part = OpenOptions::new().write(true).open(folder.join(PART)).expect("opened");
        part.set_len(CHECKPOINT - 1).expect("cut");
        refuses(&folder, 10, "it has 16383 bytes, and its journal speaks of");
    }

    #[test]
    fn missing_or_invalid_journal_is_refused() {
        let folder = interrupted();
        std::fs::remove_file(folder.join(JOURNAL)).expect("removed");
        let run = again(&folder);
        assert!(
            run.fails(10).contains("there is no journal that says what it is"),
            "{}",
            run.stderr
        );
        folder.write(JOURNAL, "no journal");
        refuses(&folder, 10, "there is no journal that says what it is");
    }

    #[test]
    fn part_or_journal_as_source_is_refused() {
        let folder = interrupted();
        for name in [PART, JOURNAL] {
            let before = folder.read(name);
            let pipeline = format!("read {name} | write b resume=true");
            let run = highwater([pipeline]).within(&folder).run();
            assert!(run.fails(2).contains("would overwrite what is read"), "{}", run.stderr);
            assert!(folder.read(name) == before);
        }
        goes_on(&folder);
    }

    #[test]
    fn while_another_run_is_writing() {
        let folder = folder();
        let running = begun(&folder);
        let run = highwater([SLOW]).within(&folder).run();
        assert!(run.fails(4).contains("another run is writing it"), "{}", run.stderr);
        running.signal(Signal::KILL);
        assert_eq!(running.wait().signal, Some(9));
    }

    /// Another file has been put under one of the predictable names.
    #[test]
    fn planted_part_is_refused() {
        for name in [PART, JOURNAL] {
            let folder = folder();
            let victim = folder.write("victim", "precious");

            symlink("victim", folder.join(name)).expect("linked");
            let run = again(&folder);
            assert!(run.fails(4).contains("it is a symbolic link"), "{}", run.stderr);
            std::fs::remove_file(folder.join(name)).expect("removed");

            std::fs::hard_link(&victim, folder.join(name)).expect("linked");
            let run = again(&folder);
            assert!(
                run.fails(4).contains("it is not a regular file of this user"),
                "{}",
                run.stderr
            );
            std::fs::remove_file(folder.join(name)).expect("removed");

            folder.fifo(name);
            let run = again(&folder);
            assert!(
                run.fails(4).contains("it is not a regular file of this user"),
                "{}",
                run.stderr
            );
            std::fs::remove_file(folder.join(name)).expect("removed");

            assert_eq!(std::fs::read(&victim).expect("read"), b"precious");
            assert_eq!(victim.metadata().expect("there").mode() & 0o777, 0o644);
            assert!(!folder.join("b").exists());
        }
    }
}
