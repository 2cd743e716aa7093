//! A file's pages, lent to a pipe or a connection where the user asks for it.

use std::io::Read;
use std::net::TcpListener;

use crate::harness::{Folder, accept, highwater, noise};

/// The direct path that the kernel offers: elsewhere the bytes are copied.
const LANE: &str = if cfg!(all(target_os = "linux", not(feature = "portable-platform"))) {
    "splice"
} else {
    "copy"
};

#[test]
fn pages_go_into_a_pipe() {
    let folder = Folder::new();
    // No multiple of a page, a pipe or a call.
    folder.write("a", noise((3 << 20) + 7, 1));
    let stats = ["-q", "--stats", "stats", "read a zero-copy=true | write -"];
    let run = highwater(stats).within(&folder).run().succeeds();
    assert!(run == folder.read("a"));
    let end: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
    assert_eq!(end["lane"], LANE);
    assert_eq!(end["stages"][1]["bytes_out"], (3 << 20) + 7);
}

#[test]
fn pages_go_into_a_connection() {
    let folder = Folder::new();
    folder.write("a", noise((3 << 20) + 7, 2));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let text = format!(
        "read a zero-copy=true | write tcp://{}",
        listener.local_addr().expect("bound")
    );
    let running = highwater(["-q", "--stats", "-", &text]).within(&folder).start();
    let mut received = Vec::new();
    accept(&listener).read_to_end(&mut received).expect("read");
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.end()["lane"], LANE);
    assert!(received == folder.read("a"));
}

#[test]
fn several_files_and_a_file_without_a_size_arrive_whole() {
    let folder = Folder::new();
    folder.write("a", noise(70_000, 3));
    folder.write("empty", []);
    folder.write("b", noise(1, 4));
    let run = highwater(["-q", "read a empty b zero-copy=true | write -"])
        .within(&folder)
        .run();
    assert!(run.succeeds() == [folder.read("a"), folder.read("b")].concat());
    if cfg!(target_os = "linux") {
        let own = std::fs::read("/proc/version").expect("read");
        assert!(
            highwater(["-q", "read /proc/version zero-copy=true | write -"])
                .run()
                .succeeds()
                == own
        );
    }
}

#[test]
fn a_connection_has_no_pages_to_lend() {
    let run = highwater(["read tcp://127.0.0.1:1 zero-copy=true | write -"]).run();
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("tcp://HOST:PORT does not support `zero-copy`"),
        "{}",
        run.stderr
    );
}
