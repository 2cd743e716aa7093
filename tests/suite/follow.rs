//! Files that are followed while others write to them: rotation, truncation, and runs that go on where others ended.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Folder, Running, highwater, peer, xorshift};

/// A log that rotates as logrotate does, with its own count.
struct Log<'f> {
    folder: &'f Folder,
    file: File,
    /// The file before it, of a writer that was not told of the rotation.
    old: Option<File>,
    lines: u32,
    rotations: u32,
}

impl<'f> Log<'f> {
    fn new(folder: &'f Folder) -> Self {
        Self {
            folder,
            file: open(&folder.join("log")),
            old: None,
            lines: 0,
            rotations: 0,
        }
    }

    fn write(&mut self, count: u32) {
        let text = self.next(count);
        self.file.write_all(text.as_bytes()).expect("written");
    }

    /// Writes to the file before.
    fn write_late(&mut self, count: u32) {
        let text = self.next(count);
        let old = self.old.as_mut().expect("rotated");
        old.write_all(text.as_bytes()).expect("written");
    }

    fn next(&mut self, count: u32) -> String {
        self.lines += count;
        numbers(self.lines - count..self.lines)
    }

    /// `log` becomes `log.1`, which was `log.2`, …
    fn rotate(&mut self) {
        for number in (1..=self.rotations).rev() {
            let name = |number| self.folder.join(&format!("log.{number}"));
            fs::rename(name(number), name(number + 1)).expect("renamed");
        }
        fs::rename(self.folder.join("log"), self.folder.join("log.1")).expect("renamed");
        self.old = Some(std::mem::replace(&mut self.file, open(&self.folder.join("log"))));
        self.rotations += 1;
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("opened")
}

/// A run whose output is read line by line.
fn follow(folder: &Folder, pipeline: &str) -> (Running, impl Iterator<Item = String> + use<>) {
    // Samples are rare: the test does not read them, and a full pipe would lose the messages behind them.
    let mut running = highwater(["--progress", "json", "--interval", "100ms", pipeline])
        .within(folder)
        .start();
    // It is open.
    running.line();
    let lines = BufReader::new(running.take_stdout()).lines();
    (running, lines.map(|line| line.expect("text")))
}

/// Ends a run by a signal, which commits what it has read.
fn end(running: Running) -> String {
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
    run.stderr
}

fn expect(lines: &mut impl Iterator<Item = String>, expected: std::ops::Range<u32>) {
    for number in expected {
        assert_eq!(lines.next(), Some(number.to_string()));
    }
}

#[test]
fn rotation_loses_no_line() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(10);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..10);
    let mut chances = xorshift(3);
    for _ in 0..200 {
        let before = log.lines;
        for _ in 0..chances.next().expect("endless") % 4 {
            log.write(u32::try_from(chances.next().expect("endless") % 50).expect("small"));
            log.rotate();
        }
        log.write(1);
        expect(&mut lines, before..log.lines);
    }
    assert!(log.rotations > 200);
    end(running);
    assert_eq!(lines.next(), None);
}

/// As children of a server do that end long after it was told to open the new file.
#[test]
fn late_lines_of_the_file_before_are_read() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(10);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..10);
    log.rotate();
    log.write(5);
    expect(&mut lines, 10..15);
    for _ in 0..3 {
        let before = log.lines;
        log.write_late(2);
        expect(&mut lines, before..log.lines);
        let before = log.lines;
        log.write(3);
        expect(&mut lines, before..log.lines);
    }
    // A part of a line, while the next ones are read.
    log.old.as_ref().expect("there").write_all(b"10").expect("written");
    let before = log.lines;
    log.write(3);
    expect(&mut lines, before..log.lines);
    log.old.as_ref().expect("there").write_all(b"00\n").expect("written");
    expect(&mut lines, 1000..1001);
    // A file that is shorter than it was has no late lines.
    log.old.as_ref().expect("there").set_len(0).expect("truncated");
    let before = log.lines;
    log.rotate();
    log.write(1);
    expect(&mut lines, before..log.lines);
    end(running);
    assert_eq!(lines.next(), None);
}

