//! Programs of both kinds.

use super::{Verdict, check, check_with};
use crate::harness::peer;

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
fn gzip_honours_although_it_gives_back_less_than_it_takes() {
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
fn a_shell_variable_that_takes_all_of_the_input_buffers() {
    let verdict = check(&["--", "sh", "-c", "everything=$(cat); echo \"$everything\""]);
    let verdict = verdict.is("buffers").says("Nothing came back while it was reading");
    assert_eq!(verdict.number("returned_bytes"), 0);
}

#[test]
fn sort_must_read_all_of_its_input() {
    let verdict = check(&["--", "sort"]);
    let verdict = verdict.is("buffers").says("Nothing came back while it was reading");
    assert_eq!(verdict.number("returned_bytes"), 0);
}

#[test]
fn true_and_sleep_say_what_to_change() {
    let ended = check(&["--", "true"]).is("unclear").says("ended with code 0");
    assert!(ended.run.stderr.is_empty(), "{}", ended.run.stderr);
    check(&["--", "sleep", "1000"]).is("unclear").says("read nothing");
}

#[test]
fn wc_gives_nothing_back_and_does_not_grow() {
    check(&["--", "wc"])
        .is("unclear")
        .says("gave nothing back and did not grow");
}

#[test]
fn what_reads_a_part_is_no_proof() {
    check(&["--", "head", "-c", "100000"])
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
fn node_that_waits_for_nothing_in_for_await_buffers() {
    buffers(check_with("node", "for_await.js"));
}

#[test]
fn node_that_calls_back_before_its_work_is_done_buffers() {
    let verdict = check_with("node", "early_callback.js");
    buffers(verdict);
}

#[test]
fn node_that_calls_back_when_its_work_is_done_honours() {
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
