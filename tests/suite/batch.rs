//! A pipeline for each part of a stream: what is in which batch, what it is called, and what stays after a failure.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Running, highwater, noise, xorshift};
use crate::s3_server;

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn lines(count: u32) -> Vec<u8> {
    (1..=count)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

#[test]
fn bytes_are_split_where_size_says() {
    let folder = Folder::new();
    let data = noise(1_000_001, 3);
    folder.write("a", &data);
    for size in [1, 65_535, 250_000, 1_000_001, 2_000_000] {
        let part = if size == 1 { &data[..9] } else { &data[..] };
        folder.write("a", part);
        let pipeline = format!("read a | batch size={size} (write out{size}/{{position}})");
        highwater([pipeline]).within(&folder).run().succeeds();
        let out = folder.join(&format!("out{size}"));
        let names = names(&out);
        let starts = (0..part.len()).step_by(size);
        let expected: Vec<String> = starts.map(|start| format!("{start:016}")).collect();
        assert_eq!(names, expected);
        let pieces = names.iter().map(|name| std::fs::read(out.join(name)).expect("read"));
        assert!(pieces.collect::<Vec<_>>().concat() == part, "{size}");
    }
}

#[test]
fn records_are_counted_exactly() {
    let folder = Folder::new();
    folder.write("a", lines(25_000));
    let pipeline = "read a | lines | batch records=1000 (gzip | gunzip | write out/{n})";
    highwater([pipeline]).within(&folder).run().succeeds();
    for number in 1..=25 {
        let text = std::fs::read_to_string(folder.join(&format!("out/{number}"))).expect("read");
        assert_eq!(text.lines().count(), 1000);
        assert_eq!(text.lines().next(), Some(&*format!("{}", (number - 1) * 1000 + 1)));
    }
    // Numbers go on after what is there.
    highwater([pipeline]).within(&folder).run().succeeds();
    assert_eq!(names(&folder.join("out")).len(), 50);
}

#[test]
fn records_are_never_divided() {
    let folder = Folder::new();
    folder.write("a", "12\n1234567890\n1\n2\n3\n");
    let pipeline = "read a | lines | batch size=6 (write {n})";
    highwater([pipeline]).within(&folder).run().succeeds();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("read");
    assert_eq!(["1", "2", "3"].map(read), ["12\n", "1234567890\n", "1\n2\n3\n"]);
}

#[test]
fn time_ends_a_batch() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let running = highwater(["read fifo | lines | batch every=10ms (write out/{n})"])
        .within(&folder)
        .start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    for number in ["1", "2", "3"] {
        input.write_all(b"a\n").expect("it reads");
        while !folder.join("out").join(number).exists() {
            std::thread::yield_now();
        }
    }
    drop(input);
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(names(&folder.join("out")), ["1", "2", "3"]);
    assert_eq!(folder.read("out/3"), b"a\n");
}

#[test]
fn failed_batch_leaves_those_before_it() {
    let folder = Folder::new();
    folder.write("a", [lines(3000), b"{\n".to_vec(), lines(3000)].concat());
    let pipeline = "read a | lines | batch records=1000 (from-json | to-json | write {n})";
    let run = highwater([pipeline]).within(&folder).run();
    let line = run.fails(6);
    assert!(line.contains("from-json: cannot read record 1"), "{line}");
    assert_eq!(folder.names(), ["1", "2", "3", "a"]);
    // What exists is not replaced.
    folder.write("x1970", "old");
    let run = highwater(["read a | batch size=1M (write x{time:1970})"])
        .within(&folder)
        .run();
    let line = run.fails(4);
    assert!(line.contains("write x1970"), "{line}");
    assert_eq!(folder.read("x1970"), b"old");
}

#[test]
fn failed_source_rolls_the_last_batch_back() {
    let folder = Folder::new();
    let mut data = lines(2500);
    data.extend_from_slice(&[b'x'; 200]);
    folder.write("a", data);
    let run = highwater(["read a | lines max-record=100 | batch records=1000 (write {n})"])
        .within(&folder)
        .run();
    run.fails(7);
    // Those that were committed by then stay, and no part of one.
    let names = folder.names();
    assert!(
        [&["1", "2", "a"][..], &["1", "a"], &["a"]]
            .iter()
            .any(|expected| names == *expected),
        "{names:?}"
    );
    for name in names.iter().filter(|name| *name != "a") {
        assert_eq!(folder.read(name).split_inclusive(|byte| *byte == b'\n').count(), 1000);
    }
}