/// A file that came before is not the next one, whatever was written to it last; where it has the name again, it goes on.
#[test]
fn file_before_is_not_read_again() {
    let folder = Folder::new();
    let append = |name: &str, text: &str| {
        let mut file = open(&folder.join(name));
        file.write_all(text.as_bytes()).expect("written");
    };
    let rotate = |to: &str| fs::rename(folder.join("log"), folder.join(to)).expect("renamed");
    append("log", "0\n1\n");
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..2);
    rotate("log-20260101");
    append("log", "2\n");
    expect(&mut lines, 2..3);
    append("log-20260101", "3\n");
    expect(&mut lines, 3..4);
    // Its time is later than that of the file after it.
    rotate("log-20260102");
    append("log", "4\n");
    expect(&mut lines, 4..5);
    // Late lines of both.
    append("log-20260101", "5\n");
    expect(&mut lines, 5..6);
    append("log-20260102", "6\n");
    expect(&mut lines, 6..7);
    fs::remove_file(folder.join("log")).expect("removed");
    fs::rename(folder.join("log-20260102"), folder.join("log")).expect("renamed");
    append("log", "7\n");
    expect(&mut lines, 7..8);
    end(running);
    assert_eq!(lines.next(), None);
}

#[test]
fn late_line_is_read_once_it_has_its_end() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(1);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..1);
    log.rotate();
    log.write(1);
    expect(&mut lines, 1..2);
    // Longer than any buffer.
    let endless = "x".repeat(1 << 20);
    let old = log.old.as_ref().expect("there").try_clone().expect("cloned");
    (&old).write_all(endless.as_bytes()).expect("written");
    log.write(1);
    expect(&mut lines, 2..3);
    (&old).write_all(b"\n").expect("written");
    assert_eq!(lines.next().expect("a line").len(), endless.len());
    log.write(1);
    expect(&mut lines, 3..4);
    end(running);
    assert_eq!(lines.next(), None);
}

/// Each line is in the batches once, whatever runs were killed, although the lines of two files are mixed.
#[test]
fn killed_runs_lose_no_late_line() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    let mut chances = xorshift(19);
    let mut chance = |most: u64| u32::try_from(chances.next().expect("endless") % most).expect("small");
    log.write(10);
    for _ in 0..25 {
        let mut running = highwater(["--progress", "json", "--interval", "2ms", BATCHED])
            .within(&folder)
            .start();
        // The first run has noted where it begins.
        running.line();
        for _ in 0..chance(4) {
            for _ in 0..chance(3) {
                log.write(chance(1000));
                if log.old.is_some() {
                    log.write_late(chance(300));
                }
            }
            if chance(2) == 0 {
                log.rotate();
                log.write(1);
            }
            running.line();
        }
        for _ in 0..chance(8) {
            running.line();
        }
        running.signal(Signal::KILL);
        running.wait();
    }
    let mut running = highwater(["--progress", "json", "--interval", "2ms", BATCHED])
        .within(&folder)
        .start();
    let expected: Vec<u32> = (0..log.lines).collect();
    loop {
        let lines = committed(&folder)
            .into_iter()
            .map(|line| line.parse().expect("a number"));
        let mut lines: Vec<u32> = lines.collect();
        lines.sort_unstable();
        if lines.len() >= expected.len() {
            assert!(lines == expected, "{} of {}", lines.len(), expected.len());
            break;
        }
        assert!(!running.line().is_empty(), "it ended");
    }
    end(running);
}

#[test]
fn file_that_came_after_the_start_is_not_skipped_later() {
    let folder = Folder::new();
    let pipeline = "read log follow=true from=end state=state | lines | write out append=true";
    let mut running = highwater([pipeline]).within(&folder).start();
    until(&mut running, "no such file yet");
    end(running);
    Log::new(&folder).write(10);
    let mut running = highwater(["--progress", "json", "--interval", "2ms", pipeline])
        .within(&folder)
        .start();
    assert!(running.writes(20));
    end(running);
    assert_eq!(folder.read("out"), numbers(0..10).as_bytes());
}

