//! Other programs as stages: `exec` and `sh`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Folder, Invocation, Run, highwater, noise, peer, skip, through};
use crate::namespace::{Namespace, isolated};

/// Tells when every process has ended that has opened a FIFO: scripts begin with `exec 9>alive`.
pub struct Alive(File);

impl Alive {
    pub fn in_folder(folder: &Folder) -> Self {
        let path = if folder.join("alive").exists() {
            folder.join("alive")
        } else {
            folder.fifo("alive")
        };
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag");
        Self(
            File::options()
                .read(true)
                .custom_flags(flags)
                .open(path)
                .expect("a FIFO"),
        )
    }

    /// Waits for their end.
    #[track_caller]
    pub fn all_have_ended(mut self) {
        rustix::io::ioctl_fionbio(&self.0, false).expect("a flag");
        let (told, ended) = channel();
        std::thread::spawn(move || {
            let _ = self.0.read_to_end(&mut Vec::new());
            let _ = told.send(());
        });
        let ended = ended.recv_timeout(Duration::from_secs(60));
        assert!(ended.is_ok(), "a process is left");
    }
}

/// A run in a folder that has 3 MiB of noise in `a`, more than a pipe and a link hold together.
fn with_noise(pipeline: &str) -> (Folder, Vec<u8>, Invocation) {
    let folder = Folder::new();
    let bytes = noise(3 << 20, 7);
    folder.write("a", &bytes);
    let invocation = highwater([pipeline]).within(&folder);
    (folder, bytes, invocation)
}

/// The run failed, and nothing but what was there before is there, and what the program itself has made.
#[track_caller]
fn leaves_nothing(folder: &Folder, made: &[&str]) {
    let names: Vec<String> = folder
        .names()
        .into_iter()
        .filter(|name| !made.contains(&name.as_str()))
        .collect();
    assert_eq!(names, ["a"]);
}

/// The last line on standard error.
fn last_line(run: &Run) -> &str {
    run.stderr.lines().last().unwrap_or_default()
}

#[test]
fn arguments_reach_the_program_untouched() {
    let said = highwater(["exec printf '[%s]' if=x -x -- 'a b' high=1 '(' \"|\""]).run();
    assert_eq!(said.succeeds(), b"[if=x][-x][--][a b][high=1][(][|]");
    let words = ["exec", "printf", "[%s]", "", "--chunk", "::", "exec", "cat"];
    assert_eq!(highwater(words).run().succeeds(), b"[][--chunk]");
}

#[test]
fn bytes_pass_through_programs_unchanged() {
    let (folder, bytes, run) = with_noise("read a | exec cat | exec cat | exec cat | write b");
    run.run().succeeds();
    assert!(folder.read("b") == bytes);
}

#[test]
fn a_first_program_reads_our_standard_input() {
    assert_eq!(highwater(["exec tr a-z A-Z"]).input("hello").run().succeeds(), b"HELLO");
    let (_folder, bytes, _) = with_noise("");
    assert!(highwater(["exec cat | exec cat"]).input(bytes.clone()).run().succeeds() == bytes);
}

#[test]
fn a_script_has_arguments_variables_and_a_folder() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("in")).expect("a folder");
    folder.write("in/here", "x");
    let pipeline = r#"sh env=A=1 env=B=x=y dir=in 'echo "$A $B $1 $2"; ls' one 'two three'"#;
    let said = highwater([pipeline]).within(&folder).run().succeeds();
    assert_eq!(String::from_utf8_lossy(&said), "1 x=y one two three\nhere\n");
}

#[test]
fn what_cannot_be_run_is_refused_beforehand() {
    let folder = Folder::new();
    folder.write("a", "x");
    for (program, said, caret) in [
        (
            "no-such-program",
            "there is no program `no-such-program`",
            "^^^^^^^^^^^^^^^",
        ),
        ("./a", "`./a` cannot be executed", "^^^"),
        ("/", "`/` cannot be executed", "^"),
        ("dir=/nowhere ./x", "there is no program `./x`", "^^^"),
        ("env=A cat", "`A` is not a variable", "^"),
    ] {
        let run = highwater([format!("read a | exec {program} | write b")])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(
            run.stderr.contains(said) && run.stderr.contains(&format!(" {caret}\n")),
            "{}",
            run.stderr
        );
        leaves_nothing(&folder, &[]);
    }
}

