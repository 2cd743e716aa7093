//! Pipelines that articles about backpressure describe, beside the same in Node. What they take is measured by the bench of
//! that name.

mod held;
mod parts;
#[cfg(feature = "http")]
mod served;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Folder, highwater, peer, through};

/// Where one of the programs in tests/articles is.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/articles/{name}.js"))
}

/// A run of one of them.
fn node(name: &str) -> Option<Command> {
    let mut node = peer("node")?;
    node.arg(program(name));
    Some(node)
}

/// The output of a program that succeeds.
fn by_node(name: &str, input: &[u8]) -> Option<Vec<u8>> {
    let (well, output) = through(node(name)?, input);
    assert!(well, "{name}");
    Some(output)
}

fn records(count: u32) -> Vec<u8> {
    let record = |id| format!("{{\"id\":{id},\"name\":\"person {id}\",\"level\":\"info\"}}\n");
    (1..=count).map(record).collect::<String>().into_bytes()
}

#[test]
fn pipelines_give_what_node_gives() {
    let records = records(5000);
    let events = (1..5000).map(|id| format!("data: token {id} from a{id}@example.org, and more\n\n"));
    let events = events.collect::<String>().into_bytes();
    for (chain, programs, input) in [
        ("read -", ["copy_pipe", "copy_write"], &records),
        ("from-json | upper name", ["upper_stream", "upper_all"], &records),
        (
            "from-sse | redact email | to-sse",
            ["tokens_stream", "tokens_write"],
            &events,
        ),
        (
            "from-json | select id name | to-csv",
            ["csv_cork", "csv_write"],
            &records,
        ),
        (
            "from-json high-records=4 | select id name high-records=4 | to-csv high=4KiB",
            ["rows_marked", "rows_early"],
            &records,
        ),
    ] {
        let ours = highwater([chain]).input(&**input).run().succeeds();
        for program in programs {
            let Some(theirs) = by_node(program, input) else { return };
            assert!(ours == theirs, "{chain}: {program}");
        }
    }
    let packed = highwater(["gzip"]).input(&*records).run().succeeds();
    assert_eq!(highwater(["gunzip"]).input(packed).run().succeeds(), records);
    if let Some(packed) = by_node("gzip_stream", &records) {
        assert_eq!(highwater(["gunzip"]).input(packed).run().succeeds(), records);
    }
}

#[test]
fn marks_of_rows_and_bytes_differ() {
    let pipeline = "from-json high-records=4 | select id name high-records=4 | to-csv high=4KiB";
    let run = highwater(["--progress", "json", pipeline]).input(records(5000)).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let end: Value = run.end();
    let links = end["links"].as_array().expect("a list");
    let rows = |link: &Value| {
        link["peak_records"]
            .as_u64()
            .map(|peak| (peak, link["high_records"].as_u64()))
    };
    let marked: Vec<_> = links.iter().filter_map(rows).collect();
    assert!(!marked.is_empty(), "{end}");
    for (peak, high) in marked {
        assert_eq!(high, Some(4));
        assert!(peak <= 4, "{peak} rows");
    }
    let last = links.last().expect("a link");
    assert!(last["peak_bytes"].as_u64().expect("a peak") <= 4096, "{last}");
}

#[test]
fn failed_pipe_leaves_descriptors_in_node() {
    let folder = Folder::new();
    folder.write("a", vec![b'x'; 1 << 20]);
    for (program, open) in [("fail_pipe", "2"), ("fail_pipeline", "0")] {
        let Some(mut node) = node(program) else { return };
        let output = node
            .arg(folder.join("a"))
            .arg(folder.join("b"))
            .output()
            .expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), open, "{program}");
    }
}

#[cfg(feature = "http")]
#[test]
fn failed_runs_leave_no_descriptor() {
    use std::io::{Read, Write};

    let folder = Folder::new();
    folder.write("a", [&records(1000)[..], b"no JSON\n"].concat());
    let mut running = highwater(["serve", "127.0.0.1:0", "read a | from-json | gzip threads=1"])
        .within(&folder)
        .start();
    let address = running.address();
    let fails = || {
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = Vec::new();
        // It ends by a reset where some of it was sent.
        let _ = client.read_to_end(&mut answer);
    };
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", running.id()))
            .expect("it runs")
            .count()
    };
    fails();
    let before = open();
    (0..100).for_each(|_| fails());
    // The last ones may still be closing what they had.
    let after = open();
    assert!(after < before + 50, "{before} descriptors became {after}");
    running.signal(rustix::process::Signal::TERM);
    running.wait();
}
