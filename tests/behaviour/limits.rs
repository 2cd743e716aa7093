//! What the system allows a process, and what happens at that border: file sizes, descriptors, space, memory.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::harness::{Folder, highwater, noise, peer};

/// What a shell script around highwater came to; in it, `"$0"` is the binary.
struct Ended {
    code: Option<i32>,
    said: String,
}

fn shell(folder: &Folder, script: &str) -> Ended {
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_highwater")])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    Ended {
        code: output.status.code(),
        said: String::from_utf8(output.stderr).expect("text"),
    }
}

/// A source `a` of 300 000 bytes, and an old target `b`.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", noise(300_000, 1));
    folder.write("b", "old");
    folder
}

#[track_caller]
fn untouched(folder: &Folder) {
    assert_eq!(
        (folder.read("b"), folder.names()),
        (b"old".to_vec(), vec!["a".into(), "b".into()])
    );
}

/// `ulimit -f` counts blocks of 512 bytes.
#[test]
fn a_file_may_be_no_larger_than_the_limit_whether_its_signal_is_ignored_or_not() {
    for signal in ["", "trap '' XFSZ;"] {
        for pipeline in [
            "read a | write b",
            "read a | take 1T | write b",
            "read a | gzip | write b",
        ] {
            let folder = folder();
            let ended = shell(&folder, &format!("{signal} ulimit -f 100; exec \"$0\" '{pipeline}'"));
            assert_eq!(ended.code, Some(5), "{pipeline}: {}", ended.said);
            let expected = "highwater: write b: cannot write: File too large (after 50.0 KiB)\n";
            assert_eq!(ended.said, expected, "{pipeline}");
            untouched(&folder);
        }
        let folder = folder();
        let ended = shell(
            &folder,
            &format!("{signal} ulimit -f 100; exec \"$0\" 'read a | write b append=true'"),
        );
        assert_eq!((ended.code, ended.said.lines().count()), (Some(5), 1), "{}", ended.said);
        untouched(&folder);
    }
}

