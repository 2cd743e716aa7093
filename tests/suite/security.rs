//! What must not be shown to, or changed by, others.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::harness::{Folder, highwater, noise, strace};

/// Every kind of output of a run.
const VIEWS: [&[&str]; 7] = [
    &[],
    &["-q"],
    &["--progress", "plain"],
    &["--progress", "json"],
    &["--log", "trace"],
    &["--stats", "-"],
    &["--color", "always", "--progress", "plain", "--log", "trace"],
];

#[test]
fn credentials_in_a_url_are_never_shown() {
    for pipeline in [
        "read tcp://user:hunter2@127.0.0.1:1 | write b",
        "read tcp://hunter2@127.0.0.1:1 | write b",
        "read a | write tcp://user:hunter2@127.0.0.1:1",
        "read tcp-listen://user:hunter2@:0 | write b",
        "read https://user:hunter2@host/a?b=c@d | write b",
        "read 'https://user:hun/hunter2@host/' | write b",
        "read tpc://user:hunter2@host:1 | gzp",
        "read a | write b user:x=ftp://me:hunter2@host",
        "ftp://user:hunter2@host",
        "read a | gzip ftp://user:hunter2@host | write b",
        "read 'tcp://user:hunter2 hunter2@host:1' | write b",
        "read tcp://user:hunter\\ hunter2@host:1 | write b",
        "read tcp://user:x|hunter2@host:1 | write b",
        "read tcp:/user:hunter2@host:1 | write b",
    ] {
        for view in VIEWS.iter().chain([&&["explain"][..]]) {
            let folder = Folder::new();
            folder.write("a", "text");
            let arguments = view.iter().copied().chain([pipeline]);
            let run = highwater(arguments).within(&folder).run();
            let said = run.stderr + &String::from_utf8_lossy(&run.stdout);
            assert!(run.code != Some(0) || *view == ["explain"], "{pipeline}");
            assert!(!said.contains("hunter2"), "{view:?} {pipeline}\n{said}");
            assert!(said.contains("***@"), "{view:?} {pipeline}\n{said}");
        }
    }
}

/// Command lines that are invalid or fail, and whose error quotes `word`.
fn complaints(word: &OsStr) -> Vec<Vec<&OsStr>> {
    let fixed: [&[&str]; 14] = [
        &["--memory", "WORD", "read a"],
        &["--progress", "WORD", "read a"],
        &["--metrics", "WORD", "read a"],
        &["--timeout", "WORD", "read a"],
        &["--stats", "WORD/x", "read a"],
        &["--nosuch", "WORD", "read a"],
        &["ctl", "1", "WORD"],
        &["ctl", "1", "pause", "WORD"],
        &["ctl", "1", "set", "throttle", "WORD"],
        &["stages", "WORD"],
        &["generate", "WORD"],
        &["report", "WORD", "-o", "x.svg"],
        &["check", "WORD", "--pid", "1"],
        &["check", "--", "WORD"],
    ];
    let words = fixed.map(|words| {
        let words = words
            .iter()
            .map(|&fixed| if fixed == "WORD" { word } else { OsStr::new(fixed) });
        words.collect()
    });
    words.into()
}

#[test]
fn invalid_command_line_redacts_credentials() {
    let folder = Folder::new();
    folder.write("a", "text");
    for arguments in complaints(OsStr::new("http://user:hunter2@h:1")) {
        let run = highwater(&arguments).within(&folder).run();
        assert!(run.code != Some(0), "{arguments:?}");
        assert!(!run.stderr.contains("hunter2"), "{arguments:?}\n{}", run.stderr);
    }
}

