//! Faults that are no errors of one call: short transfers, interruptions, slowness, panics, and sudden death.

use std::io::{BufRead, BufReader};

use highwater::platform::fault::{LOG, RULES};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::chains::{
    APPEND, Chain, DIRECT, Ends, GZIP, HOLE, LINKED_PIPES, Meeting, PEER_COMES_TO_READ, PEER_IS_SENT, PEER_READS,
    PEER_WRITES, PIPES, RESUME, RESUME_AND_VERIFY, RESUMED, RESUMED_AND_VERIFIED, SEVERAL, STATS, SUM,
    UNIX_PEER_COMES_TO_READ, UNIX_PEER_COMES_TO_WRITE, UNIX_PEER_READS, UNIX_PEER_WRITES, VERIFY,
};
use super::trial::{KEPT, Place, Trial, source};
use crate::harness::{Folder, highwater, noise};

/// A checkpoint comes with every few bytes.
const OFTEN: Chain = Chain {
    text: "read a | write b resume=true verify=true checkpoint=100",
    ..RESUME
};

const EVERY: [Chain; 18] = [
    DIRECT,
    VERIFY,
    OFTEN,
    SUM,
    STATS,
    PEER_COMES_TO_READ,
    UNIX_PEER_READS,
    UNIX_PEER_WRITES,
    UNIX_PEER_COMES_TO_READ,
    UNIX_PEER_COMES_TO_WRITE,
    GZIP,
    SEVERAL,
    APPEND,
    PIPES,
    LINKED_PIPES,
    PEER_READS,
    PEER_IS_SENT,
    PEER_WRITES,
];

/// Every transfer moves one byte.
const SHORT: &str = "read:*:short,write:*:short,splice:*:short,send-file:*:short,copy-file-range:*:short";

/// The chain delivers the same bytes as without the rules, and has nothing to say.
fn changes_nothing(chain: &Chain, rules: &str, bytes: usize) {
    let bytes = noise(bytes, 3);
    let (clean, trial) = (Trial::with(chain, "", &bytes), Trial::with(chain, rules, &bytes));
    assert!(trial.was_hit(), "{}: nothing was tried", chain.text);
    let said = trial.said();
    assert_eq!((trial.run.code, said.as_slice()), (Some(0), &[][..]), "{}", chain.text);
    assert!(trial.output == clean.output, "{}: other bytes", chain.text);
    assert!(trial.left.is_empty());
    if chain.side_file != STATS.side_file || chain.options != STATS.options {
        assert!(trial.side_file == clean.side_file, "{}: another sum", chain.text);
    }
}

#[test]
fn transfers_of_one_byte_deliver_all_of_them() {
    for chain in &EVERY {
        changes_nothing(chain, SHORT, 500);
    }
}

#[test]
fn a_storm_of_interruptions_changes_nothing() {
    for chain in &EVERY {
        changes_nothing(chain, "interruptible:*/2:EINTR", 20_001);
        changes_nothing(chain, &format!("interruptible:*/3:EINTR,{SHORT}"), 200);
    }
}

#[test]
fn a_storm_of_interruptions_and_short_reads_hide_nothing_of_what_is_gone_on_with() {
    for chain in [RESUMED, RESUMED_AND_VERIFIED] {
        changes_nothing(
            &chain,
            "interruptible:*/2:EINTR,read:*/7:short,write:*/3:short",
            source().len(),
        );
    }
}

#[test]
fn a_disk_that_will_not_begin_early_has_it_all_in_the_end() {
    let bytes = noise(HOLE, 6);
    let folder = Folder::new();
    folder.write("a", &bytes);
    let log = Folder::new();
    let log = log.join("log");
    // Through a link, which the sparse file of the sweep does not pass.
    let run = highwater(["--chunk", "1MiB", "read a | take 1T | write b"])
        .within(&folder)
        .environment(RULES, "writeback:*:EIO")
        .environment(LOG, log.to_str().expect("text"))
        .run();
    run.succeeds();
    assert!(folder.read("b") == bytes);
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(log.matches("writeback 1 Fail").count(), 1, "it was asked");
}