#[test]
fn a_failed_program_is_told_with_its_last_line() {
    for (script, said) in [
        ("cat; echo one >&2; echo two >&2; exit 3", "exited with code 3: two"),
        ("exit 1", "exited with code 1: it wrote nothing to standard error"),
        ("cat; echo gone >&2; kill -9 $$", "was killed by signal 9 (KILL): gone"),
        (
            "ulimit -c 0; kill -SEGV $$",
            "was killed by signal 11 (SEGV): it wrote nothing to standard error",
        ),
    ] {
        let (folder, _, run) = with_noise(&format!("read a | sh '{script}' | write b"));
        let run = run.run();
        assert_eq!(run.code, Some(11), "{}", run.stderr);
        assert_eq!(last_line(&run), format!("highwater: sh '{script}': {said}"));
        leaves_nothing(&folder, &[]);
    }
}

#[test]
fn a_core_dump_is_told() {
    let script = "ulimit -c unlimited; kill -SEGV $$";
    let (folder, _, run) = with_noise(&format!("read a | sh '{script}' | write b"));
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .status();
    if !status.expect("a shell").core_dumped() {
        skip("the system dumps no cores");
        return;
    }
    let run = run.run();
    assert_eq!(run.code, Some(11), "{}", run.stderr);
    let said = "was killed by signal 11 (SEGV, core dumped): it wrote nothing to standard error";
    assert!(last_line(&run).ends_with(said), "{}", run.stderr);
    assert!(!folder.names().contains(&"b".to_owned()));
}

#[test]
fn a_second_signal_waits_for_no_program() {
    let script = "exec 9>alive 8<>held; trap \"echo asked >&2\" TERM; echo begun >&2; while :; do read -r x <&8; done";
    let (folder, _, run) = with_noise(&format!("read a | sh grace=10m '{script}' | write b"));
    let alive = Alive::in_folder(&folder);
    folder.fifo("held");
    let mut running = run.start();
    // Two different ones: the same would count as one within half a second.
    for (said, signal) in [("begun", Signal::TERM), ("asked", Signal::INT)] {
        assert_eq!(running.line(), format!("highwater: sh: {said}\n"));
        running.signal(signal);
    }
    let run = running.wait();
    assert_eq!(run.signal, Some(15), "{}", run.stderr);
    assert!(last_line(&run).ends_with(": not waited for"), "{}", run.stderr);
    if cfg!(not(feature = "portable-platform")) {
        alive.all_have_ended();
    }
    leaves_nothing(&folder, &["alive", "held"]);
}

#[test]
fn a_program_may_stop_reading_early() {
    let (_folder, bytes, run) = with_noise("read a | exec head -c 5");
    assert_eq!(run.run().succeeds(), &bytes[..5]);
    assert_eq!(
        highwater(["read /dev/zero | sh 'exec <&-; echo x; exit 0'"])
            .run()
            .succeeds(),
        b"x\n"
    );
}

