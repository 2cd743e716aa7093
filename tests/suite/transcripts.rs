//! Transcripts of the command line: our own errors, exit codes, and what goes to which stream. `SNAPSHOTS=overwrite`
//! rewrites the errors.

#![allow(clippy::too_many_lines, reason = "golden texts are long, not complicated")]

use std::fmt::Write;
use std::process::Stdio;

use snapbox::data::Inline;
use snapbox::{Assert, str};

use highwater::catalog::all_params;
use highwater::plan::catalog;

use crate::harness::{Folder, Invocation, Run, highwater};

/// Compares all output of a run, and how it ended.
#[track_caller]
fn says(run: &Run, expected: Inline) {
    let mut text = String::from_utf8(run.stdout.clone()).expect("stdout is text");
    if !run.stderr.is_empty() {
        let _ = write!(text, "--- stderr\n{}", run.stderr);
    }
    let _ = match (run.code, run.signal) {
        (Some(code), _) => write!(text, "--- exit {code}"),
        (None, signal) => write!(text, "--- signal {signal:?}"),
    };
    // `[..]` stands for what every new stage would change.
    let compare = Assert::new().action_env("SNAPSHOTS").normalize_paths(false);
    compare.eq(text, expected);
}

/// A folder with a source `a` of ten bytes.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", "0123456789");
    folder
}

/// Runs a pipeline in one argument, in a folder that must not change.
#[track_caller]
fn refused(pipeline: &str, expected: Inline) {
    refused_with(&[pipeline], expected);
}

#[track_caller]
fn refused_with(arguments: &[&str], expected: Inline) {
    let folder = folder();
    let run = highwater(arguments).within(&folder).run();
    says(&run, expected);
    assert_eq!(folder.names(), ["a"], "nothing was created");
    assert_eq!(folder.read("a"), b"0123456789");
}

mod pipelines_that_cannot_be {
    use super::*;