#[test]
fn state_that_cannot_be_written_at_the_end_fails_the_run() {
    let folder = Folder::new();
    fs::create_dir(folder.join("states")).expect("made");
    let mut log = Log::new(&folder);
    log.write(10);
    let pipeline = "read log follow=true state=states/s | lines | batch size=1GiB (write {position})";
    let mut running = highwater(["--progress", "json", "--interval", "2ms", pipeline])
        .within(&folder)
        .start();
    assert!(running.writes(20));
    fs::rename(folder.join("states"), folder.join("gone")).expect("renamed");
    running.signal(Signal::TERM);
    let run = running.wait();
    assert!(
        run.stderr.contains("cannot write the state in states/s"),
        "{}",
        run.stderr
    );
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    // What the next run would make again, with other names perhaps, was not committed.
    assert_eq!(folder.names(), ["gone", "log"]);
}

#[test]
fn truncated_file_is_read_anew() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(100);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..100);
    // As copytruncate does, and grown beyond where the reader was.
    log.file.set_len(0).expect("truncated");
    let before = log.lines;
    log.write(500);
    expect(&mut lines, before..log.lines);
    let said = end(running);
    assert!(said.contains("it was truncated"), "{said}");
}

#[test]
fn truncation_during_a_backlog_tears_no_line() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    // More than the pipeline holds while nobody reads its output.
    log.write(1_000_000);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..1);
    log.file.set_len(0).expect("truncated");
    let (mut next, before) = (1, log.lines);
    log.write(1_000_000);
    let first = lines.find(|line| {
        let is_old = *line == next.to_string();
        next += 1;
        !is_old
    });
    assert_eq!(first, Some(before.to_string()));
    assert!(next < before, "there was a backlog");
    expect(&mut lines, before + 1..log.lines);
    let said = end(running);
    assert!(said.contains("it was truncated"), "{said}");
    assert_eq!(lines.next(), None);
}

/// As containers' logs are: a link, and what it leads to is rotated in another folder.
#[test]
fn rotation_behind_a_link_loses_no_line() {
    let folder = Folder::new();
    for name in ["pod", "containers"] {
        fs::create_dir(folder.join(name)).expect("created");
    }
    std::os::unix::fs::symlink("../pod/log", folder.join("containers/app.log")).expect("linked");
    let pod = folder.join("pod");
    let mut lines_written = 0;
    let mut write = |count: u32| {
        let text = numbers(lines_written..lines_written + count);
        open(&pod.join("log")).write_all(text.as_bytes()).expect("written");
        lines_written += count;
    };
    let rotate = |to: &str| fs::rename(pod.join("log"), pod.join(to)).expect("renamed");
    write(1_000_000);
    let (running, mut lines) = follow(&folder, "read containers/app.log follow=true");
    expect(&mut lines, 0..1);
    // Two rotations while there is a backlog.
    rotate("log.20261127-100000");
    write(10);
    rotate("log.20261127-110000");
    write(10);
    expect(&mut lines, 1..1_000_020);
    end(running);
    assert_eq!(lines.next(), None);
}

#[test]
fn replaced_and_recreated_files_are_found() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(3);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..3);
    folder.write("new", "3\n4\n");
    fs::rename(folder.join("new"), folder.join("log")).expect("replaced");
    expect(&mut lines, 3..5);
    fs::remove_file(folder.join("log")).expect("removed");
    folder.write("log", "5\n");
    expect(&mut lines, 5..6);
    end(running);
}

/// As a rotation does that gives the new file its rights after its name.
#[test]
fn next_file_may_get_its_rights_later() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Some(mut setpriv) = peer("setpriv") else { return };
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let folder = Folder::new();
    let allow = |name: &str, mode| {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("changed");
    };
    // It may be entered, and not be listed.
    allow(".", 0o711);
    let mut log = Log::new(&folder);
    log.write(10);
    allow("log", 0o644);
    let mut running = highwater(["read log follow=true"])
        .under(setpriv)
        .within(&folder)
        .start();
    let mut lines = BufReader::new(running.take_stdout())
        .lines()
        .map(|line| line.expect("text"));
    expect(&mut lines, 0..10);
    fs::rename(folder.join("log"), folder.join("log.1")).expect("renamed");
    folder.write("new", "10\n");
    allow("new", 0o600);
    fs::rename(folder.join("new"), folder.join("log")).expect("renamed");
    until(&mut running, "may not be read yet: permission denied");
    allow("log", 0o644);
    expect(&mut lines, 10..11);
    end(running);
}

