//! Each call of each operation fails once.

use std::collections::BTreeSet;

use highwater::platform::fault::Operation;

use super::chains::{
    APPEND, APPEND_TO_NEW, BRANCHES, Chain, DIRECT, Ends, GZIP, JOINED, LINKED_PIPES, Meeting, NEW, NEW_IN_PLACE,
    NOT_COPIED, NOT_LOCKED, PEER_COMES_TO_READ, PEER_IS_RETRIED, PEER_IS_SENT, PEER_READS, PEER_WRITES, PIPES, PROGRAM,
    RESUME, RESUMED, RESUMED_AND_VERIFIED, SEVERAL, SPARSE, SPARSE_APPEND, SPARSE_NOT_COPIED, SPARSE_THROUGH_A_LINK,
    STATS, SUM, THERE_AND_BACK, UNIX_PEER_COMES_TO_READ, UNIX_PEER_COMES_TO_WRITE, UNIX_PEER_READS, UNIX_PEER_WRITES,
    VERIFY,
};
use super::trial::{KEPT, Place, Trial, source, source_with};

/// The result of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The run falls back.
    Success,
    /// The run fails.
    Failure,
    /// It depends on the purpose of the call: some are hints, or are retried.
    Either,
}

use Expected::{Either, Failure, Success};

/// How each operation may fail. One that a run makes and that is not here is missed.
const FAULTS: &[(&str, &[(&str, Expected)])] = &[
    ("accept", &[("EMFILE", Failure), ("ECONNABORTED", Success)]),
    ("advise", &[("EINVAL", Success)]),
    ("alarm", &[("EMFILE", Failure)]),
    ("attribute", &[("EPERM", Success), ("EOPNOTSUPP", Success)]),
    ("bind", &[("EADDRINUSE", Failure)]),
    ("close", &[("EDQUOT", Failure), ("EIO", Failure)]),
    ("connect", &[("ECONNREFUSED", Failure), ("ETIMEDOUT", Failure)]),
    ("copy-file-range", &[("EXDEV", Success), ("EIO", Success)]),
    ("duplicate", &[("EMFILE", Failure)]),
    // Held by another run; not supported.
    ("lock", &[("EAGAIN", Failure), ("ENOLCK", Failure)]),
    ("mode", &[("EPERM", Failure)]),
    ("open", &[("EMFILE", Either), ("EACCES", Either)]),
    ("owner", &[("EPERM", Success)]),
    ("pipe-size", &[("EPERM", Success)]),
    ("poll", &[("ENOMEM", Failure)]),
    ("punch", &[("EOPNOTSUPP", Success), ("EIO", Success)]),
    ("random", &[("ENOSYS", Failure)]),
    ("reactor", &[("EMFILE", Failure)]),
    ("read", &[("EIO", Failure)]),
    // The case of a descriptor's name is tested separately.
    ("read-link", &[("EIO", Either)]),
    ("rename", &[("EXDEV", Failure), ("EROFS", Failure), ("EISDIR", Failure)]),
    ("resolve", &[("EIO", Failure)]),
    ("say", &[("EIO", Success)]),
    ("seek", &[("EIO", Either)]),
    ("send-file", &[("EINVAL", Success), ("EIO", Success)]),
    ("shutdown", &[("ENOTCONN", Failure)]),
    ("signal", &[("EINVAL", Failure)]),
    ("socket", &[("EMFILE", Failure)]),
    ("socket-option", &[("ECONNRESET", Failure)]),
    ("spawn", &[("EMFILE", Failure), ("EAGAIN", Failure)]),
    ("splice", &[("EINVAL", Success), ("EIO", Success)]),
    ("stat", &[("EIO", Either)]),
    ("sync", &[("EIO", Failure), ("ENOSPC", Failure)]),
    ("thread", &[("EAGAIN", Either)]),
    ("truncate", &[("EIO", Failure), ("EFBIG", Failure)]),
    ("unlink", &[("EIO", Either)]),
    ("write", &[("ENOSPC", Failure), ("EDQUOT", Failure), ("EIO", Failure)]),
    ("writeback", &[("EIO", Success)]),
];

