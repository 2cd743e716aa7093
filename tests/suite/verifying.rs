//! `write F verify=true`: the written file is read back before the rename.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use crate::harness::{Folder, highwater, noise, strace};

#[test]
fn verified_file_is_renamed() {
    let folder = Folder::new();
    for size in [0, 1, 128 << 10, 300_000] {
        let bytes = noise(size, 8);
        folder.write("a", &bytes);
        let run = highwater(["--stats", "-", "read a | write b verify=true"])
            .within(&folder)
            .run();
        assert_eq!((run.code, run.end()["lane"].as_str()), (Some(0), Some("linked")));
        assert!(folder.read("b") == bytes);
        assert_eq!(folder.names(), ["a", "b"]);
    }
}

#[test]
fn differing_file_is_not_renamed() {
    let folder = Folder::new();
    folder.write("b", "old");
    let fifo = folder.fifo("a");
    let arguments = [
        "--progress",
        "json",
        "--interval",
        "1ms",
        "read a | gzip | gunzip | write b verify=true",
    ];
    let mut running = highwater(arguments).within(&folder).start();
    let mut source = OpenOptions::new().write(true).open(fifo).expect("a reader");
    source.write_all(&noise(1000, 9)).expect("written");
    assert!(running.writes(1000), "it ended");
    let names = folder.names();
    let temporary = names.iter().find(|name| name.starts_with('.')).expect("a temporary");
    let file = OpenOptions::new()
        .write(true)
        .open(folder.join(temporary))
        .expect("opened");
    file.write_all_at(b"?", 999).expect("written");
    drop(source);
    let run = running.wait();
    assert_eq!(run.code, Some(10), "{}", run.stderr);
    let samples = run.objects();
    let state = samples.iter().map(|sample| sample["state_bytes"].as_u64());
    assert!(
        state.max().flatten() >= Some(128 << 10),
        "what it is read back into counts"
    );
    let line = run.stderr.lines().last().expect("a line");
    let expected =
        "highwater: write b verify=true: what was read back is not what was written: 1000 bytes with the BLAKE3 sum ";
    assert!(line.starts_with(expected), "{line}");
    assert_eq!(folder.read("b"), b"old");
    assert_eq!(folder.names(), ["a", "b"]);
}

#[test]
fn verification_reads_the_disk_before_rename() {
    let folder = Folder::new();
    folder.write("a", noise(10_000, 10));
    let Some(mut command) = strace() else { return };
    let status = command
        .args(["-f", "-o", "calls", "-e", "trace=fsync,fadvise64,pread64,/^rename"])
        .args([env!("CARGO_BIN_EXE_highwater"), "read a | write b verify=true"])
        .env_remove("LD_LIBRARY_PATH")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("strace starts").success());
    let calls = String::from_utf8(folder.read("calls")).expect("text");
    let mut steps = if cfg!(feature = "portable-platform") {
        vec!["fsync(", "10000", "rename"]
    } else {
        vec!["fsync(", "POSIX_FADV_DONTNEED", "= 10000", "rename"]
    };
    for line in calls.lines() {
        if line.contains(steps[0]) {
            steps.remove(0);
        }
        if steps.is_empty() {
            return;
        }
    }
    panic!("{steps:?} is missing in\n{calls}");
}
