//! One stream into several outputs: every byte to each, all of them or none, and the memory that they share.

use std::io::Read;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::harness::{Folder, Run, accept, highwater, noise, reset};
use crate::support::port::reserve;

const SIZE: usize = 700_000;

fn folder() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let bytes = noise(SIZE, 11);
    folder.write("src", &bytes);
    (folder, bytes)
}

fn run(folder: &Folder, pipeline: &str) -> Run {
    highwater([pipeline]).within(folder).run()
}

#[test]
fn every_branch_gets_every_byte() {
    let (folder, bytes) = folder();
    let pipeline = "read src | tee (gzip | write a.gz) (tee (write b) (take 1000 | write c) | write d) | write e";
    run(&folder, pipeline).succeeds();
    for name in ["b", "d", "e"] {
        assert!(folder.read(name) == bytes, "{name}");
    }
    assert!(folder.read("c") == bytes[..1000]);
    let unpacked = highwater(["read a.gz | gunzip"]).within(&folder).run().succeeds();
    assert!(unpacked == bytes);
}

#[test]
fn branch_is_one_shell_word() {
    let (folder, bytes) = folder();
    let words = ["tee", "gzip | write 'a b.gz'", "write c", "::", "write", "d"];
    highwater(words)
        .within(&folder)
        .stdin(folder.open("src"))
        .run()
        .succeeds();
    assert!(folder.read("c") == bytes && folder.read("d") == bytes);
    assert_eq!(folder.names(), ["a b.gz", "c", "d", "src"]);
}

#[test]
fn final_tee_writes_no_standard_output() {
    let (folder, bytes) = folder();
    let out = run(&folder, "read src | tee (write a) (write b)").succeeds();
    assert!(out.is_empty());
    assert!(folder.read("a") == bytes && folder.read("b") == bytes);
}

#[test]
fn no_output_remains_where_one_failed() {
    for failing in [
        "read src | tee (write a) (gzip | write b.gz) | limit 10000 | write c",
        "read src | tee (write a) (limit 10000 | write b) | write c",
        "read src | limit 699999 | tee (write a) (write b) | write c",
        "read src | tee (write a) (tee (write b) | limit 10000 | write d) | write c",
        "read src | tee (write a) (write b) | gunzip | write c",
    ] {
        let (folder, _) = folder();
        folder.write("a", "old");
        let run = run(&folder, failing);
        assert!(matches!(run.code, Some(6 | 7)), "{failing}: {}", run.stderr);
        assert_eq!(folder.names(), ["a", "src"], "{failing}");
        assert_eq!(folder.read("a"), b"old");
    }
}

#[test]
fn a_full_disk_leaves_no_output() {
    let (folder, _) = folder();
    let failed = run(&folder, "read src | tee (write a) (gzip | write /dev/full) | write c");
    assert!(failed.fails(5).contains("write /dev/full"), "{}", failed.stderr);
    assert_eq!(folder.names(), ["src"]);
}

#[test]
fn unopenable_branch_leaves_nothing() {
    let (folder, _) = folder();
    run(&folder, "read src | tee (write a) (write missing/b) | write c").fails(4);
    assert_eq!(folder.names(), ["src"]);
}

#[test]
fn a_peer_that_refuses_or_resets_leaves_no_output() {
    let (folder, _) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("has one");
    let pipeline = format!("read /dev/zero | tee (write a) (write tcp://{address}) | write c");
    let running = highwater([pipeline.as_str()]).within(&folder).start();
    let mut peer = accept(&listener);
    peer.read_exact(&mut [0]).expect("the branch writes");
    reset(peer);
    assert!(running.wait().fails(4).contains(&format!("tcp://{address}")));
    assert_eq!(folder.names(), ["src"]);
    let (_refusing, other) = reserve();
    let pipeline = pipeline.replace(&address.to_string(), &other.to_string());
    let refused = highwater([pipeline]).within(&folder).run();
    assert!(refused.fails(9).contains(&format!("tcp://{other}")));
    assert_eq!(folder.names(), ["src"]);
}

