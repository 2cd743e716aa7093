//! What waits in the kernel's pipes and sockets is what an outside observer sees there.

use std::io::{PipeReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use rustix::io::ioctl_fionread;
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Running, accept, highwater, noise};

/// Samples that come fast, from a run that ends by itself should a test wait for what never comes.
const WATCHED: [&str; 6] = ["--progress", "json", "--interval", "20ms", "--timeout", "100s"];

fn watched(memory: &str, pipeline: &str) -> crate::harness::Invocation {
    highwater(WATCHED.into_iter().chain(["--memory", memory, pipeline]))
}

/// Reads samples until one is as it should be; everything stands still by then, or soon.
#[track_caller]
fn until(running: &mut Running, is_right: impl Fn(&Value) -> bool) -> Value {
    let mut last = String::new();
    loop {
        let line = running.line();
        assert!(!line.is_empty(), "it never came to that; at last: {last}");
        if line.starts_with('{') {
            let sample: Value = serde_json::from_str(&line).expect("an object");
            if sample["event"] == "sample" && is_right(&sample) {
                return sample;
            }
        }
        last = line;
    }
}

fn queued(sample: &Value, stage: usize) -> Option<u64> {
    sample["stages"][stage]["kernel_queue_bytes"].as_u64()
}

fn capacity(sample: &Value, stage: usize) -> Option<u64> {
    sample["stages"][stage]["kernel_queue_capacity_bytes"].as_u64()
}

fn moved(sample: &Value, stage: usize, way: &str) -> u64 {
    sample["stages"][stage][way].as_u64().expect("a number")
}

