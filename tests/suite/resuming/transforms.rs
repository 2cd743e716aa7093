//! Encoders and sums between the source and a file that is continued.

use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Folder, Run, highwater, noise, peer, xorshift};

use super::{JOURNAL, PART};

const SIZE: usize = 1 << 20;
const CHECKPOINT: u64 = 64 << 10;
/// Input in a member or frame, and the high-water mark of each link.
const PIECE: u64 = 16 << 10;

/// Runs that are killed in each test: `HIGHWATER_KILLS`, or a few.
fn wanted() -> usize {
    let given = std::env::var("HIGHWATER_KILLS").ok();
    given.map_or(8, |count| count.parse().expect("HIGHWATER_KILLS is a number"))
}

/// A folder with a source that compresses to half of its size.
fn folder() -> Folder {
    let folder = Folder::new();
    let bytes = noise(SIZE / 2, 21).into_iter().flat_map(|byte| [byte, b'.']);
    folder.write("a", bytes.collect::<Vec<_>>());
    folder
}

/// A pipeline that takes a quarter of a second, with `stages` between.
fn pipeline(source: &str, stages: &str) -> String {
    format!("read {source} high=16KiB | throttle 4MB/s high=16KiB | {stages} | write b resume=true checkpoint=64KiB")
}

/// Kills a run once its sink has written so many bytes, if it gets there.
fn kill(folder: &Folder, pipeline: &str, moment: u64) -> Run {
    let arguments = ["--progress", "json", "--interval", "1ms", pipeline];
    let mut running = highwater(arguments).within(folder).start();
    if running.writes(moment) {
        // It may have ended meanwhile.
        running.signal(Signal::KILL);
    }
    running.wait()
}

/// A folder in which a run was killed behind a checkpoint.
fn killed(stages: &str) -> Folder {
    let folder = folder();
    // Slow enough for a busy machine to kill it in time.
    let slow = pipeline("a", stages).replace("4MB/s", "1MB/s");
    let run = kill(&folder, &slow, 3 * CHECKPOINT);
    assert_eq!(run.signal, Some(9), "{}", run.stderr);
    assert!(noted(&folder) > 0);
    folder
}

/// The position in the source at which the next run starts. A kill behind the last step leaves the journal alone.
fn noted(folder: &Folder) -> u64 {
    if !folder.join(PART).exists() {
        return 0;
    }
    let journal = std::fs::read_to_string(folder.join(JOURNAL)).unwrap_or_default();
    let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let last = whole.lines().last().and_then(|line| line.split_once(' '));
    let last = last.map(|(_, record)| serde_json::from_str::<serde_json::Value>(record).expect("a record"));
    last.and_then(|record| record["source"].as_u64()).unwrap_or(0)
}

/// How many bytes a run has read of its source, as far as it has said so.
fn read_by(run: &Run) -> u64 {
    let samples = run.objects();
    let read = |sample: &serde_json::Value| sample["stages"][0]["bytes_in"].as_u64();
    samples.last().and_then(read).unwrap_or(0)
}

fn decompressed(folder: &Folder, program: &str) -> Option<Vec<u8>> {
    let file = folder.open("b");
    let output = peer(program)?
        .arg("-dc")
        .stdin(file)
        .stderr(Stdio::inherit())
        .output()
        .expect("it starts");
    assert!(output.status.success());
    Some(output.stdout)
}

/// Kills runs at many moments, and lets them go on from each; `check` looks at each that ended whole. At most `held` bytes
/// are read again besides those of a checkpoint and the links.
fn goes_on_after_kills(seed: u64, source: &str, folder: &Folder, stages: &str, held: u64, check: impl Fn(&Run)) {
    let pipeline = pipeline(source, stages);
    let mut moments = xorshift(seed);
    let mut kills = 0;
    let mut is_over = false;
    while kills < wanted() || !is_over {
        let start = noted(folder);
        let moment = if kills < wanted() {
            moments.next().expect("endless") % (SIZE as u64 / 3)
        } else {
            u64::MAX
        };
        let run = kill(folder, &pipeline, moment);
        match (run.code, run.signal) {
            (Some(0), None) => {
                assert_eq!(
                    folder.names().iter().filter(|name| name.starts_with('.')).count(),
                    0,
                    "{:?}",
                    folder.names()
                );
                check(&run);
                std::fs::remove_file(folder.join("b")).expect("removed");
                is_over = true;
            }
            (None, Some(9)) => {
                kills += 1;
                is_over = false;
                if folder.join(PART).exists() {
                    // Each link holds so much, and each stage a chunk of it.
                    let links = 4 * 2 * PIECE;
                    let again = (start + read_by(&run)).saturating_sub(noted(folder));
                    assert!(again <= CHECKPOINT + held + links, "{again} bytes are read again");
                }
            }
            other => panic!("{other:?}: {}", run.stderr),
        }
    }
}

