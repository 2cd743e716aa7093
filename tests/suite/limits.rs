//! Limits of the system: file sizes, descriptors, space, memory, threads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::harness::{Folder, highwater, noise, peer, skip, strace};
use crate::memory_bound::MemoryBound;
use crate::namespace::{Mount, Namespace, isolated};

/// The result of a shell script around highwater; in it, `"$0"` is the binary.
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
fn file_size_limit_is_reported() {
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
fn few_descriptors_suffice_or_are_reported() {
    // Three standard ones, six of the reactor, one more for signals, two for the memory, two sources, a folder and a
    // temporary file, and an alarm for each of five stages that waits; the rest is for descriptors that the test's
    // parent has left open. How many are open at once depends on scheduling.
    const ENOUGH: u32 = 3 + 6 + 1 + 2 + 2 + 2 + 5 + 11;
    for descriptors in 5..=ENOUGH {
        let folder = folder();
        let pipeline = "read a a | gzip threads=2 | gunzip | throttle 1GB/s | write b";
        let ended = shell(&folder, &format!("ulimit -n {descriptors}; exec \"$0\" '{pipeline}'"));
        match ended.code {
            Some(0) => {
                let twice = folder.read("a").repeat(2);
                let is_right = folder.read("b") == twice && ended.said.is_empty();
                assert!(is_right, "{descriptors}: {}", ended.said);
            }
            Some(12) if descriptors < ENOUGH => {
                assert_eq!(ended.said.lines().count(), 1, "{descriptors}: {}", ended.said);
                untouched(&folder);
            }
            other => panic!("{descriptors}: {other:?}: {}", ended.said),
        }
    }
}

/// A user without processes: root is not bound by their number, and other users have some already.
fn nobody(folder: &Folder) -> Option<Command> {
    let (setpriv, unshare) = (peer("setpriv")?, peer("unshare")?);
    if rustix::process::geteuid().is_root() {
        // Between the ordinary users and those of services, another one for each process of tests.
        let user = 20_000 + std::process::id() % 40_000;
        for path in [folder.path().to_owned(), folder.join("a"), folder.join("b")] {
            std::os::unix::fs::chown(path, Some(user), Some(user)).expect("owned");
        }
        let mut setpriv = setpriv;
        setpriv.args([
            "--reuid",
            &user.to_string(),
            "--regid",
            &user.to_string(),
            "--clear-groups",
        ]);
        return Some(setpriv);
    }
    // In a new user namespace they are counted from zero.
    let mut unshare = unshare;
    unshare.arg("--user");
    let probe = Command::new("unshare")
        .args(["--user", "true"])
        .output()
        .expect("it starts");
    if !probe.status.success() {
        skip(String::from_utf8_lossy(&probe.stderr).trim_end());
        return None;
    }
    Some(unshare)
}

/// `RLIMIT_NPROC` counts the threads of all processes of a user.
#[test]
fn few_threads_suffice_or_are_reported() {
    if peer("prlimit").is_none() {
        return;
    }
    let limited = |threads: u64, pipeline: &str| -> Option<(Folder, std::process::Output)> {
        let folder = folder();
        let output = nobody(&folder)?
            .args(["prlimit", &format!("--nproc={threads}:{threads}"), "--"])
            // That user may not be allowed into the program's folder; an open file works.
            .args(["/proc/self/fd/0", pipeline])
            .stdin(std::fs::File::open(env!("CARGO_BIN_EXE_highwater")).expect("the program"))
            .current_dir(folder.path())
            .output()
            .expect("it starts");
        Some((folder, output))
    };
    for pipeline in [
        "read a | write b",
        "read a | take 1T | write b",
        "read a | lz4 | unlz4 | throttle 1GB/s | write b",
    ] {
        let most = threads(pipeline);
        for threads in 1..=most {
            let Some((folder, output)) = limited(threads, pipeline) else {
                return;
            };
            let said = String::from_utf8(output.stderr).expect("text");
            match output.status.code() {
                Some(0) if threads > 1 => assert!(folder.read("b") == folder.read("a") && said.is_empty(), "{said}"),
                Some(12) if threads < most => {
                    let why = ": cannot start a thread: Resource temporarily unavailable\n";
                    assert!(said.ends_with(why) && said.lines().count() == 1, "{said}");
                    untouched(&folder);
                }
                other => panic!("{pipeline}: {other:?} with {threads} threads: {said}"),
            }
        }
    }
    // A name is resolved on a thread as well.
    let Some((folder, output)) = limited(1, "read a | write tcp://localhost:1") else {
        return;
    };
    let said = "highwater: write tcp://localhost:1: cannot start a thread: Resource temporarily unavailable\n";
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(12), said)
    );
    untouched(&folder);
    // The library reports a lack of memory if it gets no threads for its workers.
    let Some((folder, output)) = limited(3, "read a | zstd threads=4 | write b") else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(12), 1), "{said}");
    untouched(&folder);
}

