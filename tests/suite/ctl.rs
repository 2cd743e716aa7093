//! Controlling a run from another terminal: `highwater ctl`.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Invocation, Run, Running, highwater, noise};

/// Runs whose sockets are in a folder of their own, and that report twenty times a second: the socket exists before the
/// first report.
struct Stand {
    folder: Folder,
}

impl Stand {
    fn new() -> Self {
        Self { folder: Folder::new() }
    }

    fn in_its_place(&self, invocation: Invocation) -> Invocation {
        let place = self.folder.path().to_str().expect("text");
        invocation
            .environment("XDG_RUNTIME_DIR", place)
            .environment("TMPDIR", place)
    }

    /// A run that has reported its first sample.
    fn run(&self, options: &[&str], pipeline: &str, prepare: impl FnOnce(Invocation) -> Invocation) -> Running {
        let always = ["--progress", "json", "--interval", "50ms"];
        let arguments = always.iter().chain(options).chain([&pipeline]);
        let mut running = prepare(self.in_its_place(highwater(arguments))).start();
        sample(&mut running);
        running
    }

    fn ctl(&self, running: &Running, words: &[&str]) -> Run {
        self.ctl_pid(&running.id().to_string(), words)
    }

    fn ctl_pid(&self, pid: &str, words: &[&str]) -> Run {
        self.in_its_place(highwater(["ctl", pid].iter().chain(words))).run()
    }

    /// The reply of a successful `ctl`.
    #[track_caller]
    fn answer(&self, running: &Running, words: &[&str]) -> String {
        String::from_utf8(self.ctl(running, words).succeeds()).expect("text")
    }
}

fn sample(running: &mut Running) -> Value {
    let line = running.line();
    let sample: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no sample: {line}"));
    assert_eq!(sample["event"], "sample");
    sample
}

/// Reads samples until one matches; a run that never gets there hangs.
fn until(running: &mut Running, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let sample = sample(running);
        if is_so(&sample) {
            return sample;
        }
    }
}

mod a_pause {
    use super::*;

    const PASSED: usize = 1000;