/// The beginning of an error that happens after all bytes are in their place.
const IN_PLACE: &str = "the file is in place, but ";

impl Expected {
    /// The result of a fault of that operation in this pipeline, if it differs from the general one.
    fn of(self, chain: &Chain, operation: &str) -> Self {
        match (operation, chain.ends) {
            // It is retried, so one failure is not enough.
            ("connect" | "resolve", _) if chain.retries => Success,
            // Its output to standard error is not data.
            ("read", _) if [PROGRAM.text, JOINED.text].contains(&chain.text) => Either,
            // A temporary that cannot be locked gets a random name, which is never swept.
            ("lock", _) if !chain.resumes => Success,
            // A socket whose mode could not be set before it had a name gets it by its name.
            ("mode", Ends::PeerReads(Meeting::UnixListen)) => Success,
            // Leftovers of a killed run are swept another time.
            ("mode", Ends::PeerWrites(Meeting::UnixListen)) | ("lock", _) => Either,
            _ => self,
        }
    }
}

/// Sweeps one chain.
fn sweep(chain: &Chain) {
    let clean = Trial::of(chain, chain.always);
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
        // Without the printed address no peer connects.
        let is_heard = operation != "say" || !chain.ends.meeting().is_some_and(Meeting::is_ours);
        for number in 1..=count {
            for (error, expected) in faults.iter().filter(|_| is_heard) {
                let rule = format!("{operation}:{number}:{error}");
                let place = Place::new(chain, &source());
                let trial = place.run(&format!("{rule},{}", chain.always));
                let was_hit = trial.was_hit_at(&operation, number);
                let what = format!("{}: {rule}: {:?}: {}", chain.text, trial.run.code, trial.run.stderr);
                // Whether there is a wait depends on the speed of a peer.
                let is_local = matches!(chain.ends, Ends::Files | Ends::NewFile);
                let is_sure = number == 1 && is_local && !matches!(operation.as_str(), "poll" | "alarm");
                assert!(was_hit || !is_sure, "nothing was tried: {what}");
                tried += usize::from(was_hit);
                // The number of calls on a pipe or a peer depends on its speed.
                let expected = if was_hit {
                    expected.of(chain, &operation)
                } else {
                    Success
                };
                if trial.run.code == Some(0) {
                    assert_ne!(expected, Failure, "a fault was passed over: {what}");
                    assert!(trial.said().is_empty(), "{what}");
                    assert!(trial.output == clean.output, "other bytes: {what}");
                } else {
                    assert_ne!(expected, Success, "{what}");
                    failed(&trial, chain, &operation, error, &clean.output, &what);
                }
                check_side_file(&trial, chain, &operation, clean.side_file.as_deref(), &what);
                check_left(&trial, chain, &operation, &what);
                let goes_on = chain.resumes && trial.run.code != Some(0);
                if goes_on || !trial.left.is_empty() {
                    let again = place.run(chain.always);
                    let whole = (again.run.code, again.said().len(), again.left.len()) == (Some(0), 0, 0);
                    assert!(
                        whole,
                        "{what}then {:?}: {}{:?}",
                        again.run.code, again.run.stderr, again.left
                    );
                    assert!(again.output == clean.output, "other bytes after that: {what}");
                }
            }
        }
    }
    eprintln!("{}: {tried} faults", chain.text);
    assert!(tried >= 20, "{}: only {tried} faults", chain.text);
}

