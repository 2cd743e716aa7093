//! Programs of both kinds.

use super::{Verdict, check, check_with, check_within, program};
use crate::harness::{Folder, peer};

const MIB: u64 = 1 << 20;

#[track_caller]
fn honours(verdict: Option<Verdict>) {
    let Some(verdict) = verdict else { return };
    let verdict = verdict.is("honours").says("stopp");
    let (accepted, returned) = (verdict.number("accepted_bytes"), verdict.number("returned_bytes"));
    assert!(returned > 0 && accepted >= returned, "{}", verdict.last);
    assert!(verdict.number("backlog_bytes") < 32 * MIB, "{}", verdict.last);
}

#[track_caller]
fn buffers(verdict: Option<Verdict>) {
    let Some(verdict) = verdict else { return };
    let verdict = verdict.is("buffers");
    assert!(verdict.number("backlog_bytes") > MIB, "{}", verdict.last);
}

#[test]
fn cat_honours() {
    honours(Some(check(&["--", "cat"])));
}

#[test]
fn gzip_honours_despite_small_output() {
    if peer("gzip").is_some() {
        honours(Some(check(&["--", "gzip", "-c"])));
    }
}

#[test]
fn a_shell_pipeline_honours() {
    honours(Some(check(&[
        "--",
        "sh",
        "-c",
        "cat | cat | while read -r line; do echo \"$line\"; done",
    ])));
}

#[test]
fn highwater_honours() {
    let own = env!("CARGO_BIN_EXE_highwater");
    honours(Some(check(&["--", own, "read - | buffer 4MiB | write -"])));
}

#[test]
fn a_bounded_queue_honours() {
    honours(check_with("python3", "bounded.py"));
}

#[test]
fn a_queue_without_bound_buffers() {
    buffers(check_with("python3", "reads_on.py"));
}

#[test]
fn shell_variable_buffers_its_input() {
    let verdict = check(&["--", "sh", "-c", "everything=$(cat); echo \"$everything\""]);
    let verdict = verdict.is("buffers").says("gave nothing back while it was reading");
    assert_eq!(verdict.number("returned_bytes"), 0);
}

#[test]
fn sort_must_read_all_of_its_input() {
    let verdict = check(&["--", "sort"]);
    let verdict = verdict.is("buffers").says("gave nothing back while it was reading");
    assert_eq!(verdict.number("returned_bytes"), 0);
}

#[test]
fn true_and_sleep_say_what_to_change() {
    let ended = check(&["--", "true"]).is("unclear").says("ended with code 0");
    assert!(ended.run.stderr.is_empty(), "{}", ended.run.stderr);
    check(&["--", "sleep", "1000"]).is("unclear").says("read nothing");
}

#[test]
fn a_consumer_with_flat_memory_honours() {
    let verdict = check_within("10s", &["--", "wc"])
        .is("honours")
        .says("gave nothing back");
    assert_eq!(verdict.number("disk_bytes"), 0);
}

#[test]
fn a_consumer_says_what_went_to_files() {
    let folder = Folder::new();
    let file = folder.path().join("copy");
    let script = format!("tee '{}' > /dev/null", file.display());
    let verdict = check_within("10s", &["--", "sh", "-c", &script]).is("honours");
    // If the folder is in memory, its files are memory.
    if verdict.number("disk_bytes") > 0 {
        verdict.says("went to files");
    }
}

#[test]
fn a_temporary_file_is_no_bound() {
    let Some(verdict) = check_with("python3", "spools.py") else {
        return;
    };
    let verdict = verdict.is("buffers").says("into temporary files");
    assert!(verdict.number("disk_bytes") > MIB, "{}", verdict.last);
    assert!(verdict.number("memory_bytes") < 32 * MIB, "{}", verdict.last);
}

