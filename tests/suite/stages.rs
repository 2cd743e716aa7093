//! The stages and endpoints other than codecs, and the options of a run: the binary, real files, real sockets, and the
//! real tools as a reference. The tests do not sleep: each step waits for a line or an end.

use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Folder, Run, Running, highwater, noise, peer, through};

fn run(folder: &Folder, pipeline: &str) -> Run {
    highwater([pipeline]).within(folder).run()
}

fn with_source(bytes: &[u8]) -> Folder {
    let folder = Folder::new();
    folder.write("in", bytes);
    folder
}

/// The caret form of an error in the pipeline: its first line.
#[track_caller]
fn refused(run: &Run) -> &str {
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    run.stderr
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("error: "))
        .expect("an error with a caret")
}

mod limit {
    use super::*;

    #[test]
    fn limit_passes_exactly_its_size() {
        let folder = with_source(&noise(1 << 20, 1));
        assert!(run(&folder, "read in | limit 1MiB | write out").succeeds().is_empty());
        assert_eq!(folder.read("out"), folder.read("in"));
        folder.write("out", "old");
        let over = run(&folder, "read in | limit 1048575 | write out");
        assert_eq!(
            over.fails(7),
            "highwater: limit 1048575: over the limit: more than 1048575 came"
        );
        assert_eq!(folder.read("out"), b"old");
        assert_eq!(folder.names(), ["in", "out"]);
    }

    #[test]
    fn limit_feeds_a_following_take() {
        let folder = with_source(&noise(100_000, 2));
        let out = run(&folder, "read in | limit 1000 | take 1000").succeeds();
        assert_eq!(out, folder.read("in")[..1000]);
        assert_eq!(run(&folder, "read in | limit 0 | write out").code, Some(7));
    }

    #[test]
    fn limit_ends_an_endless_stream() {
        let folder = Folder::new();
        let run = run(&folder, "read /dev/zero | limit 10MB | write out");
        assert!(run.fails(7).ends_with("more than 10MB came"));
        assert!(folder.names().is_empty());
    }
}

mod take {
    use super::*;

    const BYTES: usize = 40_000;

    /// What a run with `input` as its standard input leaves of `bytes`, after it ended with `code`.
    fn left(pipeline: &str, code: i32, mut input: impl Read, again: impl Into<Stdio>) -> Vec<u8> {
        let folder = Folder::new();
        let run = highwater(["-q", pipeline]).within(&folder).stdin(again).run();
        assert_eq!(run.code, Some(code), "{pipeline}: {}", run.stderr);
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).expect("it can be read");
        rest
    }

    /// Each with its exit code and how many bytes it wants.
    const CHAINS: [(&str, i32, usize); 20] = [
        ("take 512", 0, 512),
        ("take 0", 0, 0),
        ("take 100K", 0, BYTES),
        ("read - | take 512 | write out", 0, 512),
        ("skip 1K | take 512", 0, 1536),
        ("skip 100 | skip 100 | take 512", 0, 712),
        ("take 512 | skip 100", 0, 512),
        ("take 1K | take 512", 0, 512),
        ("take 512 | take 1K", 0, 512),
        ("buffer 1M | take 512", 0, 512),
        ("throttle 1MB/s | take 512", 0, 512),
        ("hash | take 512", 0, 512),
        ("limit 1K | take 512", 0, 512),
        ("limit 512", 7, 513),
        ("take 512 | limit 100", 7, 101),
        ("take 512 | gzip | gunzip | take 5", 0, 512),
        ("skip 30K | throttle 1MB/s | buffer 4K | hash | take 1K", 0, 31 << 10),
        ("take 512 | write /dev/full", 5, 512),
        ("skip 1K | take 512 | write no/out", 4, 0),
        ("take 512 | gunzip", 6, 512),
    ];

    #[test]
    fn take_leaves_the_rest_of_file() {
        let bytes = noise(BYTES, 31);
        let folder = with_source(&bytes);
        for (pipeline, code, wanted) in CHAINS {
            for start in [0, 7] {
                let mut file = folder.open("in");
                file.seek(std::io::SeekFrom::Start(start)).expect("a file");
                let again = file.try_clone().expect("shared");
                let wanted = (wanted + usize::try_from(start).expect("small")).min(BYTES);
                assert!(left(pipeline, code, file, again) == bytes[wanted..], "{pipeline}");
            }
        }
    }

    #[test]
    fn take_leaves_the_rest_of_pipe() {
        let bytes = noise(BYTES, 32);
        for (pipeline, code, wanted) in CHAINS {
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            writer.write_all(&bytes).expect("there is room");
            drop(writer);
            let again = reader.try_clone().expect("shared");
            assert!(left(pipeline, code, reader, again) == bytes[wanted..], "{pipeline}");
        }
    }

    #[test]
    fn take_leaves_the_rest_of_connection() {
        let bytes = noise(BYTES, 33);
        for (pipeline, code, wanted) in CHAINS {
            let (reader, mut writer) = UnixStream::pair().expect("a pair");
            writer.write_all(&bytes).expect("there is room");
            drop(writer);
            let again = reader.try_clone().expect("shared");
            let again = std::os::fd::OwnedFd::from(again);
            assert!(left(pipeline, code, reader, again) == bytes[wanted..], "{pipeline}");
        }
    }

    #[test]
    fn waits_for_no_end_of_its_input() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"head").expect("there is room");
        let run = highwater(["-q", "hash label=x | take 4"]).stdin(reader).run();
        assert_eq!((&*run.stdout, &*run.stderr), (&b"head"[..], "sha256  not whole  x\n"));
        drop(writer);
    }

    #[test]
    fn take_sets_the_expected_bytes() {
        let folder = with_source(&noise(1000, 34));
        let run = highwater(["-q", "--stats", "-", "read in | skip 100 | take 512 | write out"])
            .within(&folder)
            .run();
        assert_eq!(run.end()["expected_bytes"], 512);
    }
}