#[test]
fn killed_gzip_ends_whole() {
    let folder = folder();
    let check = |_: &Run| {
        if let Some(whole) = decompressed(&folder, "gzip") {
            assert!(whole == folder.read("a"));
        }
    };
    let stages = "gzip member=16KiB threads=2 high=16KiB";
    goes_on_after_kills(31, "a", &folder, stages, 2 * PIECE, check);
}

#[cfg(feature = "zstd")]
#[test]
fn killed_zstd_between_sums_ends_whole() {
    let folder = folder();
    let check = |run: &Run| {
        if let Some(whole) = decompressed(&folder, "zstd") {
            assert!(whole == folder.read("a"));
        }
        for (hashed, algorithm) in run.end()["hashes"]
            .as_array()
            .expect("a list")
            .iter()
            .zip(["sha256", "md5"])
        {
            let file = if algorithm == "md5" { "b" } else { "a" };
            let Some(mut summing) = peer(&format!("{algorithm}sum")) else {
                return;
            };
            let said = summing.arg(folder.join(file)).output().expect("it starts").stdout;
            let hex = hashed["hex"].as_str().expect("a sum");
            assert!(said.starts_with(hex.as_bytes()), "{algorithm} {hex}");
        }
    };
    let stages = "hash high=16KiB | zstd frame=16KiB threads=2 high=16KiB | hash md5 high=16KiB";
    goes_on_after_kills(32, "a", &folder, stages, 2 * PIECE, check);
}

#[test]
fn killed_hash_ends_with_the_sum() {
    let folder = folder();
    for (seed, algorithm) in [(33, "sha512"), (34, "crc32c")] {
        let expected = highwater([format!("read a | hash {algorithm}")]).within(&folder).run();
        let expected = expected.stderr.split("  ").nth(1).expect("a sum").to_owned();
        let check = |run: &Run| {
            assert!(folder.read("b") == folder.read("a"));
            assert_eq!(run.end()["hashes"][0]["hex"], expected.as_str(), "{algorithm}");
            assert_eq!(run.end()["hashes"][0]["bytes"], SIZE, "{algorithm}");
        };
        goes_on_after_kills(seed, "a", &folder, &format!("hash {algorithm} high=16KiB"), 0, check);
    }
}

#[cfg(all(feature = "http", feature = "zstd"))]
#[test]
fn killed_download_to_zstd_ends_whole() {
    let folder = folder();
    let Some(server) = crate::http::nginx(&folder, "") else {
        return;
    };
    let source = format!("http://{}/a", server.address);
    let check = |_: &Run| {
        if let Some(whole) = decompressed(&folder, "zstd") {
            assert!(whole == folder.read("a"));
        }
    };
    goes_on_after_kills(35, &source, &folder, "zstd frame=16KiB high=16KiB", PIECE, check);
}

#[test]
fn what_changes_no_byte_may_differ() {
    let folder = killed("gzip level=4 member=16KiB threads=2");
    let from = noted(&folder);
    let pipeline = "read a | buffer 1MiB | gzip level=4 member=64KiB threads=1 | write b resume=true verify=true";
    let run = highwater(["--stats", "-", pipeline]).within(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.end()["stages"][0]["bytes_in"], SIZE as u64 - from);
    if let Some(whole) = decompressed(&folder, "gzip") {
        assert!(whole == folder.read("a"));
    }
}

