//! Nothing is left behind: no process, no zombie.

use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::{Folder, highwater};

/// Starts three generations, the last in a session of its own and deaf to a polite request; all of them hold FIFO open.
const FAMILY: &str = "exec 9> fifo; echo ready >&9; trap '' TERM; \
                      setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & sleep 1000 & cat";

/// Runs a check of the family to its end, by `signal` where one is given. Reading the FIFO to its end is what waits for
/// all of its processes.
fn check_of_a_family(signal: Option<Signal>) -> crate::harness::Run {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let arguments = ["check", "--seconds=2s", "--json", "--", "sh", "-c", FAMILY];
    let running = highwater(arguments).within(&folder).stdout(Stdio::null()).start();
    let mut lines = std::io::BufReader::new(std::fs::File::open(fifo).expect("the family has come"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
    assert_eq!(line, "ready\n");
    if let Some(signal) = signal {
        running.signal(signal);
    }
    let run = running.wait();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).expect("everybody has closed it");
    run
}

#[test]
fn a_program_ends_with_all_that_it_has_started() {
    let run = check_of_a_family(None);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_interrupt_ends_it_all_and_the_shell_sees_130() {
    for signal in [Signal::INT, Signal::TERM] {
        let run = check_of_a_family(Some(signal));
        assert_eq!(run.signal, Some(signal.as_raw()));
        assert!(run.stderr.contains("Interrupted after"), "{}", run.stderr);
    }
}