mod buffer {
    use super::*;

    #[test]
    fn buffer_is_a_link_with_marks() {
        let folder = with_source(&noise(3 << 20, 3));
        let run = highwater(["--stats", "-", "-q", "read in | buffer 16MiB low=2MiB | write out"])
            .within(&folder)
            .run();
        let end = run.end();
        assert_eq!(end["links"][1]["high_bytes"], 16 << 20);
        assert_eq!(end["links"][1]["low_bytes"], 2 << 20);
        assert_eq!(end["memory_limit_bytes"], 17 << 20);
        assert_eq!(folder.read("out"), folder.read("in"));
    }

    #[test]
    fn explicit_marks_outrank_its_size() {
        let folder = with_source(b"x");
        let run = highwater(["--stats", "-", "-q", "read in | buffer 16MiB high=8MiB | write out"])
            .within(&folder)
            .run();
        assert_eq!(run.end()["links"][1]["high_bytes"], 8 << 20);
    }

    #[test]
    fn buffer_size_is_checked() {
        let folder = with_source(b"x");
        assert_eq!(
            refused(&run(&folder, "read in | buffer 0 | write out")),
            "a buffer of 0 bytes lets nothing pass"
        );
        assert_eq!(
            refused(&run(&folder, "read in | buffer 1MiB low=1MiB | write out")),
            "`low` is not below the high-water mark, 1MiB"
        );
        let run = highwater(["--memory", "8MiB", "read in | buffer 16MiB | write out"])
            .within(&folder)
            .run();
        assert_eq!(refused(&run), "--memory 8MiB is too little for this pipeline");
        assert!(
            run.stderr.contains("the least that would do is --memory 16388KiB"),
            "{}",
            run.stderr
        );
        assert_eq!(folder.names(), ["in"]);
    }

    #[test]
    fn buffer_of_one_byte_works() {
        let folder = with_source(&noise(5000, 4));
        assert_eq!(run(&folder, "read in | buffer 1").succeeds(), folder.read("in"));
    }

    #[test]
    fn link_predicts_when_full() {
        let mut running = highwater([
            "--progress",
            "json",
            "--interval",
            "100ms",
            "read /dev/zero | throttle 20MB/s | buffer 1GiB | throttle 1MB/s | write /dev/null",
        ])
        .start();
        let link = loop {
            let sample: serde_json::Value = serde_json::from_str(&running.line()).expect("an object");
            if sample["links"][2]["buffered_bytes"].as_u64().expect("a number") > 1 << 20 {
                break sample["links"][2].clone();
            }
        };
        assert!(link["fill_bytes_per_s"].as_f64().expect("a number") > 1e6, "{link}");
        assert!(link["full_in_s"].as_f64().expect("a number") > 1.0, "{link}");
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(ended.end()["links"][2]["full_in_s"], serde_json::Value::Null);
    }
}

mod hash {
    use super::*;

