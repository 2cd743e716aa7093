//! Systems that do not list processes.

use crate::harness::highwater;

#[test]
fn system_without_process_list_is_refused() {
    for arguments in [&["check", "--", "cat"][..], &["check", "http://localhost/", "--pid=1"]] {
        let run = highwater(arguments).run();
        assert!(run.fails(2).contains("does not list its processes"), "{}", run.stderr);
    }
}