#[test]
fn a_file_in_memory_is_memory() {
    if !std::path::Path::new("/dev/shm").is_dir() || peer("python3").is_none() {
        return;
    }
    let verdict = check(&["--", "env", "TMPDIR=/dev/shm", "python3", &program("spools.py")]);
    let verdict = verdict.is("buffers").says("its memory rose");
    assert!(verdict.number("disk_bytes") < MIB, "{}", verdict.last);
}

#[test]
fn files_are_capped_as_memory_is() {
    if peer("python3").is_some() {
        let verdict = check(&["--max-disk=8MiB", "--", "python3", &program("spools.py")]);
        verdict.is("buffers").says("The check ended at --max-disk 8.00 MiB");
    }
}

#[test]
fn a_timer_does_not_end_the_hold() {
    // How much comes in its stairs is a matter of the machine, and so is whether that is enough to be sure.
    if let Some(verdict) = check_with("python3", "timer.py") {
        assert_ne!(verdict.word, "honours", "{}", verdict.end);
    }
}

#[test]
fn memory_that_was_let_go_is_said() {
    if let Some(verdict) = check_with("python3", "keeps_then_copies.py") {
        let verdict = verdict.is("honours").says("at its highest");
        let peak = verdict.end["memory_peak_bytes"].as_u64().expect("a number");
        assert!(
            peak > 45_000_000 && verdict.number("memory_bytes") < 10 * MIB,
            "{}",
            verdict.end
        );
    }
}

#[test]
fn largest_process_is_named() {
    if peer("python3").is_some() {
        let script = format!("cat | python3 '{}'", program("reads_on.py"));
        let verdict = check(&["--", "sh", "-c", &script]).is("buffers");
        let name = verdict.end["largest"]["name"].as_str().expect("a name");
        assert!(name.starts_with("python"), "{name}");
    }
}

#[test]
fn the_input_is_what_was_asked_for() {
    let folder = Folder::new();
    let seen = folder.path().join("seen");
    let keep = format!("head -n 3 > '{}'; cat", seen.display());
    let look = |options: &[&str]| {
        let command = ["--", "sh", "-c", &keep];
        check(&[options, &command].concat()).is("honours");
        String::from_utf8(folder.read("seen")).expect("text")
    };
    let json = look(&["--input-kind=json"]);
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{json}"
    );
    assert!(look(&["--input-kind=csv"]).starts_with("id,name,text\n0,name 0,"));
    let file = folder.write("some", "one\ntwo\n");
    let input = format!("--input={}", file.display());
    assert_eq!(look(&[&input]), "one\ntwo\none\n");
}

#[test]
fn crash_line_is_quoted() {
    if peer("python3").is_none() {
        return;
    }
    let crash = "import sys; sys.stdin.readline(); raise KeyError('id')";
    let verdict = check(&["--", "python3", "-c", crash]).is("unclear");
    assert_eq!(verdict.end["error_line"], "KeyError: 'id'");
}

#[test]
fn partial_reader_proves_nothing() {
    check(&["--", "head", "-c", "10000"])
        .is("unclear")
        .says("ended with code 0");
    check(&["--", "sh", "-c", "exec 0<&-; exec sleep 1000"])
        .is("unclear")
        .says("read nothing");
    check(&["--", "sh", "-c", "read -r line; exec 0<&-; exec sleep 1000"])
        .is("unclear")
        .says("closed its standard input");
}

#[test]
fn node_that_ignores_write_buffers() {
    buffers(check_with("node", "ignores_write.js"));
}

#[test]
fn node_for_await_without_drain_buffers() {
    buffers(check_with("node", "for_await.js"));
}

#[test]
fn node_early_callback_buffers() {
    let verdict = check_with("node", "early_callback.js");
    buffers(verdict);
}

#[test]
fn node_late_callback_honours() {
    honours(check_with("node", "late_callback.js"));
}

#[test]
fn node_pipe_honours() {
    honours(check_with("node", "pipe.js"));
}

#[test]
fn node_pipeline_honours() {
    honours(check_with("node", "pipeline.js"));
}

#[test]
fn node_that_waits_for_drain_honours() {
    honours(check_with("node", "for_await_drain.js"));
}