#[test]
fn invalid_command_line_is_escaped() {
    let folder = Folder::new();
    folder.write("a", "text");
    for word in ["\x1b[31mred\x07", "8\u{9b}31m", "\u{202e}http://h\u{e0041}"] {
        for arguments in complaints(OsStr::new(word)) {
            let run = highwater(&arguments).within(&folder).run();
            assert!(run.code != Some(0), "{arguments:?}");
            let raw = ['\x1b', '\x07', '\u{9b}', '\u{202e}', '\u{e0041}'];
            assert!(!run.stderr.contains(raw), "{arguments:?}\n{:?}", run.stderr);
        }
    }
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "no program is checked there")]
fn checked_program_cannot_colour_output() {
    let folder = Folder::new();
    let script = "printf '\\033[31mred\\007 \\342\\200\\256http://me:hunter2@h\\n' >&2; exit 3";
    let run = highwater(["check", "--", "sh", "-c", script, "\x1b[5m", "http://me:hunter2@h"])
        .within(&folder)
        .run();
    let said = run.stderr + &String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.code, Some(13), "{said}");
    assert!(said.contains(r"\x1b[31mred\x07 \u{202e}http://***@h"), "{said}");
    assert!(
        !said.contains(['\x1b', '\u{202e}']) && !said.contains("hunter2@h"),
        "{said}"
    );
}

#[test]
fn numbers_that_no_machine_has_are_refused() {
    let folder = Folder::new();
    folder.write("a", "text");
    for arguments in [
        &["read a | buffer 18446744073709551615 | write b"][..],
        &["read a | gzip high=18446744073709551615 | gunzip high=18446744073709551615 | write b"],
        &["--timeout", "9999999999999999999s", "read a | write b"],
        &["--stall-timeout", "36526d", "read a | write b"],
        &["read tcp://127.0.0.1:1 connect-timeout=99999999999999d | write b"],
        &["read a | take 18446744073709551616 | write b"],
    ] {
        let run = highwater(arguments).within(&folder).run();
        assert_eq!(run.code, Some(2), "{arguments:?} {}", run.stderr);
    }
    for arguments in [
        &["--timeout", "36525d", "--stall-timeout", "36525d", "read a | write b"][..],
        &["read a size=18446744073709551615 | take 18446744073709551615 | write b"],
        &["--memory", "18446744073709551615", "read a | gzip | gunzip | write b"],
    ] {
        highwater(arguments).within(&folder).run().succeeds();
        assert_eq!(folder.read("b"), b"text");
    }
}

#[test]
fn side_file_is_never_an_end() {
    let folder = Folder::new();
    folder.write("a", "text");
    folder.write("old", "old");
    std::fs::hard_link(folder.join("a"), folder.join("link")).expect("linked");
    std::os::unix::fs::symlink("new", folder.join("leads")).expect("linked");
    let names = folder.names();
    for (arguments, same) in [
        (&["--stats", "a", "read a | write new"][..], "the source"),
        (&["--stats", "link", "read a | write new"], "the source"),
        (&["--stats", "old", "read a | write old"], "the sink"),
        (&["--stats", "./new", "read a | write new"], "the sink"),
        (&["--stats", "new", "read a | write leads"], "the sink"),
        (&["--stats", "s", "read a | hash to=s | write new"], "the file of hash"),
        (&["--record", "s", "read a | hash to=s | write new"], "the file of hash"),
        (&["read a | hash to=link | write new"], "the source"),
        (&["read a | hash to=old | write old"], "the sink"),
        (&["read a | hash to=file:new | write leads"], "the sink"),
        (&["read a | hash to=s | hash md5 to=s | write new"], "that of hash to=s"),
    ] {
        let run = highwater(arguments).within(&folder).run();
        let said = format!("is the same file as {same}; ");
        assert!(run.fails(2).contains(&said), "{arguments:?} {}", run.stderr);
        assert_eq!(
            (folder.names(), folder.read("a")),
            (names.clone(), b"text".to_vec()),
            "{arguments:?}"
        );
    }
}

