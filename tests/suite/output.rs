//! Where text for people is written, and in which character set.

use std::fs::OpenOptions;

use crate::harness::{Folder, highwater};
use crate::namespace::{Mount, Namespace, isolated};

#[test]
fn a_full_standard_output_is_an_error() {
    let folder = Folder::new();
    folder.write("a", "bytes");
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help", "gzip"],
        &["--version"],
        &["ctl", "--help"],
        &["stages"],
        &["stages", "gzip"],
        &["explain", "read a | write b"],
        // The portable peak includes that of the process that starts a program, and these tests are larger than the demo.
        #[cfg(not(feature = "portable-platform"))]
        &["demo", "--seconds", "1"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let run = highwater(arguments).within(&folder).stdout(full).run();
        let line = "highwater: cannot write to standard output: No space left on device";
        assert_eq!(run.fails(5), line, "{arguments:?}");
    }
}

#[test]
#[cfg(not(feature = "portable-platform"))]
fn a_closed_standard_output_is_an_error() {
    for arguments in ["stages", "--help", "--version", "explain 'read a | write b'"] {
        let text = format!("exec \"$0\" {arguments} >&-");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &text, env!("CARGO_BIN_EXE_highwater")]);
        let output = shell.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments}: {said}");
        assert!(
            said.contains("cannot write to standard output: Bad file descriptor"),
            "{said}"
        );
    }
}

#[test]
fn generate_fails_on_a_full_disk() {
    let name = "output::generate_fails_on_a_full_disk";
    isolated(&Namespace::Mounts, name, || {
        let folder = Folder::new();
        let _disk = Mount::at(folder.path());
        folder.write("rest", vec![0; (1 << 20) - (8 << 10)]);
        let run = highwater(["generate", "man", "--to", "."]).within(&folder).run();
        let line = run.fails(5);
        assert!(
            line.starts_with("highwater: generate: cannot write ./man/highwater"),
            "{line}"
        );
    });
}

#[test]
fn the_locale_c_gets_ascii() {
    let folder = Folder::new();
    folder.write("a", "bytes");
    for (arguments, code, sign) in [
        (&["--help"][..], 0, "'STAGE | STAGE | ~'"),
        (&["stages"], 0, "read PATH~"),
        (&["explain", "read a | gzip | write b"], 0, "     |  full at"),
        (&["--memroy"], 2, "WORD~ :: WORD~ :: ~"),
        (&["read | write b"], 2, "`read PATH~`"),
    ] {
        let run = highwater(arguments).within(&folder).environment("LC_ALL", "C").run();
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        let text = String::from_utf8(run.stdout).expect("text") + &run.stderr;
        assert!(text.is_ascii() && text.contains(sign), "{text}");
    }
}

#[test]
fn names_are_the_same_in_every_locale() {
    let folder = Folder::new();
    let run = highwater(["read ä…", "--progress", "json"])
        .within(&folder)
        .environment("LC_ALL", "C")
        .run();
    let error = run.end()["exit"]["error"].clone();
    assert_eq!(error, "read ä…: cannot open: No such file or directory");
}