/// How many threads `explain` says that a pipeline takes at most.
fn threads(pipeline: &str) -> u64 {
    let folder = folder();
    let explained = highwater(["explain", pipeline]).within(&folder).run().succeeds();
    let explained = String::from_utf8(explained).expect("text");
    let line = explained.lines().find_map(|line| line.strip_prefix("threads"));
    let count = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    count.unwrap_or_else(|| panic!("no threads in {explained}"))
}

#[test]
fn full_disk_keeps_the_old_file() {
    let name = "limits::full_disk_keeps_the_old_file";
    isolated(&Namespace::Mounts, name, || {
        let folder = Folder::new();
        let _disk = Mount::at(folder.path());
        folder.write("b", "old");
        let run = highwater(["read /dev/zero | take 4MiB | write b"])
            .within(&folder)
            .run();
        let said = run.fails(5);
        let expected = "highwater: write b: cannot write: No space left on device (after ";
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((folder.read("b"), folder.names()), (b"old".to_vec(), vec!["b".into()]));
    });
}

#[test]
fn unwritable_disk_is_unchanged() {
    let name = "limits::unwritable_disk_is_unchanged";
    isolated(&Namespace::Mounts, name, || {
        let folder = folder();
        let source = format!("read {}", folder.join("a").display());
        let disk = Mount::at(folder.path());
        folder.write("a", "new");
        folder.write("b", "old");
        disk.forbid_writing();
        for sink in ["write b", "write c", "write b append=true"] {
            // Standard input is unread: the sink is refused first.
            let (unread, pipe) = std::io::pipe().expect("a pipe");
            rustix::io::write(&pipe, b"waits").expect("written");
            let run = highwater([sink])
                .within(&folder)
                .stdin(unread.try_clone().expect("shared"))
                .run();
            let expected = format!("highwater: {sink}: cannot create: Read-only file system");
            assert_eq!(run.fails(4), expected);
            assert_eq!(rustix::io::ioctl_fionread(&unread).expect("a pipe"), 5, "{sink}");
        }
        let run = highwater(["--stats", "s", &format!("{source} | write /dev/null")])
            .within(&folder)
            .run();
        assert_eq!(run.fails(4), "highwater: --stats s: cannot open: Read-only file system");
        untouched(&folder);
    });
}

#[test]
fn statistics_on_full_disk_fail() {
    let folder = folder();
    let run = highwater(["--stats", "/dev/full", "read a | write b"])
        .within(&folder)
        .run();
    let full = "highwater: --stats /dev/full: cannot write: No space left on device";
    assert_eq!(run.fails(5), full);
    assert!(folder.read("b") == folder.read("a"));
    // The earlier error is reported first, and its code stays.
    let run = highwater(["--stats", "/dev/full", "read missing | write b"])
        .within(&folder)
        .run();
    let said = format!("highwater: read missing: cannot open: No such file or directory\n{full}\n");
    assert_eq!((run.code, run.stderr), (Some(3), said));
}

#[test]
fn memory_limit_holds_during_stalls() {
    let bytes = 16 << 20;
    let bounds = [MemoryBound::group(bytes), MemoryBound::data(bytes)];
    for bound in bounds.into_iter().flatten() {
        holds_while_the_sink_stalls(&bound);
    }
}