#[test]
fn removed_file_leaves_those_after_it() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(1);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    expect(&mut lines, 0..1);
    running.signal(Signal::STOP);
    log.rotate();
    log.write(1);
    log.rotate();
    log.write(1);
    fs::remove_file(folder.join("log.2")).expect("removed");
    running.signal(Signal::CONT);
    expect(&mut lines, 1..3);
    end(running);
}

#[test]
fn torn_last_line_waits_for_its_end() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    let (running, mut lines) = follow(&folder, "read log follow=true");
    log.file.write_all(b"0\n1").expect("written");
    expect(&mut lines, 0..1);
    log.file.write_all(b"2\n13").expect("written");
    expect(&mut lines, 12..13);
    // The next file's first line is not joined to it.
    log.rotate();
    log.file.write_all(b"14\n").expect("written");
    expect(&mut lines, 13..15);
    end(running);
}

#[test]
fn missing_file_is_waited_for() {
    let folder = Folder::new();
    let mut running = highwater(["read log follow=true"]).within(&folder).start();
    assert!(running.line().contains("no such file yet"));
    folder.write("log", "0\n");
    let mut lines = BufReader::new(running.take_stdout())
        .lines()
        .map(|line| line.expect("text"));
    expect(&mut lines, 0..1);
    end(running);
}

#[test]
fn following_can_begin_at_the_end() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(1000);
    log.file.write_all(b"1").expect("written");
    let (running, mut lines) = follow(&folder, "read log follow=true from=end");
    log.file.write_all(b"0\n").expect("written");
    expect(&mut lines, 10..11);
    end(running);
}

#[test]
fn stats_tell_what_is_not_read_yet() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    // More than links and pipes hold.
    let lines = vec![b'\n'; 8 << 20];
    log.file.write_all(&lines).expect("written");
    log.rotate();
    log.file.write_all(&lines[..1000]).expect("written");
    fs::rename(folder.join("log"), folder.join("log.0")).expect("renamed");
    fs::rename(folder.join("log.1"), folder.join("log")).expect("renamed");
    let size = fs::metadata(folder.join("log")).expect("there").len();
    let pipeline = "read log follow=true | exec sleep 60 | write /dev/null";
    let mut running = highwater([
        "--memory",
        "16MiB",
        "--progress",
        "json",
        "--interval",
        "10ms",
        pipeline,
    ])
    .within(&folder)
    .start();
    let mut until = |whole: u64| loop {
        let sample: serde_json::Value = serde_json::from_str(&running.line()).expect("a sample");
        let source = &sample["stages"][0];
        let (read, left) = (source["bytes_in"].as_u64(), source["backlog_bytes"].as_u64());
        if let (Some(read), Some(left @ 1..)) = (read, left)
            && read + left == whole
        {
            break;
        }
    };
    until(size);
    fs::rename(folder.join("log"), folder.join("log.1")).expect("renamed");
    fs::rename(folder.join("log.0"), folder.join("log")).expect("renamed");
    until(size + fs::metadata(folder.join("log")).expect("there").len());
    running.signal(Signal::KILL);
    running.wait();
}

/// The lines in the files of `out`, in the order of their names.
fn committed(folder: &Folder) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.join("out"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.file_name().expect("a name").to_string_lossy().starts_with('.'))
        .collect();
    names.sort();
    let texts = names.iter().map(|name| {
        let mut text = String::new();
        let file = File::open(name).expect("opened");
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).expect("whole");
        text
    });
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

const BATCHED: &str =
    "read log follow=true state=state | lines | batch size=2KiB every=5ms (gzip | write out/{position}.gz)";