    /// Passes a thousand bytes from standard input to standard output, pauses the run, sends more, and checks the
    /// samples with `look`; then everything must arrive.
    fn holds_what_comes_after_it(pipeline: &str, look: impl FnOnce(&mut Running)) {
        let stand = Stand::new();
        let (stdin, mut feed) = std::io::pipe().expect("a pipe");
        let mut running = stand.run(&[], pipeline, |run| run.stdin(stdin));
        let mut stdout = running.take_stdout();
        let bytes = noise(1 << 20, 7);
        feed.write_all(&bytes[..PASSED]).expect("written");
        let mut arrived = vec![0; PASSED];
        stdout.read_exact(&mut arrived).expect("they pass");
        assert_eq!(stand.answer(&running, &["pause"]), "paused\n");
        assert_eq!(
            stand.answer(&running, &["pause"]),
            "paused\n",
            "once more changes nothing"
        );
        std::thread::scope(|scope| {
            scope.spawn(|| {
                feed.write_all(&bytes[PASSED..]).expect("written");
                drop(feed);
            });
            look(&mut running);
            assert_eq!(stand.answer(&running, &["resume"]), "running\n");
            stdout.read_to_end(&mut arrived).expect("everything arrives");
        });
        assert!(arrived == bytes, "{} bytes", arrived.len());
        let run = running.wait();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.end()["paused"], false);
    }

    #[test]
    fn pause_fills_links_and_spares_sink() {
        holds_what_comes_after_it("read - high=64KiB | write -", |running| {
            for _ in 0..3 {
                let held = until(running, |sample| sample["links"][0]["times_full"] == 1);
                assert_eq!(held["paused"], true);
                assert_eq!(held["stages"][1]["bytes_out"], PASSED, "{held}");
                let level = held["links"][0]["buffered_bytes"].as_u64().expect("a number");
                assert!((48 << 10..=64 << 10).contains(&level), "{level}");
                assert_eq!(held["links"][0]["drains"], 0);
            }
        });
    }

    #[test]
    fn stops_a_direct_lane_between_two_calls() {
        holds_what_comes_after_it("read - | write -", |running| {
            for _ in 0..3 {
                let held = until(running, |sample| sample["paused"] == true);
                assert_ne!(held["lane"], "linked");
                assert_eq!(held["stages"][1]["bytes_out"], PASSED, "{held}");
            }
        });
    }

    #[test]
    fn pause_holds_a_sink_behind_programs() {
        holds_what_comes_after_it("exec cat | exec cat | write -", |running| {
            for _ in 0..3 {
                let held = until(running, |sample| sample["paused"] == true);
                assert_eq!(held["stages"][2]["bytes_out"], PASSED, "{held}");
            }
        });
    }

    #[test]
    fn pause_backpressures_the_program_in_front() {
        let stand = Stand::new();
        let pipeline = "exec cat /dev/zero | write -";
        let mut running = stand.run(&[], pipeline, |run| run.stdout(std::process::Stdio::null()));
        stand.answer(&running, &["pause"]);
        // These come one after the other, and stay.
        let held = until(&mut running, |sample| {
            let link = &sample["links"][0];
            let [level, high] = ["buffered_bytes", "high_bytes"].map(|key| link[key].as_u64().expect("bytes"));
            let [program, sink] = [(0, "backpressured"), (1, "waiting_outside")]
                .map(|(stage, share)| sample["stages"][stage][share].as_f64() > Some(0.99));
            program && sink && (high / 4 * 3..=high).contains(&level)
        });
        let written = held["stages"][1]["bytes_out"].as_u64();
        stand.answer(&running, &["resume"]);
        until(&mut running, |sample| {
            sample["stages"][1]["bytes_out"].as_u64() > written
        });
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(15));
    }

    #[test]
    fn run_end_ends_a_pause() {
        for pipeline in ["read - high=64KiB | write -", "read - | write -"] {
            let stand = Stand::new();
            let (stdin, mut feed) = std::io::pipe().expect("a pipe");
            let mut running = stand.run(&[], pipeline, |run| run.stdin(stdin));
            stand.answer(&running, &["pause"]);
            feed.write_all(b"some").expect("written");
            until(&mut running, |sample| sample["paused"] == true);
            running.signal(Signal::TERM);
            let run = running.wait();
            assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
        }
    }

    #[test]
    fn pause_is_not_a_stall() {
        // Far longer than a busy machine pauses anything.
        let stalled = ["--stall-timeout", "3s"];
        let slow = ["--min-rate", "1/s", "--min-rate-grace", "3s"];
        for options in [&stalled[..], &slow] {
            let stand = Stand::new();
            let pipeline = "read /dev/zero | throttle 10MB/s high=64KiB | write /dev/null";
            let mut running = stand.run(options, pipeline, |run| run);
            stand.answer(&running, &["pause"]);
            let full = until(&mut running, |sample| {
                sample["paused"] == true && sample["stages"][1]["backpressured"].as_f64() > Some(0.9)
            });
            let begun = full["elapsed_s"].as_f64().expect("a time");
            until(&mut running, |sample| sample["elapsed_s"].as_f64() > Some(begun + 4.0));
            stand.answer(&running, &["resume"]);
            until(&mut running, |sample| {
                sample["stages"][2]["bytes_out"].as_u64() > full["stages"][2]["bytes_out"].as_u64()
            });
            running.signal(Signal::INT);
            assert_eq!(running.wait().signal, Some(Signal::INT.as_raw()));
        }
    }

    #[test]
    fn pause_makes_the_sink_the_bottleneck() {
        let stand = Stand::new();
        let pipeline = "read /dev/zero | throttle 10MB/s high=64KiB | write /dev/null";
        let mut running = stand.run(&[], pipeline, |run| run);
        stand.answer(&running, &["pause"]);
        let held = until(&mut running, |sample| {
            sample["bottleneck"]["stage"] == 2 && sample["stages"][2]["waiting_outside"].as_f64() > Some(0.99)
        });
        assert!(held["stages"][2]["idle"].as_f64() < Some(0.01), "{held}");
        running.signal(Signal::INT);
        running.wait();
    }
}

mod a_rate {
    use super::*;

    /// At its first rate this would take eleven days.
    const SLOW: &str = "read /dev/zero | throttle 1/s | take 1MB";