    const ALGORITHMS: [(&str, &str, usize); 5] = [
        ("sha256", "sha256sum", 64),
        ("sha512", "sha512sum", 128),
        ("md5", "md5sum", 32),
        ("blake3", "b3sum", 64),
        ("crc32c", "", 8),
    ];

    /// The checksum that `hash` prints for `bytes`.
    fn said(algorithm: &str, bytes: &[u8]) -> String {
        let run = highwater(["-q", &format!("hash {algorithm} label=x")])
            .input(bytes)
            .run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout == bytes, "the bytes pass through");
        let line = run.stderr.strip_suffix('\n').expect("one line");
        let hex = line.strip_prefix(algorithm).and_then(|rest| rest.strip_prefix("  "));
        hex.and_then(|rest| rest.strip_suffix("  x")).expect(line).to_owned()
    }

    #[test]
    fn hash_agrees_with_common_tools() {
        for (algorithm, tool, _) in ALGORITHMS {
            if tool.is_empty() {
                continue;
            }
            for count in [0, 1, 262_143, 262_144, 262_145, 1_000_003] {
                let Some(command) = peer(tool) else { break };
                let bytes = noise(count, 5);
                let theirs = String::from_utf8(through(command, &bytes).1).expect("text");
                assert_eq!(
                    said(algorithm, &bytes),
                    theirs.split(' ').next().expect("a sum"),
                    "{tool} {count}"
                );
            }
        }
    }

    #[test]
    fn hash_matches_published_values() {
        assert_eq!(said("crc32c", b"123456789"), "e3069283");
        assert_eq!(
            said("blake3", b"abc"),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn stands_in_the_end_object() {
        let run = highwater(["-q", "--stats", "-", "hash crc32c label=a | hash md5"])
            .input("123456789")
            .run();
        let md5 = "25f9e794323b453885f5181f1b624d0b";
        assert_eq!(
            run.end()["hashes"],
            serde_json::json!([
                {"algo": "crc32c", "hex": "e3069283", "label": "a", "bytes": 9},
                {"algo": "md5", "hex": md5, "label": "-", "bytes": 9},
            ])
        );
        assert!(run.stderr.starts_with(&format!("crc32c  e3069283  a\nmd5  {md5}  -\n")));
    }

    #[test]
    fn wrong_hash_leaves_target_untouched() {
        let folder = with_source(b"123456789");
        for (algorithm, _, digits) in ALGORITHMS {
            folder.write("out", "old");
            let wrong = "0".repeat(digits);
            let run = run(
                &folder,
                &format!("read in | hash {algorithm} expect={wrong} | write out"),
            );
            assert_eq!(run.code, Some(10), "{}", run.stderr);
            assert!(run.stderr.contains("the sum differs: it is "), "{}", run.stderr);
            assert_eq!(folder.read("out"), b"old");
            assert_eq!(folder.names(), ["in", "out"]);
        }
    }

    #[test]
    fn expected_hash_ignores_case() {
        let folder = with_source(b"123456789");
        for sum in ["e3069283", "E3069283"] {
            let run = run(&folder, &format!("read in | hash crc32c expect={sum} | write out"));
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            assert_eq!(folder.read("out"), b"123456789");
        }
    }

    #[test]
    fn invalid_hash_is_refused_before_opening() {
        let folder = Folder::new();
        for (expect, message) in [
            ("e306928", "`e306928` is not a crc32c sum: it has 7 digits instead of 8"),
            (
                "e306928x",
                "`e306928x` is not a crc32c sum: `x` is not a hexadecimal digit",
            ),
            (
                "md5:e3069283",
                "`md5:e3069283` is not a crc32c sum: it says that it is one of md5",
            ),
            ("@", "the file's name is missing"),
        ] {
            let run = run(
                &folder,
                &format!("read missing | hash crc32c expect={expect} | write out"),
            );
            assert_eq!(refused(&run), message);
            assert!(run.stderr.contains('^'), "{}", run.stderr);
        }
    }

    #[test]
    fn hash_file_is_accepted_by_tools() {
        let folder = with_source(&noise(300_000, 6));
        assert_eq!(
            run(&folder, "read in | hash label=in to=SUMS | write out").code,
            Some(0)
        );
        if let Some(mut tool) = peer("sha256sum") {
            let checked = tool
                .args(["--check", "SUMS"])
                .current_dir(folder.path())
                .output()
                .expect("starts");
            assert_eq!(String::from_utf8_lossy(&checked.stdout), "in: OK\n");
        }
        assert_eq!(run(&folder, "read in | hash expect=@SUMS | write out").code, Some(0));
        let other = run(&folder, "read SUMS | hash expect=@SUMS | write out");
        assert_eq!(other.code, Some(10), "{}", other.stderr);
        assert_eq!(folder.read("out"), folder.read("in"));
        assert_eq!(folder.names(), ["SUMS", "in", "out"]);
    }

    #[test]
    fn hash_label_is_found() {
        let folder = with_source(b"123456789");
        let md5 = "25f9e794323b453885f5181f1b624d0b";
        for sums in [
            format!("{}  other\n{md5}  in\n", "0".repeat(32)),
            format!("MD5 (other) = {}\nMD5 (in) = {md5}\n", "0".repeat(32)),
        ] {
            folder.write("SUMS", sums);
            let found = run(&folder, "read in | hash md5 label=in expect=@SUMS | write out");
            assert_eq!(found.code, Some(0), "{}", found.stderr);
            let ambiguous = run(&folder, "read in | hash md5 expect=@SUMS | write out");
            assert_eq!(ambiguous.code, Some(10), "{}", ambiguous.stderr);
            assert!(
                ambiguous.stderr.contains("it holds 2 sums: say which with label="),
                "{}",
                ambiguous.stderr
            );
        }
        let missing = run(&folder, "read in | hash md5 expect=@nowhere | write out");
        assert!(
            missing
                .fails(3)
                .ends_with("cannot look up the sum in nowhere: No such file or directory")
        );
    }

    /// Checksum files of the usual tools, with file names that need escaping.
    #[test]
    fn reads_what_the_real_tools_write() {
        let names = ["in", "a b", "a (1)", "p) = q", "back\\slash", "new\nline"];
        let folder = Folder::new();
        for (seed, name) in (20..).zip(names) {
            folder.write(name, noise(1000, seed));
        }
        for (algorithm, tool, arguments) in [
            ("sha256", "sha256sum", &[][..]),
            ("sha256", "sha256sum", &["--binary"]),
            ("sha256", "sha256sum", &["--tag"]),
            ("sha512", "sha512sum", &[]),
            ("md5", "md5sum", &[]),
            ("md5", "md5sum", &["--tag"]),
            ("blake3", "b3sum", &[]),
            ("sha256", "shasum", &["-a", "256"]),
            ("sha256", "openssl", &["dgst", "-sha256"]),
            ("sha256", "openssl", &["dgst", "-sha256", "-r"]),
            ("sha256", "openssl", &["dgst", "-sha256", "-c"]),
            ("sha512", "openssl", &["dgst", "-sha512"]),
            ("md5", "openssl", &["md5"]),
        ] {
            let Some(mut command) = peer(tool) else { continue };
            // openssl writes a newline in a name as it is, unless it writes as sha256sum does.
            let is_plain = tool == "openssl" && !arguments.contains(&"-r");
            let names = &names[..if is_plain { 5 } else { 6 }];
            command.args(arguments).args(names).current_dir(folder.path());
            let sums = command.output().expect("it starts").stdout;
            folder.write("SUMS", &sums);
            folder.write("CRLF", String::from_utf8(sums).expect("text").replace('\n', "\r\n"));
            for (name, file) in names.iter().flat_map(|name| [(name, "SUMS"), (name, "CRLF")]) {
                let check = |of: &str| {
                    let words = ["-q", "read", of, "::", "hash", algorithm];
                    let options = [format!("label={name}"), format!("expect=@{file}")];
                    let words = words.map(str::to_owned).into_iter().chain(options);
                    highwater(words).within(&folder).run()
                };
                let run = check(name);
                assert_eq!(run.code, Some(0), "{tool} {arguments:?} {name:?}: {}", run.stderr);
                assert_eq!(run.stdout, folder.read(name));
                let other = check(if *name == "in" { "a b" } else { "in" });
                assert_eq!(other.code, Some(10), "{tool} {arguments:?} {name:?}: {}", other.stderr);
            }
        }
    }

    #[test]
    fn reads_a_digest_that_stands_alone() {
        let folder = with_source(b"123456789");
        for sum in ["e3069283\n", "E3069283", "crc32c:e3069283\n", "\u{feff}e3069283\r\n"] {
            folder.write("SUM", sum);
            for label in ["", "label=in "] {
                let chain = format!("read in | hash crc32c {label}expect=@SUM | write out");
                let run = run(&folder, &chain);
                let said = if label.is_empty() { "-" } else { "in" };
                assert_eq!(run.stderr, format!("crc32c  e3069283  {said}\n"), "{sum:?}");
                assert_eq!(run.code, Some(0));
            }
        }
        assert_eq!(
            run(&folder, "read in | hash crc32c expect=crc32c:e3069283 | write out").code,
            Some(0)
        );
    }

    #[test]
    fn partial_stream_has_no_hash() {
        let wrong = "0".repeat(64);
        let text = format!("read /dev/zero | hash expect={wrong} label=z | take 5");
        let run = highwater(["-q", "--stats", "-", &text]).run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.stdout, [0; 5]);
        assert!(run.stderr.starts_with("sha256  not whole  z\n"), "{}", run.stderr);
        assert_eq!(run.end()["hashes"][0]["hex"], serde_json::Value::Null);
    }

    #[test]
    fn unwritable_hash_file_fails_the_run() {
        let folder = with_source(b"x");
        let mut unread = folder.open("in");
        let run = highwater(["hash to=missing/SUMS | write out"])
            .within(&folder)
            .stdin(unread.try_clone().expect("shared"))
            .run();
        let why = "cannot create: No such file or directory";
        assert!(run.fails(4).ends_with(why), "{}", run.stderr);
        assert_eq!(folder.names(), ["in"]);
        assert_eq!(unread.stream_position().expect("a file"), 0, "it was read");
    }

    #[test]
    fn hash_file_must_not_be_an_end() {
        let folder = with_source(b"precious");
        folder.write("old", "old");
        for (chain, other) in [
            ("read in | hash to=in | write out", "the source"),
            ("read in | hash to=./in | write out", "the source"),
            ("read in | hash to=out | write out", "the sink"),
            ("read in | hash to=old | write file:old", "the sink"),
            (
                "read in | hash to=SUMS | hash md5 to=SUMS | write out",
                "that of hash to=SUMS",
            ),
        ] {
            let run = run(&folder, chain);
            let why = format!("it is the same file as {other}; write to another name");
            assert!(run.fails(2).ends_with(&why), "{chain}: {}", run.stderr);
            assert_eq!(
                (folder.read("in"), folder.read("old")),
                (b"precious".to_vec(), b"old".to_vec())
            );
            assert_eq!(folder.names(), ["in", "old"], "{chain}");
        }
    }

    #[test]
    fn invalid_hash_file_is_refused() {
        let folder = with_source(b"x");
        for (name, message) in [
            ("-", "the standard streams carry the stream and nothing else"),
            ("/dev/stdout", "the standard streams carry the stream and nothing else"),
            ("tcp://localhost:1", "tcp://HOST:PORT is not a file"),
        ] {
            let run = run(&folder, &format!("read missing | hash to={name} | write out"));
            assert_eq!(refused(&run), message);
        }
    }

    #[test]
    fn hash_file_survives_a_failed_sink() {
        let folder = with_source(&noise(300_000, 7));
        folder.write("SUMS", "old");
        assert_eq!(run(&folder, "read in | hash to=SUMS | write /dev/full").code, Some(5));
        assert_eq!(
            run(&folder, "read in | hash to=SUMS | limit 1000 | write out").code,
            Some(7)
        );
        assert_eq!(
            run(&folder, "read /dev/zero | hash to=SUMS | take 5 | write out").code,
            Some(0)
        );
        assert_eq!(run(&folder, "read in | hash to=SUMS | write no/out").code, Some(4));
        assert_eq!(folder.read("SUMS"), b"old");
        assert_eq!(folder.names(), ["SUMS", "in", "out"]);
    }

    #[test]
    fn signal_removes_the_hash_temporary() {
        let folder = with_source(b"");
        folder.write("SUMS", "old");
        let chain = "read /dev/zero | hash to=SUMS | throttle 1MB/s | write out";
        let mut running = highwater(["--progress", "json", "--interval", "5ms", chain])
            .within(&folder)
            .start();
        running.line();
        let temporaries = folder.names();
        assert!(
            temporaries.iter().any(|name| name.starts_with(".SUMS.highwater-")),
            "{temporaries:?}"
        );
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
        assert_eq!(
            (folder.read("SUMS"), folder.names()),
            (b"old".to_vec(), vec!["SUMS".to_owned(), "in".to_owned()])
        );
    }

    #[test]
    fn writes_to_a_fifo_in_place() {
        let folder = with_source(b"123456789");
        let fifo = folder.fifo("sums");
        let reader = std::thread::spawn(move || std::fs::read(fifo).expect("read"));
        let run = run(&folder, "read in | hash crc32c to=sums | write out");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(reader.join().expect("no panic"), b"e3069283  -\n");
    }
}

