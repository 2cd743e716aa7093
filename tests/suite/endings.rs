//! How a run ends when something from outside ends it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Folder, Running, accept, highwater, noise, reset};
use crate::support::port::reserve;

const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A folder with an old target `b`.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("b", "old");
    folder
}

/// Nothing has changed, and no file is left.
#[track_caller]
fn untouched(folder: &Folder) {
    assert_eq!(folder.read("b"), b"old");
    let hidden: Vec<String> = folder
        .names()
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// A listener that does not read, and a run that has filled it: the first byte has arrived, and the rest exceeds all
/// buffers in between, so the run is, or soon will be, blocked in a write.
fn blocked_writer(options: &[&str]) -> (Running, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = listener.local_addr().expect("bound");
    let pipeline = format!("read /dev/zero | write tcp://{url}");
    let running = highwater(options.iter().map(ToString::to_string).chain([pipeline])).start();
    let mut peer = accept(&listener);
    peer.read_exact(&mut [0]).expect("a byte");
    (running, peer)
}

mod signals {
    use super::*;

    #[test]
    fn while_blocked_in_reading_a_fifo() {
        for signal in SIGNALS {
            let folder = folder();
            let fifo = folder.fifo("a");
            let running = highwater(["read a | gzip | write b"]).within(&folder).start();
            // It was opened for reading, so the run waits for bytes.
            let mut writer = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
            writer.write_all(b"some").expect("written");
            running.signal(signal);
            running.wait().dies_by(signal);
            untouched(&folder);
        }
    }

    #[test]
    fn while_blocked_in_reading_a_peer() {
        for signal in SIGNALS {
            let folder = folder();
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            let url = listener.local_addr().expect("bound");
            let pipeline = format!("read tcp://{url} | throttle 1MB/s | write b");
            let running = highwater([pipeline]).within(&folder).start();
            let mut peer = accept(&listener);
            peer.write_all(b"some").expect("written");
            running.signal(signal);
            running.wait().dies_by(signal);
            untouched(&folder);
        }
    }

    #[test]
    fn while_blocked_in_writing_to_a_peer() {
        for signal in SIGNALS {
            let (running, peer) = blocked_writer(&[]);
            running.signal(signal);
            running.wait().dies_by(signal);
            drop(peer);
        }
    }

    #[test]
    fn while_blocked_in_writing_to_standard_output() {
        for signal in SIGNALS {
            let (mut drain, output) = std::io::pipe().expect("a pipe");
            let running = highwater(["read /dev/zero"]).stdout(output).start();
            drain.read_exact(&mut [0]).expect("a byte");
            running.signal(signal);
            running.wait().dies_by(signal);
        }
    }

    #[test]
    fn while_asleep_in_a_throttle() {
        for signal in SIGNALS {
            let folder = folder();
            let mut running = highwater([
                "--progress",
                "json",
                "--interval",
                "1ms",
                "read /dev/zero | throttle 1/s | write b",
            ])
            .within(&folder)
            .start();
            loop {
                let line = running.line();
                let sample: serde_json::Value = serde_json::from_str(&line).expect("a sample");
                if sample["stages"][1]["throttling"].as_f64() > Some(0.5) {
                    break;
                }
            }
            running.signal(signal);
            let run = running.wait();
            assert_eq!(run.signal, Some(signal.as_raw()));
            assert_eq!(run.end()["exit"]["code"], 128 + signal.as_raw());
            untouched(&folder);
        }
    }

    #[test]
    fn while_waiting_for_a_peer() {
        for signal in SIGNALS {
            let folder = folder();
            let mut running = highwater(["read tcp-listen://:0 | write b"]).within(&folder).start();
            running.address();
            running.signal(signal);
            let run = running.wait();
            assert_eq!(run.signal, Some(signal.as_raw()), "{}", run.stderr);
            untouched(&folder);
        }
    }

    #[test]
    fn ignored_signals_stay_ignored() {
        for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)] {
            let folder = folder();
            let fifo = folder.fifo("a");
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("trap '' {name}; exec \"$0\" \"$@\""));
            shell.arg(env!("CARGO_BIN_EXE_highwater")).arg("read a | write b");
            let mut child = shell
                .current_dir(folder.path())
                .process_group(0)
                .spawn()
                .expect("sh starts");
            let mut writer = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("it runs");
            writer.write_all(b"new").expect("written");
            drop(writer);
            assert_eq!(child.wait().expect("ended").code(), Some(0), "{name}");
            assert_eq!(folder.read("b"), b"new");
        }
    }
}