#[test]
fn few_descriptors_are_enough_or_are_said_to_be_too_few() {
    let mut enough = 0;
    for descriptors in 5..=24 {
        let folder = folder();
        let pipeline = "read a a | gzip threads=2 | gunzip | throttle 1GB/s | write b";
        let ended = shell(&folder, &format!("ulimit -n {descriptors}; exec \"$0\" '{pipeline}'"));
        if ended.code == Some(0) {
            let twice = folder.read("a").repeat(2);
            assert!(
                folder.read("b") == twice && ended.said.is_empty(),
                "{descriptors}: {}",
                ended.said
            );
            enough += 1;
        } else {
            assert_eq!(
                (ended.code, ended.said.lines().count()),
                (Some(12), 1),
                "{descriptors}: {}",
                ended.said
            );
            assert_eq!(enough, 0, "more were enough, so {descriptors} must be");
            untouched(&folder);
        }
    }
    // From 16 on it goes well.
    assert!(enough >= 9, "{enough}");
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let Some(mut unshare) = peer("unshare") else { return };
    let folder = Folder::new();
    let script = "mount -t tmpfs -o size=1m none . && cd \"$PWD\" || exit 99
        printf old >b; \"$0\" 'read /dev/zero | take 4MiB | write b'; code=$?; cat b; ls -A; exit $code";
    let output = unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_highwater"))
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    let said = String::from_utf8(output.stderr).expect("text");
    let may_mount = output.status.code() != Some(99) && !said.contains("unshare: ");
    if !may_mount {
        eprintln!("skipped: nothing may be mounted here: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.starts_with("highwater: write b: cannot write: No space left on device (after ")
            && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "oldb\n");
}

/// A control group of its own with a memory limit, removed when it is dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn with_limit(bytes: u64) -> Option<Self> {
        let name = format!("highwater-test-{}", std::process::id());
        for (root, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self(folder);
            if std::fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_memory_limit_of_16_mebibytes_holds_while_the_sink_stalls() {
    const SIZE: u64 = 256 << 20;
    let Some(group) = MemoryGroup::with_limit(16 << 20) else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let pipeline = format!("read /dev/zero | take {SIZE} | write -");
    let script = format!(
        "echo $$ >'{}/cgroup.procs'; exec \"$0\" --progress json --interval 10ms '{pipeline}'",
        group.0.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_highwater")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut piece = vec![0; 16 << 20];
    let mut received = 0;
    let mut line = String::new();
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match stdout.read(&mut piece[filled..]).expect("read") {
                0 => break,
                count => filled += count,
            }
        }
        received += filled as u64;
        if filled < piece.len() {
            break;
        }
        // Until some more samples have come, nobody reads.
        for _ in 0..3 {
            line.clear();
            std::io::BufRead::read_line(&mut stderr, &mut line).expect("a sample");
        }
    }
    std::io::copy(&mut stderr, &mut std::io::sink()).expect("read");
    let status = child.wait().expect("ended");
    assert_eq!((status.code(), received), (Some(0), SIZE), "{status:?}");
}

/// What is set on a descriptor that others share.
fn flags(of: impl AsFd) -> OFlags {
    rustix::fs::fcntl_getfl(of).expect("flags")
}

#[test]
fn standard_output_that_does_not_block_gets_everything_and_keeps_its_flags() {
    let bytes = noise(3 << 20, 2);
    let folder = Folder::new();
    folder.write("a", &bytes);
    let (mut drain, pipe) = std::io::pipe().expect("a pipe");
    let (mut far, socket) = std::os::unix::net::UnixStream::pair().expect("a pair");
    for pipeline in ["read a", "read a | take 1T"] {
        let check = |ours: std::os::fd::OwnedFd, reader: &mut dyn Read| {
            let before = flags(&ours) | OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(&ours, before).expect("set");
            let running = highwater([pipeline])
                .within(&folder)
                .stdout(ours.try_clone().expect("shared"))
                .start();
            let mut received = vec![0; bytes.len()];
            reader.read_exact(&mut received).expect("read");
            running.wait().succeeds();
            assert!(received == bytes, "{pipeline}");
            assert_eq!(flags(&ours), before, "descriptor {}", ours.as_raw_fd());
        };
        check(pipe.try_clone().expect("shared").into(), &mut drain);
        check(socket.try_clone().expect("shared").into(), &mut far);
    }
}

#[test]
fn a_reader_of_standard_error_that_stops_holds_nothing_up() {
    let folder = folder();
    let (drain, stderr) = std::io::pipe().expect("a pipe");
    // Full, and nobody reads.
    rustix::fs::fcntl_setfl(&stderr, OFlags::NONBLOCK).expect("set");
    while rustix::io::write(&stderr, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(&stderr, b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&stderr, OFlags::empty()).expect("set");
    for (pipeline, code) in [("read a | gzip | gunzip | write b", 0), ("read missing | write b", 3)] {
        let status = Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["--progress", "json", "--interval", "1ms", pipeline])
            .current_dir(folder.path())
            .stderr(stderr.try_clone().expect("shared"))
            .status()
            .expect("it starts");
        assert_eq!(status.code(), Some(code), "{pipeline}");
    }
    assert!(folder.read("b") == folder.read("a"));
    drop(drain);
}

#[test]
fn stopped_and_told_to_go_on_it_delivers_everything() {
    let folder = folder();
    let arguments = ["--stall-timeout", "1h", "--progress", "json", "--interval", "1ms"];
    let pipeline = "read a | throttle 2MB/s | write b";
    let mut running = highwater(arguments.iter().chain([&pipeline])).within(&folder).start();
    for _ in 0..5 {
        running.line();
        running.signal(Signal::STOP);
        let (_, status) = rustix::process::waitpid(Some(running.pid()), rustix::process::WaitOptions::UNTRACED)
            .expect("a child")
            .expect("it changes");
        if !status.stopped() {
            break;
        }
        running.signal(Signal::CONT);
    }
    assert_eq!(running.wait().code, Some(0));
    assert!(folder.read("b") == folder.read("a"));
}

/// The same faults as in the sweep, made by somebody who knows nothing of the program.
#[test]
fn faults_that_strace_injects_end_as_they_should() {
    let may_trace = || {
        let probe = peer("strace")?.args(["-f", "-o", "/dev/null", "true"]).output().ok()?;
        probe.status.success().then_some(())
    };
    if may_trace().is_none() {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    for (inject, pipeline, code, why) in [
        (
            "fsync:error=EIO:when=1",
            "read a | write b",
            4,
            "cannot make it durable: Input/output error",
        ),
        (
            "/^rename:error=EXDEV",
            "read a | write b",
            4,
            "cannot put the new file in place: Invalid cross-device link",
        ),
        (
            "/^rename:error=EROFS",
            "read a | gzip | write b",
            4,
            "cannot put the new file in place: Read-only file system",
        ),
        ("copy_file_range:error=EXDEV", "read a | write b", 0, ""),
        (
            "fchmod:error=EPERM",
            "read a | write b",
            4,
            "cannot set permissions: Operation not permitted",
        ),
        (
            "clone,clone3:error=EAGAIN",
            "read a | take 1T | write b",
            12,
            "cannot start a thread: Resource temporarily unavailable",
        ),
    ] {
        let folder = folder();
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")])
            .arg(env!("CARGO_BIN_EXE_highwater"))
            .arg(pipeline)
            .current_dir(folder.path())
            .output()
            .expect("strace starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{inject}: {said}");
        if code == 0 {
            assert!(folder.read("b") == folder.read("a"), "{inject}");
        } else {
            assert!(said.contains(why) && said.lines().count() == 1, "{inject}: {said}");
            untouched(&folder);
        }
    }
}
