//! What a child's status means.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::error::{Failure, Kind};

/// The failure of a child that did not end with 0, with the last line of its standard error.
pub fn failure(status: ExitStatus, last: Option<&str>) -> Failure {
    let why = last.unwrap_or("it wrote nothing to standard error");
    Failure::because(Kind::Child, how(status), why)
}

/// `exited with code 3`, `was killed by signal 9 (KILL)`, `was killed by signal 11 (SEGV, core dumped)`
fn how(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exited with code {code}");
    }
    let signal = status.signal().unwrap_or(0);
    let dumped = status.core_dumped().then_some("core dumped");
    let notes: Vec<&str> = name(signal).into_iter().chain(dumped).collect();
    match &notes[..] {
        [] => format!("was killed by signal {signal}"),
        notes => format!("was killed by signal {signal} ({})", notes.join(", ")),
    }
}

/// The name of a signal that ends programs.
fn name(signal: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    let names = [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::ILL, "ILL"),
        (Signal::TRAP, "TRAP"),
        (Signal::ABORT, "ABRT"),
        (Signal::BUS, "BUS"),
        (Signal::FPE, "FPE"),
        (Signal::KILL, "KILL"),
        (Signal::USR1, "USR1"),
        (Signal::SEGV, "SEGV"),
        (Signal::USR2, "USR2"),
        (Signal::PIPE, "PIPE"),
        (Signal::ALARM, "ALRM"),
        (Signal::TERM, "TERM"),
        (Signal::XCPU, "XCPU"),
        (Signal::XFSZ, "XFSZ"),
        (Signal::SYS, "SYS"),
    ];
    let found = names.into_iter().find(|(known, _)| known.as_raw() == signal)?;
    Some(found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_signals_are_named() {
        let told = |raw| failure(ExitStatus::from_raw(raw), None).to_string();
        let silent = "it wrote nothing to standard error";
        assert_eq!(told(3 << 8), format!("exited with code 3: {silent}"));
        assert_eq!(told(9), format!("was killed by signal 9 (KILL): {silent}"));
        assert_eq!(
            told(128 + 11),
            format!("was killed by signal 11 (SEGV, core dumped): {silent}")
        );
        let said = failure(ExitStatus::from_raw(1 << 8), Some("no room")).to_string();
        assert_eq!(said, "exited with code 1: no room");
    }
}