    #[test]
    fn rate_is_changed_during_a_run() {
        for stage in ["throttle", "1"] {
            let stand = Stand::new();
            let running = stand.run(&[], SLOW, |run| run);
            let answer = stand.answer(&running, &["set", stage, "rate=1GB/s"]);
            assert_eq!(answer, "stage 1 throttle: 1GB/s, was 1/s\n");
            let run = running.wait();
            assert_eq!((run.code, run.stdout.len()), (Some(0), 1_000_000), "{}", run.stderr);
            assert_eq!(run.end()["stages"][1]["limit_bytes_per_s"], 1_000_000_000);
        }
    }

    #[test]
    fn rate_of_records_stays_one() {
        let stand = Stand::new();
        let pipeline = "read /dev/zero | take 3 | exec tr '\\0' '\\n' | lines | throttle 1records/s | hash sha256";
        let running = stand.run(&[], pipeline, |run| run);
        let run = stand.ctl(&running, &["set", "throttle", "rate=1MB/s"]);
        let why = "stage 4 throttle keeps a rate of 1records/s, and 1MB/s counts something else";
        assert_eq!(run.fails(2), format!("highwater: ctl {}: {why}", running.id()));
        let answer = stand.answer(&running, &["set", "throttle", "1000000records/s"]);
        assert_eq!(answer, "stage 4 throttle: 1000000records/s, was 1records/s\n");
        let run = running.wait();
        assert_eq!(run.stdout, b"\n\n\n");
        let throttle = &run.end()["stages"][4];
        assert_eq!(
            (&throttle["records_out"], &throttle["limit_records_per_s"]),
            (&3.into(), &1_000_000.into())
        );
    }

    #[test]
    fn rate_selects_one_of_several_throttles() {
        let stand = Stand::new();
        let pipeline = "read /dev/zero | throttle 1/s | throttle 2/s | take 1MB";
        let mut running = stand.run(&[], pipeline, |run| run);
        let run = stand.ctl(&running, &["set", "throttle", "rate=1GB/s"]);
        let why = "several stages have that name; say which by its number: 1 (throttle), 2 (throttle)";
        assert_eq!(run.fails(2), format!("highwater: ctl {}: {why}", running.id()));
        stand.answer(&running, &["set", "2", "rate=1GB/s"]);
        let limits = |sample: &Value| {
            let stages = sample["stages"].as_array().expect("stages");
            stages
                .iter()
                .map(|stage| stage["limit_bytes_per_s"].as_u64())
                .collect::<Vec<_>>()
        };
        let changed = until(&mut running, |sample| limits(sample)[2] != Some(2));
        assert_eq!(limits(&changed), [None, Some(1), Some(1_000_000_000), None, None]);
        running.signal(Signal::INT);
        running.wait();
    }

    #[test]
    fn rate_is_refused_without_a_throttle() {
        let stand = Stand::new();
        let (stdin, feed) = std::io::pipe().expect("a pipe");
        let running = stand.run(&[], "read - | write -", |run| run.stdin(stdin));
        let run = stand.ctl(&running, &["set", "throttle", "rate=1GB/s"]);
        let why = "the chain has no throttle; put `throttle RATE` into the pipeline";
        assert_eq!(run.fails(2), format!("highwater: ctl {}: {why}", running.id()));
        drop(feed);
        assert_eq!(running.wait().code, Some(0));
    }

    #[test]
    fn invalid_rate_does_not_reach_the_run() {
        let stand = Stand::new();
        // The words are read before a process is looked for.
        let run = stand.ctl_pid("2147483647", &["set", "throttle", "rate=8Mb/s"]);
        let why = "rate `8Mb/s`: `Mb` is neither bits (`Mbit`) nor bytes (`MB`); did you mean `8Mbit/s`?";
        assert_eq!(run.fails(2), format!("highwater: ctl: {why}"));
    }
}

#[test]
fn stats_are_one_sample() {
    let stand = Stand::new();
    let running = stand.run(&[], a_slow_chain(), |run| run);
    let answer = stand.answer(&running, &["stats"]);
    assert_eq!(answer.lines().count(), 1);
    let sample: Value = serde_json::from_str(&answer).expect("an object");
    assert_eq!((&sample["schema"], &sample["event"]), (&1.into(), &"sample".into()));
    assert_eq!(sample["stages"][1]["limit_bytes_per_s"], 1);
    assert_eq!(sample["stages"][1]["text"], "throttle 1/s");
    running.signal(Signal::INT);
    running.wait();
}

fn a_slow_chain() -> &'static str {
    "read /dev/zero | throttle 1/s | write /dev/null"
}

