//! Golden transcripts of the command line: exact output, errors and exit code. `SNAPSHOTS=overwrite` rewrites them.

#![allow(clippy::too_many_lines, reason = "golden texts are long, not complicated")]

use std::fmt::Write;
use std::process::Stdio;

use snapbox::data::Inline;
use snapbox::{IntoData, assert_data_eq, str};

use crate::harness::{Folder, Invocation, Run, highwater};

/// Compares all that a run said, and how it ended.
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
    assert_data_eq!(text, expected.raw());
}

/// A folder with a source `a` of ten bytes.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", "0123456789");
    folder
}

/// Runs a pipeline in one argument, in a folder where nothing must have changed afterwards.
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
  = help: stages that can stand here: read, write, gzip, gunzip, zstd, unzstd, xz, unxz, bzip2, bunzip2, lz4, unlz4, brotli, unbrotli, decompress, throttle, take, skip, limit, buffer, hash
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
  |                 ^ one word too many
  |
  = help: it is written `take SIZE`; its parameters: size, high, low
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
  = help: it is written `write PATH`; its parameters: path, append, clobber, sync, mode, in-place, sparse, connect-timeout, retry, user-timeout, linger, verify, resume, checkpoint
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
error: `999` is no file mode
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
  = help: `high` and `low` belong to the stage before, which feeds the link
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
  = help: take it away, or write a stage before it
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
  = help: take it away, or write a stage behind it
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
error: `(` is reserved
  |
1 | read (a) | write b
  |      ^ not quoted
  |
  = help: parentheses in a word are quoted: `'(a)'`
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
  = help: did you mean `tcp://`? known endpoints: file:PATH, -, tcp://HOST:PORT, tcp-listen://HOST:PORT, unix:PATH, unix-listen:PATH
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

error: `take` needs SIZE
  |
1 | read a | gzp | throttle 1Mb/s | write b | take
  |                                           ^^^^ write `take SIZE`
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
  = help: it is written `gzip`; its parameters: level, threads, member, single, flush, high, low
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
  = help: options of highwater stand before the pipeline, or behind its closing quote
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
error: verify=true needs a regular file, and this is a standard stream
  |
1 | read a | write - verify=true
  |                         ^^^^
  |
  = help: write to a file, or leave verify=true out
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
error: resume=true needs a regular file, and this is a connection
  |
1 | read a | write tcp://127.0.0.1:1 resume=true
  |                                         ^^^^
  |
  = help: write to a file, or leave resume=true out