mod readers_that_leave {
    use super::*;

    #[test]
    fn leaving_reader_ends_the_run_quietly() {
        for pipeline in [
            "read /dev/zero",
            "read /dev/zero | gzip level=1",
            "read /dev/zero | throttle 100MB/s | skip 5",
        ] {
            let (mut drain, output) = std::io::pipe().expect("a pipe");
            let running = highwater([pipeline]).stdout(output).start();
            drain.read_exact(&mut [0]).expect("a byte");
            drop(drain);
            let run = running.wait();
            assert_eq!((run.code, run.stderr.as_str()), (Some(141), ""), "{pipeline}");
        }
    }

    #[test]
    fn reader_gone_before_start_is_noticed() {
        let (drain, output) = std::io::pipe().expect("a pipe");
        drop(drain);
        let run = highwater(["read /dev/zero"]).stdout(output).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(141), ""));
    }

    #[test]
    fn fifo_write_errors_belong_to_sink() {
        let folder = Folder::new();
        let fifo = folder.fifo("b");
        let running = highwater(["read /dev/zero | write b"]).within(&folder).start();
        let mut reader = std::fs::File::open(fifo).expect("opened");
        reader.read_exact(&mut [0]).expect("a byte");
        drop(reader);
        let run = running.wait();
        assert!(
            run.fails(4)
                .starts_with("highwater: write b: cannot write: Broken pipe (after "),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn closed_standard_error_changes_nothing() {
        let folder = Folder::new();
        let bytes = noise(1 << 20, 1);
        folder.write("a", &bytes);
        let (drain, stderr) = std::io::pipe().expect("a pipe");
        drop(drain);
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args([
            "--progress",
            "json",
            "--interval",
            "1ms",
            "read a | throttle 20MB/s | write b",
        ]);
        let status = command
            .current_dir(folder.path())
            .stderr(stderr)
            .status()
            .expect("it starts");
        assert_eq!(status.code(), Some(0));
        assert!(folder.read("b") == bytes);
    }
}

mod timeouts {
    use super::*;

    #[test]
    fn timeout_ends_a_long_run() {
        let folder = folder();
        let run = highwater(["--timeout", "50ms", "read /dev/zero | throttle 1kB/s | write b"])
            .within(&folder)
            .run();
        assert_eq!(
            run.fails(8),
            "highwater: not done in time: the time given by --timeout is up"
        );
        untouched(&folder);
    }

    #[test]
    fn timeout_ends_a_peer_wait() {
        let folder = folder();
        let run = highwater(["--timeout", "50ms", "read tcp-listen://:0 | write b"])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(8), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 2);
        untouched(&folder);
    }

    #[test]
    fn timeout_ends_a_fifo_wait() {
        let folder = folder();
        folder.fifo("a");
        let run = highwater(["--timeout", "50ms", "read a | write b"])
            .within(&folder)
            .run();
        run.fails(8);
        untouched(&folder);
        folder.fifo("c");
        highwater(["--timeout", "50ms", "read b | write c"])
            .within(&folder)
            .run()
            .fails(8);
    }

    #[test]
    fn stall_timeout_ends_a_stuck_run() {
        let (running, peer) = blocked_writer(&["--stall-timeout", "200ms"]);
        let run = running.wait();
        assert_eq!(
            run.fails(8),
            "highwater: stalled: no byte moved for 200ms (--stall-timeout)"
        );
        drop(peer);
    }

    #[test]
    fn stall_timeout_spares_a_throttle() {
        let arguments = ["--stall-timeout", "500ms", "read /dev/zero | throttle 1/s | take 2"];
        assert_eq!(highwater(arguments).run().succeeds(), [0, 0]);
    }

    #[test]
    fn unreached_timeout_changes_nothing() {
        let arguments = ["--timeout", "1h", "--stall-timeout", "1h", "read /dev/zero | take 2"];
        assert_eq!(highwater(arguments).run().succeeds(), [0, 0]);
    }
}