/// The sources have nothing to give and no end, so that they only end because nothing is wanted of them any more.
#[test]
fn a_waiting_source_ends_with_its_reader() {
    let folder = Folder::new();
    let fifo = folder.fifo("f");
    let _writer = File::options().read(true).write(true).open(fifo).expect("a FIFO");
    for (pipeline, stdout, stderr) in [
        ("read f | exec echo x", "x\n", ""),
        ("read f | tee (exec true)", "", ""),
        (
            "read f | tee (exec true) (exec echo x)",
            "",
            "highwater: exec echo: x\n",
        ),
        ("exec sleep 1000 | exec echo x", "x\n", ""),
        ("exec sleep 1000 | exec cat | tee (exec true) | exec echo x", "x\n", ""),
    ] {
        let run = highwater([pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(0), "{pipeline}: {}", run.stderr);
        assert_eq!(
            (&*String::from_utf8_lossy(&run.stdout), &*run.stderr),
            (stdout, stderr),
            "{pipeline}"
        );
    }
}

#[test]
fn no_status_counts_once_output_is_unwanted() {
    for script in ["yes; exit 5", "printf \"y\\ny\\n\"; exit 5", "yes; kill -9 $$"] {
        let said = highwater([format!("sh '{script}' | take 4")]).run();
        assert_eq!(said.succeeds(), b"y\ny\n", "{script}");
    }
}

#[test]
fn an_aborted_input_has_no_end() {
    let script = "exec 9>alive; echo x > begun; cat > p; mv p done";
    for (before, code) in [("gunzip", 6), ("limit 100K", 7)] {
        let folder = Folder::new();
        let alive = Alive::in_folder(&folder);
        let gzip = highwater(["gzip"]).input(noise(3 << 20, 7)).run().succeeds();
        folder.write("a", &gzip[..gzip.len() - 100_000]);
        let run = highwater([format!("read a | {before} | sh '{script}'")])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        alive.all_have_ended();
        leaves_nothing(&folder, &["alive", "begun", "p"]);
    }
}

#[test]
fn a_signal_gives_a_program_no_end() {
    for (ignores, grace) in [("", "10m"), ("trap \"\" TERM INT; ", "200ms")] {
        let (folder, _, run) = with_noise(&format!(
            "read a | throttle 1K/s | sh grace={grace} '{ignores}exec 9>alive; echo begun >&2; cat > p; mv p done'"
        ));
        let alive = Alive::in_folder(&folder);
        let mut running = run.start();
        assert_eq!(running.line(), "highwater: sh: begun\n");
        running.signal(Signal::TERM);
        let run = running.wait();
        assert_eq!(run.signal, Some(15), "{}", run.stderr);
        assert!(!run.stderr.contains("left alone"), "{}", run.stderr);
        alive.all_have_ended();
        leaves_nothing(&folder, &["alive", "p"]);
    }
}

/// SIGTERM has to reach a script before its program finds its output closed.
#[test]
fn a_failure_behind_ends_the_whole_script() {
    for sink in ["write /dev/full", "limit 1M | write b"] {
        let (folder, _, _) = with_noise("");
        let alive = Alive::in_folder(&folder);
        let pipeline = format!("sh 'exec 9>alive; cat /dev/zero; echo > done' | {sink}");
        let run = highwater([pipeline]).within(&folder).run();
        assert!(matches!(run.code, Some(5 | 7)), "{}", run.stderr);
        alive.all_have_ended();
        leaves_nothing(&folder, &["alive"]);
    }
}

#[test]
fn a_program_that_never_reads_stalls() {
    for script in ["exec sleep 1000", "kill -STOP $$; cat"] {
        let (folder, _, _) = with_noise("");
        let alive = Alive::in_folder(&folder);
        let pipeline = format!("read a | sh 'exec 9>alive; {script}' | write b");
        let run = highwater(["--stall-timeout", "200ms", &pipeline]).within(&folder).run();
        run.fails(8);
        alive.all_have_ended();
        leaves_nothing(&folder, &["alive"]);
    }
}

#[test]
fn a_grandchild_holds_nothing_up() {
    let (folder, _, run) = with_noise("sh grace=10ms 'exec 9>alive; sleep 1000 & echo hi' | write b");
    let alive = Alive::in_folder(&folder);
    let said = run.run();
    assert!(
        said.fails(11)
            .ends_with("ended before its output: something that it started still holds its output open")
    );
    alive.all_have_ended();
    leaves_nothing(&folder, &["alive"]);
    // What holds nothing but standard error is none of ours.
    let run = highwater(["sh 'sleep 1000 >/dev/null & echo $!'"]).run().succeeds();
    let pid = String::from_utf8(run)
        .expect("a number")
        .trim()
        .parse()
        .expect("a number");
    kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL).expect("it is left alone");
}

/// The program has ended, its pipe is empty and the link is full when the end of its output is looked for. With such a grace
/// a wait for something else would never end.
#[test]
fn an_end_behind_a_full_link_is_seen() {
    let folder = Folder::new();
    let pipeline = "exec grace=10m high=64K dd if=/dev/zero bs=64K count=1 status=none | throttle 200K/s | write b";
    highwater([pipeline]).within(&folder).run().succeeds();
    assert_eq!(folder.read("b").len(), 64 << 10);
}