/// It failed with the right code and one line, and the target is as it was.
fn failed(trial: &Trial, chain: &Chain, operation: &str, error: &str, whole: &[u8], what: &str) {
    let mut said = trial.said();
    // What cannot be rolled back is named as well.
    said.retain(|line| !line.ends_with(": was complete before, and stays"));
    assert_eq!(said.len(), 1, "one line: {what}");
    assert_eq!(trial.run.code, Some(code(operation, error, said[0])), "{what}");
    match chain.ends {
        // The directory's own fsync comes when the file is in place, and so does the journal's removal.
        _ if said[0].starts_with("highwater: write ")
            && said[0].contains(IN_PLACE)
            && !said[0].contains("write /dev/null") =>
        {
            assert!(matches!(operation, "sync" | "unlink"), "{what}");
            assert!(trial.output == whole, "{what}");
        }
        // The end object can be written when the run is over.
        _ if said[0].starts_with("highwater: --stats s: cannot write: ") => assert!(trial.output == whole, "{what}"),
        // A checksum file is committed after the sink.
        _ if said[0].starts_with("highwater: hash ") => {
            assert!(trial.output == b"old" || trial.output == whole, "a mixture: {what}");
        }
        // The caller checks that it does not exist.
        Ends::NewFile => {}
        Ends::Files | Ends::PeerWrites(_) => assert!(trial.output == b"old", "the target was touched: {what}"),
        Ends::Pipes | Ends::PeerReads(_) => assert!(whole.starts_with(&trial.output), "other bytes: {what}"),
    }
}

/// The small file is complete or absent: a checksum is that of all bytes, the end object has the exit code.
fn check_side_file(trial: &Trial, chain: &Chain, operation: &str, clean: Option<&[u8]>, what: &str) {
    if chain.options.contains(&"--stats") {
        let is_refused = trial.said().iter().any(|line| line.starts_with("highwater: --stats "));
        // It may be an end of the pipeline that could not be examined: then it is left alone.
        let is_spared = operation == "stat" && trial.side_file.is_none();
        if !is_refused && !is_spared {
            let text = trial.side_file.as_deref().expect("the end object");
            let end: serde_json::Value = serde_json::from_slice(text).expect("an object");
            assert_eq!(end["exit"]["code"].as_i64(), trial.run.code.map(i64::from), "{what}");
        }
    } else {
        assert!(
            trial.side_file.is_none() || trial.side_file.as_deref() == clean,
            "{what}"
        );
    }
}

/// Only recognisable leftovers, or those that could not be removed, are left.
fn check_left(trial: &Trial, chain: &Chain, operation: &str, what: &str) {
    let is_in_place = trial.run.stderr.contains(IN_PLACE);
    let may_be_left: &[&str] = match chain.ends {
        _ if chain.resumes && trial.run.code != Some(0) => &KEPT,
        Ends::NewFile if is_in_place => &["d"],
        // The next listener replaces it.
        _ if chain.ends.meeting() == Some(Meeting::UnixListen) && matches!(operation, "stat" | "unlink") => &["s"],
        _ => &[],
    };
    let is_strange = |name: &String| !may_be_left.contains(&name.as_str());
    assert!(!trial.left.iter().any(is_strange), "{:?} is left: {what}", trial.left);
}

/// The exit code of the contract: the error number outranks the place.
fn code(operation: &str, error: &str, said: &str) -> i32 {
    match (operation, error) {
        (_, "ENOSPC" | "EDQUOT" | "EFBIG") => 5,
        (_, "EMFILE" | "ENFILE" | "ENOMEM") | ("thread" | "reactor" | "alarm" | "signal" | "spawn", _) => 12,
        ("bind" | "connect" | "accept" | "resolve", _) => 9,
        _ if said.contains(": cannot listen on ") => 9,
        _ if said.contains(": cannot use the connection: ") => 12,
        _ if said.starts_with("highwater: exec ") => 11,
        _ if said.starts_with("highwater: read ") => 3,
        _ if said.starts_with("highwater: write ") || said.starts_with("highwater: hash ") => 4,
        _ if said.starts_with("highwater: --stats ") => 4,
        _ => panic!("{operation}, {error}: no stage is named: {said}"),
    }
}