#[test]
fn escapes_in_names_never_reach_terminal() {
    let folder = Folder::new();
    let name = OsStr::from_bytes(b"\x1b[31mred\x07\xff");
    std::fs::write(folder.path().join(name), "text").expect("written");
    let source = [
        OsStr::new("read"),
        name,
        OsStr::new("::"),
        OsStr::new("hash"),
        OsStr::new("::"),
    ];
    let missing = OsStr::from_bytes(b"\x1b]0;title\x07");
    for sink in [name, OsStr::new("b"), OsStr::from_bytes(b"\x1b[5m/x")] {
        for view in VIEWS
            .iter()
            .filter(|view| !view.contains(&"always"))
            .chain([&&["explain"][..]])
        {
            for source in [source.as_slice(), &[OsStr::new("read"), missing, OsStr::new("::")]] {
                let arguments = view.iter().map(OsStr::new).chain(source.iter().copied());
                let run = highwater(arguments.chain([OsStr::new("write"), sink]))
                    .within(&folder)
                    .run();
                assert!(!run.stderr.contains(['\x1b', '\x07']), "{:?}", run.stderr);
                assert!(
                    !run.stdout.contains(&0x1b) && !run.stdout.contains(&7),
                    "{:?}",
                    run.stdout
                );
            }
        }
    }
    for pipeline in [
        "read tcp://\x1b[31mred:1 | write b",
        "read tcp-listen://\x1b[31mred:0 | write b",
        "read tcp://\x1b:2:3 | write b",
        "read tcp://h:\x1b[31m | write b",
        "read \x1b[31m://x | write b",
        "read unix:\x1b[31m | write b",
        "read a | hash expect=@\x1b[31m | write b",
        "read a | hash label=\x1b[31m to=\x1b[31m/x | write b",
        "read a | write b mode=\x1b[31m",
        "read a | throttle \x1b[31m",
        "read a | \x1b[31m | write b",
    ] {
        folder.write("a", "text");
        for view in VIEWS.iter().filter(|view| !view.contains(&"always")) {
            let run = highwater(view.iter().copied().chain([pipeline])).within(&folder).run();
            assert!(!run.stderr.contains('\x1b'), "{:?}", run.stderr);
        }
    }
    let stats = OsStr::from_bytes(b"\x1b[31m/stats");
    let arguments = [OsStr::new("--stats"), stats, OsStr::new("read a | write b")];
    let run = highwater(arguments).within(&folder).run();
    assert!(run.fails(4).contains(r"\x1b[31m/stats"), "{}", run.stderr);
}

#[test]
fn temporary_is_private_until_renamed() {
    let folder = Folder::new();
    let fifo = folder.fifo("a");
    let arguments = [
        "--progress",
        "json",
        "--interval",
        "1ms",
        "read a | gzip | gunzip | write b mode=666",
    ];
    let mut running = highwater(arguments).within(&folder).start();
    let mut source = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
    source.write_all(&noise(1000, 11)).expect("written");
    assert!(running.writes(1000), "it ended");
    let names = folder.names();
    let temporary = names.iter().find(|name| name.starts_with('.')).expect("a temporary");
    let mode = folder.join(temporary).symlink_metadata().expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    drop(source);
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(folder.join("b").metadata().expect("there").mode() & 0o7777, 0o666);
}

#[test]
fn planted_links_are_not_followed() {
    let folder = Folder::new();
    folder.write("a", "text");
    for (pipeline, hidden, mode) in [
        // The system removes the bits of the umask from it.
        ("read a | write b", ".b.highwater-", "0666"),
        ("read a | write b", ".b.highwater-", "0600"),
        ("read a | write c mode=644", ".c.highwater-", "0600"),
        ("read a | write b resume=true", ".b.highwater-part", "0600"),
        ("read a | write b resume=true", ".b.highwater-journal", "0600"),
    ] {
        let Some(mut command) = strace() else { return };
        let status = command
            .args(["-f", "-o", "calls", "-e", "trace=open,openat,creat"])
            .args([env!("CARGO_BIN_EXE_highwater"), pipeline])
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("strace starts").success());
        let calls = String::from_utf8(folder.read("calls")).expect("text");
        let opened: Vec<&str> = calls.lines().filter(|line| line.contains(hidden)).collect();
        for call in &opened {
            assert!(
                call.contains("O_NOFOLLOW") && !call.contains("AT_FDCWD"),
                "{pipeline}: {call}"
            );
        }
        let created: Vec<_> = opened.iter().filter(|call| call.contains("O_CREAT")).collect();
        assert_eq!(created.len(), 1, "{pipeline}: {calls}");
        assert!(created[0].contains(mode), "{pipeline}: {}", created[0]);
        assert!(
            created[0].contains("O_EXCL") || pipeline.contains("resume"),
            "{}",
            created[0]
        );
    }
}