#[test]
fn what_ignores_sigterm_is_killed() {
    let script = "trap \"\" TERM; exec 9>alive; sleep 1000 & while :; do sleep 1000; done";
    let (folder, _, run) = with_noise(&format!("read a | limit 1K | sh grace=10ms '{script}' | write b"));
    let alive = Alive::in_folder(&folder);
    run.run().fails(7);
    alive.all_have_ended();
    leaves_nothing(&folder, &["alive"]);
}

#[test]
fn lines_are_named_and_escaped() {
    let run = highwater(["sh 'printf \"a\\033[31m\\n50%%\\r100%%\\n\\tend\" >&2'"]).run();
    assert_eq!(run.code, Some(0));
    let said = "highwater: sh: a\\x1b[31m\nhighwater: sh: 100%\nhighwater: sh:     end\n";
    assert_eq!(run.stderr, said);
    let run = highwater(["exec true | tee (exec sh -c 'cat; echo out; echo err >&2') | write /dev/null"]).run();
    let mut lines: Vec<&str> = run.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        (run.code, lines),
        (Some(0), vec!["highwater: exec sh: err", "highwater: exec sh: out"])
    );
}

// getrusage(2): the peak of the process that started it counts too.
#[test]
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the portable peak is not that of this program alone"
)]
fn endless_complaints_take_no_memory() {
    let folder = Folder::new();
    let pipeline = "sh 'head -c 1G /dev/zero >&2; echo done >&2; echo ok'";
    let run = highwater(["--stats", "s", pipeline]).within(&folder).run();
    assert_eq!(
        (run.code, run.stdout.as_slice()),
        (Some(0), &b"ok\n"[..]),
        "{}",
        run.stderr.len()
    );
    assert!(run.stderr.len() < 20_000, "{}", run.stderr.len());
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("s")).expect("an object");
    // Nothing flows through the links.
    assert!(stats["rss_peak_bytes"].as_u64() < Some(40 << 20), "{stats}");
}

#[test]
fn all_lines_come_and_the_data_too() {
    let (folder, bytes, run) = with_noise("read a | sh 'seq 20000 >&2; cat; seq 20000 >&2' | write b");
    let run = run.run();
    assert_eq!(run.code, Some(0));
    assert!(folder.read("b") == bytes);
    let numbers = (1..=20_000).chain(1..=20_000);
    assert!(
        run.stderr
            .lines()
            .eq(numbers.map(|number| format!("highwater: sh: {number}")))
    );
}

