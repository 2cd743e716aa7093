//! Paths that name an open descriptor: the open file is read and written, never replaced or emptied.

use std::process::Command;

use crate::harness::{Folder, Run, highwater};

/// Runs highwater with `arguments`, and with a shell's `redirections`.
fn redirected(folder: &Folder, redirections: &str, arguments: &[&str]) -> Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}")]);
    highwater(arguments).under(shell).within(folder).run()
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", "new\n");
    folder.write("log", "old\n");
    folder
}

#[test]
fn descriptor_file_is_appended_to() {
    for (redirection, name) in [
        ("3>>log", "/dev/fd/3"),
        ("3>>log", "/proc/self/fd/3"),
        ("3>>log", "file:/dev/fd/3"),
        ("2>>log", "/dev/stderr"),
        (">>log", "/dev/stdout"),
        (">>log", "/dev/fd/1"),
    ] {
        if cfg!(feature = "portable-platform") && name.starts_with("/proc") {
            continue;
        }
        let folder = folder();
        let run = redirected(&folder, redirection, &["-q", &format!("read a | write {name}")]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{name}");
        assert_eq!(folder.read("log"), b"old\nnew\n", "{name}");
        assert_eq!(folder.names(), ["a", "log"], "{name}");
    }
}

#[test]
fn link_to_descriptor_means_descriptor() {
    let folder = folder();
    std::os::unix::fs::symlink("/dev/stdout", folder.join("link")).expect("linked");
    redirected(&folder, ">>log", &["read a | write link"]).succeeds();
    assert_eq!(folder.read("log"), b"old\nnew\n");
    assert!(folder.join("link").symlink_metadata().expect("there").is_symlink());
}

#[test]
fn deleted_file_is_written_in_place() {
    let folder = folder();
    let script = "exec 3<>log 4<log; rm log; \"$0\" \"$1\" && cat <&4";
    let output = Command::new("sh")
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_highwater"),
            "read a | write /dev/fd/3",
        ])
        .current_dir(folder.path())
        .output()
        .expect("sh starts");
    assert_eq!(output.stdout, b"new\n");
    assert_eq!(folder.names(), ["a"]);
}

#[test]
fn source_descriptor_keeps_its_offset() {
    let folder = folder();
    folder.write("lines", "first\nsecond\n");
    let script = "exec 3<lines; read first <&3; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", script]);
    let run = highwater(["read /dev/fd/3"]).under(shell).within(&folder).run();
    assert_eq!(run.succeeds(), b"second\n");
}

#[test]
fn side_files_are_appended_to_descriptors() {
    let folder = folder();
    let arguments = ["-q", "read a | hash to=/dev/fd/3 | write b"];
    let run = redirected(&folder, "3>>log", &arguments);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let log = String::from_utf8(folder.read("log")).expect("text");
    assert!(log.starts_with("old\n") && log.lines().count() == 2, "{log}");
    assert_eq!(folder.names(), ["a", "b", "log"]);
}

#[test]
fn statistics_and_recordings_empty_no_descriptors_file() {
    for option in ["--stats", "--record"] {
        for (redirection, name) in [("3>>log", "/dev/fd/3"), ("2>>log", "/dev/stderr")] {
            let folder = folder();
            let arguments = ["-q", option, name, "read a | write b"];
            let run = redirected(&folder, redirection, &arguments);
            assert_eq!(run.code, Some(0), "{option} {name}: {}", run.stderr);
            let log = String::from_utf8(folder.read("log")).expect("text");
            assert!(log.starts_with("old\n{"), "{option} {name}: {log}");
        }
    }
}

#[test]
fn unopened_descriptor_is_named() {
    let folder = folder();
    for (redirection, pipeline, code, why) in [
        (
            "",
            "read a | write /dev/fd/9",
            4,
            "descriptor 9 is not open for writing",
        ),
        (
            "3<log",
            "read a | write /dev/fd/3",
            4,
            "descriptor 3 is not open for writing",
        ),
        (
            "3>log",
            "read /dev/fd/3 | write b",
            3,
            "descriptor 3 is not open for reading",
        ),
        (
            "</dev/null",
            "read a | write /dev/stdin",
            4,
            "descriptor 0 is not open for writing",
        ),
    ] {
        let run = redirected(&folder, redirection, &[pipeline]);
        assert!(run.fails(code).ends_with(why), "{pipeline}: {}", run.stderr);
    }
    assert_eq!(folder.names(), ["a", "log"]);
}

#[test]
fn numbered_standard_streams_carry_data() {
    let folder = folder();
    for name in ["/dev/fd/1", "file:/dev/stdout", "/dev/stdin"] {
        let run = highwater([format!("read a | hash to={name} | write b")])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(2), "{name}");
        assert!(
            run.stderr.contains("carry the stream and nothing else"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn folder_as_standard_input_is_refused() {
    let folder = folder();
    let run = redirected(&folder, "<.", &["write b"]);
    assert!(run.fails(3).contains("Is a directory"), "{}", run.stderr);
    assert_eq!(folder.names(), ["a", "log"]);
}