mod unix_sockets {
    use super::*;

    /// Waits until it has printed that it listens.
    fn listening(running: &mut Running) {
        let line = running.line();
        assert!(line.starts_with("highwater: listening on unix:"), "{line}");
    }

    fn listen(folder: &Folder, pipeline: &str) -> Running {
        let mut running = highwater([pipeline]).within(folder).start();
        listening(&mut running);
        running
    }

    #[test]
    fn unix_sockets_carry_exact_bytes() {
        let folder = with_source(&noise(3_000_001, 7));
        for (first, second) in [
            ("read unix-listen:s | write out", "read in | write unix:s"),
            ("read in | write unix-listen:s", "read unix:s | write out"),
        ] {
            let listener = listen(&folder, first);
            run(&folder, second).succeeds();
            assert_eq!(listener.wait().code, Some(0));
            assert_eq!(folder.read("out"), folder.read("in"));
            assert_eq!(folder.names(), ["in", "out"]);
            std::fs::remove_file(folder.join("out")).expect("removed");
        }
    }

    #[test]
    fn unix_socket_is_private() {
        let folder = Folder::new();
        let running = listen(&folder, "read unix-listen:s | write out");
        let metadata = std::fs::symlink_metadata(folder.join("s")).expect("there");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }

    #[test]
    fn only_stale_unix_sockets_are_replaced() {
        let folder = with_source(b"bytes");
        drop(UnixListener::bind(folder.join("s")).expect("bound"));
        let running = listen(&folder, "read unix-listen:s | write out");
        let second = run(&folder, "read in | write unix-listen:s");
        assert_eq!(
            second.fails(9),
            "highwater: write unix-listen:s: cannot listen on unix:s: another process listens there already"
        );
        let mut stream = UnixStream::connect(folder.join("s")).expect("it still listens");
        stream.write_all(b"hello").expect("written");
        drop(stream);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(folder.read("out"), b"hello");
    }