#[test]
fn what_the_kernel_cannot_move_is_read_and_written() {
    for error in ["ENOSYS", "EXDEV", "EINVAL", "EPERM", "EOPNOTSUPP"] {
        changes_nothing(&DIRECT, &format!("copy-file-range:*:{error}"), 20_001);
        changes_nothing(&PIPES, &format!("splice:*:{error}"), 20_001);
        changes_nothing(&PEER_IS_SENT, &format!("send-file:*:{error}"), 20_001);
    }
}

#[test]
fn what_the_kernel_has_moved_already_is_not_moved_again() {
    for moved in 1..4 {
        let after = moved + 1;
        let rules = format!("copy-file-range:{after}+:EXDEV,copy-file-range:*:short");
        changes_nothing(&DIRECT, &rules, 5_001);
        changes_nothing(&PIPES, &format!("splice:{after}+:EINVAL,splice:*:short"), 5_001);
        changes_nothing(
            &PEER_IS_SENT,
            &format!("send-file:{after}+:EINVAL,send-file:*:short"),
            5_001,
        );
    }
}

/// Nothing but a file has a disk behind it.
#[test]
fn standard_output_that_is_a_file_is_durable() {
    for (rule, sink, code) in [
        ("sync:1:EIO", "write -", 4),
        ("sync:1:ENOSPC", "take 1T", 5),
        ("sync:1:EINVAL", "write -", 0),
        ("sync:1:EIO", "write - sync=false", 0),
        ("close:1:EIO", "write -", 4),
        ("close:1:EDQUOT", "write - sync=false", 5),
    ] {
        let folder = Folder::new();
        folder.write("a", source());
        let out = std::fs::File::create(folder.join("b")).expect("created");
        let run = highwater([format!("read a | {sink}")])
            .within(&folder)
            .stdout(out)
            .environment(RULES, rule)
            .run();
        assert_eq!(run.code, Some(code), "{rule} {sink}: {}", run.stderr);
    }
}

/// Asked again, whoever says so would say so for ever.
#[test]
fn a_write_that_moves_nothing_is_an_error() {
    for chain in [GZIP, SEVERAL, APPEND, LINKED_PIPES, PEER_READS] {
        let trial = Trial::of(&chain, "write:1+:nothing");
        assert!(trial.was_hit(), "{}", chain.text);
        let said = trial.said();
        assert_eq!((trial.run.code, said.len()), (Some(4), 1), "{}", trial.run.stderr);
        assert!(said[0].contains("cannot write: Input/output error"), "{}", said[0]);
    }
}

#[test]
fn a_stage_that_panics_is_named_and_leaves_nothing() {
    for (chain, rule, stage) in [
        (DIRECT, "copy-file-range:1:panic", "read a"),
        (GZIP, "read:2:panic", "read a"),
        (GZIP, "write:1:panic", "write b"),
        (GZIP, "sync:1:panic", "write b"),
        (APPEND, "write:2:panic", "write b append=true"),
    ] {
        let trial = Trial::of(&chain, rule);
        let said = trial.said();
        assert_eq!(
            (trial.run.code, said.len()),
            (Some(70), 1),
            "{rule}: {}",
            trial.run.stderr
        );
        assert!(said[0].starts_with(&format!("highwater: {stage}: ")), "{}", said[0]);
        assert!(
            trial.output == b"old" && trial.left.is_empty(),
            "{rule}: {:?}",
            trial.left
        );
    }
}

#[test]
fn killed_at_any_operation_the_target_is_the_old_file_or_the_whole_new_one() {
    for chain in [DIRECT, GZIP, VERIFY] {
        let clean = Trial::of(&chain, "");
        let mut old = 0;
        for (operation, count) in clean.counts() {
            for number in 1..=count {
                let rule = format!("{operation}:{number}:kill");
                let trial = Trial::of(&chain, &rule);
                if !trial.was_hit() {
                    continue;
                }
                assert_eq!(trial.run.signal, Some(Signal::KILL.as_raw()), "{rule}");
                old += usize::from(trial.output == b"old");
                assert!(
                    trial.output == b"old" || trial.output == clean.output,
                    "{rule}: a mixture"
                );
                let recognisable = |name: &String| name.starts_with(".b.highwater-");
                assert!(trial.left.iter().all(recognisable), "{rule}: {:?}", trial.left);
            }
        }
        assert!(old > 10, "{}: only {old} kills before the rename", chain.text);
    }
}