--- exit 2
"#]],
        );
        refused(
            "read a | write unix:b resume=true",
            str![[r#"
--- stderr
error: resume=true needs a regular file, and this is a connection
  |
1 | read a | write unix:b resume=true
  |                              ^^^^
  |
  = help: write to a file, or leave resume=true out
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
            "read a | gzip | write b resume=true",
            str![[r#"
--- stderr
error: `gzip` cannot start in the middle, as resume=true needs it
  |
1 | read a | gzip | write b resume=true
  |          ^^^^ needs the stream from its beginning
  |
  = help: only throttle and buffer may stand between; leave one of the two out
--- exit 2
"#]],
        );
        refused(
            "read a a | take 5 | hash | write b resume=true",
            str![[r#"
--- stderr
error: resume=true needs a source that can be read from the middle
  |
1 | read a a | take 5 | hash | write b resume=true
  | ^^^^^^^^ this is a series of files
  |
  = help: read one regular file, or leave resume=true out

error: `take` cannot start in the middle, as resume=true needs it
  |
1 | read a a | take 5 | hash | write b resume=true
  |            ^^^^^^ needs the stream from its beginning
  |
  = help: only throttle and buffer may stand between; leave one of the two out

error: `hash` cannot start in the middle, as resume=true needs it
  |
1 | read a a | take 5 | hash | write b resume=true
  |                     ^^^^ needs the stream from its beginning
  |
  = help: only throttle and buffer may stand between; leave one of the two out
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
  = help: read one regular file, or leave resume=true out
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
  | ^^^^^^^^^^^^^^^^^^^ this is standard input
  |
  = help: read one regular file, or leave resume=true out
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

    #[test]
    fn quiet_and_progress() {
        refused_with(
            &["-q", "--progress", "plain", "read a | write b"],
            str![[r#"
--- stderr
error: the argument '--quiet' cannot be used with '--progress <WHAT>'

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["read a | write b", "--progress", "json", "-q"],
            str![[r#"
--- stderr
error: the argument '--progress <WHAT>' cannot be used with '--quiet'

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["-q", "read a | write b", "--progress", "json"],
            str![[r#"
--- stderr
error: the argument '--quiet' cannot be used with '--progress <WHAT>'

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

For more information, try '--help'.
--- exit 2
"#]],
        );
    }

    #[test]
    fn unknown_options() {
        refused_with(
            &["--memroy", "1MiB", "read a | write b"],
            str![[r#"
--- stderr
error: unexpected argument '--memroy' found

  tip: a similar argument exists: '--memory'

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["read a | write b", "--memroy", "1MiB"],
            str![[r#"
--- stderr
error: unexpected argument '--memroy' found

  tip: a similar argument exists: '--memory'

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

For more information, try '--help'.
--- exit 2
"#]],
        );
    }

    #[test]
    fn values_that_cannot_be_read() {
        refused_with(
            &["--memory", "lots", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value 'lots' for '--memory <SIZE>': a size begins with a digit

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["--memory", "1Mb", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value '1Mb' for '--memory <SIZE>': there is no unit `Mb`; did you mean `1MB`?

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["--chunk", "0", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value '0' for '--chunk <SIZE>': a chunk has at least one byte

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["--timeout", "5", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value '5' for '--timeout <DURATION>': a duration needs a unit; did you mean `5s`?

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["--interval", "0s", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value '0s' for '--interval <DURATION>': it must be longer than nothing

For more information, try '--help'.
--- exit 2
"#]],
        );
        refused_with(
            &["--progress", "lively", "read a | write b"],
            str![[r#"
--- stderr
error: invalid value 'lively' for '--progress <WHAT>'
  [possible values: auto, live, plain, json, none]

  tip: a similar value exists: 'live'

For more information, try '--help'.
--- exit 2
"#]],
        );
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
    fn target_that_is_a_hard_link_of_the_source() {
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
    fn target_that_is_a_symbolic_link_to_the_source() {
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
        assert_data_eq!(line, str!["highwater: read tcp-listen://127.0.0.1:PORT: cannot listen on tcp://127.0.0.1:PORT: Address already in use"].raw());
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
highwater: gunzip: cannot decompress gzip input: this is no gzip: it looks like text: `012345` (at byte 0)
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
                let said = highwater([name, flag]).run().succeeds();
                let said = String::from_utf8(said).expect("text");
                assert!(said.contains(&format!("Usage: highwater {name}")), "{said}");
            }
        }
    }

    fn answers(arguments: &[&str], expected: Inline) {
        says(&highwater(arguments).within(&folder()).run(), expected);
    }

    #[test]
    fn list_of_stages() {
        answers(
            &["stages"],
            str![[r#"
Sources
  read PATH…     read files, standard input or a connection, one after the other

Transforms
  gzip           compress to gzip, on all processors
  gunzip         decompress gzip, all its members
  zstd           compress to zstd
  unzstd         decompress zstd, all its frames
  xz             compress to xz
  unxz           decompress xz, all its streams
  bzip2          compress to bzip2
  bunzip2        decompress bzip2, all its streams
  lz4            compress to lz4
  unlz4          decompress lz4, all its frames
  brotli         compress to brotli
  unbrotli       decompress brotli
  decompress     decompress whichever format it is: gzip, zstd, xz, bzip2 or lz4
  throttle RATE  pass bytes at a steady rate
  take SIZE      pass the first bytes and end, quietly
  skip SIZE      drop the first bytes and pass the rest
  limit SIZE     fail once more than so many bytes have come
  buffer SIZE    keep so many bytes ready between two stages
  hash [ALGO]    sum what passes, and check it

Sinks
  write PATH     write a file, standard output or a connection
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_read() {
        answers(
            &["stages", "read"],
            str![[r#"
read PATH… [size=SIZE] [zero-copy=true|false] [connect-timeout=DURATION]
     [retry=0..] [user-timeout=DURATION] [high=SIZE] [low=SIZE]

read files, standard input or a connection, one after the other.

A chain whose first stage is no source reads standard input, as `read -` does.

With `zero-copy=true` and nothing between, a file's pages are handed to the
sink's pipe or connection instead of being copied. That is faster, and it is an
alias: who writes to the file before the other side has read what was sent
changes it there too. Use it for files that nobody writes to.

Parameters
  path             ENDPOINT    what to read: a path, - or a URL; several are
                               read in turn (required)
  size             SIZE        how much a stream is expected to give; for the
                               time left, not a limit
  zero-copy        true|false  lend a file's own pages to a pipe or a socket; a
                               file that changes meanwhile changes what was sent
                               (default: false)
  connect-timeout  DURATION    how long a network endpoint may take to resolve
                               and connect (default: 10s)
  retry            0..         how often to try again to connect, after pauses
                               that grow to 10s; connect-timeout= is for each
                               attempt
  user-timeout     DURATION    end a TCP connection that gives no answer, or has
                               no room, for so long; else the system's time,
                               about 15 minutes without an answer
  high             SIZE        high-water mark of the link behind this stage
  low              SIZE        low-water mark of that link; half of high unless
                               given

Examples
  highwater 'read big.iso | write copy.iso'
      copy a file; the copy is complete and durable, or not there
  highwater 'read part1 part2 | write whole'
      join files
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_write() {
        answers(
            &["stages", "write"],
            str![[r#"
write PATH [append=true|false] [clobber=true|false] [sync=true|false]
      [mode=TEXT] [in-place=true|false] [sparse=auto|always|never]
      [connect-timeout=DURATION] [retry=0..] [user-timeout=DURATION]
      [linger=DURATION] [verify=true|false] [resume=true|false]
      [checkpoint=SIZE]

write a file, standard output or a connection.

A file is replaced atomically: the bytes go to a temporary file beside it, which
takes its place when all of them are on the disk. Whatever happens before, the
old file stays as it was. The new one gets its permissions, its access control
list, its extended attributes and, where the system allows it, its owner, but
nothing that was given to the old contents: setuid, setgid and sticky bits,
capabilities. A file that was not there gets what the system gives every new
file. mode= sets exactly those permissions, without a list. A file with several
names becomes a file of its own, and the others keep the old contents, with a
warning. A file that you may not write to is not replaced.

in-place=true is for what cannot be replaced, such as a mount, a file in a
folder that you may not write to, or one of /proc or /sys, and for files with
several names. It empties the file and writes to it where it is: if the run
fails, the old contents are gone, and the error says how much of the new ones
there is. append=true cuts its own bytes off again if the run fails. Where
another process has written behind them, they stay, and the error says how many
they are.

sparse=auto keeps the holes of a source that is a file, if its bytes arrive
unchanged. always leaves a hole wherever a block is zeros, also behind a
decoder; never leaves none. Standard output and other descriptors get no holes,
because others may write there as well.

Devices and FIFOs are written in place. A path that names a descriptor, such as
/dev/fd/3 or /dev/stderr, means what is open there, for `read` as well. Standard
output that is a file is on the disk when the run ends well, unless sync=false
is given; making its name durable is up to whoever made it. A chain whose last
stage is no sink writes standard output, as `write -` does.

A connection is done when the peer's system has acknowledged everything; on a
Unix socket, when the peer has read it. `linger=` bounds that wait, which is
otherwise as long as the peer takes, as for every write. A peer that vanishes is
noticed by TCP's own means within about a quarter of an hour; `user-timeout=`
makes that sooner, and gives up a peer that only stops reading, too.

verify=true reads the temporary file back before it takes its place, from the
disk where the system can drop what it has in memory, and compares sums: what
differs is exit code 10.

resume=true is for large files. If the run ends early, whatever ends it, what
was written stays in .NAME.highwater-part beside the target, and
.NAME.highwater-journal says how much of it is sure. Another run of the same
source into the same target checks that and goes on from there; its throttle,
buffer, marks and checkpoint may differ. It refuses where the source has changed
(exit code 10). It takes one regular file as the source, and nothing but
throttle and buffer in between.

Parameters
  path             ENDPOINT           where to write: a path, - or a URL
                                      (required)
  append           true|false         write behind what the file has; the run's
                                      own bytes are cut off if it fails
                                      (default: false)
  clobber          true|false         whether a file that exists may be replaced
                                      (default: true)
  sync             true|false         whether to wait until the disk has
                                      everything (default: true)
  mode             TEXT               permissions in octal; else the old file's,
                                      or what the system gives a new one
  in-place         true|false         empty a file that exists and write to it
                                      where it is, instead of replacing it
                                      (default: false)
  sparse           auto|always|never  holes in the file: where the source has
                                      some, wherever blocks are zeros, or none
                                      (default: auto)
  connect-timeout  DURATION           how long a network endpoint may take to
                                      resolve and connect (default: 10s)
  retry            0..                how often to try again to connect, after
                                      pauses that grow to 10s; connect-timeout=
                                      is for each attempt
  user-timeout     DURATION           end a TCP connection that gives no answer,
                                      or has no room, for so long; else the
                                      system's time, about 15 minutes without an
                                      answer
  linger           DURATION           how long a peer may take for the rest
                                      after the last byte was written; else as
                                      long as it takes
  verify           true|false         whether to read everything back and
                                      compare it before it takes its place
                                      (default: false)
  resume           true|false         whether to keep what was written when the
                                      run ends early, and go on with it the next
                                      time (default: false)
  checkpoint       SIZE               with resume=true, after how many bytes the
                                      journal is brought up to date; 64MiB
                                      unless given

Examples
  highwater 'read big.iso | throttle 500MB/s | write copy.iso clobber=false'
      copy at a gentle rate, never over a file that is there
  highwater 'read big.iso | write copy.iso resume=true verify=true'
      copy a large file, go on after a power cut, and check the copy on the disk
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_gzip() {
        answers(
            &["stages", "gzip"],
            str![[r#"
gzip [level=1..12] [threads=1..64] [member=SIZE] [single=true|false]
     [flush=DURATION] [high=SIZE] [low=SIZE]

compress to gzip, on all processors.

The stream is cut into members that are compressed in parallel; any gzip reads
them, and highwater reads them in parallel, too. Where the input trickles, what
came in is given out within `flush`. With single=true there is one member,
compressed on one thread.

Parameters
  level    1..12       1 is fastest, 12 is smallest; from 10 on it is far slower
                       (default: 6)
  threads  1..64       compress on so many threads; else on all processors, as
                       far as --memory allows
  member   SIZE        bytes of input in a member; else 448KiB, or 256KiB where
                       --memory is tight, and 64KiB from level 10 on
  single   true|false  one member, for readers that know no more (default:
                       false)
  flush    DURATION    give out what came in after this time without more; a
                       stream that keeps flowing is never cut up (default: 25ms)
  high     SIZE        high-water mark of the link behind this stage
  low      SIZE        low-water mark of that link; half of high unless given

Examples
  highwater 'read big.iso | gzip level=9 | write big.iso.gz'
      compress a file
  highwater 'read big.iso | gzip single=true | write big.iso.gz'
      the same for a reader that knows only one member
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_gunzip() {
        answers(
            &["stages", "gunzip"],
            str![[r#"
gunzip [high=SIZE] [low=SIZE]

decompress gzip, all its members.

Input that is corrupt, cut short or followed by something else is an error; zero
bytes behind the last member are passed over.

Parameters
  high  SIZE  high-water mark of the link behind this stage
  low   SIZE  low-water mark of that link; half of high unless given

Examples
  highwater 'read big.iso.gz | gunzip | write big.iso'
      decompress a file
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_throttle() {
        answers(
            &["stages", "throttle"],
            str![[r#"
throttle RATE [burst=SIZE] [high=SIZE] [low=SIZE]

pass bytes at a steady rate.

Starts without a burst, and a pause of the source or the sink earns none, unless
burst= allows it. The mean is exact: what a late timer held back is caught up,
at most 4 % above the rate. The rate can be changed while it runs: with + and -
in the live view, or with `highwater ctl PID set throttle rate=5MB/s`.

Parameters
  rate   RATE  bytes per second (required)
  burst  SIZE  how much a pause may earn, passed at once afterwards (default: 0)
  high   SIZE  high-water mark of the link behind this stage
  low    SIZE  low-water mark of that link; half of high unless given

Examples
  highwater 'read big.iso | throttle 1MB/s | write tcp://127.0.0.1:9000'
      send a file without filling the line
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_take() {
        answers(
            &["stages", "take"],
            str![[r#"
take SIZE [high=SIZE] [low=SIZE]

pass the first bytes and end, quietly.

What comes before is stopped; that is no failure. A stream that is shorter
passes whole.

Parameters
  size  SIZE  how many bytes to pass (required)
  high  SIZE  high-water mark of the link behind this stage
  low   SIZE  low-water mark of that link; half of high unless given

Examples
  highwater 'read /dev/urandom | take 1MiB | write noise'
      a file of random bytes
--- exit 0
"#]],
        );
    }

    #[test]
    fn page_of_skip() {
        answers(
            &["stages", "skip"],
            str![[r#"
skip SIZE [high=SIZE] [low=SIZE]

drop the first bytes and pass the rest.

Right behind a source that can seek, nothing is read that is not passed.

Parameters
  size  SIZE  how many bytes to drop (required)
  high  SIZE  high-water mark of the link behind this stage
  low   SIZE  low-water mark of that link; half of high unless given

Examples
  highwater 'read disk.img | skip 1MiB | take 64KiB | write slice'
      cut a piece out of a file
--- exit 0
"#]],
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
    fn explanations() {
        answers(
            &[
                "explain",
                "read a | gzip threads=2 | throttle 1MB/s | write tcp://127.0.0.1:9000",
            ],
            str![[r#"
 0  read a
    by default zero-copy=false connect-timeout=10s
    gives 10 B
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 1  gzip threads=2
    by default level=6 single=false flush=25ms
    holds 3.05 MiB besides its links
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 2  throttle 1MB/s
    by default burst=0
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 3  write tcp://127.0.0.1:9000
    by default append=false clobber=true sync=true in-place=false sparse=auto
               connect-timeout=10s verify=false resume=false
    connects to tcp://127.0.0.1:9000

lane     linked
memory   links 3.00 MiB + state 3.05 MiB = 6.05 MiB, of 8.00 MiB (by default)
threads  6 at most: a stage's each, the engine's, the view's; threads= adds more
--- exit 0
"#]],
        );
        answers(
            &["explain", "read a | write b", "--memory", "64KiB"],
            str![[r#"
 0  read a
    by default zero-copy=false connect-timeout=10s
    gives 10 B
     │  full at 64.0 KiB, resumes at 32.0 KiB, chunks up to 16.0 KiB
 1  write b
    by default append=false clobber=true sync=true in-place=false sparse=auto
               connect-timeout=10s verify=false resume=false
    creates b

lane     direct, without the link: copy_file_range
memory   links 64.0 KiB + state 0 B = 64.0 KiB, of 64.0 KiB (--memory)
threads  4 at most: a stage's each, the engine's, the view's; threads= adds more
--- exit 0
"#]],
        );
        answers(
            &["explain", "--chunk", "1", "read a high=16 low=4 | write /dev/null"],
            str![[r#"
 0  read a high=16 low=4
    by default zero-copy=false connect-timeout=10s
    gives 10 B
     │  full at 16 B, resumes at 4 B, chunks up to 1 B
 1  write /dev/null
    by default append=false clobber=true sync=true in-place=false sparse=auto
               connect-timeout=10s verify=false resume=false
    writes to /dev/null in place

lane     linked, because a mark is set
memory   links 16 B + state 0 B = 16 B, of 8.00 MiB (by default)
threads  4 at most: a stage's each, the engine's, the view's; threads= adds more
--- exit 0
"#]],
        );
        answers(
            &[
                "explain",
                "--ignore-backpressure",
                "--max-rss",
                "1MiB",
                "read a | write /dev/null",
            ],
            str![[r#"
 0  read a
    by default zero-copy=false connect-timeout=10s
    gives 10 B
     │  never full, though its mark is 1.00 MiB; chunks up to 256 KiB
 1  write /dev/null
    by default append=false clobber=true sync=true in-place=false sparse=auto
               connect-timeout=10s verify=false resume=false
    writes to /dev/null in place

lane     linked, because backpressure is ignored
memory   unbounded: --ignore-backpressure lets every link grow; with backpressure
         links 1.00 MiB + state 0 B = 1.00 MiB, of 8.00 MiB (by default)
threads  5 at most: a stage's each, the engine's, the view's, the guard's; threads= adds more
stops    at 1.00 MiB resident (--max-rss)
--- exit 0
"#]],
        );
        answers(
            &["explain", "read", "a", "::", "skip", "1", "::", "write", "a"],
            str![[r#"
 0  read a
    by default zero-copy=false connect-timeout=10s
    gives 10 B
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 1  skip 1
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 2  write a
    by default append=false clobber=true sync=true in-place=false sparse=auto
               connect-timeout=10s verify=false resume=false
    replaces a (10 B)

lane     linked
memory   links 2.00 MiB + state 0 B = 2.00 MiB, of 8.00 MiB (by default)
threads  5 at most: a stage's each, the engine's, the view's; threads= adds more
--- exit 0
"#]],
        );
        answers(
            &["explain", "gunzip"],
            str![[r#"
 0  read -
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 1  gunzip
    holds 64.0 KiB besides its links
     │  full at 1.00 MiB, resumes at 512 KiB, chunks up to 256 KiB
 2  write -
    writes to standard output

lane     linked
memory   links 2.00 MiB + state 64.0 KiB = 2.06 MiB, of 8.00 MiB (by default)
threads  5 at most: a stage's each, the engine's, the view's; threads= adds more
--- exit 0
"#]],
        );
        answers(
            &["explain", "read a | gzp"],
            str![[r#"
--- stderr
error: unknown stage `gzp`
  |
1 | read a | gzp
  |          ^^^ did you mean `gzip`?
--- exit 2
"#]],
        );
    }

    #[test]
    fn usage() {
        answers(
            &["--help"],
            str![[r#"
Moves bytes through a chain of stages, keeps the memory of the whole chain under one hard ceiling,
and shows where the bytes are while it does

Usage: highwater [OPTIONS] 'STAGE | STAGE | …' [OPTIONS]
       highwater [OPTIONS] WORD… :: WORD… :: …
       … | highwater [OPTIONS] | …

Commands:
  demo      Show in half a minute what backpressure is for: the same chain without it and with it
  stages    List the stages, or explain one
  explain   Show what a pipeline would do, and where its memory would go, without running it
  ctl       Steer a run from another terminal: a throttle's rate, a pause of the sink, a sample
  report    Draw recordings of --record: memory against the ceiling, stages, links, rates
  check     Check whether a program or a server honours backpressure, before it is deployed
  generate  Write the manual pages, the completions and the generated parts of the README

Arguments:
  [PIPELINE]...
          The pipeline: one quoted argument, or words with `::` between stages

Options:
  -h
          Show the short help, on one screen

      --help
          Show this help

  -V, --version
          Print version

Memory:
      --memory <SIZE>
          Hard ceiling over links, chunks and codec state
          
          Without it the ceiling is 8MiB, raised by what the pipeline itself names: codec levels,
          threads=, high=. What does not fit is refused, with the least that would do.

      --chunk <SIZE>
          Largest chunk [default: 256KiB, or a quarter of its link]

      --max-rss <SIZE>
          Stop the run with code 7 before more is resident
          
          Looked at every 20 ms, and more often near the limit. Without it only
          --ignore-backpressure has a limit.

      --ignore-backpressure
          Show what happens without backpressure: links that never say no
          
          Every mark is only advice, so a slow stage lets memory grow without bound, until --max-rss
          stops the run [default: a quarter of free memory]. For demonstrations.

What you see:
      --progress <WHAT>
          On stderr: auto, live, plain, json or none [default: auto]

          Possible values:
          - auto:  Live on a terminal that no stage uses, else none
          - live:  A picture of the chain, drawn in place; lines where there is no terminal
          - plain: A line each interval
          - json:  A JSON object each interval
          - none:  Nothing

  -q, --quiet
          Show nothing but errors

      --interval <DURATION>
          How often plain and json report
          
          [default: 1s]

      --color <WHEN>
          When to use colour; `NO_COLOR` and TERM=dumb are honoured

          Possible values:
          - auto:   On a terminal that has it, unless `NO_COLOR` is set
          - always: Always
          - never:  Never
          
          [default: auto]

      --metrics <HOST:PORT>
          Serve the run's numbers to Prometheus at http://HOST:PORT/metrics
          
          On the loopback address unless a host is given: `:9100` is 127.0.0.1:9100. Port 0 picks a
          free one. The address is printed on stderr.

      --log <LEVEL>
          How much to log to standard error

          Possible values:
          - error: Only what ends a run
          - warn:  What a user should know of
          - info:  What happens, step by step
          - debug: What a developer wants to know
          - trace: Everything
          
          [default: warn]

How it ends:
      --stats <FILE>
          At the end, write one line of JSON to a file; - is stderr

      --record <FILE>
          Write every sample to a file, for `highwater report`
          
          Ten samples a second, one JSON object a line. If the file cannot be written any more, the
          run goes on without it.

      --timeout <DURATION>
          End with code 8 if the whole run takes longer

      --stall-timeout <DURATION>
          End with code 8 if no byte moves for so long
          
          A throttle's own wait is not counted.

      --min-rate <RATE>
          End with code 8 if the sink takes less on average
          
          Judged over the last --min-rate-grace, again and again, until the last byte is written. A
          throttle's own wait is not counted; one that lets less pass is refused.

      --min-rate-grace <DURATION>
          How long --min-rate is averaged over, and how long a run has before it counts
          
          [default: 10s]

Grammar:
  pipeline := stage ( '|' stage )*
  stage    := NAME ( word | KEY=word )*
  Words are as in a POSIX shell: '…' is literal, "…" knows \" and \\, \c is c.
  Nothing is expanded: no ~, no $, no globs.
  Words without a KEY fill the stage's parameters in order: throttle 1MB/s is
  throttle rate=1MB/s. A file named a=b is written ./a=b or path=a=b.
  In the shell's own words, :: stands between stages, and no word is read twice.
  A chain whose first stage is no source reads stdin; one whose last stage is no
  sink writes stdout. Options stand before the first word, or behind the quotes.

Stages (`highwater stages NAME` explains one):
  read        read files, standard input or a connection, one after the other
  write       write a file, standard output or a connection
  gzip        compress to gzip, on all processors
  gunzip      decompress gzip, all its members
  zstd        compress to zstd
  unzstd      decompress zstd, all its frames
  xz          compress to xz
  unxz        decompress xz, all its streams
  bzip2       compress to bzip2
  bunzip2     decompress bzip2, all its streams
  lz4         compress to lz4
  unlz4       decompress lz4, all its frames
  brotli      compress to brotli
  unbrotli    decompress brotli
  decompress  decompress whichever format it is: gzip, zstd, xz, bzip2 or lz4
  throttle    pass bytes at a steady rate
  take        pass the first bytes and end, quietly
  skip        drop the first bytes and pass the rest
  limit       fail once more than so many bytes have come
  buffer      keep so many bytes ready between two stages
  hash        sum what passes, and check it

Endpoints, for read and write:
  file:PATH               a file, device or FIFO; the plain path means the same
  -                       standard input or output
  tcp://HOST:PORT         a TCP peer that is connected to
  tcp-listen://HOST:PORT  one TCP peer that connects; port 0 picks a free one
  unix:PATH               a Unix socket that is connected to
  unix-listen:PATH        one peer that connects; the socket is ours alone

Exit codes:
  0            done: the output is complete and durable; of a check: it honours
  1            any other failure; of a check: it buffers without bound
  2            the command line or the pipeline cannot be
  3            a source cannot be opened or read
  4            a sink cannot be opened, written or made durable
  5            no space, quota or file size left
  6            corrupt or truncated input to a decoder
  7            a limit was reached
  8            timeout or stall
  9            could not connect, listen, resolve or authenticate
  10           the bytes are not those that were promised
  11           a child process failed
  12           out of descriptors, threads or memory
  13           a check that cannot tell, and says what to change
  70           a bug in highwater
  129 130 143  ended by SIGHUP, SIGINT, SIGTERM, after tidying up
  141          the reader of standard output left
--- exit 0
"#]],
        );
        answers(
            &["-h"],
            str![[r#"
Moves bytes through a chain of stages, keeps the memory of the whole chain under
one hard ceiling, and shows where the bytes are while it does.

Usage  highwater [OPTIONS] 'STAGE | STAGE | …'
       … | highwater [OPTIONS] STAGE :: STAGE :: … | …
       highwater demo   highwater stages [NAME]   highwater explain 'STAGE | …'
       highwater check -- COMMAND…   highwater ctl PID pause|resume|set|stats

  highwater 'read big.iso | gzip | write big.iso.gz'
  highwater 'read big.iso | gzip | throttle 1MB/s | write tcp://127.0.0.1:9000'

Stages     read  gzip  gunzip  zstd  unzstd  xz  unxz  bzip2  bunzip2  lz4
           unlz4  brotli  unbrotli  decompress  throttle  take  skip  limit
           buffer  hash  write
Endpoints  file:PATH  -  tcp://HOST:PORT  tcp-listen://HOST:PORT  unix:PATH
           unix-listen:PATH
Sizes      64K 1.5MiB (powers of 1024)  10MB (of 1000); rates: 1MB/s 8Mbit/s

  --memory SIZE       Hard ceiling over links, chunks and codec state
  --progress WHAT     On stderr: auto, live, plain, json or none [default: auto]
  -q, --quiet         Show nothing but errors
  --stats FILE        At the end, write one line of JSON to a file; - is stderr
  --timeout DURATION  End with code 8 if the whole run takes longer
  -h this help    --help all of it    -V the version
--- exit 0
"#]],
        );
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
    fn the_shells_own_words_are_not_lexed_again() {
        let folder = folder();
        folder.write("it's | a \"file\"", "odd\n");
        folder.write("-q", "option\n");
        for (name, expected) in [("it's | a \"file\"", "odd\n"), ("-q", "option\n")] {
            let run = highwater(["read", name, "::", "skip", "0"]).within(&folder).run();
            assert_eq!(run.succeeds(), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn json_ends_with_the_end_and_no_summary() {
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
    fn nothing_on_standard_error_can_hold_up_the_data() {
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