    #[test]
    fn foreign_unix_name_is_refused() {
        let folder = with_source(b"bytes");
        let refused = run(&folder, "read in | write unix-listen:in");
        assert!(refused.fails(9).ends_with("it exists and is not a socket"));
        assert_eq!(folder.read("in"), b"bytes");
    }

    #[test]
    fn missing_unix_peer_is_a_connection_error() {
        let folder = with_source(b"bytes");
        let run = run(&folder, "read unix:s | write out");
        assert_eq!(
            run.fails(9),
            "highwater: read unix:s: cannot connect to unix:s: No such file or directory"
        );
        assert_eq!(folder.names(), ["in"]);
    }

    #[test]
    fn missing_source_leaves_no_socket() {
        let folder = Folder::new();
        assert_eq!(run(&folder, "read missing | write unix-listen:s").code, Some(3));
        assert!(folder.names().is_empty());
    }

    #[test]
    fn unix_peer_leaving_early_is_an_error() {
        let folder = with_source(&noise(50_000, 8));
        let running = listen(&folder, "read in | write unix-listen:s");
        let mut stream = UnixStream::connect(folder.join("s")).expect("connected");
        stream.read_exact(&mut [0; 10]).expect("ten bytes");
        drop(stream);
        assert_eq!(running.wait().code, Some(4));
    }