#[test]
fn the_others_go_on_without_a_failed_branch() {
    for (options, code) in [("on-failure=continue", 7), ("optional=true", 0)] {
        let (folder, bytes) = folder();
        folder.write("b", "old");
        let pipeline =
            format!("read src | tee {options} (write a) (limit 10000 | hash md5 to=sum | write b) | write c");
        let pipeline = pipeline.replace("md5", "sha256");
        let run = run(&folder, &pipeline);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains("limit 10000: "), "{}", run.stderr);
        assert!(folder.read("a") == bytes && folder.read("c") == bytes);
        assert_eq!(folder.read("b"), b"old");
        assert_eq!(folder.names(), ["a", "b", "c", "src"]);
    }
}

#[test]
fn full_branch_is_detached() {
    for (options, code) in [("", 8), ("optional=true", 0)] {
        let (folder, bytes) = folder();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("has one");
        // The peer reads nothing, and the kernel's buffers are smaller than the stream.
        let pipeline = format!(
            "read /dev/zero | take 64MiB | tee detach=300ms {options} (write tcp://{address}) | hash sha256 | write c"
        );
        let running = highwater([pipeline.as_str()]).within(&folder).start();
        let peer = accept(&listener);
        let run = running.wait();
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains("accepted nothing for 300ms"), "{}", run.stderr);
        assert_eq!(folder.read("c").len(), 64 << 20);
        drop((peer, bytes));
    }
}

#[test]
fn stages_after_tee_are_never_optional() {
    let (folder, _) = folder();
    run(
        &folder,
        "read src | tee optional=true (write a) | limit 10000 | write c",
    )
    .fails(7);
    assert_eq!(folder.names(), ["src"]);
}

#[test]
fn outputs_say_what_became_of_each() {
    let (folder, _) = folder();
    let pipeline = "read src | tee on-failure=continue (write a) (limit 9 | write b) | write c";
    let run = highwater(["--stats", "-", pipeline]).within(&folder).run();
    let committed: Vec<bool> = run.end()["outputs"]
        .as_array()
        .expect("outputs")
        .iter()
        .map(|output| output["committed"].as_bool().expect("a flag"))
        .collect();
    assert_eq!(committed, [true, false, true]);
}

#[test]
fn a_branch_that_has_enough_ends_alone() {
    let (folder, bytes) = folder();
    run(&folder, "read src | tee (take 10 | write a) | write b").succeeds();
    assert!(folder.read("a") == bytes[..10] && folder.read("b") == bytes);
    // All have enough: the endless source is stopped.
    run(&folder, "read /dev/zero | tee (take 10 | write c) | take 20 | write d").succeeds();
    assert_eq!(folder.read("c").len() + folder.read("d").len(), 30);
}

#[test]
fn two_outputs_never_share_a_place() {
    let (folder, _) = folder();
    for pipeline in [
        "read src | tee (write a) | write ./a",
        "read src | tee (write -) | write -",
        "read src | tee (write -)| gzip",
        "read src | tee (write src)",
    ] {
        run(&folder, pipeline).fails(2);
        assert_eq!(folder.names(), ["src"]);
    }
}

#[test]
fn a_resumed_copy_has_no_branches() {
    let (folder, _) = folder();
    let run = run(&folder, "read src | tee (write a) | write b resume=true");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("without branches"), "{}", run.stderr);
}

#[test]
fn the_ceiling_holds_while_one_branch_lags() {
    let (folder, bytes) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("has one");
    let pipeline = format!("read src | tee (write a) (throttle 4MB/s | write tcp://{address})");
    let running = highwater(["--memory", "256KiB", "--stats", "-", &pipeline])
        .within(&folder)
        .start();
    let mut received = Vec::new();
    accept(&listener).read_to_end(&mut received).expect("read");
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(received == bytes && folder.read("a") == bytes);
    assert!(run.end()["buffered_peak_bytes"].as_u64() <= Some(256 << 10));
}