#[test]
fn batches_become_objects() {
    let Some(server) = s3_server::server() else { return };
    let (bucket, folder) = (server.bucket(), Folder::new());
    let data = noise(3_000_000, 9);
    folder.write("a", &data);
    let pipeline = format!("read a | batch size=1000000 (write s3://{bucket}/part-{{position}})");
    server.run(&pipeline).within(&folder).run().succeeds();
    for (number, part) in data.chunks(1_000_000).enumerate() {
        let key = format!("part-{:016}", number * 1_000_000);
        assert!(server.object(&bucket, &key).expect("there") == part);
    }
    server.has_no_parts(&bucket);
}

#[test]
fn killed_batches_are_whole_or_absent() {
    let data = lines(200_000);
    let mut chances = xorshift(5);
    for _ in 0..12 {
        let folder = Folder::new();
        folder.write("a", &data);
        let pipeline = "read a | lines | batch size=50KiB (gzip | write out/{position}.gz)";
        let mut running = highwater(["--progress", "json", "--interval", "10ms", pipeline])
            .within(&folder)
            .start();
        running.writes(chances.next().expect("endless") % data.len() as u64);
        running.signal(Signal::KILL);
        running.wait();
        let out = folder.join("out");
        let names = names(&out);
        let committed: Vec<&String> = names.iter().filter(|name| !name.starts_with('.')).collect();
        let mut at = 0;
        for name in committed {
            assert_eq!(*name, format!("{at:016}.gz"));
            let mut text = Vec::new();
            let file = File::open(out.join(name)).expect("opened");
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut text).expect("whole");
            assert!(data[at..].starts_with(&text) && text.ends_with(b"\n"));
            at += text.len();
        }
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (batch, why) in [
        ("batch (write {n})", "`batch` is not told when a batch ends"),
        ("batch size=0 (write {n})", "every batch would be empty"),
        ("batch size=1M (write a)", "every batch would have this name"),
        ("batch size=1M (gzip)", "a pipeline in `batch` ends in a sink"),
        ("batch size=1M", "`batch` needs (PIPELINE)"),
        ("batch size=1M (write {n}) (write b{n})", "`batch` takes one pipeline"),
        ("batch size=1M (gzp | write {n})", "unknown stage `gzp`"),
        ("batch records=1 (write {n})", "`batch` takes lines"),
        ("batch size=1M (select a | write {n})", "`select` takes"),
    ] {
        let folder = Folder::new();
        let run = highwater([format!("take 1 | {batch}")]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{batch}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{batch}: {}", run.stderr);
        assert_eq!(folder.names(), [""; 0]);
    }
    let run = highwater(["--memory", "1MiB", "take 1 | batch size=1M (gzip | write {n})"]).run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("the least that would do"), "{}", run.stderr);
}

#[test]
fn signal_commits_what_was_read() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let mut running = highwater([
        "--progress",
        "json",
        "--interval",
        "10ms",
        "read fifo | lines | batch every=1h (write out/{n})",
    ])
    .within(&folder)
    .start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    input.write_all(b"1\n2\n3\n").expect("it reads");
    assert!(running.writes(6));
    running.signal(Signal::INT);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::INT.as_raw()), "{}", run.stderr);
    assert!(run.stderr.contains("committing what was read"), "{}", run.stderr);
    assert_eq!(folder.read("out/1"), b"1\n2\n3\n");
}

/// As GNU timeout does.
#[test]
fn signal_sent_twice_commits() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let pipeline = "read fifo | lines | batch every=1h (write out/{n})";
    let mut running = highwater(["--progress", "json", "--interval", "10ms", pipeline])
        .within(&folder)
        .start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    input.write_all(b"1\n").expect("it reads");
    assert!(running.writes(2));
    running.signal(Signal::TERM);
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
    assert!(!run.stderr.contains("rolled back"), "{}", run.stderr);
    assert_eq!(folder.read("out/1"), b"1\n");
}

#[test]
fn without_time_to_drain_nothing_is_left() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let pipeline = "read fifo | lines | batch every=1h (exec sleep 60 | write out/{n})";
    let mut running = highwater(["--progress", "json", "--interval", "10ms", "--drain", "100ms", pipeline])
        .within(&folder)
        .start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    input.write_all(b"1\n").expect("it reads");
    assert!(running.writes(2));
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
    assert_eq!(names(&folder.join("out")), [""; 0]);
}