fn unread(by: impl AsFd) -> u64 {
    ioctl_fionread(by).expect("a pipe or a socket")
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn a_pipe_that_nobody_reads_holds_what_was_written() {
    const COUNT: u64 = 300_000;
    // Spliced by the direct path, and passed through links.
    for pipeline in ["read - | write -", "read - | skip 0 | write -"] {
        let (input, mut feed) = std::io::pipe().expect("a pipe");
        let (reader, output) = std::io::pipe().expect("a pipe");
        let mut running = watched("8MiB", pipeline).stdin(input).stdout(output).start();
        let bytes = noise(300_000, 3);
        let feeding = std::thread::spawn(move || feed.write_all(&bytes).map(|()| feed));
        let sink = if pipeline.contains("skip") { 2 } else { 1 };
        let sample = until(&mut running, |sample| queued(sample, sink) == Some(COUNT));
        assert_eq!(moved(&sample, sink, "bytes_out"), COUNT, "{sample}");
        assert_eq!(unread(&reader), COUNT, "{pipeline}");
        assert_eq!(
            capacity(&sample, sink),
            fcntl_getpipe_size(&reader).ok().map(|size| size as u64)
        );
        // All of it was read, and the pipe that it came through is still there.
        let feed = feeding.join().expect("no panic").expect("written");
        assert_eq!((queued(&sample, 0), unread(&feed)), (Some(0), 0));
        assert_eq!(
            capacity(&sample, 0),
            fcntl_getpipe_size(&feed).ok().map(|size| size as u64)
        );
        drop(feed);
        // Everything was written, so it ends well although nobody has read a byte of it.
        assert_eq!(running.wait().code, Some(0));
    }
}

/// The sizes of a new pipe at either end of a run in full course that has `memory`, and what its sample says.
fn sizes_during(memory: &str, pipeline: &str, set: Option<usize>) -> [u64; 2] {
    let (input, mut feed) = std::io::pipe().expect("a pipe");
    let (reader, output) = std::io::pipe().expect("a pipe");
    for pipe in [input.as_fd(), output.as_fd()] {
        if let Some(size) = set {
            fcntl_setpipe_size(pipe, size).expect("it is empty");
        }
    }
    feed.write_all(&noise(2000, 5)).expect("there is room");
    let mut running = watched(memory, pipeline).stdin(input).stdout(output).start();
    let sink = pipeline.matches('|').count();
    let sample = until(&mut running, |sample| {
        queued(sample, sink).is_some_and(|queued| queued > 0)
    });
    let sizes = [feed.as_fd(), reader.as_fd()].map(|pipe| fcntl_getpipe_size(pipe).expect("a pipe") as u64);
    let told = [capacity(&sample, 0), capacity(&sample, sink)];
    // What has stopped reading holds no pipe any more.
    assert_eq!(
        (told[0].unwrap_or(sizes[0]), told[1]),
        (sizes[0], Some(sizes[1])),
        "{pipeline}"
    );
    // A pipe of one page is full as long as nobody reads it.
    drop((feed, reader));
    running.wait();
    sizes
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn pipes_are_enlarged_as_far_as_memory_allows() {
    const DEFAULT: u64 = 64 << 10;
    for (memory, pipeline, size) in [
        ("8MiB", "read - | write -", 1 << 20),
        ("1GiB", "read - | write -", 1 << 20),
        ("8MiB", "read - | hash | write -", 1 << 20),
        ("2MiB", "read - | write -", 256 << 10),
        ("3MiB", "read - | skip 0 | write -", 256 << 10),
        ("512KiB", "read - | write -", DEFAULT),
        ("64KiB", "read - | skip 0 | write -", DEFAULT),
        ("8MiB", "read - | throttle 1MB/s | write -", DEFAULT),
        ("8MiB", "read - | take 3000 | write -", DEFAULT),
    ] {
        assert_eq!(
            sizes_during(memory, pipeline, None),
            [size; 2],
            "--memory {memory} {pipeline}"
        );
    }
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn a_pipe_whose_size_was_set_keeps_it() {
    for size in [4 << 10, 32 << 10, 128 << 10] {
        for pipeline in ["read - | write -", "read - | hash | write -"] {
            assert_eq!(
                sizes_during("8MiB", pipeline, Some(size)),
                [size as u64; 2],
                "{pipeline}"
            );
        }
    }
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn pipes_are_left_as_they_were_found() {
    let size = |pipe: &PipeReader| fcntl_getpipe_size(pipe).expect("a pipe");
    for arguments in [
        &["-q", "read - | write -"][..],
        &["-q", "read - | hash | write -"],
        &["-q", "skip 1K | take 1000 | write -"],
        &["explain", "read - | write -"],
        &["-q", "read - | limit 10 | write -"],
    ] {
        let [(input, mut feed), (reader, output)] = [0; 2].map(|_| std::io::pipe().expect("a pipe"));
        let before = [size(&input), size(&reader)];
        feed.write_all(&noise(20_000, 6)).expect("there is room");
        drop(feed);
        let again = input.try_clone().expect("shared");
        highwater(arguments).stdin(again).stdout(output).run();
        assert_eq!([size(&input), size(&reader)], before, "{arguments:?}");
    }
}

#[test]
fn what_the_source_has_not_read_waits_before_it() {
    const COUNT: u64 = 50_000;
    let (input, mut feed) = std::io::pipe().expect("a pipe");
    feed.write_all(&noise(50_000, 4)).expect("there is room");
    let pipeline = "read - high=8KiB | throttle 1/s | write -";
    let mut running = watched("64KiB", pipeline).stdin(input).start();
    let sample = until(&mut running, |sample| {
        let read = moved(sample, 0, "bytes_in");
        read > 0 && queued(sample, 0).is_some_and(|queued| queued + read == COUNT && queued == unread(&feed))
    });
    assert!(
        queued(&sample, 0) > Some(COUNT / 2),
        "the links hold less than half: {sample}"
    );
    assert_eq!(
        sample["stages"][1]["kernel_queue_bytes"],
        Value::Null,
        "only ends have a queue"
    );
    running.signal(Signal::TERM);
    running.wait();
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn a_tcp_peer_that_does_not_read_leaves_it_in_both_kernels() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = listener.local_addr().expect("bound");
    for through in ["", "| skip 0 "] {
        let mut running = watched("1MiB", &format!("read /dev/zero {through}| write tcp://{url}")).start();
        let peer = accept(&listener);
        let sink = if through.is_empty() { 1 } else { 2 };
        let sample = until(&mut running, |sample| {
            let queued = queued(sample, sink).unwrap_or(0);
            queued > 0 && queued + unread(&peer) == moved(sample, sink, "bytes_out")
        });
        assert!(capacity(&sample, sink) > Some(0), "{sample}");
        running.signal(Signal::TERM);
        running.wait();
    }
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells"
)]
fn a_unix_peer_that_does_not_read_is_charged_to_us() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.join("peer")).expect("bound");
    let mut running = watched("1MiB", "read /dev/zero | skip 0 | write unix:peer")
        .within(&folder)
        .start();
    let (peer, _) = listener.accept().expect("somebody connects");
    // The kernel counts the memory that the bytes take.
    let sample = until(&mut running, |sample| {
        let sent = moved(sample, 2, "bytes_out");
        sent > 0 && unread(&peer) == sent && queued(sample, 2).is_some_and(|queued| queued >= sent)
    });
    assert!(capacity(&sample, 2).is_some(), "{sample}");
    running.signal(Signal::TERM);
    running.wait();
}

#[test]
fn a_file_has_no_queue() {
    let folder = Folder::new();
    folder.write("a", noise(1000, 5));
    let run = highwater(["--progress", "json", "read a | throttle 5kB/s | write b"])
        .within(&folder)
        .run();
    for object in run.objects() {
        for stage in object["stages"].as_array().expect("stages") {
            assert_eq!(stage["kernel_queue_bytes"], Value::Null);
            assert_eq!(stage["kernel_queue_capacity_bytes"], Value::Null);
        }
    }
}
