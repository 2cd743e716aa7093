//! Backpressure ignored on purpose, and how it is stopped in time.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, highwater, noise};

const MIB: u64 = 1 << 20;

/// Accepts in the kernel, and never reads.
fn deaf_listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    (listener, format!("write tcp://{address}"))
}

fn number(object: &Value, name: &str) -> u64 {
    object[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name} in {object}"))
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the peak is not that of this program alone")]
fn guard_stops_growing_memory() {
    let (_listener, write) = deaf_listener();
    let pipeline = format!("read /dev/zero | {write}");
    let arguments = ["--ignore-backpressure", "--max-rss", "96MiB", "--stats", "-", &pipeline];
    let run = highwater(arguments).run();
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    let said = run.stderr.lines().next().expect("a line");
    assert!(said.starts_with("highwater: stopped at "), "{said}");
    for part in [
        " MiB resident (--max-rss): ",
        " the ceiling of a bounded run",
        "; without --ignore-backpressure the same chain stays below ",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let end = run.end();
    assert_eq!(end["unbounded"], true);
    assert_eq!(end["lane"], "linked", "only a link can be without a bound");
    let limit = number(&end, "memory_limit_bytes");
    assert_eq!(limit, 8 * MIB, "what it would be");
    let held = number(&end, "buffered_peak_bytes");
    assert!(held > limit && held <= 96 * MIB, "{held} bytes");
    // Every held byte was read into a buffer, so it is resident, too.
    assert!(number(&end, "rss_peak_bytes") > held, "{end}");
    let link = &end["links"][0];
    assert!(number(link, "peak_bytes") > number(link, "high_bytes"), "{link}");
    assert!(number(link, "times_full") >= 1, "the mark was passed: {link}");
    assert_eq!((&link["drains"], &link["longest_pause_s"]), (&0.into(), &0.0.into()));
}

#[test]
fn backpressure_keeps_memory_flat() {
    let (_listener, write) = deaf_listener();
    let pipeline = format!("read /dev/zero high=1MiB | {write}");
    let mut running = highwater(["--progress", "json", "--interval", "10ms", &pipeline]).start();
    let mut sample = || -> Value { serde_json::from_str(&running.line()).expect("an object") };
    // The peer never reads: once the kernel's buffers are full, the link is, and stays so.
    while sample()["links"][0]["times_full"] == 0 {}
    for _ in 0..5 {
        let object = sample();
        let link = &object["links"][0];
        assert!(number(link, "peak_bytes") <= MIB, "{link}");
        assert!(number(&object, "buffered_bytes") <= MIB, "{object}");
        assert_eq!(object.get("unbounded"), None, "{object}");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
}

#[test]
fn a_bounded_run_is_guarded_as_well() {
    let (_listener, write) = deaf_listener();
    let run = highwater(["--max-rss", "1MiB", &format!("read /dev/zero | {write}")]).run();
    let said = run.fails(7);
    assert!(said.starts_with("highwater: stopped at "), "{said}");
    assert!(
        said.ends_with(" resident (--max-rss): more than 1.00 MiB was not wanted"),
        "{said}"
    );
}

#[test]
fn unreached_limit_changes_nothing() {
    let folder = Folder::new();
    let bytes = noise(3 << 20, 5);
    folder.write("a", &bytes);
    let pipeline = "read a | gzip | gunzip | buffer 64K | take 2MiB | write b";
    highwater(["--ignore-backpressure", "--max-rss", "512MiB", pipeline])
        .within(&folder)
        .run()
        .succeeds();
    assert!(folder.read("b") == bytes[..2 << 20]);
    highwater(["--max-rss", "512MiB", "read a | write c"])
        .within(&folder)
        .run()
        .succeeds();
    assert!(folder.read("c") == bytes);
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the peak is not that of this program alone")]
fn impossible_limit_is_refused_before_opening() {
    let folder = Folder::new();
    folder.write("a", "0123456789");
    let arguments = ["--ignore-backpressure", "--max-rss", "1048576T", "read a | write b"];
    let run = highwater(arguments).within(&folder).run();
    let said = run.fails(2);
    assert!(
        said.starts_with("highwater: --max-rss 1048576TiB would stop the run too late: "),
        "{said}"
    );
    assert_eq!(folder.names(), ["a"]);
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the peak is not that of this program alone")]
fn demo_runs_without_a_terminal() {
    let folder = Folder::new();
    let run = highwater(["demo", "--seconds", "1", "--report", "demo.html"])
        .within(&folder)
        .environment("LC_ALL", "C.UTF-8")
        .environment("TMPDIR", ".")
        .run();
    let text = String::from_utf8(run.succeeds()).expect("text");
    let places = [
        "A fast source and a slow reader",
        "Links without a bound.",
        "Now a full link pauses the source",
        "1  Backpressure ignored",
        "█",
        ": stopped",
        "peak rss",
        "highwater: stopped at ",
        "highwater --ignore-backpressure 'throttle 16MB/s | write /dev/null'",
    ]
    .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{text}")));
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains('\x1b'), "nothing moves the cursor: {text}");
    let mut left = folder.names();
    // The folder of control sockets stays, as it belongs to the user and not to the run.
    left.retain(|name| {
        !name.starts_with("highwater-")
            || !std::fs::read_dir(folder.join(name)).is_ok_and(|mut all| all.next().is_none())
    });
    assert_eq!(left, ["demo.html"], "the recordings are gone");
    let report = String::from_utf8(folder.read("demo.html")).expect("text");
    for name in ["backpressure-ignored", "backpressure-honoured", "--max-rss"] {
        assert!(report.contains(name), "no {name} in the report");
    }
    let ascii = highwater(["demo", "--seconds", "1"]).environment("LC_ALL", "C").run();
    let ascii = ascii.succeeds();
    assert!(ascii.is_ascii() && ascii.contains(&b'#'));
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the peak is not that of this program alone")]
fn demo_of_records_shows_both_bounds() {
    let run = highwater(["demo", "--records", "--seconds", "2"])
        .environment("LC_ALL", "C.UTF-8")
        .run();
    let text = String::from_utf8(run.succeeds()).expect("text");
    let places = [
        "Sixteen records of any size",
        "Links bounded by count alone.",
        "Now a link is full at 16 records",
        "1  Bounded by count ",
        "2  Bounded by count and bytes",
        "peak rss",
        "With one in bytes as well, the level stays.",
        "lines high-records=16 high=64MiB |",
    ]
    .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{text}")));
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn impossible_demo_report_is_refused() {
    let run = highwater(["demo", "--report", "demo.txt"]).run();
    let said = run.fails(2);
    assert!(said.starts_with("highwater: demo: --report: "), "{said}");
    assert_eq!(run.stdout, b"");
}

#[test]
fn an_interrupted_demo_ends_both_its_processes() {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    // A duplicate of standard output, which the demo's processes inherit: its end is the end of all of them.
    let mut demo = Command::new("sh")
        .args([
            "-c",
            "exec \"$0\" demo --seconds 60 9>&1",
            env!("CARGO_BIN_EXE_highwater"),
        ])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut stdout = BufReader::new(demo.stdout.take().expect("stdout is a pipe"));
    let mut line = String::new();
    while !line.contains("Links without a bound.") {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("text") > 0, "it ended too soon");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&demo), Signal::INT).expect("it runs");
    let status = demo.wait().expect("it ends");
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("an end");
}