#[test]
fn killed_runs_commit_each_line_once() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    let mut chances = xorshift(17);
    for _ in 0..25 {
        let mut running = highwater(["--progress", "json", "--interval", "2ms", BATCHED])
            .within(&folder)
            .start();
        for _ in 0..chances.next().expect("endless") % 4 {
            log.write(u32::try_from(chances.next().expect("endless") % 2000).expect("small"));
            if chances.next().expect("endless").is_multiple_of(2) {
                log.rotate();
            }
        }
        for _ in 0..chances.next().expect("endless") % 8 {
            running.line();
        }
        running.signal(Signal::KILL);
        running.wait();
    }
    log.write(1);
    let mut running = highwater(["--progress", "json", "--interval", "2ms", BATCHED])
        .within(&folder)
        .start();
    let last = (log.lines - 1).to_string();
    while committed(&folder).last() != Some(&last) {
        assert!(!running.line().is_empty(), "it ended");
    }
    end(running);
    let expected: Vec<String> = (0..log.lines).map(|line| line.to_string()).collect();
    assert!(committed(&folder) == expected, "{} lines", log.lines);
}

#[test]
fn signal_commits_and_the_next_run_goes_on() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    let pipeline = "read log follow=true state=state | lines | batch every=1h (gzip | write out/{position}.gz)";
    for _ in 0..3 {
        log.write(50);
        let mut running = highwater(["--progress", "json", "--interval", "2ms", pipeline])
            .within(&folder)
            .start();
        assert!(running.writes(1));
        let stderr = end(running);
        let whole = fs::metadata(folder.join("log")).expect("there").len();
        assert!(
            stderr.contains(&format!("\"acknowledged_position\":{whole}")),
            "{stderr}"
        );
    }
    let expected: Vec<String> = (0..150).map(|line| line.to_string()).collect();
    assert_eq!(committed(&folder), expected);
    let state = String::from_utf8(folder.read("state")).expect("text");
    for damaged in [
        "{}",
        &state.replace("head_sum", "head_sun"),
        &state.replace("\"offset\":", "\"offset\":-"),
    ] {
        folder.write("state", damaged);
        let run = highwater([pipeline]).within(&folder).run();
        let line = run.fails(10);
        assert!(line.contains("state is no state of follow=true"), "{line}");
    }
}

/// Waits for a sample with this text; panics if the run ends before.
fn until(running: &mut Running, text: &str) {
    loop {
        let line = running.line();
        assert_ne!(line, "", "it ended early");
        if line.contains(text) {
            return;
        }
    }
}

/// What others have done with the files while nothing ran.
#[test]
fn files_of_a_pause_are_not_skipped() {
    for was_copied in [false, true] {
        let folder = Folder::new();
        let mut log = Log::new(&folder);
        log.write(1000);
        let pipeline = "read log follow=true state=s | write out append=true";
        let mut running = highwater(["--progress", "json", "--interval", "100ms", pipeline])
            .within(&folder)
            .start();
        assert!(running.writes(3890));
        end(running);
        log.write(1000);
        if was_copied {
            fs::copy(folder.join("log"), folder.join("log.1")).expect("copied");
            log.file.set_len(0).expect("truncated");
        } else {
            // As delaycompress does: what was read is there only compressed.
            log.rotate();
            log.write(1000);
            log.rotate();
            fs::rename(folder.join("log.2"), folder.join("log.2.gz")).expect("renamed");
            fs::write(folder.join("log.2.gz"), "packed").expect("written");
            fs::copy(folder.join("log.2.gz"), folder.join("packed")).expect("copied");
            fs::rename(folder.join("packed"), folder.join("log.2.gz")).expect("renamed");
        }
        log.write(1000);
        let all = log.lines;
        let mut running = highwater(["--progress", "json", "--interval", "100ms", pipeline])
            .within(&folder)
            .start();
        // In the other case the second thousand is only in the compressed file.
        let missed = numbers(if was_copied { 1000 } else { 2000 }..all);
        assert!(running.writes(missed.len() as u64));
        end(running);
        assert!(
            folder.read("out") == (numbers(0..1000) + &missed).into_bytes(),
            "{was_copied}"
        );
    }
}

