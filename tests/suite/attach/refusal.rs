//! Systems that do not list processes.

use crate::harness::highwater;

#[test]
fn attach_needs_a_process_list() {
    for arguments in [&["attach"][..], &["attach", "1", "--once"]] {
        assert_eq!(
            highwater(arguments).run().fails(2),
            "highwater: attach: it needs the /proc of Linux"
        );
    }
}