    #[test]
    fn unknown_stage() {
        refused(
            "read a | gzp | write b",
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
1 | read a | gzp | write b
  |          ^^^ did you mean `gzip`?
--- exit 2
"#]],
        );
        refused(
            "frobnicate",
            str![[r#"
--- stderr
error: unknown stage `frobnicate`
  |
1 | frobnicate
  | ^^^^^^^^^^
  |
  = help: stages that are possible here: read, write, batch, tee[..]
--- exit 2
"#]],
        );
    }

    #[test]
    fn unknown_parameter() {
        refused(
            "read a | gzip levle=9 | write b",
            str![[r#"
--- stderr
error: `gzip` has no parameter `levle`
  |
1 | read a | gzip levle=9 | write b
  |               ^^^^^ did you mean `level`?
--- exit 2
"#]],
        );
        refused(
            "read a=b | write c",
            str![[r#"
--- stderr
error: `read` has no parameter `a`
  |
1 | read a=b | write c
  |      ^
  |
  = help: for a file of that name write `./a=b` or `path=a=b`
--- exit 2
"#]],
        );
    }

    #[test]
    fn missing_word() {
        refused(
            "read a | throttle | write b",
            str![[r#"
--- stderr
error: `throttle` needs RATE
  |
1 | read a | throttle | write b
  |          ^^^^^^^^ write `throttle RATE`
--- exit 2
"#]],
        );
        refused(
            "read | write b",
            str![[r#"
--- stderr
error: `read` needs PATH…
  |
1 | read | write b
  | ^^^^ write `read PATH…`
--- exit 2
"#]],
        );
        refused(
            "read a | write",
            str![[r#"
--- stderr
error: `write` needs PATH
  |
1 | read a | write
  |          ^^^^^ write `write PATH`
--- exit 2
"#]],
        );
    }

    #[test]
    fn extra_word() {
        refused(
            "read a | take 1 2 | write b",
            str![[r#"
--- stderr
error: `take` does not take `2`
  |
1 | read a | take 1 2 | write b
  |                 ^ did you mean `records=2`?
--- exit 2
"#]],
        );
        refused(
            "read a | write b c",
            str![[r#"
--- stderr
error: `write` does not take `c`
  |
1 | read a | write b c
  |                  ^ one word too many
  |
  = help: it is written `write PATH`; its parameters: path[..]
--- exit 2
"#]],
        );
        refused(
            "read a | gzip -9 | write b",
            str![[r#"
--- stderr
error: `gzip` does not take `-9`
  |
1 | read a | gzip -9 | write b
  |               ^^ did you mean `level=9`?
--- exit 2
"#]],
        );
    }

    #[test]
    fn bad_size() {
        refused(
            "read a | throttle 1Mb/s | write b",
            str![[r#"
--- stderr
error: `rate` cannot be `1Mb/s`: `Mb` is neither bits (`Mbit`) nor bytes (`MB`)
  |
1 | read a | throttle 1Mb/s | write b
  |                   ^^^^^ did you mean `1Mbit/s`?
--- exit 2
"#]],
        );
        refused(
            "read a | take 1mib | write b",
            str![[r#"
--- stderr
error: `size` cannot be `1mib`: there is no unit `mib`
  |
1 | read a | take 1mib | write b
  |               ^^^^ did you mean `1MiB`?
--- exit 2
"#]],
        );
        refused(
            "read a | take ten | write b",
            str![[r#"
--- stderr
error: `size` cannot be `ten`: a size begins with a digit
  |
1 | read a | take ten | write b
  |               ^^^
  |
  = help: a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)
--- exit 2
"#]],
        );
        refused(
            "read a | take -1 | write b",
            str![[r#"
--- stderr
error: `size` cannot be `-1`: a size cannot be negative
  |
1 | read a | take -1 | write b
  |               ^^ did you mean `1`?
--- exit 2
"#]],
        );
        refused(
            "read a | throttle 0 | write b",
            str![[r#"
--- stderr
error: a rate of 0 lets nothing pass
  |
1 | read a | throttle 0 | write b
  |                   ^
  |
  = help: the slowest rate is 1 byte per second: 1/s
--- exit 2
"#]],
        );
    }

    #[test]
    fn value_out_of_range() {
        refused(
            "read a | gzip level=13 | write b",
            str![[r#"
--- stderr
error: `level` cannot be `13`: the most is 12
  |
1 | read a | gzip level=13 | write b
  |                     ^^ did you mean `12`?
--- exit 2
"#]],
        );
        refused(
            "read a | write b append=perhaps",
            str![[r#"
--- stderr
error: `append` cannot be `perhaps`: it is neither true nor false
  |
1 | read a | write b append=perhaps
  |                         ^^^^^^^
  |
  = help: a flag is true or false
--- exit 2
"#]],
        );
        refused(
            "read a | write b mode=999",
            str![[r#"
--- stderr
error: `999` is not a file mode
  |
1 | read a | write b mode=999
  |                       ^^^
  |
  = help: write permissions in octal, for example mode=644
--- exit 2
"#]],
        );
        refused(
            "read a | write b append=true clobber=false",
            str![[r#"
--- stderr
error: append=true writes to a file that exists, clobber=false refuses it
  |
1 | read a | write b append=true clobber=false
  |                         ^^^^
  |
  = help: leave one of them out
--- exit 2
"#]],
        );
        refused(
            "read a | gzip level=1 level=2 | write b",
            str![[r#"
--- stderr
error: `level` is given twice
  |
1 | read a | gzip level=1 level=2 | write b
  |                       ^^^^^^^ the second time
--- exit 2
"#]],
        );
    }

    #[test]
    fn marks_that_contradict() {
        refused(
            "read a high=4KiB low=8KiB | write b",
            str![[r#"
--- stderr
error: `low` is not below `high`
  |
1 | read a high=4KiB low=8KiB | write b
  |                      ^^^^
  |
  = help: a full link resumes once it has fallen to `low`; half of `high` is a good choice
--- exit 2
"#]],
        );
        refused(
            "read a high=0 | write b",
            str![[r#"
--- stderr
error: `high` is at least one byte
  |
1 | read a high=0 | write b
  |             ^
--- exit 2
"#]],
        );
        refused(
            "read a | write b high=1MiB",
            str![[r#"
--- stderr
error: `write` has no parameter `high`
  |
1 | read a | write b high=1MiB
  |                  ^^^^
  |
  = help: marks belong to the stage before, which feeds the link
--- exit 2
"#]],
        );
    }

    #[test]
    fn source_in_the_middle() {
        refused(
            "gzip | read a | write b",
            str![[r#"
--- stderr
error: `read` is not the first stage
  |
1 | gzip | read a | write b
  |        ^^^^^^ a source takes no input
  |
  = help: put it first, before `gzip`
--- exit 2
"#]],
        );
    }

    #[test]
    fn sink_that_is_not_last() {
        refused(
            "read a | write b | gzip",
            str![[r#"
--- stderr
error: `write` is not the last stage
  |
1 | read a | write b | gzip
  |          ^^^^^^^ a sink passes nothing on
  |
  = help: put it last, after `gzip`
--- exit 2
"#]],
        );
    }

    #[test]
    fn unbalanced_quote() {
        refused(
            "read 'a | write b",
            str![[r#"
--- stderr
error: a quote `'` is never closed
  |
1 | read 'a | write b
  |      ^ opened here
  |
  = help: close it, or write `\'` for the character itself
--- exit 2
"#]],
        );
        refused(
            "read \"a | write b",
            str![[r#"
--- stderr
error: a quote `"` is never closed
  |
1 | read "a | write b
  |      ^ opened here
  |
  = help: close it, or write `\"` for the character itself
--- exit 2
"#]],
        );
        refused(
            "read a | write b\\",
            str![[r#"
--- stderr
error: a backslash with nothing behind it
  |
1 | read a | write b\
  |                 ^
  |
  = help: for a backslash itself write `\\`
--- exit 2
"#]],
        );
    }

    #[test]
    fn empty_stage() {
        refused(
            "read a | | write b",
            str![[r#"
--- stderr
error: no stage between `|` and `|`
  |
1 | read a | | write b
  |        ^^^
  |
  = help: one `|` joins two stages
--- exit 2
"#]],
        );
        refused(
            "| write b",
            str![[r#"
--- stderr
error: no stage before `|`
  |
1 | | write b
  | ^
  |
  = help: remove it, or write a stage before it
--- exit 2
"#]],
        );
        refused(
            "read a |",
            str![[r#"
--- stderr
error: no stage after `|`
  |
1 | read a |
  |        ^
  |
  = help: remove it, or write a stage behind it
--- exit 2
"#]],
        );
        refused(
            "   ",
            str![[r#"
--- stderr
error: the pipeline is empty
  |
1 |    
  | ^^^
  |
  = help: write stages with `|` between them; `highwater stages` lists them
--- exit 2
"#]],
        );
    }

    #[test]
    fn signs_of_a_shell() {
        refused(
            "read a > b",
            str![[r#"
--- stderr
highwater: read a > b: cannot open >: No such file or directory (nothing is redirected inside a pipeline; write `| write FILE`)
--- exit 3
"#]],
        );
        refused(
            "read (a) | write b",
            str![[r#"
--- stderr
error: `read` takes no pipeline
  |
1 | read (a) | write b
  |      ^^^ not quoted
  |
  = help: parentheses that belong to a word are quoted: write `'…'` around them
--- exit 2
"#]],
        );
        refused(
            "read a || write b",
            str![[r#"
--- stderr
error: no stage between `|` and `|`
  |
1 | read a || write b
  |        ^^
  |
  = help: one `|` joins two stages
--- exit 2
"#]],
        );
    }

    #[test]
    fn unknown_scheme() {
        refused(
            "read tpc://127.0.0.1:1 | write b",
            str![[r#"
--- stderr
error: unknown scheme `tpc`
  |
1 | read tpc://127.0.0.1:1 | write b
  |      ^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `tcp://`? known endpoints: file:PATH[..]
--- exit 2
"#]],
        );
        refused(
            "read a | write tcp://127.0.0.1",
            str![[r#"
--- stderr
error: the port is missing
  |
1 | read a | write tcp://127.0.0.1
  |                ^^^^^^^^^^^^^^^
  |
  = help: write tcp://HOST:PORT, for example tcp://127.0.0.1:9000 or tcp://[::1]:9000
--- exit 2
"#]],
        );
    }

    #[test]
    fn all_errors_at_once() {
        refused(
            "read a | gzp | throttle 1Mb/s | write b | take",
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
1 | read a | gzp | throttle 1Mb/s | write b | take
  |          ^^^ did you mean `gzip`?

error: `rate` cannot be `1Mb/s`: `Mb` is neither bits (`Mbit`) nor bytes (`MB`)
  |
1 | read a | gzp | throttle 1Mb/s | write b | take
  |                         ^^^^^ did you mean `1Mbit/s`?

error: `write` is not the last stage
  |
1 | read a | gzp | throttle 1Mb/s | write b | take
  |                                 ^^^^^^^ a sink passes nothing on
  |
  = help: put it last, after `take`
--- exit 2
"#]],
        );
    }

    #[test]
    fn errors_in_a_text_of_several_lines() {
        refused(
            "read a\n| gzp\n| write b",
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
2 | | gzp
  |   ^^^ did you mean `gzip`?
--- exit 2
"#]],
        );
    }

    #[test]
    fn wide_and_hostile_characters() {
        refused(
            "read ää | gzp '\u{1b}[31m' | write b",
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
1 | read ää | gzp '\x1b[31m' | write b
  |           ^^^ did you mean `gzip`?
--- exit 2
"#]],
        );
    }

    #[test]
    fn the_shells_own_words() {
        refused_with(
            &["read", "a", "::", "gzp", "::", "write", "b"],
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
1 | read a :: gzp :: write b
  |           ^^^ did you mean `gzip`?
--- exit 2
"#]],
        );
        refused_with(
            &["read", "a b", "::", "take", "x y", "::", "write", "b"],
            str![[r#"
--- stderr
error: `size` cannot be `x y`: a size has no space in it
  |
1 | read 'a b' :: take 'x y' :: write b
  |                    ^^^^^
  |
  = help: a size is bytes: 512, 64K or 64KiB (powers of 1024), 10MB (powers of 1000)
--- exit 2
"#]],
        );
        refused_with(
            &["read", "a", "::", "::", "write", "b"],
            str![[r#"
--- stderr
error: no stage between `::` and `::`
  |
1 | read a :: :: write b
  |        ^^^^^
  |
  = help: one `::` joins two stages
--- exit 2
"#]],
        );
    }

    #[test]
    fn words_that_look_like_options() {
        refused_with(
            &["read", "a", "::", "gzip", "-q", "::", "write", "b"],
            str![[r#"
--- stderr
error: `gzip` does not take `-q`
  |
1 | read a :: gzip -q :: write b
  |                ^^ one word too many
  |
  = help: it is written `gzip`; its parameters: level[..]
--- exit 2
"#]],
        );
        refused_with(
            &["read", "a", "::", "write", "b", "--memory", "1MiB"],
            str![[r#"
--- stderr
error: `write` does not take `--memory`
  |
1 | read a :: write b --memory 1MiB
  |                   ^^^^^^^^ no stage has options
  |
  = help: options of highwater go before the pipeline, or behind its closing quote
--- exit 2
"#]],
        );
    }

    #[test]
    fn care_that_cannot_be_taken() {
        refused(
            "read a | write - verify=true",
            str![[r#"
--- stderr
error: - does not support `verify`
  |
1 | read a | write - verify=true
  |                         ^^^^
  |
  = help: leave it out; it is for file:PATH
--- exit 2
"#]],
        );
        refused(
            "read a | write /dev/null verify=true",
            str![[r#"
--- stderr
error: verify=true needs a regular file, and this is a device
  |
1 | read a | write /dev/null verify=true
  |                                 ^^^^
  |
  = help: write to a file, or leave verify=true out
--- exit 2
"#]],
        );
        refused(
            "read a | write tcp://127.0.0.1:1 resume=true",
            str![[r#"
--- stderr
error: tcp://HOST:PORT does not support `resume`
  |
1 | read a | write tcp://127.0.0.1:1 resume=true
  |                                         ^^^^
  |
  = help: leave it out; it is for file:PATH
--- exit 2
"#]],
        );
        refused(
            "read a | write unix:b resume=true",
            str![[r#"
--- stderr
error: unix:PATH does not support `resume`
  |
1 | read a | write unix:b resume=true
  |                              ^^^^
  |
  = help: leave it out; it is for file:PATH
--- exit 2
"#]],
        );
        refused(
            "read a | write b append=true verify=true",
            str![[r#"
--- stderr
error: verify=true needs a file of its own, append=true writes behind another
  |
1 | read a | write b append=true verify=true
  |                                     ^^^^
  |
  = help: leave one of them out
--- exit 2
"#]],
        );
        refused(
            "read a | write b sync=false resume=true",
            str![[r#"
--- stderr
error: resume=true needs what is on the disk, sync=false does not wait for it
  |
1 | read a | write b sync=false resume=true
  |                                    ^^^^
  |
  = help: leave one of them out
--- exit 2
"#]],
        );
        refused(
            "read a | write b checkpoint=1MiB",
            str![[r#"
--- stderr
error: without resume=true there is no journal
  |
1 | read a | write b checkpoint=1MiB
  |                             ^^^^
  |
  = help: add resume=true, or leave checkpoint= out
--- exit 2
"#]],
        );
        refused(
            "read a | write b resume=true checkpoint=0",
            str![[r#"
--- stderr
error: a checkpoint needs at least a byte behind the last one
  |
1 | read a | write b resume=true checkpoint=0
  |                                         ^
  |
  = help: each one waits for the disk: 1MiB is little, 1GiB is much
--- exit 2
"#]],
        );
        refused_with(
            &["--memory", "64KiB", "read a | write b verify=true"],
            str![[r#"
--- stderr
error: --memory 64KiB is too little for this pipeline
  |
1 | read a | write b verify=true
  |          ^^^^^^^^^^^^^^^^^^^ needs 128KiB
  |
  = help: the least that would do is --memory 132KiB
--- exit 2
"#]],
        );
    }

    #[test]
    fn chains_that_cannot_be_gone_on_with() {
        refused(
            "read a | gzip single=true | write b resume=true",
            str![[r#"
--- stderr
error: `gzip` cannot start in the middle, as resume=true needs it
  |
1 | read a | gzip single=true | write b resume=true
  |          ^^^^^^^^^^^^^^^^ needs the stream from its beginning
  |
  = help: gzip, zstd, hash, throttle and buffer may stand between; leave one of the two out
--- exit 2
"#]],
        );
        refused(
            "read a a | take 5 | hash blake3 | write b resume=true",
            str![[r#"
--- stderr
error: resume=true needs a source that can be read from the middle
  |
1 | read a a | take 5 | hash blake3 | write b resume=true
  | ^^^^^^^^ this is a series of files
  |
  = help: read one regular file, one http:// resource or one s3:// object, or leave resume=true out

error: `take` cannot start in the middle, as resume=true needs it
  |
1 | read a a | take 5 | hash blake3 | write b resume=true
  |            ^^^^^^ counts from the beginning of the stream
  |
  = help: gzip, zstd, hash, throttle and buffer may stand between; leave one of the two out

error: `hash` cannot start in the middle, as resume=true needs it
  |
1 | read a a | take 5 | hash blake3 | write b resume=true
  |                     ^^^^^^^^^^^ its state cannot be saved; that of sha256, sha512, crc32c and md5 can
  |
  = help: gzip, zstd, hash, throttle and buffer may stand between; leave one of the two out
--- exit 2
"#]],
        );
        refused(
            "read /dev/zero | buffer 1MiB | throttle 1MB/s | write b resume=true",
            str![[r#"
--- stderr
error: resume=true needs a source that can be read from the middle
  |
1 | read /dev/zero | buffer 1MiB | throttle 1MB/s | write b resume=true
  | ^^^^^^^^^^^^^^ this is a device
  |
  = help: read one regular file, one http:// resource or one s3:// object, or leave resume=true out
--- exit 2
"#]],
        );
        refused(
            "write b resume=true",
            str![[r#"
--- stderr
error: resume=true needs a source that can be read from the middle
  |
1 | write b resume=true
  | ^^^^^^^^^^^^^^^^^^^ this is a standard stream
  |
  = help: read one regular file, one http:// resource or one s3:// object, or leave resume=true out
--- exit 2
"#]],
        );
    }

    #[test]
    fn too_little_memory() {
        refused_with(
            &["--memory", "100KiB", "read a | gzip | write b"],
            str![[r#"
--- stderr
error: --memory 100KiB is too little for this pipeline
  |
1 | read a | gzip | write b
  |          ^^^^ needs 384KiB
  |
  = help: the least that would do is --memory 392KiB
--- exit 2
"#]],
        );
        refused_with(
            &["read a | write b", "--memory", "1KiB"],
            str![[r#"
--- stderr
error: --memory 1KiB is too little for this pipeline
  |
1 | read a | write b
  | ^^^^^^^^^^^^^^^^
  |
  = help: the least that would do is --memory 4KiB
--- exit 2
"#]],
        );
        refused_with(
            &["read a high=1MiB | write b", "--memory", "512KiB"],
            str![[r#"
--- stderr
error: --memory 512KiB is too little for this pipeline
  |
1 | read a high=1MiB | write b
  | ^^^^^^^^^^^^^^^^ needs 1MiB
  |
  = help: the least that would do is --memory 1MiB
--- exit 2
"#]],
        );
        refused_with(
            &["read a low=1MiB | write b", "--memory", "512KiB"],
            str![[r#"
--- stderr
error: `low` is not below the high-water mark, 512KiB
  |
1 | read a low=1MiB | write b
  | ^^^^^^^^^^^^^^^
  |
  = help: give high= as well, or low=256KiB
--- exit 2
"#]],
        );
    }

    #[test]
    fn the_least_that_would_do_does() {
        let folder = folder();
        let run = highwater(["--memory", "1KiB", "read a | gzip | gunzip | write b"])
            .within(&folder)
            .run();
        let least = run.stderr.split("--memory ").last().expect("a size").trim().to_owned();
        let run = highwater(["--memory", &least, "read a | gzip | gunzip | write b"])
            .within(&folder)
            .run();
        run.succeeds();
        assert_eq!(folder.read("b"), b"0123456789");
    }
}

mod command_lines_that_cannot_be {
    use super::*;

    /// Exit code 2, nothing on standard output, and an error that names `what`; its wording is the parser's.
    #[track_caller]
    fn names(arguments: &[&str], what: &str) {
        let folder = folder();
        let run = highwater(arguments).within(&folder).run();
        assert_eq!((run.code, run.stdout.as_slice()), (Some(2), &b""[..]), "{}", run.stderr);
        let error = run.stderr.lines().next().expect("an error");
        assert!(
            error.starts_with("error: ") && run.stderr.contains(what),
            "{}",
            run.stderr
        );
        assert_eq!(folder.names(), ["a"], "nothing was created");
    }

    #[test]
    fn quiet_conflicts_with_progress() {
        names(&["-q", "--progress", "plain", "read a | write b"], "--progress");
        names(&["read a | write b", "--progress", "json", "-q"], "--progress");
        names(&["-q", "read a | write b", "--progress", "json"], "--progress");
    }

    #[test]
    fn unknown_options_get_a_suggestion() {
        names(&["--memroy", "1MiB", "read a | write b"], "'--memory'");
        names(&["read a | write b", "--memroy", "1MiB"], "'--memory'");
    }

    #[test]
    fn unreadable_values_say_why() {
        for (option, value, why) in [
            ("--memory", "lots", "a size begins with a digit"),
            ("--memory", "1Mb", "there is no unit `Mb`; did you mean `1MB`?"),
            ("--chunk", "0", "a chunk has at least one byte"),
            ("--timeout", "5", "a duration needs a unit; did you mean `5s`?"),
            ("--interval", "0s", "it must be longer than 0"),
            ("--progress", "lively", "auto, live, plain, json, none"),
        ] {
            names(&[option, value, "read a | write b"], why);
            names(&[option, value, "read a | write b"], option);
        }
    }
}

mod runs_that_fail {
    use super::*;

    #[test]
    fn missing_source() {
        refused(
            "read nowhere | write b",
            str![[r#"
--- stderr
highwater: read nowhere: cannot open: No such file or directory
--- exit 3
"#]],
        );
        refused(
            "read a nowhere | write b",
            str![[r#"
--- stderr
highwater: read a nowhere: cannot open nowhere: No such file or directory
--- exit 3
"#]],
        );
        refused(
            "read ~/nowhere | write b",
            str![[r#"
--- stderr
highwater: read ~/nowhere: cannot open: No such file or directory (`~` is not expanded here; let the shell do it, with `::` between stages)
--- exit 3
"#]],
        );
        refused(
            "read 'no\u{1b}[31mwhere' | write b",
            str![[r#"
--- stderr
highwater: read no\x1b[31mwhere: cannot open: No such file or directory
--- exit 3
"#]],
        );
    }

    #[test]
    fn directory_as_source() {
        refused(
            "read . | write b",
            str![[r#"
--- stderr
highwater: read .: cannot open: Is a directory
--- exit 3
"#]],
        );
    }

    #[test]
    fn directory_as_target() {
        refused(
            "read a | write .",
            str![[r#"
--- stderr
highwater: write .: cannot create: Is a directory (name a file in it)
--- exit 4
"#]],
        );
    }

    #[test]
    fn target_in_no_folder() {
        refused(
            "read a | write nowhere/b",
            str![[r#"
--- stderr
highwater: write nowhere/b: cannot create: No such file or directory
--- exit 4
"#]],
        );
        refused(
            "read a | write a/b",
            str![[r#"
--- stderr
highwater: write a/b: cannot create: Not a directory
--- exit 4
"#]],
        );
    }

    #[test]
    fn target_where_nothing_can_be_written() {
        refused(
            "read a | write /proc/b",
            str![[r#"
--- stderr
highwater: write /proc/b: cannot create: No such file or directory
--- exit 4
"#]],
        );
    }

    #[test]
    fn target_that_is_the_source() {
        refused(
            "read a | write a",
            str![[r#"
--- stderr
highwater: write a: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
        refused(
            "read a | gzip | write ./a append=true",
            str![[r#"
--- stderr
highwater: write ./a append=true: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
    }

    #[test]
    fn hard_link_of_the_source_is_refused() {
        let folder = folder();
        std::fs::hard_link(folder.join("a"), folder.join("b")).expect("linked");
        let run = highwater(["read a | write b"]).within(&folder).run();
        says(
            &run,
            str![[r#"
--- stderr
highwater: write b: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
        assert_eq!(folder.names(), ["a", "b"]);
    }

    #[test]
    fn symbolic_link_to_the_source_is_refused() {
        let folder = folder();
        std::os::unix::fs::symlink("a", folder.join("b")).expect("linked");
        says(
            &highwater(["read a | write b"]).within(&folder).run(),
            str![[r#"
--- stderr
highwater: write b: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
        assert_eq!(folder.read("a"), b"0123456789");
    }

    #[test]
    fn target_that_is_redirected_to_standard_input() {
        let folder = folder();
        let run = highwater(["gzip | write a"])
            .within(&folder)
            .stdin(folder.open("a"))
            .run();
        says(
            &run,
            str![[r#"
--- stderr
highwater: write a: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
        assert_eq!(folder.read("a"), b"0123456789");
    }

    #[test]
    fn standard_output_that_is_the_source() {
        let folder = folder();
        let output = std::fs::OpenOptions::new()
            .append(true)
            .open(folder.join("a"))
            .expect("opened");
        let run = highwater(["read a"]).within(&folder).stdout(output).run();
        says(
            &run,
            str![[r#"
--- stderr
highwater: write -: would overwrite what is read: it is the same file as the source; write to another name
--- exit 2
"#]],
        );
        assert_eq!(folder.read("a"), b"0123456789");
    }

    #[test]
    fn target_that_exists_and_must_not() {
        let folder = folder();
        folder.write("b", "old");
        let run = highwater(["read a | write b clobber=false"]).within(&folder).run();
        says(
            &run,
            str![[r#"
--- stderr
highwater: write b clobber=false: will not replace it: the file exists (clobber=false)
--- exit 4
"#]],
        );
        assert_eq!(
            (folder.names(), folder.read("b")),
            (vec!["a".into(), "b".into()], b"old".to_vec())
        );
    }

    #[test]
    fn refused_connection() {
        // Port 1 of the loopback has no listener on any sane machine.
        refused(
            "read a | write tcp://127.0.0.1:1",
            str![[r#"
--- stderr
highwater: write tcp://127.0.0.1:1: cannot connect to 127.0.0.1:1: Connection refused
--- exit 9
"#]],
        );
        refused(
            "read tcp://127.0.0.1:1 | write b",
            str![[r#"
--- stderr
highwater: read tcp://127.0.0.1:1: cannot connect to 127.0.0.1:1: Connection refused
--- exit 9
"#]],
        );
    }

    #[test]
    fn full_device() {
        refused(
            "read a | write /dev/full",
            str![[r#"
--- stderr
highwater: write /dev/full: cannot write: No space left on device (after 0 B)
--- exit 5
"#]],
        );
        let folder = folder();
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("a device");
        let run = highwater(["read a"]).within(&folder).stdout(full).run();
        says(
            &run,
            str![[r#"
--- stderr
highwater: write -: cannot write: No space left on device (after 0 B)
--- exit 5
"#]],
        );
    }

    #[test]
    fn port_in_use() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let run = highwater([format!("read tcp-listen://127.0.0.1:{port} | write b")]).run();
        let line = run.fails(9).replace(&port.to_string(), "PORT");
        assert_eq!(
            line,
            "highwater: read tcp-listen://127.0.0.1:PORT: cannot listen on tcp://127.0.0.1:PORT: Address already in use"
        );
    }

    #[test]
    fn windows_of_zstd() {
        refused(
            "read a | zstd window=3MiB | write b",
            str![[r#"
--- stderr
error: a window is a power of two from 1KiB to 2GiB
  |
1 | read a | zstd window=3MiB | write b
  |                      ^^^^
  |
  = help: write, for example, window=64MiB
--- exit 2
"#]],
        );
        refused(
            "read a | zstd window=64MiB threads=2 | write b",
            str![[r#"
--- stderr
error: window= is for one thread, threads= asks for more
  |
1 | read a | zstd window=64MiB threads=2 | write b
  |                      ^^^^^
  |
  = help: leave one of them out; threads cut the input into pieces of four windows each
--- exit 2
"#]],
        );
    }

    #[test]
    fn input_of_a_decoder() {
        refused(
            "read a | gunzip | write b",
            str![[r#"
--- stderr
highwater: gunzip: cannot decompress gzip input: this is not gzip: it looks like text: `012345` (at byte 0)
--- exit 6
"#]],
        );
        refused(
            "read /dev/null | gunzip | write b",
            str![[r#"
--- stderr
highwater: gunzip: cannot decompress gzip input: the input is empty (at byte 0)
--- exit 6
"#]],
        );
    }

    #[test]
    fn slip_for_a_command_is_named() {
        for (word, command) in [("stage", "stages"), ("srve", "serve"), ("repotr", "report")] {
            let run = highwater([word, "x"]).within(&folder()).run();
            let told = format!("highwater: did you mean `highwater {command}`?\n");
            assert!(run.code == Some(2) && run.stderr.ends_with(&told), "{}", run.stderr);
        }
        let run = highwater(["report | gzpi"]).within(&folder()).run();
        assert!(!run.stderr.contains("`highwater "), "{}", run.stderr);
    }

    #[test]
    fn stats_that_cannot_be_written() {
        refused_with(
            &["--stats", "nowhere/s", "read a | write b"],
            str![[r#"
--- stderr
highwater: --stats nowhere/s: cannot open: No such file or directory
--- exit 4
"#]],
        );
    }
}

mod answers {
    use super::*;

    #[test]
    fn every_subcommand_explains_itself() {
        for name in ["demo", "stages", "explain", "ctl", "report", "check", "generate"] {
            for flag in ["-h", "--help"] {
                let said = said(&[name, flag]);
                assert!(said.contains(&format!("Usage: highwater {name}")), "{said}");
            }
        }
    }

    fn answers(arguments: &[&str], expected: Inline) {
        says(&highwater(arguments).within(&folder()).run(), expected);
    }

    /// What standard output has, where that is all there is.
    #[track_caller]
    fn said(arguments: &[&str]) -> String {
        let run = highwater(arguments).within(&folder()).run();
        String::from_utf8(run.succeeds()).expect("text")
    }

    #[test]
    fn every_stage_is_listed_and_has_a_page() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let list = said(&["stages"]);
        for stage in catalog() {
            let is_listed = list
                .lines()
                .any(|line| line.split_whitespace().next() == Some(stage.name));
            assert!(is_listed && words(&list).contains(stage.summary), "{list}");
            let page = said(&["stages", stage.name]);
            for param in all_params(stage) {
                let starts = |line: &str| line.split_whitespace().next() == Some(param.name);
                assert!(page.lines().any(starts), "{page}");
            }
            for example in stage.examples {
                assert!(page.contains(&format!("highwater '{}'", example.text)), "{page}");
            }
        }
    }

    #[test]
    fn help_goes_to_standard_output() {
        let long = said(&["--help"]);
        for word in [
            "--memory <SIZE>",
            "Grammar:",
            "gunzip",
            "tcp://HOST:PORT",
            "Exit codes:",
            "  141  ",
        ] {
            assert!(long.contains(word), "{word}: {long}");
        }
        let short = said(&["-h"]);
        for word in ["Usage", "--memory SIZE", "gunzip", " tcp[-listen]:// ", "-V"] {
            assert!(short.contains(word), "{word}: {short}");
        }
        assert_eq!(
            said(&["--version"]),
            concat!("highwater ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }

    #[test]
    fn no_such_stage() {
        answers(
            &["stages", "gzpi"],
            str![[r#"
--- stderr
highwater: unknown stage `gzpi`: did you mean `gzip`?
--- exit 2
"#]],
        );
    }

    #[test]
    fn explanations_say_what_would_happen() {
        for (arguments, expected) in [
            (
                &[
                    "explain",
                    "read a | gzip threads=2 | throttle 1MB/s | write tcp://127.0.0.1:9000",
                ][..],
                &[
                    "gives 10 B",
                    "full at 512 KiB, resumes at 256 KiB, chunks up to 128 KiB",
                    "holds 2.80 MiB besides its links",
                    "connects to tcp://127.0.0.1:9000",
                    "links 1.50 MiB + state 2.80 MiB = 4.30 MiB, of 8.00 MiB (by default)",
                ][..],
            ),
            (
                &["explain", "read a | write b", "--memory", "64KiB"],
                &[
                    "creates b",
                    "direct, without the link: copy_file_range",
                    "of 64.0 KiB (--memory)",
                ],
            ),
            (
                &["explain", "--chunk", "1", "read a high=16 low=4 | write /dev/null"],
                &[
                    "full at 16 B, resumes at 4 B, chunks up to 1 B",
                    "writes to /dev/null in place",
                    "linked, because a mark is set",
                ],
            ),
            (
                &[
                    "explain",
                    "--ignore-backpressure",
                    "--max-rss",
                    "1MiB",
                    "read a | write /dev/null",
                ],
                &[
                    "never full, though its mark is 512 KiB",
                    "at 1.00 MiB resident (--max-rss)",
                ],
            ),
            (
                &["explain", "read", "a", "::", "skip", "1", "::", "write", "a"],
                &["replaces a (10 B)"],
            ),
            (&["explain", "gunzip"], &["read -", "writes to standard output"]),
        ] {
            let text = said(arguments);
            for line in expected {
                assert!(text.contains(line), "{line}: {text}");
            }
        }
        assert_eq!(highwater(["explain", "read a | gzp"]).run().code, Some(2));
    }

    #[test]
    fn no_arguments_is_a_filter() {
        says(
            &highwater([""; 0]).input("through and through\n").run(),
            str![[r#"
through and through
--- exit 0
"#]],
        );
        says(
            &highwater(["-q"]).input("quietly\n").run(),
            str![[r#"
quietly
--- exit 0
"#]],
        );
    }

    #[test]
    fn options_stand_before_and_after_a_pipeline() {
        answers(&["-q", "read a"], str!["0123456789--- exit 0"]);
        answers(&["read a", "-q"], str!["0123456789--- exit 0"]);
        answers(
            &["--chunk", "3", "read a", "-q", "--memory", "64KiB"],
            str!["0123456789--- exit 0"],
        );
        answers(&["read a", "--memory=64KiB"], str!["0123456789--- exit 0"]);
    }

    #[test]
    fn shell_words_are_not_lexed_again() {
        let folder = folder();
        folder.write("it's | a \"file\"", "odd\n");
        folder.write("-q", "option\n");
        for (name, expected) in [("it's | a \"file\"", "odd\n"), ("-q", "option\n")] {
            let run = highwater(["read", name, "::", "skip", "0"]).within(&folder).run();
            assert_eq!(run.succeeds(), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn json_ends_without_a_summary() {
        let folder = folder();
        let run = highwater(["--progress", "json", "read a | write b"])
            .within(&folder)
            .run();
        assert_eq!((run.code, run.stdout.as_slice()), (Some(0), b"".as_slice()));
        assert!(run.stderr.lines().all(|line| line.starts_with('{')), "{}", run.stderr);
        let end = run.end();
        assert_eq!(end["exit"], serde_json::json!({"code": 0, "error": null}));
        assert_eq!(end["stages"][0]["bytes_in"], 10);
        assert_eq!(end["stages"][1]["bytes_out"], 10);
        assert_eq!(end["links"], serde_json::json!([]), "the direct lane has none");
    }

    #[test]
    fn plain_progress_ends_with_a_summary() {
        let folder = folder();
        let run = highwater(["read a | write b", "--progress", "plain"])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(0));
        assert!(run.stderr.starts_with("  in                 10 B"), "{}", run.stderr);
    }

    #[test]
    fn stats_are_written_on_every_ending() {
        let folder = folder();
        for (pipeline, code) in [
            ("read a | write b", 0),
            ("read a | gzp", 2),
            ("read nowhere | write b", 3),
            ("read a | write /dev/full", 5),
            ("read a | gunzip | write b", 6),
        ] {
            let run = highwater([pipeline, "--stats", "s"]).within(&folder).run();
            assert_eq!(run.code, Some(code), "{pipeline}");
            let text = String::from_utf8(folder.read("s")).expect("text");
            assert_eq!(text.lines().count(), 1);
            let end: serde_json::Value = serde_json::from_str(&text).expect("an object");
            assert_eq!((&end["event"], &end["exit"]["code"]), (&"end".into(), &code.into()));
        }
    }

    #[test]
    fn stuck_standard_error_never_blocks_data() {
        let folder = folder();
        let invocation: Invocation = highwater(["read a", "--progress", "json"]).within(&folder);
        let run = invocation.stdin(Stdio::null()).run();
        assert_eq!(run.stdout, b"0123456789");
    }

    #[test]
    fn colour_is_for_those_who_ask() {
        let folder = folder();
        let run = highwater(["--color", "always", "gzp"]).within(&folder).run();
        assert!(run.stderr.contains('\u{1b}'), "{}", run.stderr);
        let run = highwater(["gzp"]).within(&folder).environment("NO_COLOR", "1").run();
        assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    }
}