mod peers {
    use super::*;

    #[test]
    fn reset_fails_the_source() {
        let folder = folder();
        let mut running = highwater(["read tcp-listen://:0 | write b"]).within(&folder).start();
        let mut peer = running.connect();
        peer.write_all(b"some").expect("written");
        reset(peer);
        let run = running.wait();
        assert_eq!(run.code, Some(3));
        let last = run.stderr.lines().last().expect("a line");
        assert!(
            last.contains(": cannot read: Connection reset by peer (after "),
            "{last}"
        );
        untouched(&folder);
    }

    #[test]
    fn reset_fails_the_sink() {
        let (running, peer) = blocked_writer(&[]);
        reset(peer);
        let run = running.wait();
        assert!(
            run.fails(4)
                .contains(": cannot write: Connection reset by peer (after "),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn early_close_is_noticed() {
        let (running, peer) = blocked_writer(&[]);
        drop(peer);
        running.wait().fails(4);
    }

    #[test]
    fn early_close_fails_the_sink() {
        // All of it fits in the kernel's buffers, so only the end can show the error.
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = listener.local_addr().expect("bound");
        let folder = Folder::new();
        let fifo = folder.fifo("a");
        let running = highwater([format!("read a | write tcp://{url}")])
            .within(&folder)
            .start();
        let mut writer = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
        let mut peer = accept(&listener);
        // A peer that leaves before the connection is made is another error.
        writer.write_all(b"!").expect("written");
        peer.read_exact(&mut [0]).expect("a byte");
        reset(peer);
        writer.write_all(b"nobody reads this").expect("written");
        drop(writer);
        running.wait().fails(4);
    }
}

mod faults_behind_what_was_wanted {
    use super::*;

    /// A stream with an error after `good` bytes.
    fn faulty(good: usize) -> Vec<u8> {
        let mut member = highwater(["gzip"]).input(noise(good, 2)).run().succeeds();
        let end = member.len() - 8;
        member[end] ^= 1;
        member
    }

    #[test]
    fn fault_behind_take_is_never_an_error() {
        let folder = folder();
        folder.write("a", faulty(100_000));
        for _ in 0..50 {
            let run = highwater(["read a | gunzip | take 100000 | write c"])
                .within(&folder)
                .run();
            run.succeeds();
            assert_eq!(folder.read("c").len(), 100_000);
        }
    }

    #[test]
    fn error_counts_where_take_wanted_more() {
        let folder = folder();
        folder.write("a", faulty(100_000));
        for _ in 0..50 {
            let run = highwater(["read a | gunzip | take 100001 | write b"])
                .within(&folder)
                .run();
            run.fails(6);
        }
        untouched(&folder);
    }

    #[test]
    fn error_counts_before_take_and_decoder() {
        let folder = folder();
        folder.write("a", faulty(100_000));
        for _ in 0..50 {
            let run = highwater(["read a | take 50000 | gunzip | write b"])
                .within(&folder)
                .run();
            run.fails(6);
        }
        untouched(&folder);
    }
}

/// The standard library opens /dev/null in the place of closed descriptors, where bytes would be lost silently.
#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the portable platform cannot tell")]
fn closed_standard_descriptor_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("in"), b"text").expect("written");
    let run = |script: &str| {
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_highwater")])
            .current_dir(dir.path())
            .output()
            .expect("a shell");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let closed = "Bad file descriptor\n";
    assert_eq!(
        run("\"$1\" 'read in' >&-"),
        (
            Some(4),
            format!("highwater: write -: cannot open standard output: {closed}")
        )
    );
    assert_eq!(
        run("\"$1\" 'write out' <&-"),
        (
            Some(3),
            format!("highwater: read -: cannot open standard input: {closed}")
        )
    );
    assert!(!dir.path().join("out").exists());
    assert_eq!(run("\"$1\" 'read in | write out' <&- >&-"), (Some(0), String::new()));
}

#[test]
fn missing_descriptors_leave_nothing() {
    let folder = folder();
    let script = "ulimit -n 5; exec \"$1\" 'read a | gzip | throttle 1GB/s | write b'";
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_highwater")])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    untouched(&folder);
}

/// What a sink's peer sees when the run fails.
mod connections_of_runs_that_fail {
    use std::io::{ErrorKind, Read};
    use std::net::TcpListener;

