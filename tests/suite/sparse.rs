//! Holes: zeros that use no room on the disk.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::harness::{Folder, highwater, noise, skip};

const SIZE: u64 = 9 << 20;
/// Where there is data, besides the last byte.
const DATA: u64 = 4 << 20;
/// More than the data takes, with what a file system reads ahead, and a block for each piece that does not begin with one.
const ROOM: u64 = 512 << 10;

/// A folder with the sparse file `a`; `None` where the file system has no holes.
fn folder() -> Option<Folder> {
    let folder = Folder::new();
    let file = File::create(folder.join("a")).expect("created");
    file.set_len(SIZE).expect("set");
    file.write_all_at(&noise(8 << 10, 1), DATA).expect("written");
    file.write_all_at(b"!", SIZE - 1).expect("written");
    file.sync_all().expect("synced");
    if room(&folder.join("a")) > ROOM {
        skip("there are no holes here");
        return None;
    }
    Some(folder)
}

fn room(path: &Path) -> u64 {
    path.metadata().expect("there").blocks() * 512
}

/// Runs it, and compares what it wrote behind `old`.
#[track_caller]
fn writes(folder: &Folder, pipeline: &str, old: &[u8]) {
    let run = highwater(["-q", pipeline]).within(folder).run();
    assert_eq!(run.code, Some(0), "{pipeline}: {}", run.stderr);
    let expected = [old, &folder.read("a")].concat();
    assert!(folder.read("b") == expected, "{pipeline}: other bytes");
}

#[test]
fn stay_wherever_bytes_pass_unchanged() {
    let Some(folder) = folder() else { return };
    for pipeline in [
        "read a | write b",
        "read a | write b verify=true",
        "read a | write b resume=true checkpoint=100kB",
        "read a high=1MiB | write b",
        "read a | throttle 1GB/s | write b",
        "read a | buffer 1MiB | hash | write b",
        "read a | skip 0 | take 1T | limit 1T | write b",
        "read a | throttle 1GB/s | write b resume=true verify=true",
    ] {
        writes(&folder, pipeline, b"");
        let room = room(&folder.join("b"));
        assert!(room <= ROOM, "{pipeline}: {room}");
        std::fs::remove_file(folder.join("b")).expect("removed");
    }
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "nothing is punched there")]
fn stay_where_others_may_write() {
    let Some(folder) = folder() else { return };
    for stages in ["", "| throttle 1GB/s"] {
        for (sink, old) in [
            ("write b append=true", &b"old"[..]),
            ("write b append=true", &[1; 4096]),
            ("write b in-place=true", b""),
        ] {
            folder.write("b", if old.is_empty() { b"gone" } else { old });
            let pipeline = format!("read a {stages} | {sink}");
            writes(&folder, &pipeline, old);
            let room = room(&folder.join("b"));
            assert!(room <= ROOM, "{pipeline}: {room}");
        }
    }
}

#[test]
fn holes_of_standard_input_stay() {
    let Some(folder) = folder() else { return };
    for pipeline in ["write b", "throttle 1GB/s | write b"] {
        let run = highwater(["-q", pipeline])
            .within(&folder)
            .stdin(folder.open("a"))
            .run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(folder.read("b") == folder.read("a"));
        assert!(room(&folder.join("b")) <= ROOM, "{pipeline}");
    }
}

#[test]
fn always_finds_zeros_and_never_leaves_holes() {
    let Some(folder) = folder() else { return };
    let packed = highwater(["read a | gzip"]).within(&folder).run().succeeds();
    folder.write("packed", packed);
    for (pipeline, has_holes) in [
        ("read packed | gunzip | write b sparse=always", true),
        ("read packed | gunzip | write b", false),
        ("read a | write b sparse=never", false),
        ("read a | throttle 1GB/s | write b sparse=never", false),
    ] {
        writes(&folder, pipeline, b"");
        let room = room(&folder.join("b"));
        assert_eq!(room <= ROOM, has_holes, "{pipeline}: {room}");
        assert!(has_holes || room >= SIZE, "{pipeline}: {room}");
    }
    let zeros = "read /dev/zero | take 9437184 | write b sparse=always";
    highwater([zeros]).within(&folder).run().succeeds();
    assert!(folder.read("b") == vec![0; 9 << 20]);
    assert!(room(&folder.join("b")) <= ROOM);
}

#[test]
fn auto_makes_no_holes_of_zeros() {
    let folder = Folder::new();
    folder.write("a", vec![0; 1 << 20]);
    highwater(["read a | throttle 1GB/s | write b"])
        .within(&folder)
        .run()
        .succeeds();
    assert!(room(&folder.join("b")) >= 1 << 20);
}
