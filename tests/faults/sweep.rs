//! Each call of each operation fails once.

use crate::chains::{
    APPEND, APPEND_TO_NEW, Chain, DIRECT, Ends, GZIP, LINKED_PIPES, NEW, PEER_IS_SENT, PEER_READS, PEER_WRITES, PIPES,
    SEVERAL, THERE_AND_BACK,
};
use crate::trial::{Trial, source};

/// What comes of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The run goes another way.
    Success,
    /// The run fails.
    Failure,
    /// It depends on what the call was for: some are hints, or are asked twice.
    Either,
}

use Expected::{Either, Failure, Success};

/// How each operation may fail. One that a run makes and that is not here is missed.
const FAULTS: &[(&str, &[(&str, Expected)])] = &[
    ("accept", &[("EMFILE", Failure), ("ECONNABORTED", Success)]),
    ("advise", &[("EINVAL", Success)]),
    ("alarm", &[("EMFILE", Failure)]),
    ("bind", &[("EADDRINUSE", Failure)]),
    ("close", &[("EDQUOT", Failure), ("EIO", Failure)]),
    ("connect", &[("ECONNREFUSED", Failure), ("ETIMEDOUT", Failure)]),
    ("copy-file-range", &[("EXDEV", Success), ("EIO", Success)]),
    ("duplicate", &[("EMFILE", Failure)]),
    ("mode", &[("EPERM", Failure)]),
    ("open", &[("EMFILE", Either), ("EACCES", Either)]),
    ("owner", &[("EPERM", Success)]),
    ("pipe-size", &[("EPERM", Success)]),
    ("poll", &[("ENOMEM", Failure)]),
    ("random", &[("ENOSYS", Failure)]),
    ("reactor", &[("EMFILE", Failure)]),
    ("read", &[("EIO", Failure)]),
    ("read-link", &[("EIO", Failure)]),
    ("rename", &[("EXDEV", Failure), ("EROFS", Failure), ("EISDIR", Failure)]),
    ("resolve", &[("EIO", Failure)]),
    ("say", &[("EIO", Success)]),
    ("seek", &[("EIO", Either)]),
    ("send-file", &[("EINVAL", Success), ("EIO", Success)]),
    ("shutdown", &[("ENOTCONN", Failure)]),
    ("signal", &[("EINVAL", Failure)]),
    ("socket-option", &[("ECONNRESET", Failure)]),
    ("splice", &[("EINVAL", Success), ("EIO", Success)]),
    ("stat", &[("EIO", Either)]),
    ("sync", &[("EIO", Failure), ("ENOSPC", Failure)]),
    ("thread", &[("EAGAIN", Either)]),
    ("write", &[("ENOSPC", Failure), ("EDQUOT", Failure), ("EIO", Failure)]),
    ("writeback", &[("EIO", Success)]),
];

/// What is said where a folder's own fsync fails.
const IN_PLACE: &str = "the file is in place, but its durability is unknown";

/// Sweeps one chain.
fn sweep(chain: &Chain) {
    sweep_with(chain, "");
}

/// Sweeps one chain that has these faults anyway.
fn sweep_with(chain: &Chain, always: &str) {
    let clean = Trial::of(chain, always);
    assert_eq!(
        (clean.run.code, clean.said().len()),
        (Some(0), 0),
        "{}",
        clean.run.stderr
    );
    let mut tried = 0;
    for (operation, count) in clean.counts() {
        let faults = FAULTS.iter().find(|(name, _)| *name == operation);
        let (_, faults) = faults.unwrap_or_else(|| panic!("nothing is known of {operation}"));
        // Nobody comes to an address that was never said.
        let is_heard = operation != "say" || chain.ends != Ends::PeerWrites;
        for number in 1..=count {
            for (error, expected) in faults.iter().filter(|_| is_heard) {
                let rule = format!("{operation}:{number}:{error}");
                let trial = Trial::of(chain, &format!("{rule},{always}"));
                let was_hit = trial.was_hit_at(&operation, number);
                let what = format!("{}: {rule}: {:?}: {}", chain.text, trial.run.code, trial.run.stderr);
                // Whether anybody has to wait depends on how fast a peer is.
                let is_local = matches!(chain.ends, Ends::Files | Ends::NewFile);
                let is_sure = number == 1 && is_local && !matches!(operation.as_str(), "poll" | "alarm");
                assert!(was_hit || !is_sure, "nothing was tried: {what}");
                tried += usize::from(was_hit);
                // How often a pipe or a peer is asked depends on how fast it is.
                let expected = if was_hit { *expected } else { Success };
                if trial.run.code == Some(0) {
                    assert_ne!(expected, Failure, "a fault was passed over: {what}");
                    assert!(trial.said().is_empty(), "{what}");
                    assert!(trial.output == clean.output, "other bytes: {what}");
                } else {
                    assert_ne!(expected, Success, "{what}");
                    failed(&trial, chain, &operation, error, &clean.output, &what);
                }
                let is_in_place = trial.run.stderr.contains(IN_PLACE);
                assert!(
                    trial.left.is_empty() || is_in_place && trial.left == ["d"],
                    "{:?} is left: {what}",
                    trial.left
                );
            }
        }
    }
    eprintln!("{}: {tried} faults", chain.text);
    assert!(tried >= 20, "{}: only {tried} faults", chain.text);
}