    use super::*;
    use crate::harness::{accept, noise};

    /// Everything that arrives, and how it ends.
    fn received(listener: &TcpListener) -> (Vec<u8>, std::io::Result<usize>) {
        let mut bytes = Vec::new();
        let ended = accept(listener).read_to_end(&mut bytes);
        (bytes, ended)
    }

    #[test]
    fn failed_tcp_run_resets_the_peer() {
        let folder = Folder::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = listener.local_addr().expect("bound");
        let whole = highwater(["gzip"]).input(noise(300_000, 8)).run().succeeds();
        folder.write("cut.gz", &whole[..whole.len() / 2]);
        let text = format!("read cut.gz | gunzip | write tcp://{url}");
        let running = highwater([text]).within(&folder).start();
        let (_, ended) = received(&listener);
        assert_eq!(running.wait().code, Some(6));
        assert_eq!(ended.expect_err("cut").kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn signalled_tcp_run_resets_the_peer() {
        for signal in [Signal::TERM, Signal::KILL] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            let text = format!("read /dev/zero | write tcp://{}", listener.local_addr().expect("bound"));
            let running = highwater([text]).start();
            let mut stream = accept(&listener);
            stream.read_exact(&mut [0]).expect("the first byte");
            running.signal(signal);
            let ended = stream.read_to_end(&mut Vec::new());
            running.wait().dies_by(signal);
            assert_eq!(ended.expect_err("cut").kind(), ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn missing_source_resets_the_peer() {
        let sink = TcpListener::bind("127.0.0.1:0").expect("bound");
        let (_refusing, source) = reserve();
        let url = |listener: &TcpListener| format!("tcp://{}", listener.local_addr().expect("bound"));
        let text = format!("read tcp://{source} | write {}", url(&sink));
        let running = highwater([text]).start();
        let (bytes, ended) = received(&sink);
        running.wait().fails(9);
        assert_eq!(
            (bytes.len(), ended.expect_err("cut").kind()),
            (0, ErrorKind::ConnectionReset)
        );
        // Nor if the wait for it is ended.
        let text = format!("read tcp-listen://:0 | write {}", url(&sink));
        let mut running = highwater([text]).start();
        running.address();
        let mut stream = accept(&sink);
        running.signal(Signal::TERM);
        let ended = stream.read_to_end(&mut Vec::new());
        running.wait();
        assert_eq!(ended.expect_err("cut").kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn successful_run_does_not_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let text = format!("write tcp://{}", listener.local_addr().expect("bound"));
        let running = highwater([text]).input(noise(300_000, 9)).start();
        let (bytes, ended) = received(&listener);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(ended.expect("an ordinary end"), 300_000);
        assert!(bytes == noise(300_000, 9));
    }
}