    #[test]
    fn overlong_unix_path_is_refused() {
        let folder = Folder::new();
        let path = "x".repeat(108);
        for text in [
            format!("read unix:{path} | write out"),
            format!("read missing | write unix-listen:{path}"),
        ] {
            assert_eq!(
                refused(&run(&folder, &text)),
                "a path of 108 bytes is too long for a Unix socket"
            );
        }
    }

    #[test]
    fn talk_to_socat() {
        let folder = with_source(&noise(1_000_000, 9));
        let Some(mut socat) = peer("socat") else { return };
        let running = listen(&folder, "read in | write unix-listen:s");
        let got = socat
            .args(["-u", "UNIX-CONNECT:s", "STDOUT"])
            .current_dir(folder.path())
            .output()
            .expect("socat starts");
        assert_eq!(running.wait().code, Some(0));
        assert!(got.stdout == folder.read("in"));
    }
}

mod small_chunks {
    use super::*;

    #[test]
    fn arrive_in_order_and_are_counted_exactly() {
        let folder = with_source(&noise(70_001, 11));
        for marks in ["high=1", "high=7", "high=4KiB", "high=1MiB"] {
            let text = format!("read in {marks} | write out");
            let run = highwater(["-q", "--stats", "-", "--chunk", "1", &text])
                .within(&folder)
                .run();
            assert_eq!(run.end()["stages"][1]["bytes_out"], 70_001, "{marks}");
            assert_eq!(run.end()["stages"][1]["bytes_in"], 70_001, "{marks}");
            assert_eq!(folder.read("out"), folder.read("in"), "{marks}");
        }
    }