/// Reads and writes as the random numbers of its seed say, and complains in between; what it gives is what it was given.
const RESTLESS: &str = r"
import os, random, sys
random.seed(int(sys.argv[1]))
held = bytearray()
while True:
    want = random.choice([1, 100, 5000, 70000, 1 << 20])
    if random.random() < 0.5:
        data = os.read(0, want)
        if not data: break
        held += data
    elif random.random() < 0.2:
        os.write(2, b'x' * (want // 100) + b'\n')
    else:
        piece, held = held[:want], held[want:]
        while piece: piece = piece[os.write(1, piece):]
while held: held = held[os.write(1, held):]
";

#[test]
fn no_order_of_reads_and_writes_deadlocks() {
    if peer("python3").is_none() {
        return;
    }
    for seed in 0..8 {
        let (folder, bytes, _) = with_noise("");
        folder.write("restless.py", RESTLESS);
        let stage = format!("exec python3 restless.py {seed}");
        let pipeline = format!("read a | {stage} | {stage}1 | write b");
        let run = highwater(["--memory", "1MiB", &pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(0), "seed {seed}: {}", last_line(&run));
        assert!(folder.read("b") == bytes, "seed {seed}");
    }
}

#[test]
fn output_before_and_after_all_input() {
    let (_folder, bytes, run) = with_noise("read a | sh 'head -c 5000000 /dev/zero; cat' | exec tail -c 100");
    assert_eq!(run.run().succeeds(), &bytes[bytes.len() - 100..]);
    let numbers: Vec<String> = (100_000..400_000).map(|number: u32| number.to_string()).collect();
    let reversed: Vec<&str> = numbers.iter().rev().map(String::as_str).collect();
    let sort = highwater(["exec env=LC_ALL=C sort"]).input(reversed.join("\n"));
    let sorted = sort.run().succeeds();
    assert!(sorted == (numbers.join("\n") + "\n").into_bytes());
}

#[test]
fn a_database_keeps_no_part_of_a_cut_file() {
    if peer("sqlite3").is_none() {
        return;
    }
    let folder = Folder::new();
    let rows: Vec<String> = (0..200_000).map(|row| format!("{row},x{row}")).collect();
    let gzip = highwater(["gzip"]).input(rows.join("\n")).run().succeeds();
    folder.write("whole.gz", &gzip);
    folder.write("cut.gz", &gzip[..gzip.len() * 3 / 4]);
    let import = |name: &str| {
        let import = "exec sqlite3 db 'create table if not exists t (a, b);' '.import --csv /dev/stdin t'";
        highwater([format!("read {name} | gunzip | {import}")])
            .within(&folder)
            .run()
            .code
    };
    let count = || {
        highwater(["exec sqlite3 db 'select count(*) from t'"])
            .within(&folder)
            .run()
            .succeeds()
    };
    assert_eq!(import("cut.gz"), Some(6));
    assert_eq!(count(), b"0\n");
    assert_eq!(import("whole.gz"), Some(0));
    assert_eq!(count(), b"200000\n");
}

#[test]
fn age_encrypts_all_or_nothing() {
    if peer("age").is_none() || peer("age-keygen").is_none() {
        return;
    }
    let (folder, bytes, _) = with_noise("");
    // It says the public key on standard error, which is passed on.
    let made = highwater(["exec age-keygen | write key"]).within(&folder).run();
    assert_eq!(made.code, Some(0));
    assert!(made.stderr.contains("highwater: exec age-keygen: Public key: age1"));
    let recipient = highwater(["read key | exec age-keygen -y"])
        .within(&folder)
        .run()
        .succeeds();
    let recipient = String::from_utf8(recipient).expect("text");
    let recipient = recipient.trim_end();
    let run = |pipeline: String| highwater([pipeline]).within(&folder).run();
    run(format!("read a | exec age -r {recipient} | write a.age")).succeeds();
    run("read a.age | exec age -d -i key | write back".to_owned()).succeeds();
    assert!(folder.read("back") == bytes);
    let cut = folder.read("a.age");
    folder.write("cut.age", &cut[..cut.len() / 2]);
    let failed = run("read cut.age | exec age -d -i key | write part".to_owned());
    assert_eq!(failed.code, Some(11), "{}", failed.stderr);
    assert!(!folder.names().contains(&"part".to_owned()));
}

#[test]
fn jq_filters_between_two_stages() {
    if peer("jq").is_none() {
        return;
    }
    let lines = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    let said = highwater(["exec jq -c 'select(.a != 2)' | exec cat"])
        .input(lines)
        .run();
    assert_eq!(said.succeeds(), b"{\"a\":1}\n{\"a\":3}\n");
    let run = highwater(["exec jq -c .a | exec cat"]).input("{\"a\":1}\n{").run();
    assert_eq!(run.code, Some(11), "{}", run.stderr);
    assert!(
        last_line(&run).starts_with("highwater: exec jq -c .a: exited with code "),
        "{}",
        run.stderr
    );
}

#[test]
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the system does not tell whether a member of a group has ended"
)]
fn unreaped_orphans_have_ended() {
    isolated(&Namespace::Processes, "exec::unreaped_orphans_have_ended", || {
        let pipeline = "sh grace=0s '(sleep 1000 &); yes' | limit 10";
        let failed = highwater(["--log", "warn", pipeline]).run();
        // No warning of a group that did not end.
        failed.fails(7);
    });
}

#[test]
fn a_daemon_is_left_to_the_system() {
    let (input, mut output) = std::io::pipe().expect("a pipe");
    // The inner shell has ended, and its child has none but the system to wait for it.
    let script = "sh -c 'sleep 1000 > /dev/null 2>&1 & echo \"$!\"'; echo; cat";
    let words = ["sh", script];
    let mut running = highwater(words).stdin(input).start();
    let id = running.id();
    let mut lines = BufReader::new(running.take_stdout()).lines();
    let daemon: i32 = lines.next().expect("a line").expect("text").parse().expect("a number");
    lines.next();
    let stat = std::fs::read_to_string(format!("/proc/{daemon}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    assert_ne!(fields.split(' ').nth(1), Some(id.to_string().as_str()));
    output.write_all(b"x\n").expect("written");
    drop(output);
    assert_eq!(lines.next().expect("a line").expect("text"), "x");
    assert_eq!(running.wait().code, Some(0));
    kill_process(Pid::from_raw(daemon).expect("a process"), Signal::KILL).expect("it is left alone");
}

#[test]
#[cfg(not(feature = "portable-platform"))]
fn children_are_listed_with_their_memory() {
    let (folder, _, _) = with_noise("");
    let script = "echo $$ > pid; sleep 1000 & head -c 1 > /dev/null; echo; kill $!; cat > /dev/null";
    let pipeline = format!("read a | throttle 1K/s | sh '{script}' | write b");
    let arguments = ["--progress", "json", "--interval", "1ms", &pipeline];
    let mut running = highwater(arguments).within(&folder).start();
    let sample = loop {
        let sample: serde_json::Value = serde_json::from_str(&running.line()).expect("a sample");
        if sample["stages"][2]["bytes_out"].as_u64() > Some(0) {
            break sample;
        }
    };
    let child = &sample["stages"][2]["children"][0];
    let pid: u64 = String::from_utf8(folder.read("pid"))
        .expect("text")
        .trim()
        .parse()
        .expect("a number");
    assert_eq!(child["pid"].as_u64(), Some(pid));
    assert!(child["rss"].as_u64() > Some(100 << 10), "{child}");
    assert!(sample["stages"][1].get("children").is_none());
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(15));
}

#[test]
#[cfg(not(feature = "portable-platform"))]
fn processor_time_of_programs_is_told() {
    // Until it has taken 30 hundredths of a second: the 14th field of its own entry in proc(5).
    const SPINS: &str = r#"while read -r line < /proc/$$/stat; set -- $line; [ ${14} -lt 30 ]; do :; done; echo"#;
    let folder = Folder::new();
    // The inner shell's time is that of the outer one, which waits for it.
    let pipeline = format!("sh 'sh -c \"$1\"; :' '{SPINS}' | exec cat | write out");
    let run = highwater(["--progress", "plain", "--stats", "s", &pipeline])
        .within(&folder)
        .run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let summary = last_line(&run);
    assert!(summary.contains(", using ") && summary.contains(" core"), "{summary}");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("s")).expect("an object");
    let child = |stage: usize| &stats["stages"][stage]["children"][0];
    assert!(child(0)["cpu_s"].as_f64() >= Some(0.3), "{stats}");
    assert!(child(0)["cores"].as_f64() > Some(0.0), "{stats}");
    assert!(child(1)["cpu_s"].as_f64() < Some(0.3), "{stats}");
    assert_eq!(child(0)["rss"], 0);
}

/// Who is ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Tar,
    Zstd,
    Own(Signal),
    /// No file may become larger.
    FullDisk,
}