#[test]
fn ctl_without_process_lists_the_runs() {
    let stand = Stand::new();
    let list = || String::from_utf8(stand.in_its_place(highwater(["ctl"])).run().succeeds()).expect("text");
    let running = stand.run(&[], a_slow_chain(), |run| run);
    let row = format!("{:>8}  {}\n", running.id(), a_slow_chain());
    let listed = list();
    assert!(
        listed.starts_with("     pid  stages\n") && listed.contains(&row),
        "{listed}"
    );
    running.signal(Signal::KILL);
    running.wait();
    assert!(!list().contains(&row));
}

#[test]
fn ctl_needs_to_know_what_to_do() {
    let run = Stand::new().ctl_pid("1", &[]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("<COMMAND>"), "{}", run.stderr);
}

mod a_process {
    use super::*;

    #[test]
    fn missing_process_is_a_connection_error() {
        let run = Stand::new().ctl_pid("2147483647", &["pause"]);
        assert_eq!(run.fails(9), "highwater: ctl 2147483647: there is no such process");
    }

    #[test]
    fn foreign_process_is_a_connection_error() {
        let run = Stand::new().ctl_pid(&std::process::id().to_string(), &["pause"]);
        let line = run.fails(9);
        assert!(
            line.contains("not highwater") || line.contains("it has no control socket"),
            "{line}"
        );
    }

    #[test]
    fn non_numeric_process_is_a_usage_error() {
        assert_eq!(Stand::new().ctl_pid("0", &["pause"]).code, Some(2));
        assert_eq!(Stand::new().ctl_pid("read", &["pause"]).code, Some(2));
    }
}

mod the_socket {
    use super::*;

    #[test]
    fn control_socket_is_private_and_removed() {
        let stand = Stand::new();
        let running = stand.run(&[], a_slow_chain(), |run| run);
        let folder = stand.folder.join("highwater");
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(format!("{}.sock", running.id()))), 0o600);
        running.signal(Signal::TERM);
        running.wait();
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
    }

    #[test]
    fn quiet_run_has_a_control_socket() {
        let stand = Stand::new();
        let arguments = ["-q", "--log", "debug", a_slow_chain()];
        let mut running = stand.in_its_place(highwater(arguments)).start();
        let said = std::iter::repeat_with(|| running.line()).take_while(|line| !line.is_empty());
        let mut said = said.filter(|line| line.starts_with("highwater: debug: control socket: "));
        assert!(said.next().is_some());
        assert_eq!(stand.answer(&running, &["pause"]), "paused\n");
        running.signal(Signal::TERM);
        running.wait();
    }

    #[test]
    fn killed_runs_socket_is_removed_later() {
        let stand = Stand::new();
        let killed = stand.run(&[], a_slow_chain(), |run| run);
        killed.signal(Signal::KILL);
        let id = killed.id();
        killed.wait();
        let folder = stand.folder.join("highwater");
        let left = folder.join(format!("{id}.sock"));
        assert!(left.exists(), "it cannot be removed");
        let foreign = folder.join("notes.txt");
        std::fs::write(&foreign, "kept").expect("written");
        let running = stand.run(&[], a_slow_chain(), |run| run);
        assert!(!left.exists() && foreign.exists());
        running.signal(Signal::TERM);
        running.wait();
    }

    #[test]
    fn shared_folder_gets_no_socket() {
        let stand = Stand::new();
        let open = stand.folder.join("highwater");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).expect("set");
        let running = stand.run(&[], a_slow_chain(), |run| run);
        assert_eq!(std::fs::read_dir(&open).expect("there").count(), 0);
        // Its socket is in the next folder, where it is found as well.
        stand.answer(&running, &["stats"]);
        running.signal(Signal::TERM);
        running.wait();
    }

    #[test]
    fn foreign_namespace_socket_is_left_alone() {
        let stand = Stand::new();
        let folder = stand.folder.join("highwater");
        std::fs::create_dir(&folder).expect("made");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("set");
        // No process here has that number, but there is a listener: a container that shares the folder.
        let path = folder.join("2147483647.sock");
        let theirs = UnixListener::bind(&path).expect("bound");
        let running = stand.run(&[], a_slow_chain(), |run| run);
        assert!(path.exists());
        drop(theirs);
        running.signal(Signal::TERM);
        running.wait();
    }
}