    #[test]
    fn smallest_links_pass_all_gzip_forms() {
        let folder = with_source(&noise(3000, 12));
        for text in [
            "read in high=1 | gzip single=true flush=1ms high=1 | gunzip high=1 | write out",
            "read in high=1 | gzip flush=1ms high=1 | gunzip high=1 | write out",
        ] {
            run(&folder, text).succeeds();
            assert_eq!(folder.read("out"), folder.read("in"), "{text}");
        }
    }

    #[test]
    fn dialogue_is_not_delayed() {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["-q", "read - high=1MiB | write -"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("highwater starts");
        let (mut to, mut from) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        for byte in 0..=255_u8 {
            to.write_all(&[byte]).expect("written");
            let mut answer = [0];
            from.read_exact(&mut answer)
                .expect("an answer before the next byte is sent");
            assert_eq!(answer, [byte]);
        }
        drop(to);
        assert!(child.wait().expect("it ends").success());
    }
}

mod options {
    use super::*;

    #[test]
    fn stall_timeout_ends_a_peer_wait() {
        let folder = Folder::new();
        let run = highwater(["--stall-timeout", "50ms", "read unix-listen:s | write out"])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(8));
        assert!(
            run.stderr
                .ends_with("highwater: stalled: no byte moved for 50ms (--stall-timeout)\n")
        );
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_signal_asks_for_one_plain_line() {
        let mut running = highwater([
            "--progress",
            "json",
            "--interval",
            "50ms",
            "read /dev/zero | throttle 1MB/s | write /dev/null",
        ])
        .start();
        assert!(running.line().starts_with('{'), "it runs");
        running.signal(Signal::USR1);
        let line = loop {
            let line = running.line();
            if !line.starts_with('{') {
                break line;
            }
        };
        assert!(
            line.starts_with("highwater: ") && line.contains("bottleneck throttle 1MB/s"),
            "{line}"
        );
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
    }

    #[test]
    fn chunk_is_the_largest_chunk() {
        let folder = with_source(b"x");
        let plan = highwater(["explain", "--chunk", "10KiB", "read in high=1MiB | write out"])
            .within(&folder)
            .run();
        assert!(String::from_utf8_lossy(&plan.stdout).contains("chunks up to 10.0 KiB"));
        assert_eq!(highwater(["--chunk", "0", "read in"]).run().code, Some(2));
    }

    #[test]
    fn interval_says_how_often() {
        let folder = Folder::new();
        let text = "read /dev/zero | throttle 1MB/s | take 800kB | write out";
        let often = highwater(["--progress", "json", "--interval", "20ms", text])
            .within(&folder)
            .run();
        assert!(often.objects().len() > 4, "{}", often.stderr);
        let seldom = highwater(["--progress", "json", "--interval", "1h", text])
            .within(&folder)
            .run();
        assert_eq!(seldom.objects().len(), 1, "{}", seldom.stderr);
        let plain = highwater(["--progress", "plain", "--interval", "20ms", text])
            .within(&folder)
            .run();
        let lines = plain.stderr.lines().filter(|line| line.starts_with("highwater: "));
        assert!(lines.count() > 4, "{}", plain.stderr);
        assert!(plain.stderr.contains("peak rss"), "{}", plain.stderr);
        assert_eq!(highwater(["--interval", "0s", text]).run().code, Some(2));
    }

    #[test]
    fn quiet_excludes_progress() {
        let folder = with_source(b"x");
        highwater(["-q", "read in | write out"])
            .within(&folder)
            .run()
            .succeeds();
        for arguments in [
            ["-q", "--progress=plain", "read in"],
            ["read in", "--progress=none", "--quiet"],
        ] {
            let run = highwater(arguments).within(&folder).run();
            assert_eq!(run.code, Some(2), "{}", run.stderr);
        }
    }