impl End {
    const ALL: [Self; 6] = [
        Self::Tar,
        Self::Zstd,
        Self::Own(Signal::TERM),
        Self::Own(Signal::INT),
        Self::Own(Signal::KILL),
        Self::FullDisk,
    ];

    /// Whether a run ended as it should have.
    fn explains(self, run: &Run) -> bool {
        match self {
            Self::Tar | Self::Zstd => run.code == Some(11),
            Self::Own(signal) => run.signal == Some(signal.as_raw()),
            Self::FullDisk => run.code == Some(5),
        }
    }
}

/// Ends a run that has a session of its own when the archive has so many bytes; returns how it ended.
fn end_one(folder: &Folder, end: End, moment: u64) -> Run {
    let alive = Alive::in_folder(folder);
    let stage = |name: &str, rest: &str| format!("sh 'exec 9>alive; echo $$ > {name}.pid; exec {rest}'");
    let archive = stage("tar", "tar c -C src .");
    let compress = stage("zstd", "zstd -q -1 -T2");
    let pipeline = format!("{archive} | throttle 32MB/s | {compress} | write t.zst");
    let arguments = ["--memory", "1MiB", "--progress", "json", "--interval", "1ms", &pipeline];
    let mut session = Command::new("setsid");
    if end == End::FullDisk {
        // dash counts blocks of 512 bytes.
        let limit = (moment / 512).to_string();
        session.args(["sh", "-c", "ulimit -f $0; exec \"$@\"", &limit]);
    }
    let mut running = highwater(arguments).under(session).within(folder).start();
    let session = running.pid();
    if end != End::FullDisk && running.writes(moment) {
        let pid_of = |name: &str| {
            let text = String::from_utf8(folder.read(name)).expect("text");
            Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
        };
        let (pid, signal) = match end {
            End::Tar => (pid_of("tar.pid"), Signal::KILL),
            End::Zstd => (pid_of("zstd.pid"), Signal::KILL),
            End::Own(signal) => (session, signal),
            End::FullDisk => unreachable!("it has ended"),
        };
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
    let run = running.wait();
    alive.all_have_ended();
    assert_eq!(members_of(session), [0; 0], "{end:?} after {moment}");
    run
}

/// The processes of a session that have not ended and are not about to: fields 3, 6 and 9 of proc(5).
fn members_of(session: Pid) -> Vec<i32> {
    const EXITING: u32 = 4;
    let session = session.as_raw_nonzero().to_string();
    let is_member = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
        let is_exiting = |flags: &str| flags.parse::<u32>().is_ok_and(|flags| flags & EXITING != 0);
        fields.get(4) == Some(&session.as_str()) && fields[1] != "Z" && !is_exiting(fields[7])
    };
    let entries = std::fs::read_dir("/proc").expect("a list of processes");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_member).collect()
}

