//! A worker that counts a log, part after part, and notes how far it came: what is there after a kill between the two.

use rustix::process::Signal;

use super::node;
use crate::harness::{Folder, highwater};

/// A thousand lines, no hundred of which is like another.
fn log() -> String {
    let level = |line: u32| if line % 100 <= line / 100 { "error\n" } else { "info\n" };
    (0..1000).map(level).collect()
}

/// The counts of each part that is there.
fn counts(folder: &Folder, parts: &str) -> Vec<String> {
    let part = |number: u32| std::fs::read_to_string(folder.join(&format!("{parts}/{number}"))).unwrap_or_default();
    (1..=10).map(part).collect()
}

fn expected() -> Vec<String> {
    let part = |number: u32| format!("error {}\ninfo {}\n", number + 1, 99 - number);
    (0..10).map(part).collect()
}

#[test]
fn noting_a_part_first_loses_it() {
    let folder = Folder::new();
    folder.write("log", log());
    for order in ["after", "before"] {
        std::fs::create_dir(folder.join(order)).expect("made");
        let run = |die: &str| {
            let arguments = [order, "log", order, die];
            let mut command = node("count_parts")?;
            Some(
                command
                    .args(arguments)
                    .current_dir(folder.path())
                    .status()
                    .expect("node starts"),
            )
        };
        let Some(killed) = run("3") else { return };
        assert!(!killed.success());
        assert!(run("").expect("node is there").success());
    }
    assert_eq!(counts(&folder, "after"), expected());
    let mut without = expected();
    without[2].clear();
    assert_eq!(counts(&folder, "before"), without);
}

#[test]
fn a_killed_batch_is_done_again() {
    let folder = Folder::new();
    folder.write("log", log());
    // The child kills the run in its third part, after it has read all of it.
    let count = |die: &str| {
        let script = format!("sort | uniq -c | awk '{{ print $2, $1 }}'; {die}");
        format!("read log | lines | batch records=100 (sh \"{script}\" | write parts/{{position}})")
    };
    let killed = highwater([count("if test $(ls parts | wc -l) = 2; then kill -KILL $PPID; fi")])
        .within(&folder)
        .run();
    assert_eq!(killed.signal, Some(Signal::KILL.as_raw()), "{}", killed.stderr);
    // Parts have the names of their positions, so what is there is replaced by itself.
    highwater([count("true")]).within(&folder).run().succeeds();
    let entries = folder.join("parts").read_dir().expect("a folder");
    let mut paths: Vec<_> = entries.map(|part| part.expect("a part").path()).collect();
    paths.sort();
    let counts: Vec<String> = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("text"))
        .collect();
    assert_eq!(counts, expected());
}
