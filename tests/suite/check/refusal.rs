//! Where the system does not tell what a check needs.

use crate::harness::highwater;

#[test]
fn a_system_that_lists_no_processes_is_refused_clearly() {
    for arguments in [&["check", "--", "cat"][..], &["check", "http://localhost/", "--pid=1"]] {
        let run = highwater(arguments).run();
        assert!(run.fails(2).contains("does not list its processes"), "{}", run.stderr);
    }
}