#[test]
fn killed_at_any_operation_a_resumable_write_is_gone_on_with_to_the_same_bytes() {
    for chain in [RESUME, RESUMED_AND_VERIFIED] {
        let clean = Trial::of(&chain, "");
        let mut kills = 0;
        for (operation, count) in clean.counts() {
            for number in 1..=count {
                let rule = format!("{operation}:{number}:kill");
                let place = Place::new(&chain, &source());
                let killed = place.run(&rule);
                if !killed.was_hit() {
                    continue;
                }
                kills += 1;
                assert_eq!(killed.run.signal, Some(Signal::KILL.as_raw()), "{rule}");
                let is_untouched = killed.output == b"old" || killed.output == clean.output;
                assert!(is_untouched, "{rule}: a mixture");
                let is_kept = |name: &String| KEPT.contains(&name.as_str());
                assert!(killed.left.iter().all(is_kept), "{rule}: {:?}", killed.left);
                let again = place.run("");
                assert_eq!(
                    (again.run.code, again.said().len(), again.left.len()),
                    (Some(0), 0, 0),
                    "{}: {rule}: then {} {:?}",
                    chain.text,
                    again.run.stderr,
                    again.left
                );
                assert!(again.output == clean.output, "{}: {rule}: other bytes", chain.text);
            }
        }
        assert!(kills > 40, "{}: only {kills} kills", chain.text);
    }
}

/// What is read back is never taken for what was written because it could not be read.
#[test]
fn what_cannot_be_read_back_whole_is_no_success() {
    for chain in [VERIFY, RESUME_AND_VERIFY] {
        let reads = Trial::of(&chain, "").counts();
        let (_, last) = reads.iter().find(|(name, _)| name == "read").expect("it reads");
        // The last two find the bytes and the end.
        for number in last - 1..=*last {
            let trial = Trial::of(&chain, &format!("read:{number}:EIO"));
            assert!(trial.was_hit());
            let expected = format!(
                "highwater: {}: cannot read it back: Input/output error",
                chain.text.split(" | ").last().expect("a sink")
            );
            assert_eq!(trial.run.fails(4), expected);
            assert!(trial.output == b"old");
        }
    }
}

#[test]
fn a_recording_takes_neither_the_source_nor_the_sink_with_it() {
    for (recording, old) in [("a", "the source"), ("b", "the sink")] {
        // More of each than there are.
        for (operation, count) in [("stat", 16), ("open", 2), ("truncate", 1), ("unlink", 1)] {
            for number in 1..=count {
                let folder = Folder::new();
                folder.write("a", "the source");
                folder.write("b", "the sink");
                let run = highwater(["--record", recording, "read a | write b"])
                    .within(&folder)
                    .environment(RULES, &format!("{operation}:{number}:EIO"))
                    .run();
                let what = format!("{recording}: {operation}:{number}: {}", run.stderr);
                assert!(run.code.is_some_and(|code| code != 0), "{what}");
                assert_eq!(folder.read(recording), old.as_bytes(), "{what}");
                assert_eq!(folder.names(), ["a", "b"], "{what}");
            }
        }
    }
}