/// Tests that sweep the chains in their braces, and the list of all those chains.
macro_rules! sweeps {
    ($($(#[$attribute:meta])* fn $name:ident() { $($chain:ident),+ })+) => {
        $($(#[$attribute])*
        fn $name() {
            $(sweep(&$chain);)+
        })+

        const SWEPT: &[Chain] = &[$($($chain),+),+];
    };
}

sweeps! {
    #[test]
    fn a_file_to_a_file() { DIRECT }

    #[test]
    fn file_to_file_without_copy_file_range() { NOT_COPIED }

    #[test]
    fn file_to_file_without_locks() { NOT_LOCKED }

    #[test]
    fn sparse_file_to_file() { SPARSE, SPARSE_NOT_COPIED, SPARSE_THROUGH_A_LINK, SPARSE_APPEND }

    #[test]
    fn a_file_through_gzip_to_a_file() { GZIP }

    #[test]
    fn file_through_stages_to_file() { THERE_AND_BACK }

    #[test]
    fn a_file_to_branches_and_a_file() { BRANCHES }

    #[test]
    fn a_file_through_a_program_to_a_file() { PROGRAM }

    #[test]
    fn a_file_through_joined_programs_to_a_file() { JOINED }

    #[test]
    fn several_files_to_one_that_is_not_synced() { SEVERAL }

    #[test]
    fn file_to_new_file() { NEW, APPEND_TO_NEW, NEW_IN_PLACE }

    #[test]
    fn a_file_to_the_end_of_another() { APPEND }

    #[test]
    fn file_to_verified_file() { VERIFY }

    #[test]
    fn file_to_resumable_file() { RESUME }

    #[test]
    fn file_to_resumed_file() { RESUMED }

    #[test]
    fn file_to_resumed_and_verified_file() { RESUMED_AND_VERIFIED }

    #[test]
    fn a_file_and_its_sum() { SUM }

    #[test]
    fn a_file_and_the_end_object() { STATS }

    #[test]
    fn a_pipe_to_a_pipe() { PIPES, LINKED_PIPES }

    #[test]
    fn a_file_to_a_peer() { PEER_READS, PEER_IS_SENT, PEER_IS_RETRIED }

    #[test]
    fn a_file_to_a_peer_that_comes() { PEER_COMES_TO_READ }

    #[test]
    fn a_peer_to_a_file() { PEER_WRITES }

    #[test]
    fn file_to_unix_peer() { UNIX_PEER_READS, UNIX_PEER_COMES_TO_READ }

    #[test]
    fn unix_peer_to_file() { UNIX_PEER_WRITES, UNIX_PEER_COMES_TO_WRITE }
}

/// Notices a new operation without a test, and one whose only pipeline has lost it.
#[test]
fn every_operation_is_swept() {
    let all: BTreeSet<String> = Operation::EVERY.into_iter().map(Operation::name).collect();
    let known: BTreeSet<String> = FAULTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known, all, "each has its faults");
    let clean = SWEPT.iter().map(|chain| Trial::of(chain, chain.always));
    let reached: BTreeSet<String> = clean.flat_map(|trial| trial.counts()).map(|(name, _)| name).collect();
    assert_eq!(reached, all, "each is made by a chain that is swept");
}

/// The clean runs are otherwise compared only with themselves; this checks that they were right.
#[test]
fn faultless_run_copies_exactly() {
    let bytes = source();
    for chain in SWEPT {
        let trial = Trial::of(chain, chain.always);
        let output = match chain.text {
            text if text == SEVERAL.text => [&bytes, &b"between"[..], &bytes].concat(),
            text if text == GZIP.text => {
                let unpacked = crate::harness::highwater(["gunzip"])
                    .input(trial.output)
                    .run()
                    .succeeds();
                assert!(unpacked == bytes);
                continue;
            }
            _ if chain.appends => [&b"old"[..], &source_with(chain.hole)].concat(),
            _ => source_with(chain.hole),
        };
        assert!(trial.output == output, "{}", chain.text);
    }
    let sum = Trial::of(&SUM, "").side_file.expect("a sum");
    let expected = Trial::of(&SUM, "").run.stderr.replace("sha256  ", "");
    assert_eq!(String::from_utf8(sum).expect("text"), expected);
}