#[test]
fn state_has_one_run_at_a_time() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(50);
    let mut first = highwater(["--progress", "json", "--interval", "2ms", BATCHED])
        .within(&folder)
        .start();
    // Its state has been replaced since it was opened.
    until(&mut first, "\"batches_committed\":1");
    let second = highwater([BATCHED]).within(&folder).run();
    let line = second.fails(3);
    assert!(line.contains("another run uses the state in state"), "{line}");
    log.write(50);
    let whole = fs::metadata(folder.join("log")).expect("there").len();
    until(&mut first, &format!("\"acknowledged_position\":{whole},"));
    end(first);
    let expected: Vec<String> = (0..100).map(|line| line.to_string()).collect();
    assert_eq!(committed(&folder), expected);
}

#[test]
fn reused_inode_is_not_the_old_file() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(50);
    let pipeline = "read log follow=true state=state | lines | batch every=1h (gzip | write out/{position}.gz)";
    let run = |count: u64| {
        let mut running = highwater(["--progress", "json", "--interval", "2ms", pipeline])
            .within(&folder)
            .start();
        assert!(running.writes(count));
        end(running)
    };
    run(1);
    // The same inode with other contents, and more of them than had been read.
    fs::write(folder.join("log"), "new\n".repeat(100)).expect("written");
    let stderr = run(1);
    assert!(stderr.contains("is not there any more"), "{stderr}");
    let expected = (0..50).map(|line| line.to_string());
    let expected: Vec<String> = expected.chain((0..100).map(|_| "new".to_owned())).collect();
    assert_eq!(committed(&folder), expected);
}

#[test]
fn optional_branch_holds_back_nothing() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(50);
    // Whatever becomes of the branch: it fails here.
    let pipeline = "read log follow=true state=state | lines \
                    | tee optional=true (from-json | to-json | write copy) | batch records=10 every=1h (write out/{position})";
    let whole = fs::metadata(folder.join("log")).expect("there").len();
    folder.write(
        "log",
        [fs::read(folder.join("log")).expect("read"), b"}\n".to_vec()].concat(),
    );
    let mut running = highwater(["--progress", "json", "--interval", "2ms", pipeline])
        .within(&folder)
        .start();
    let noted = format!("\"acknowledged_position\":{},", whole + 2);
    let mut said = std::iter::repeat_with(|| running.line()).take_while(|line| !line.is_empty());
    assert!(said.any(|line| line.contains(&noted)));
    let stderr = end(running);
    assert!(stderr.contains("from-json: cannot read"), "{stderr}");
    assert!(!folder.join("copy").exists());
}

const APPENDING: &str = "read log follow=true state=state | lines | write out append=true";

/// Follows until so many bytes are in the sink, and ends by a signal.
fn append(folder: &Folder, bytes: u64) -> String {
    let mut running = highwater(["--progress", "json", "--interval", "2ms", APPENDING])
        .within(folder)
        .start();
    assert!(running.writes(bytes));
    end(running)
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|line| line.to_string() + "\n").collect()
}

#[test]
fn killed_runs_append_each_line_once() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    let mut moments = xorshift(78);
    for _ in 0..20 {
        let mut running = highwater(["--progress", "json", "--interval", "1ms", APPENDING])
            .within(&folder)
            .start();
        let count = moments.next().expect("endless") % 30_000;
        log.write(u32::try_from(count).expect("small"));
        if count.is_multiple_of(3) {
            log.rotate();
            log.write(1000);
        }
        let written = moments.next().expect("endless") % (4 * count + 1);
        if running.writes(written) {
            running.signal(Signal::KILL);
        }
        running.wait();
    }
    log.write(10);
    let mut running = highwater(["--progress", "json", "--interval", "2ms", APPENDING])
        .within(&folder)
        .start();
    while std::fs::read_to_string(folder.join("out"))
        .is_ok_and(|text| !text.ends_with(&numbers(log.lines - 1..log.lines)))
    {
        assert!(!running.line().is_empty(), "it goes on");
    }
    end(running);
    let out = String::from_utf8(folder.read("out")).expect("text");
    assert!(out == numbers(0..log.lines), "{} lines", log.lines);
}