#[test]
fn only_committed_lines_are_acknowledged() {
    let folder = Folder::new();
    let log = (0..60_000)
        .map(|number| format!("x{number}\n"))
        .collect::<Vec<_>>()
        .concat();
    folder.write("log", &log);
    // Lines become longer on their way: what has been read of the file is less than what a batch has.
    let pipeline = |stages: &str| {
        format!(
            "read log follow=true state=state | lines | redact x with=longer | batch size=100KiB every=20ms ({stages}write out/{{position}})"
        )
    };
    let start = |stages: &str| {
        let arguments = [
            "--progress",
            "json",
            "--interval",
            "10ms",
            "--timeout",
            "60s",
            &pipeline(stages),
        ];
        highwater(arguments).within(&folder).start()
    };
    let union = || {
        let out = folder.join("out");
        let whole = names(&out).into_iter().filter(|name| !name.starts_with('.'));
        whole
            .map(|name| std::fs::read_to_string(out.join(name)).expect("text"))
            .collect::<String>()
    };
    for kill in 1..=5 {
        let mut running = start("throttle 2MB/s | ");
        assert!(running.writes(kill * 40_000));
        running.signal(Signal::KILL);
        running.wait();
    }
    let mut running = start("");
    while !union().ends_with("longer59999\n") {
        assert_ne!(running.line(), "", "it ended early");
    }
    running.signal(Signal::INT);
    running.wait();
    assert!(union() == log.replace('x', "longer"), "each line once");
}

#[test]
fn appended_batches_keep_their_order() {
    let folder = Folder::new();
    folder.write("a", lines(20_000));
    let pipeline = "read a | lines | batch records=50 (write out append=true sync=false)";
    highwater([pipeline]).within(&folder).run().succeeds();
    assert!(folder.read("out") == lines(20_000));
}

/// The first sample that is as wanted; panics if the run ends before.
fn sample(running: &mut Running, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = running.line();
        assert_ne!(line, "", "it ended early");
        match serde_json::from_str::<Value>(&line) {
            Ok(sample) if is_wanted(&sample) => return sample,
            _ => {}
        }
    }
}

#[test]
fn stats_tell_of_batches() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let pipeline = "read fifo | lines | batch records=2 every=1h (exec cat | write out/{n})";
    let mut running = highwater(["--progress", "json", "--interval", "10ms", pipeline])
        .within(&folder)
        .start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    for line in ["1\n", "2\n", "3\n", "4\n", "5\n"] {
        input.write_all(line.as_bytes()).expect("it reads");
    }
    let sample = sample(&mut running, |sample| {
        let batch = &sample["stages"][2];
        batch["batches_committed"] == 2 && batch["batch_records"] == 1
    });
    let batch = &sample["stages"][2];
    assert_eq!(batch["batch_bytes"], 2);
    assert_eq!(batch["batches_failed"], 0);
    assert_eq!(batch["batch_committing"], false);
    assert_eq!(batch["batch_last"], "committed");
    assert!(batch["batch_age_s"].is_number(), "{batch}");
    drop(input);
    let run = running.wait();
    let end = run.end();
    assert_eq!(end["stages"][2]["batches_committed"], 3);
    assert!(end["stages"][2]["batch_bytes"].is_null());
}

#[test]
fn draining_is_in_the_stats() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let pipeline = "read fifo | lines | batch every=1h (exec sleep 60 | write out/{n})";
    let arguments = ["--progress", "json", "--interval", "10ms", "--drain", "1h", pipeline];
    let mut running = highwater(arguments).within(&folder).start();
    let mut input = File::options().write(true).open(fifo).expect("opened");
    input.write_all(b"1\n").expect("it reads");
    assert!(running.writes(2));
    running.signal(Signal::TERM);
    sample(&mut running, |sample| {
        sample["draining"] == true && sample["stages"][2]["batch_committing"] == true
    });
    // Another one: the same would count as one within half a second.
    running.signal(Signal::INT);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::INT.as_raw()), "{}", run.stderr);
    let told = "highwater: rolled back what was not committed\n";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert_eq!(names(&folder.join("out")), [""; 0]);
}