#[test]
fn killed_at_any_operation_an_append_keeps_what_was_there() {
    let clean = Trial::of(&APPEND, "");
    for (operation, count) in clean.counts() {
        for number in 1..=count {
            let trial = Trial::of(&APPEND, &format!("{operation}:{number}:kill"));
            let grown = trial.output.starts_with(b"old") && clean.output.starts_with(&trial.output);
            assert!(grown, "{operation} {number}: a mixture");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_synced_is_said_to_be_so() {
    let (clean, trial) = (Trial::of(&GZIP, ""), Trial::of(&GZIP, "sync:2:EIO"));
    let why = "the file is in place, but its durability is unknown: Input/output error";
    assert_eq!(trial.run.fails(4), format!("highwater: write b: {why}"));
    assert!(trial.output == clean.output && trial.left.is_empty());
}

#[test]
fn what_cannot_be_rolled_back_is_named() {
    let trial = Trial::of(&GZIP, "write:1:ENOSPC,unlink:*:EIO");
    let said = trial.said();
    assert_eq!((trial.run.code, said.len()), (Some(5), 2), "{}", trial.run.stderr);
    let left = &trial.left[0];
    assert_eq!(
        said[0],
        format!("highwater: cannot remove ./{left}: Input/output error")
    );
    assert!(trial.output == b"old");
}

#[test]
fn standard_error_that_fails_changes_neither_bytes_nor_code() {
    let trial = Trial::of(&GZIP, "say:*:EIO,write:1:ENOSPC");
    assert_eq!((trial.run.code, trial.run.stderr.as_str()), (Some(5), ""));
    let folder = Folder::new();
    let bytes = noise(100_001, 4);
    folder.write("a", &bytes);
    let shown = [
        "--progress",
        "json",
        "--interval",
        "1ms",
        "read a | gzip | gunzip | write b",
    ];
    let run = highwater(shown).within(&folder).environment(RULES, "say:*:EIO").run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(folder.read("b") == bytes);
}

#[test]
fn a_sink_that_closes_with_an_error_is_no_success() {
    // What a network file system has to say, it may say at the close, of standard output as well.
    let folder = Folder::new();
    folder.write("a", noise(1000, 1));
    let output = std::fs::File::create(folder.join("b")).expect("created");
    let run = highwater(["read a"])
        .within(&folder)
        .stdout(output)
        .environment(RULES, "close:1:EIO")
        .run();
    assert_eq!(
        run.fails(4),
        "highwater: write -: cannot finish the file: Input/output error"
    );
}

#[test]
fn a_signal_does_not_wait_for_a_disk_that_does_not_answer() {
    for (rule, reached) in [("sync:1:600000ms", "sync 1 "), ("write:2:600000ms", "write 2 ")] {
        let folder = Folder::new();
        folder.write("a", noise(300_000, 2));
        folder.write("b", "old");
        let notes = Folder::new();
        let log = notes.fifo("log");
        let running = highwater(["--chunk", "64KiB", "read a | take 1T | write b"])
            .within(&folder)
            .environment(RULES, rule)
            .environment(LOG, log.to_str().expect("text"))
            .start();
        let mut log = BufReader::new(std::fs::File::open(log).expect("opened"));
        let mut line = String::new();
        while !line.starts_with(reached) {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("text"), 0, "it never came to {reached}");
        }
        // It may have more to say, and must not wait for us.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        running.signal(Signal::TERM);
        let run = running.wait();
        assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
        let named = "highwater: write b: did not stop in time; left alone";
        assert!(run.stderr.lines().any(|line| line == named), "{}", run.stderr);
        assert_eq!(
            (folder.read("b"), folder.names()),
            (b"old".to_vec(), vec!["a".into(), "b".into()])
        );
    }
}

/// The folder does not answer, with the new file in its place: that is worth a while, unless somebody asks twice.
#[test]
fn whoever_asks_twice_is_not_kept_waiting_and_is_told_what_is_left() {
    let folder = Folder::new();
    folder.write("a", noise(300_000, 2));
    let notes = Folder::new();
    let log = notes.fifo("log");
    let running = highwater(["read a | take 1T | write b"])
        .within(&folder)
        .environment(RULES, "sync:2:600000ms")
        .environment(LOG, log.to_str().expect("text"))
        .start();
    let mut log = BufReader::new(std::fs::File::open(log).expect("opened"));
    let mut line = String::new();
    while !line.starts_with("sync 2 ") {
        line.clear();
        assert_ne!(
            log.read_line(&mut line).expect("text"),
            0,
            "it never came to the folder"
        );
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    // Two different ones, so that they cannot become one on their way.
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let run = running.wait();
    let named = "highwater: write b: not waited for";
    assert!(run.stderr.lines().any(|line| line == named), "{}", run.stderr);
    assert_eq!(folder.read("b"), folder.read("a"), "it is the whole new one");
}

/// What a run that lasts asked of the system for its control socket. Its source ends when it has one, or cannot have one.
fn with_a_control_socket(rule: &str) -> Vec<String> {
    let (folder, notes) = (Folder::new(), Folder::new());
    let bytes = noise(1000, 8);
    let source = folder.fifo("a");
    let log = notes.fifo("log");
    let running = highwater(["--interval", "1ms", "--progress", "none", "read a | take 1T | write b"])
        .within(&folder)
        .environment("XDG_RUNTIME_DIR", notes.path().to_str().expect("text"))
        .environment(RULES, rule)
        .environment(LOG, log.to_str().expect("text"))
        .start();
    let log = BufReader::new(std::fs::File::open(log).expect("opened"));
    let mut source = Some(std::fs::File::options().write(true).open(source).expect("a reader"));
    let mut asked = Vec::new();
    for line in log.lines().map(|line| line.expect("text")) {
        let is_hit = line.split(' ').count() > 2;
        if (is_hit || line.starts_with("aside-accept 1"))
            && let Some(mut source) = source.take()
        {
            std::io::Write::write_all(&mut source, &bytes).expect("written");
        }
        if line.starts_with("aside-") {
            asked.push(line);
        }
    }
    running.wait().succeeds();
    assert!(folder.read("b") == bytes, "{rule}: other bytes");
    asked
}

#[test]
fn a_control_socket_that_cannot_be_had_or_listened_at_changes_nothing() {
    let clean = with_a_control_socket("");
    assert!(clean.len() > 10, "{clean:?}");
    for call in clean {
        let rule = format!("{}:EIO", call.replace(' ', ":"));
        let asked = with_a_control_socket(&rule);
        let hit = format!("{call} ");
        assert!(asked.iter().any(|line| line.starts_with(&hit)), "{rule}: {asked:?}");
    }
}

/// Runs a chain from `a` to `b`, and does something to `a` while the run is stopped before its third read.
fn while_it_is_read(meanwhile: impl FnOnce(&Folder)) -> (Folder, crate::harness::Run) {
    let folder = Folder::new();
    folder.write("a", noise(200_000, 5));
    folder.write("b", "old");
    let running = highwater(["--chunk", "20KiB", "--log", "warn", "read a | take 1T | write b"])
        .within(&folder)
        .environment(RULES, "read:3:stop")
        .start();
    let pid: Pid = running.pid();
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)
        .expect("a child")
        .expect("it changes");
    assert!(status.stopped(), "{status:?}");
    meanwhile(&folder);
    running.signal(Signal::CONT);
    let run = running.wait();
    (folder, run)
}

#[test]
fn a_source_that_shrinks_is_not_whole() {
    let shrink = |folder: &Folder| {
        let file = std::fs::File::options()
            .write(true)
            .open(folder.join("a"))
            .expect("opened");
        file.set_len(60_000).expect("cut");
    };
    let (folder, run) = while_it_is_read(shrink);
    let why = "the file shrank while it was read: 200000 bytes at first, 60000 at last";
    assert_eq!(
        run.fails(10),
        format!("highwater: read a: cannot read all of it: {why}")
    );
    assert_eq!((folder.read("b"), folder.names().len()), (b"old".to_vec(), 2));
}

#[test]
fn a_source_that_grows_is_read_to_its_end_with_a_warning() {
    let grow = |folder: &Folder| {
        let mut file = std::fs::File::options()
            .append(true)
            .open(folder.join("a"))
            .expect("opened");
        std::io::Write::write_all(&mut file, b" and more").expect("written");
    };
    let (folder, run) = while_it_is_read(grow);
    assert_eq!((run.code, run.stderr.lines().count()), (Some(0), 1), "{}", run.stderr);
    let warning = "the source grew while it was read: 200000 bytes at first, 200009 at last";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    assert!(folder.read("b") == folder.read("a"));
}

#[test]
fn a_source_that_vanishes_is_read_whole() {
    let (folder, run) = while_it_is_read(|folder| std::fs::remove_file(folder.join("a")).expect("removed"));
    run.succeeds();
    assert!(folder.read("b") == noise(200_000, 5));
}

#[test]
fn the_chains_cover_every_kind_of_end() {
    let meetings = [Meeting::Tcp, Meeting::TcpListen, Meeting::Unix, Meeting::UnixListen];
    for ends in [Ends::Files, Ends::Pipes]
        .into_iter()
        .chain(meetings.map(Ends::PeerReads))
    {
        assert!(EVERY.iter().any(|chain| chain.ends == ends), "{ends:?}");
    }
    for ends in meetings[1..].iter().copied().map(Ends::PeerWrites) {
        assert!(EVERY.iter().any(|chain| chain.ends == ends), "{ends:?}");
    }
    assert!(EVERY.iter().any(|chain| chain.appends));
}