fn holds_while_the_sink_stalls(bound: &MemoryBound) {
    const SIZE: u64 = 256 << 20;
    let pipeline = format!("read /dev/zero | take {SIZE} | write -");
    let mut child = bound
        .command(env!("CARGO_BIN_EXE_highwater"))
        .args(["--progress", "json", "--interval", "10ms", &pipeline])
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
        // Nothing reads until some more samples have come.
        for _ in 0..3 {
            line.clear();
            std::io::BufRead::read_line(&mut stderr, &mut line).expect("a sample");
        }
    }
    std::io::copy(&mut stderr, &mut std::io::sink()).expect("read");
    let status = child.wait().expect("ended");
    assert_eq!((status.code(), received), (Some(0), SIZE), "{status:?}");
}

/// The flags of a shared descriptor.
fn flags(of: impl AsFd) -> OFlags {
    rustix::fs::fcntl_getfl(of).expect("flags")
}

#[test]
fn nonblocking_standard_output_keeps_its_flags() {
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
fn stuck_standard_error_blocks_nothing() {
    let folder = folder();
    let (drain, stderr) = std::io::pipe().expect("a pipe");
    // Full, without a reader.
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
fn continued_process_delivers_everything() {
    let folder = folder();
    let arguments = ["--stall-timeout", "1h", "--progress", "json", "--interval", "1ms"];
    let pipeline = "read a | throttle 2MB/s | write b";
    let mut running = highwater(arguments.iter().chain([&pipeline])).within(&folder).start();
    // It may have ended, and is waited for at the end.
    let changes = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    for _ in 0..5 {
        running.line();
        running.signal(Signal::STOP);
        let status = rustix::process::waitid(WaitId::Pid(running.pid()), changes)
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

/// It stops itself at its first wait, which is for its peer, so that its time without a byte has begun. A twin that is
/// started then, and ends by the same limit, is the clock. The peer and all of its bytes arrive while it is stopped:
/// when it continues it need not wait.
#[test]
fn long_stop_is_not_a_stall() {
    const WAITING: [&str; 3] = ["--stall-timeout", "300ms", "read tcp-listen://:0"];
    let Some(mut strace) = strace() else { return };
    strace.args(["-f", "-qq", "-e", "trace=/^epoll_p?wait$"]);
    strace.args(["-e", "inject=/^epoll_p?wait$:signal=SIGSTOP:when=1"]);
    strace.process_group(0);
    let mut stopped = highwater(WAITING).under(strace).start();
    let address = stopped.address();
    loop {
        let line = stopped.line();
        assert!(!line.is_empty(), "it ended and did not stop");
        if line.contains("--- stopped by SIGSTOP ---") {
            break;
        }
    }
    let twin = highwater(WAITING).run();
    assert_eq!(twin.code, Some(8), "{}", twin.stderr);
    let bytes = noise(1000, 3);
    let mut peer = TcpStream::connect(address).expect("its system answers");
    peer.write_all(&bytes).expect("there is room");
    drop(peer);
    rustix::process::kill_process_group(stopped.pid(), Signal::CONT).expect("it is there");
    let run = stopped.wait();
    assert!(
        run.code == Some(0) && run.stdout == bytes,
        "{:?}: {}",
        run.code,
        run.stderr
    );
}

/// The same faults as in the sweep, injected from outside by strace.
#[test]
fn injected_faults_end_as_specified() {
    if strace().is_none() {
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

#[test]
#[cfg(not(feature = "portable-platform"))]
fn max_rss_without_proc_is_refused() {
    let name = "limits::max_rss_without_proc_is_refused";
    isolated(&Namespace::Mounts, name, || {
        let folder = folder();
        let _hidden = Mount::over_proc();
        for option in [&["--max-rss", "1GiB"][..], &["--ignore-backpressure"]] {
            let run = highwater(option.iter().chain(&["read a | write c"]))
                .within(&folder)
                .run();
            let said = run.fails(12);
            assert!(
                said.starts_with("highwater: --max-rss: the system does not tell"),
                "{said}"
            );
            let explain = ["explain"].iter().chain(option).chain(&["read a | write c"]);
            assert_eq!(highwater(explain).within(&folder).run().fails(12), said);
        }
        let run = highwater(["read a | write b"]).within(&folder).run();
        run.succeeds();
        assert_eq!(folder.names(), ["a", "b"]);
    });
}
