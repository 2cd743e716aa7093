//! Nothing is left behind: no process, no zombie.

use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Folder, highwater};

/// Starts three generations, the last in a session of its own and ignoring SIGTERM; all of them hold FIFO open.
const FAMILY: &str = "exec 9> fifo; echo ready >&9; trap '' TERM; \
                      setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & sleep 1000 & cat";

/// Checks `script`, which has the FIFO in `folder` open, and sends each of `signals` when a line comes out of it. Reading
/// it to its end waits for all of its processes.
fn check_of(script: &str, folder: &Folder, signals: &[Signal]) -> crate::harness::Run {
    let fifo = folder.fifo("fifo");
    let arguments = ["check", "--seconds=2s", "--json", "--", "sh", "-c", script];
    let running = highwater(arguments).within(folder).stdout(Stdio::null()).start();
    let mut lines = std::io::BufReader::new(std::fs::File::open(fifo).expect("the family has come"));
    for signal in signals {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
        running.signal(*signal);
    }
    let run = running.wait();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).expect("all have closed it");
    run
}

#[test]
fn check_ends_all_descendants() {
    let run = check_of(FAMILY, &Folder::new(), &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn interrupted_check_exits_with_130() {
    for signal in [Signal::INT, Signal::TERM] {
        let run = check_of(FAMILY, &Folder::new(), &[signal]);
        assert_eq!(run.signal, Some(signal.as_raw()));
        assert!(run.stderr.contains("Interrupted after"), "{}", run.stderr);
    }
}

/// As `timeout 10 highwater check …` sends it: to the program, and to its group.
#[test]
fn a_repeated_signal_leaves_the_time_to_end() {
    let folder = Folder::new();
    let script =
        "exec 9> fifo; trap 'echo ending >&9; sleep 0.1; : > done; exit' TERM; sleep 1000 & echo ready >&9; wait";
    let run = check_of(script, &folder, &[Signal::TERM, Signal::TERM]);
    assert_eq!(run.signal, Some(Signal::TERM.as_raw()));
    assert_eq!(folder.names(), ["done", "fifo"]);
}