    #[test]
    fn own_files_must_not_be_ends() {
        let folder = with_source(b"precious");
        std::os::unix::fs::symlink("new", folder.join("link")).expect("made");
        for (option, file, chain, other) in [
            ("--stats", "in", "read in | write out", "the source"),
            ("--stats", "in", "read missing in | write in", "the sink"),
            ("--stats", "in", "read /dev/null | write in clobber=false", "the sink"),
            ("--stats", "new", "read in | write new", "the sink"),
            ("--stats", "new", "read in | write link", "the sink"),
            (
                "--stats",
                "SUMS",
                "read in | hash to=SUMS | write out",
                "the file of hash",
            ),
            ("--record", "in", "read in | write out", "the source"),
            ("--record", "link", "read in | write new", "the sink"),
        ] {
            let run = highwater([option, file, chain]).within(&folder).run();
            let why = format!("is the same file as {other}; write to another name");
            assert!(run.fails(2).ends_with(&why), "{option} {file} {chain}: {}", run.stderr);
            assert_eq!(
                (folder.read("in"), folder.names()),
                (b"precious".to_vec(), vec!["in".into(), "link".into()])
            );
        }
        let unread = highwater(["--stats", "in", "read in | wriet out"])
            .within(&folder)
            .run();
        assert_eq!((unread.code, folder.read("in")), (Some(2), b"precious".to_vec()));
        let both = highwater(["--stats", "s", "--record", "./s", "read in | write out"])
            .within(&folder)
            .run();
        assert!(
            both.fails(2)
                .ends_with("is the same file as --stats; write to another name")
        );
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("s")).expect("an object");
        assert_eq!(stats["exit"]["code"], 2);
    }

    #[test]
    fn stats_come_on_every_ending() {
        let folder = with_source(b"x");
        for (text, code) in [
            ("read in | write out", 0),
            ("read missing | write out", 3),
            ("raed in", 2),
            ("read in | limit 0 | write out", 7),
        ] {
            let run = highwater(["--stats", "stats", text]).within(&folder).run();
            assert_eq!(run.code, Some(code), "{}", run.stderr);
            let stats = String::from_utf8(folder.read("stats")).expect("text");
            assert_eq!(stats.lines().count(), 1, "{stats}");
            let end: serde_json::Value = serde_json::from_str(&stats).expect("an object");
            assert_eq!((&end["event"], &end["exit"]["code"]), (&"end".into(), &code.into()));
        }
        let once = highwater(["--stats", "-", "--progress", "json", "read in | write out"])
            .within(&folder)
            .run();
        assert_eq!(
            once.objects().iter().filter(|object| object["event"] == "end").count(),
            1,
            "{}",
            once.stderr
        );
    }

    #[test]
    fn colour_comes_where_it_is_wanted() {
        let coloured = |arguments: &[&str], variable: Option<(&str, &str)>| {
            let invocation = highwater(arguments.iter().copied().chain(["no-such-stage"]));
            let invocation = match variable {
                Some((name, value)) => invocation.environment(name, value),
                None => invocation,
            };
            invocation.run().stderr.contains('\x1b')
        };
        assert!(coloured(&["--color", "always"], None));
        assert!(!coloured(&["--color", "never"], None));
        assert!(!coloured(&[], None), "standard error is no terminal");
        assert!(!coloured(&["--color", "auto"], Some(("NO_COLOR", "1"))));
        assert!(!coloured(&["--color", "auto"], Some(("TERM", "dumb"))));
    }

    #[test]
    fn log_says_more_or_less() {
        let folder = with_source(b"x");
        let say = |level: &str| {
            highwater(["--log", level, "read in | write out"])
                .within(&folder)
                .run()
                .stderr
        };
        assert!(say("debug").contains("highwater: debug: "), "{}", say("debug"));
        assert_eq!(
            say("info").lines().count(),
            say("debug").lines().filter(|line| !line.contains(": debug: ")).count()
        );
        assert_eq!(say("error"), "");
        assert_eq!(highwater(["--log", "loud", "read in"]).run().code, Some(2));
    }

    #[test]
    fn size_sets_the_expected_bytes() {
        let run = highwater(["-q", "--stats", "-", "read - size=10MB | write /dev/null"])
            .input("x")
            .run();
        assert_eq!((run.code, &run.end()["expected_bytes"]), (Some(0), &10_000_000.into()));
    }

    #[test]
    fn connect_timeout_is_read() {
        let folder = Folder::new();
        let run = run(&folder, "read unix:s connect-timeout=1s | write out");
        assert_eq!(run.code, Some(9), "{}", run.stderr);
        assert_eq!(
            super::run(&folder, "read unix:s connect-timeout=1 | write out").code,
            Some(2)
        );
    }
}
