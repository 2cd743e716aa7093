//! Memory stays under its ceiling, whatever passes, and the reported numbers agree.

use std::io::Read;
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Folder, Run, accept, highwater, noise, skip};

fn number(object: &Value, name: &str) -> u64 {
    object[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name} in {object}"))
}

/// In no sample do links, free buffers and state together exceed the ceiling, nor a link its mark.
#[track_caller]
fn stays_below(run: &Run, limit: u64) {
    let objects = run.objects();
    assert!(!objects.is_empty());
    for object in &objects {
        assert_eq!(number(object, "memory_limit_bytes"), limit);
        let sum = number(object, "buffered_bytes") + number(object, "state_bytes");
        let free = number(object, "pool_free_bytes");
        assert!(
            sum <= limit && number(object, "buffered_peak_bytes") <= limit,
            "{object}"
        );
        assert!(sum + free <= limit, "free buffers count as well: {object}");
        for link in object["links"].as_array().expect("links") {
            assert!(number(link, "peak_bytes") <= number(link, "high_bytes"), "{link}");
            assert!(number(link, "buffered_bytes") <= number(link, "peak_bytes"), "{link}");
        }
        for stage in object["stages"].as_array().expect("stages") {
            let share = |name: &str| stage[name].as_f64().expect("a share");
            let sum = share("busy") + share("idle") + share("backpressured");
            assert!((sum - 1.0).abs() < 1e-4, "shares of {stage} add up to {sum}");
            assert!(
                share("waiting_outside") + share("throttling") <= share("busy") + 1e-4,
                "{stage}"
            );
        }
    }
}

// getrusage(2): the peak of the parent counts too.
#[test]
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the portable peak is not that of this program alone"
)]
fn more_bytes_need_no_more_memory() {
    let peak = |size: &str| {
        let pipeline = format!("read /dev/zero | take {size} | throttle 2GB/s | write /dev/null");
        // The ceiling is low, because how full the last link was at its fullest is a matter of scheduling.
        let run = highwater(["--memory", "512KiB", "--stats", "-", &pipeline]).run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        // The program's own count is exact, whatever the kernel counts besides.
        assert!(number(&run.end(), "buffered_peak_bytes") <= 512 << 10, "{}", run.stderr);
        number(&run.end(), "rss_peak_bytes")
    };
    let (small, large) = (peak("64MiB"), peak("256MiB"));
    if small == 0 {
        skip("the system does not tell the peak of resident memory");
        return;
    }
    // A leak of one byte in a hundred would be visible. Less than a mebibyte is the number of touched pages of the
    // program itself.
    assert!(large < small + (1 << 20), "{small} bytes against {large}");
}

#[test]
fn no_sample_is_above_the_ceiling() {
    let folder = Folder::new();
    folder.write("a", noise(4 << 20, 1));
    for (memory, limit, pipeline) in [
        ("8MiB", 8 << 20, "read a | gzip | gunzip | throttle 20MB/s | write b"),
        ("1MiB", 1 << 20, "read a | gzip | throttle 20MB/s | write b"),
        ("64KiB", 64 << 10, "read a | skip 5 | throttle 20MB/s | write b"),
        (
            "1000003",
            1_000_003,
            "read a high=99999 low=7 | skip 5 | throttle 20MB/s | write b",
        ),
    ] {
        let arguments = ["--memory", memory, "--progress", "json", "--interval", "10ms", pipeline];
        let run = highwater(arguments).within(&folder).run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.objects().len() > 1, "{memory}: there were samples");
        stays_below(&run, limit);
    }
}

#[test]
fn trickle_stays_below_the_ceiling() {
    use std::io::Write;
    let (input, mut feed) = std::io::pipe().expect("a pipe");
    let arguments = [
        "--memory",
        "64KiB",
        "--progress",
        "json",
        "--interval",
        "10ms",
        "throttle 200kB/s",
    ];
    let running = highwater(arguments).stdin(input).start();
    for _ in 0..20_000 {
        feed.write_all(&[7, 7, 7]).expect("written");
    }
    drop(feed);
    let run = running.wait();
    assert_eq!((run.code, run.stdout.len()), (Some(0), 60_000));
    stays_below(&run, 64 << 10);
}

/// The main use of the program, with the rate of its first example.
#[test]
fn the_main_job_shows_where_it_waits() {
    /// How long the bytes take at the rate, in seconds.
    const LEAST: f64 = 3.0;
    let bytes = noise(3_000_000, 2);
    let folder = Folder::new();
    folder.write("a", &bytes);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = listener.local_addr().expect("bound");
    let pipeline = format!("read a high=512KiB | gzip level=1 high=512KiB | throttle 1MB/s | write tcp://{url}");
    let arguments = [
        "--memory",
        "2MiB",
        "--progress",
        "json",
        "--interval",
        "250ms",
        &pipeline,
    ];
    let running = highwater(arguments).within(&folder).start();
    let mut received = Vec::new();
    accept(&listener).read_to_end(&mut received).expect("read");
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    stays_below(&run, 2 << 20);
    let back = highwater(["gunzip"]).input(received).run().succeeds();
    assert!(back == bytes);

    let end = run.end();
    let elapsed = end["elapsed_s"].as_f64().expect("seconds");
    assert!(elapsed >= LEAST * 0.99, "too fast: {elapsed} s");
    assert_eq!(end["bottleneck"]["name"], "throttle", "{end}");
    for link in &end["links"].as_array().expect("links")[..2] {
        assert_eq!(link["peak_bytes"], link["high_bytes"], "{link}");
    }
    let objects = run.objects();
    let is_late = |object: &&Value| object["elapsed_s"].as_f64() > Some(0.7) && object["stages"][0]["ended"] == false;
    let late: Vec<&Value> = objects.iter().filter(is_late).collect();
    assert!(!late.is_empty(), "{}", run.stderr);
    // One interval may contain the work of a whole drain; their mean does not flap.
    for (index, name) in ["read", "gzip"].iter().enumerate() {
        let shares = late
            .iter()
            .filter_map(|object| object["stages"][index]["backpressured"].as_f64());
        let (count, sum) = shares.fold((0.0, 0.0), |(count, sum), share| (count + 1.0, sum + share));
        let mean = sum / count;
        assert!(mean > 0.9, "{name} was backpressured for {mean} of the time");
    }
    assert!(
        late.iter().all(|object| object["bottleneck"]["name"] == "throttle"),
        "{}",
        run.stderr
    );
}