/// It failed with the right code and one line, and the target is as it was.
fn failed(trial: &Trial, chain: &Chain, operation: &str, error: &str, whole: &[u8], what: &str) {
    let said = trial.said();
    assert_eq!(said.len(), 1, "one line: {what}");
    assert_eq!(trial.run.code, Some(code(operation, error, said[0])), "{what}");
    match chain.ends {
        // The directory's own fsync comes when the file is in place.
        _ if said[0].contains(IN_PLACE) => {
            assert!(operation == "sync" && trial.output == whole, "{what}");
        }
        // That it is not there at all is for the caller to see.
        Ends::NewFile => {}
        Ends::Files | Ends::PeerWrites => assert!(trial.output == b"old", "the target was touched: {what}"),
        Ends::Pipes | Ends::PeerReads => assert!(whole.starts_with(&trial.output), "other bytes: {what}"),
    }
}

/// The exit code of the contract: the error number outranks the place.
fn code(operation: &str, error: &str, said: &str) -> i32 {
    match (operation, error) {
        (_, "ENOSPC" | "EDQUOT" | "EFBIG") => 5,
        (_, "EMFILE" | "ENFILE" | "ENOMEM") | ("thread" | "reactor" | "alarm" | "signal", _) => 12,
        ("bind" | "connect" | "accept" | "resolve", _) => 9,
        _ if said.starts_with("highwater: read ") => 3,
        _ if said.starts_with("highwater: write ") => 4,
        _ => panic!("{operation}, {error}: no stage is named: {said}"),
    }
}

#[test]
fn a_file_to_a_file() {
    sweep(&DIRECT);
}

#[test]
fn a_file_to_a_file_where_the_kernel_copies_nothing() {
    sweep_with(&DIRECT, "copy-file-range:*:ENOSYS");
}

#[test]
fn a_file_through_gzip_to_a_file() {
    sweep(&GZIP);
}

#[test]
fn a_file_through_several_stages_to_a_file() {
    sweep(&THERE_AND_BACK);
}

#[test]
fn several_files_to_one_that_is_not_synced() {
    sweep(&SEVERAL);
}

#[test]
fn a_file_to_one_that_was_not_there() {
    sweep(&NEW);
    sweep(&APPEND_TO_NEW);
}

#[test]
fn a_file_to_the_end_of_another() {
    sweep(&APPEND);
}

#[test]
fn a_pipe_to_a_pipe() {
    sweep(&PIPES);
    sweep(&LINKED_PIPES);
}

#[test]
fn a_file_to_a_peer() {
    sweep(&PEER_READS);
    sweep(&PEER_IS_SENT);
}

#[test]
fn a_peer_to_a_file() {
    sweep(&PEER_WRITES);
}

/// Where the clean runs are compared with themselves only, this says that they were right.
#[test]
fn without_a_fault_the_bytes_are_exact() {
    let bytes = source();
    for chain in [
        DIRECT,
        NEW,
        APPEND_TO_NEW,
        THERE_AND_BACK,
        PIPES,
        LINKED_PIPES,
        PEER_IS_SENT,
        PEER_READS,
        PEER_IS_SENT,
        PEER_WRITES,
    ] {
        assert!(Trial::of(&chain, "").output == bytes, "{}", chain.text);
    }
    let several = [&bytes, &b"between"[..], &bytes].concat();
    assert!(Trial::of(&SEVERAL, "").output == several);
    assert!(Trial::of(&APPEND, "").output == [b"old", &bytes[..]].concat());
    let packed = Trial::of(&GZIP, "").output;
    let unpacked = crate::harness::highwater(["gunzip"]).input(packed).run().succeeds();
    assert!(unpacked == bytes);
}
