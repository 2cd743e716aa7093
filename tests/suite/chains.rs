//! Properties of whole pipelines, independent of their stages.

use serde_json::Value;

use crate::harness::{Folder, highwater, noise};

/// Bytes that a compressor makes smaller.
fn text() -> Vec<u8> {
    noise(100_000, 8).iter().map(|byte| b'a' + byte % 16).collect()
}

#[test]
fn repeated_stages_run_twice() {
    let bytes = text();
    for (chain, expected) in [
        ("gzip | gzip | gunzip | gunzip", &bytes[..]),
        ("buffer 8KiB | buffer 8KiB", &bytes),
        ("throttle 1GB/s | throttle 1GB/s", &bytes),
        ("skip 10 | skip 20", &bytes[30..]),
        ("take 1000 | take 100", &bytes[..100]),
        ("take 100 | take 1000", &bytes[..100]),
    ] {
        let passed = highwater([chain]).input(bytes.as_slice()).run().succeeds();
        assert!(passed == expected, "{chain}");
    }
    let twice = highwater(["hash label=outer | gzip | gunzip | hash label=inner"])
        .input(bytes.as_slice())
        .run();
    assert_eq!((twice.code, twice.stdout == bytes), (Some(0), true));
    let mut sums: Vec<Vec<&str>> = twice.stderr.lines().map(|line| line.split("  ").collect()).collect();
    sums.sort();
    let [inner, outer] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!(inner[..2], outer[..2]);
    assert!(inner[2].contains("inner") && outer[2].contains("outer"), "{sums:?}");
}

#[test]
fn ended_source_delivers_after_the_stall() {
    let folder = Folder::new();
    // More than a pipe can be made to hold, so that some of it waits in the links.
    let bytes = noise(1_500_000, 9);
    folder.write("a", &bytes);
    let mut running = highwater([
        "--progress",
        "json",
        "--interval",
        "5ms",
        "read a | buffer 2MiB | write -",
    ])
    .within(&folder)
    .start();
    loop {
        let line = running.line();
        let sample: Value = serde_json::from_str(&line).expect("a sample: it cannot end before it is read");
        if sample["stages"][0]["ended"] == true {
            assert_eq!(sample["stages"][0]["bytes_out"], bytes.len());
            assert!(sample["buffered_bytes"].as_u64() > Some(0), "nothing waits: {sample}");
            break;
        }
    }
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout == bytes);
}

#[test]
fn failed_transform_sends_nothing_behind() {
    let bytes = text();
    let packed = highwater(["gzip"]).input(bytes.as_slice()).run().succeeds();
    let damaged = [&packed, &b"neither zeros nor a member"[..], &packed].concat();
    let run = highwater(["gunzip | write -"]).input(damaged).run();
    run.fails(6);
    assert!(bytes.starts_with(&run.stdout), "{} bytes", run.stdout.len());
}
