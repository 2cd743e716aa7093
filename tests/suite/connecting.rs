//! Connections that fail, or succeed only later.

use std::fs::File;
use std::io::{Seek, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;

use crate::harness::{Folder, Running, highwater};
use crate::support::port::reserve;
use crate::toxic::{Toxic, Toxin};

/// A source that shows whether anything was read from it.
fn source(folder: &Folder) -> (File, File) {
    folder.write("a", "not to be read");
    let file = folder.open("a");
    (file.try_clone().expect("shared"), file)
}

#[track_caller]
fn unread(mut source: File) {
    assert_eq!(source.stream_position().expect("a file"), 0, "the source was read");
}

mod connections {
    use super::*;

    #[test]
    fn unusable_connections_create_no_sink() {
        let (_refusing, refused) = reserve();
        for (url, said) in [
            (
                format!("tcp://{refused}"),
                format!("cannot connect to {refused}: Connection refused"),
            ),
            (
                "tcp://nowhere.invalid:1".to_owned(),
                "cannot resolve `nowhere.invalid`".to_owned(),
            ),
            // TCP has no multicast: every system refuses it without a packet.
            (
                "tcp://224.0.0.1:9".to_owned(),
                "cannot connect to 224.0.0.1:9: Network is unreachable".to_owned(),
            ),
            (
                "unix:nobody".to_owned(),
                "cannot connect to unix:nobody: No such file or directory".to_owned(),
            ),
        ] {
            let folder = Folder::new();
            let run = highwater([format!("read {url} | write b")]).within(&folder).run();
            assert!(run.fails(9).contains(&said), "{}", run.stderr);
            assert!(folder.names().is_empty(), "{:?}", folder.names());
            let (stdin, ours) = source(&folder);
            let run = highwater([format!("write {url}")]).within(&folder).stdin(stdin).run();
            assert!(run.fails(9).contains(&said), "{}", run.stderr);
            unread(ours);
        }
    }

    #[test]
    fn failed_listeners_leave_the_source_unread() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let folder = Folder::new();
        let (stdin, ours) = source(&folder);
        let run = highwater([format!("write tcp-listen://{address}")]).stdin(stdin).run();
        assert!(
            run.fails(9)
                .ends_with(&format!("cannot listen on tcp://{address}: Address already in use")),
            "{}",
            run.stderr
        );
        unread(ours);
        let run = highwater([format!("read tcp-listen://{address} | write b")])
            .within(&folder)
            .run();
        run.fails(9);
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn connection_timeout_leaves_the_source_unread() {
        let folder = Folder::new();
        for option in ["--timeout", "--stall-timeout"] {
            let (stdin, ours) = source(&folder);
            let run = highwater([option, "50ms", "write tcp-listen://:0"]).stdin(stdin).run();
            assert_eq!(run.code, Some(8), "{}", run.stderr);
            unread(ours);
        }
    }
}

mod retries {
    use super::*;

    /// Waits until an attempt has failed.
    fn failed_once(running: &mut Running) {
        let line = running.line();
        assert!(
            line.starts_with("highwater: info: cannot connect to ") && line.contains("; trying again in "),
            "{line}"
        );
    }

    #[test]
    fn reach_a_tcp_peer_that_comes_later() {
        let folder = Folder::new();
        let (socket, address) = reserve();
        let pipeline = format!("read tcp://{address} retry=1000000 | write b");
        let mut running = highwater(["--log", "info", &pipeline]).within(&folder).start();
        failed_once(&mut running);
        assert!(folder.names().is_empty(), "no sink before the connection stands");
        rustix::net::listen(&socket, 1).expect("listening");
        let mut peer = TcpStream::from(rustix::net::accept(&socket).expect("a peer"));
        peer.write_all(b"late").expect("written");
        drop(peer);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(folder.read("b"), b"late");
    }

    #[test]
    fn reach_a_unix_peer_that_comes_later() {
        let folder = Folder::new();
        let arguments = ["--log", "info", "write unix:toxic retry=1000000"];
        let mut running = highwater(arguments).within(&folder).input("late").start();
        failed_once(&mut running);
        let toxic = Toxic::unix(&folder, [Toxin::ReadToEnd(10)]);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(toxic.received(), b"late");
    }

    #[test]
    fn failed_retries_are_counted() {
        let folder = Folder::new();
        let (_refusing, address) = reserve();
        let (stdin, ours) = source(&folder);
        let run = highwater([format!("write tcp://{address} retry=2")]).stdin(stdin).run();
        let said = format!(
            "highwater: write tcp://{address} retry=2: cannot connect to {address} in 3 attempts: Connection refused"
        );
        assert_eq!(run.fails(9), said);
        unread(ours);
    }

    #[test]
    fn signal_ends_retries_at_once() {
        let folder = Folder::new();
        let arguments = ["--log", "info", "read unix:nobody retry=1000000 | write b"];
        let mut running = highwater(arguments).within(&folder).start();
        failed_once(&mut running);
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
        assert!(folder.names().is_empty());
    }

    #[test]
    fn retry_is_refused_elsewhere() {
        let folder = Folder::new();
        folder.write("a", "x");
        for pipeline in [
            "read a retry=1 | write b",
            "read a | write b retry=1",
            "read a | write tcp-listen://:0 retry=1",
            "read a | write unix-listen:s retry=1",
            "read a | write b linger=1s",
            "read a | write b user-timeout=1s",
            "read unix:s user-timeout=1s | write b",
            "read a | write unix-listen:s user-timeout=1s",
        ] {
            let run = highwater([pipeline]).within(&folder).run();
            assert_eq!(run.code, Some(2), "{}", run.stderr);
            assert!(
                run.stderr.contains(" does not support `") && run.stderr.contains('^'),
                "{}",
                run.stderr
            );
        }
        assert_eq!(folder.names(), ["a"]);
    }
}