#[test]
fn another_pipeline_is_refused() {
    for (first, second) in [
        ("gzip level=4 member=16KiB", "gzip level=5"),
        ("gzip member=16KiB", "hash | gzip"),
        ("hash", "hash md5"),
        ("hash", "buffer 1MiB"),
    ] {
        let folder = killed(first);
        let before = (folder.read(PART), folder.read(JOURNAL));
        let explained = |stages: &str| {
            let explain = ["explain".to_owned(), pipeline("a", stages)];
            String::from_utf8(highwater(explain).within(&folder).run().succeeds()).expect("text")
        };
        let run = highwater([pipeline("a", second)]).within(&folder).run();
        let line = run.fails(2);
        let (_, why) = line.split_once(": cannot go on").expect("a reason");
        assert!(explained(second).contains(why), "{}", explained(second));
        assert!(explained(first).contains(", going on at "), "{}", explained(first));
        folder.write("c", folder.read("a"));
        let explain = ["explain".to_owned(), pipeline("c", first)];
        let of_another = String::from_utf8(highwater(explain).within(&folder).run().succeeds()).expect("text");
        assert!(of_another.contains("but cannot go on with"), "{of_another}");
        assert!(of_another.contains("it belongs to another source, `a`"), "{of_another}");
        assert!(
            line.contains("another pipeline began it, `read a high=16KiB | throttle 1MB/s"),
            "{line}"
        );
        assert!(line.ends_with("remove ./.b.highwater-part to start over"), "{line}");
        assert!(
            before == (folder.read(PART), folder.read(JOURNAL)),
            "something was changed"
        );
        // The first may still go on.
        let run = highwater([pipeline("a", first)]).within(&folder).run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

/// A journal whose last record was changed, with a right sum of its own.
fn forge(folder: &Folder, change: impl Fn(&mut serde_json::Value)) {
    let journal = String::from_utf8(folder.read(JOURNAL)).expect("text");
    let (rest, last) = journal.trim_end().rsplit_once('\n').expect("two records");
    let mut record = serde_json::from_str(&last[17..]).expect("a record");
    change(&mut record);
    let text = record.to_string();
    let sum = blake3(&text);
    folder.write(JOURNAL, format!("{rest}\n{} {text}\n", &sum[..16]));
}

/// The BLAKE3 sum of a text, by the program itself.
fn blake3(text: &str) -> String {
    let run = highwater(["hash blake3"]).input(text).run();
    run.stderr.split("  ").nth(1).expect("a sum").to_owned()
}

#[test]
fn forged_journal_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 5] = [
        (|record| record["bytes"] = 5.into(), "its first 5 bytes have the sum"),
        (
            |record| record["bytes"] = (1_u64 << 40).into(),
            "and its journal speaks of 1099511627776",
        ),
        (
            |record| record["source"] = (1_u64 << 40).into(),
            "an earlier run has read 1099511627776 bytes of it, and it has 1048576",
        ),
        (
            |record| record["states"] = serde_json::json!([]),
            "its journal has the states of 0 stages, and the pipeline has 1",
        ),
        (
            |record| record["states"] = serde_json::json!([[1, 2, 3]]),
            "the journal has no valid state of it",
        ),
    ];
    for (change, why) in changes {
        let folder = killed("hash");
        forge(&folder, change);
        let run = highwater([pipeline("a", "hash")]).within(&folder).run();
        let last = run.stderr.lines().last().unwrap_or_default();
        assert_eq!(run.code, Some(10), "{}", run.stderr);
        assert!(last.contains(why), "{last}");
        assert!(!folder.join("b").exists());
    }
}

#[test]
fn torn_journal_goes_on_from_before() {
    let folder = killed("gzip member=16KiB");
    let whole = folder.read(JOURNAL);
    let last = noted(&folder);
    folder.write(JOURNAL, &whole[..whole.len() - 2]);
    assert!(noted(&folder) < last);
    let run = highwater([pipeline("a", "gzip")]).within(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    if let Some(decompressed) = decompressed(&folder, "gzip") {
        assert!(decompressed == folder.read("a"));
    }
}

#[test]
fn small_chunks_between_a_sum_and_an_encoder_have_checkpoints() {
    let folder = Folder::new();
    folder.write("a", noise(8 << 20, 22));
    let pipeline = "read a | hash | gzip level=1 member=256KiB threads=2 | throttle 20MB/s \
                    | write b resume=true checkpoint=256KiB";
    let arguments = ["--chunk", "4KiB", "--progress", "json", "--interval", "1ms", pipeline];
    let mut running = highwater(arguments.map(|word| word.replace("20MB", "8MB")))
        .within(&folder)
        .start();
    assert!(running.writes(4 << 20));
    running.signal(Signal::KILL);
    running.wait();
    assert!(noted(&folder) >= 3 << 20, "{}", noted(&folder));
    let run = highwater(["--chunk", "4KiB", pipeline]).within(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    if let Some(whole) = decompressed(&folder, "gzip") {
        assert!(whole == folder.read("a"));
    }
    let expected = highwater(["read a | hash"]).within(&folder).run().stderr;
    assert_eq!(run.stderr.lines().last(), expected.lines().last());
}