/// `HIGHWATER_KILLS=200` ends so many of each kind instead of a few.
#[test]
fn a_killed_process_leaves_no_archive() {
    const SIZE: usize = 4 << 20;
    let kills = std::env::var("HIGHWATER_KILLS")
        .ok()
        .map_or(2, |count| count.parse().expect("a number"));
    if ["zstd", "tar", "setsid"].iter().any(|name| peer(name).is_none()) {
        return;
    }
    let folder = Folder::new();
    std::fs::create_dir(folder.join("src")).expect("a folder");
    folder.write("src/a", noise(SIZE, 1));
    let archive = folder.join("t.zst");
    for (kind, end) in End::ALL.into_iter().enumerate() {
        let mut ended = 0;
        for round in 0..20 * kills {
            let random = u64::from_le_bytes(noise(8, 1 + kind as u64 * 1000 + round).try_into().expect("8 bytes"));
            if round % 2 == 0 {
                folder.write("t.zst", "old");
            }
            let run = end_one(&folder, end, random % SIZE as u64);
            // It may have been too late for that.
            let is_whole =
                run.code == Some(0) || (run.signal == Some(9) && archive.exists() && folder.read("t.zst") != b"old");
            if is_whole {
                assert_is_whole(&archive, SIZE);
            } else {
                let last = last_line(&run);
                assert!(end.explains(&run), "{end:?}: {:?} {:?}: {last}", run.code, run.signal);
                let old = archive.exists().then(|| folder.read("t.zst"));
                assert_eq!(old, (round % 2 == 0).then(|| b"old".to_vec()), "{end:?}");
                ended += 1;
            }
            for name in folder.names().into_iter().filter(|name| name.contains("t.zst")) {
                // What a run that was killed has left is a temporary file.
                let is_left = run.signal == Some(9) && name.starts_with(".t.zst.highwater-");
                assert!(name == "t.zst" || is_left, "{end:?}: {name}");
                std::fs::remove_file(folder.join(&name)).expect("removed");
            }
            if ended == kills {
                break;
            }
        }
        assert_eq!(ended, kills, "{end:?}");
    }
}

/// It is an archive that has everything.
fn assert_is_whole(archive: &Path, size: usize) {
    let mut zstd = peer("zstd").expect("it made the archive");
    zstd.args(["-dc"]);
    let (is_good, bytes) = through(zstd, &std::fs::read(archive).expect("an archive"));
    assert!(is_good && bytes.len() > size);
}