#[test]
fn stopped_runs_tear_no_line_of_a_backlog() {
    let folder = Folder::new();
    let mut lengths = xorshift(41);
    // Longer than a buffer at the most.
    let line = |number: u64, length: u64| {
        let length = if number.is_multiple_of(97) {
            300_000
        } else {
            length % 4000
        };
        format!("{number} {}\n", "x".repeat(usize::try_from(length).expect("small")))
    };
    let log: String = (0..1500)
        .map(|number| line(number, lengths.next().expect("endless")))
        .collect();
    folder.write("log", &log);
    for (lines, pipeline) in [
        (
            "",
            "read log follow=true state=s0 | throttle 10MB/s | write out0 append=true",
        ),
        (
            "lines",
            "read log follow=true state=s1 | lines | throttle 10MB/s | write out1 append=true",
        ),
    ] {
        let out = format!("out{}", usize::from(!lines.is_empty()));
        let size = || fs::metadata(folder.join(&out)).map_or(0, |found| found.len());
        let mut moments = xorshift(43);
        let mut turn = 0;
        while size() < log.len() as u64 {
            let mut running = highwater(["--progress", "json", "--interval", "1ms", pipeline])
                .within(&folder)
                .start();
            let wanted = size() + moments.next().expect("endless") % 2_000_000;
            let left = log.len() as u64;
            while size() < wanted.min(left) {
                assert!(!running.line().is_empty(), "it ended");
            }
            turn += 1;
            running.signal(if turn % 2 == 0 { Signal::KILL } else { Signal::TERM });
            running.wait();
        }
        let same = folder.read(&out) == log.as_bytes();
        assert!(same, "{lines}: {} of {}", size(), log.len());
        assert!(turn > 1, "nothing was stopped");
    }
}

#[test]
fn end_of_a_killed_run_is_continued() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(50);
    append(&folder, 140);
    // As a run that was killed behind its last note leaves it.
    log.write(50);
    open(&folder.join("out")).write_all(b"50\n51\n5").expect("written");
    let said = append(&folder, 150);
    assert_eq!(folder.read("out"), numbers(0..100).as_bytes());
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn lines_of_others_stay_and_are_told() {
    let folder = Folder::new();
    let mut log = Log::new(&folder);
    log.write(50);
    append(&folder, 140);
    log.write(50);
    open(&folder.join("out")).write_all(b"50\n5x\n").expect("written");
    let said = append(&folder, 150);
    let expected = [&numbers(0..51), "5x\n", &numbers(51..100)].concat();
    assert_eq!(String::from_utf8_lossy(&folder.read("out")), expected);
    assert!(said.contains("2 bytes that do not come again"), "{said}");
    // Another file has the name.
    log.write(50);
    fs::rename(folder.join("out"), folder.join("old")).expect("renamed");
    let said = append(&folder, 200);
    assert_eq!(folder.read("out"), numbers(100..150).as_bytes());
    assert!(
        said.contains("not the file that an earlier run has appended to"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let folder = Folder::new();
    folder.fifo("fifo");
    for (pipeline, why) in [
        ("read fifo follow=true", "fifo is not a regular file"),
        ("read a state=s", "`state` is for follow=true"),
        ("read a follow=true state=a", "the state cannot be the file"),
        (
            "read a follow=true state=s | lines | tee (write b append=true) | write c append=true",
            "can say what is durable only as the only sink",
        ),
        ("read a follow=true state=", "the state's file has no name"),
        ("read a b follow=true", "cannot be one of several"),
        (
            "read a follow=true state=s | lines | write b",
            "`write` makes nothing durable",
        ),
        (
            "read a follow=true state=s | gzip | batch size=1M (write {n})",
            "behind `gzip` it is not known what is durable",
        ),
        (
            "read a follow=true state=s | from-csv | batch size=1M (write {n})",
            "behind `from-csv` it is not known what is durable",
        ),
        (
            "read a follow=true state=s | lines | tee (write b) | batch size=1M (write {n})",
            "`write` makes nothing durable",
        ),
    ] {
        let run = highwater([pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{pipeline}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{pipeline}: {}", run.stderr);
    }
    assert_eq!(folder.names(), ["fifo"]);
}