#[test]
fn one_byte_link_gets_pieces() {
    let (folder, bytes) = folder();
    let pipeline = "read src | take 5000 | tee high=1 (write b) (write d) | write c";
    highwater(["--memory", "128KiB", pipeline])
        .within(&folder)
        .run()
        .succeeds();
    assert!(["b", "c", "d"].iter().all(|name| folder.read(name) == bytes[..5000]));
}

#[test]
fn thousand_branches_share_the_ceiling() {
    let (folder, _) = folder();
    let branches: String = (0..1000).map(|_| "(write /dev/null)").collect();
    let pipeline = format!("read src | tee {branches}");
    let run = highwater(["--memory", "1MiB", &pipeline]).within(&folder).run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("the least that would do is --memory 4004KiB"));
    let twenty: Vec<String> = (0..20).map(|at| format!("(write out{at})")).collect();
    let twenty = twenty.concat();
    highwater(["--memory", "1MiB", &format!("read src | tee {twenty}")])
        .within(&folder)
        .run()
        .succeeds();
    assert!((0..20).all(|at| folder.read(&format!("out{at}")).len() == SIZE));
}

#[test]
fn a_signal_leaves_no_output() {
    let (folder, _) = folder();
    let pipeline = "read /dev/zero | tee (gzip | write a.gz) (write b) | write c";
    let mut running = highwater(["--progress", "json", "--interval", "1ms", pipeline])
        .within(&folder)
        .start();
    assert!(running.writes(1 << 20));
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
    assert_eq!(folder.names(), ["src"]);
}

#[test]
fn bytes_are_never_dropped() {
    let (folder, bytes) = folder();
    run(&folder, "read src | tee when-full=wait (write a) | write b").succeeds();
    assert!(folder.read("a") == bytes && folder.read("b") == bytes);
    let run = run(&folder, "read src | tee when-full=drop (write c) | write d");
    assert_eq!(run.code, Some(2));
    let marked = format!("  | {}^^^^\n", " ".repeat(25));
    assert!(run.stderr.contains(&marked), "{}", run.stderr);
    assert!(run.stderr.contains("only whole records"), "{}", run.stderr);
    assert_eq!(folder.names(), ["a", "b", "src"]);
}

#[test]
fn full_branch_drops_whole_records() {
    let folder = Folder::new();
    let lines = (0..3000)
        .map(|number| format!("{number}\n"))
        .collect::<Vec<_>>()
        .concat();
    folder.write("src", &lines);
    let pipeline =
        "read src | lines | tee when-full=drop high-records=8 (throttle 200records/s | write few) | write all";
    let run = highwater(["--stats", "-", pipeline]).within(&folder).run();
    assert_eq!(folder.read("all"), lines.as_bytes());
    let few = String::from_utf8(folder.read("few")).expect("UTF-8");
    let numbers: Vec<u32> = few.lines().map(|line| line.parse().expect("a whole line")).collect();
    assert!(numbers.is_sorted() && numbers.len() < 3000, "{}", numbers.len());
    let end = run.end();
    let dropped = 3000 - numbers.len();
    assert_eq!(end["stages"][2]["dropped"], dropped);
    let said = format!("{dropped} records were dropped, because a branch was full\n");
    assert!(run.stderr.contains(&said), "{}", run.stderr);
}

#[test]
fn options_that_contradict_are_refused() {
    let (folder, _) = folder();
    for options in [
        "detach=0s",
        "optional=true on-failure=abort",
        "when-full=drop detach=5s",
    ] {
        let run = run(&folder, &format!("read src | tee {options} (write a)"));
        assert_eq!(run.code, Some(2), "{options}: {}", run.stderr);
        assert_eq!(folder.names(), ["src"]);
    }
}
