//! Pipelines that are made so that their slow part and their shares are known.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::harness::{Folder, highwater, peer, skip};

/// A shell with a pipeline, in a process group of its own, which is killed at the end.
struct Shell {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Held open, for pipelines that read it.
    stdin: Option<ChildStdin>,
}

/// Programs that say `ready` once something has reached them, and then do one thing for ever.
const PROGRAMS: &[(&str, &str)] = &[
    ("sleeps.py", "time.sleep(1000)"),
    ("spins.py", "while True: pass"),
    ("reads.py", "while os.read(0, 65536): pass"),
    ("passes.py", "while piece := os.read(0, 65536): os.write(1, piece)"),
];

/// A folder with these programs; `None` if there is no Python.
fn programs() -> Option<Folder> {
    peer("python3")?;
    let folder = Folder::new();
    for (name, action) in PROGRAMS {
        let text = format!("import os, sys, time\nos.read(0, 1)\nos.write(2, b'ready\\n')\n{action}\n");
        folder.write(name, text);
    }
    folder.write("starts.py", "import os, time\nos.write(1, b'x')\ntime.sleep(1000)\n");
    Some(folder)
}

impl Shell {
    /// Starts a script with nothing on standard input, and waits until that many programs are ready.
    fn start(folder: &Folder, script: &str, ready: usize) -> Self {
        let mut shell = Self::fed(folder, &format!("exec < /dev/null; {script}"));
        for _ in 0..ready {
            assert_eq!(shell.line(), "ready\n");
        }
        shell
    }

    /// Starts a script that reads from this test.
    fn fed(folder: &Folder, script: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let stdin = child.stdin.take();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, stderr, stdin }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("text");
        line
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Looks once at its pipeline.
    fn sample(&self) -> Value {
        once(&self.pid())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn once(what: &str) -> Value {
    let run = highwater(["attach", what, "--once", "--progress", "json"]).run();
    serde_json::from_slice(&run.succeeds()).expect("an object")
}

/// Whether a part is nearly all of a stage's time. A program that said that it is ready may not have come to the call in
/// which it stays when the first samples are taken.
#[track_caller]
fn assert_mostly(sample: &Value, stage: usize, part: &str) {
    let share = sample["stages"][stage][part].as_f64().expect("a share");
    assert!(share >= 0.8, "{part} of stage {stage} is {share}: {sample}");
}

fn texts(sample: &Value) -> Vec<&str> {
    let stages = sample["stages"].as_array().expect("a list").iter();
    stages.map(|stage| stage["text"].as_str().expect("text")).collect()
}

fn links(sample: &Value) -> Vec<(u64, u64)> {
    let links = sample["links"].as_array().expect("a list").iter();
    let end = |link: &Value, name: &str| link[name].as_u64().expect("a number");
    links.map(|link| (end(link, "from"), end(link, "to"))).collect()
}

#[test]
fn sleeping_sink_holds_up_everything() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "yes | cat | python3 sleeps.py", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["yes", "cat", "python3 sleeps.py"]);
    assert_eq!(links(&sample), [(0, 1), (1, 2)]);
    assert_eq!(sample["bottleneck"]["stage"], 2);
    assert_mostly(&sample, 0, "backpressured");
    assert_mostly(&sample, 1, "backpressured");
    assert_mostly(&sample, 2, "waiting_outside");
    assert_eq!(sample["stages"][2]["outside"], "sleep");
    let link = &sample["links"][0];
    assert_eq!(
        (&link["buffered_bytes"], &link["high_bytes"]),
        (&Value::from(65536), &Value::from(65536))
    );
}

#[test]
fn slow_source_leaves_others_idle() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "python3 starts.py | cat | python3 reads.py", 1);
    let sample = shell.sample();
    assert_eq!(sample["bottleneck"]["stage"], 0);
    assert_mostly(&sample, 0, "waiting_outside");
    assert_mostly(&sample, 1, "idle");
    assert_mostly(&sample, 2, "idle");
    let run = highwater(["attach", &shell.pid(), "--once", "--interval", "300ms"]).run();
    let picture = String::from_utf8(run.succeeds()).expect("text");
    let said = "python3 starts.py: everything downstream waits for it, it sleeps ";
    assert!(picture.contains(said), "{picture}");
    assert!(!picture.contains(" read\n"), "it makes what it writes: {picture}");
}

#[test]
fn computing_filter_is_the_bottleneck() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "yes | python3 spins.py | cat", 1);
    let sample = shell.sample();
    assert_eq!(sample["bottleneck"]["stage"], 1);
    assert_mostly(&sample, 0, "backpressured");
    assert_mostly(&sample, 1, "busy");
    assert_mostly(&sample, 2, "idle");
    assert_eq!(sample["stages"][1]["waiting_outside"], 0.0);
}

#[test]
fn either_of_two_equals_is_named() {
    let Some(folder) = programs() else { return };
    folder.write(
        "makes.py",
        "import os, sys\nos.read(0, 1)\nos.write(1, b'x')\nos.write(2, b'ready\\n')\nwhile True: pass\n",
    );
    let shell = Shell::start(&folder, "yes | python3 makes.py | python3 spins.py", 2);
    let sample = shell.sample();
    assert_mostly(&sample, 1, "busy");
    assert_mostly(&sample, 2, "busy");
    let named = &sample["bottleneck"]["stage"];
    assert!(*named == 1 || *named == 2, "{sample}");
}

#[test]
fn short_lived_children_are_seen() {
    let Some(folder) = programs() else { return };
    folder.write(
        "counts.sh",
        "echo ready >&2\nn=0\nwhile [ $n -lt 50000 ]; do n=$((n+1)); done\n",
    );
    let shell = Shell::start(&folder, "yes | while :; do sh counts.sh; done", 1);
    let sample = shell.sample();
    assert_mostly(&sample, 0, "backpressured");
    let slept = sample["stages"][1]["waiting_outside"].as_f64().expect("a share");
    assert!(slept < 0.3, "they compute: {sample}");
}

#[test]
fn title_of_a_program_is_shown() {
    let (Some(folder), Some(_)) = (programs(), peer("perl")) else {
        return;
    };
    let script =
        "yes | perl -e '$0 = \"worker: of many\"; sysread STDIN, $_, 1; print STDERR \"ready\\n\"; sleep 1000'";
    let shell = Shell::start(&folder, script, 1);
    assert_eq!(texts(&shell.sample()), ["yes", "worker: of many"]);
}

#[test]
fn a_poll_is_judged_by_levels() {
    let Some(folder) = programs() else { return };
    folder.write(
        "polls.py",
        "import os, select, sys, time\nos.set_blocking(1, False)\nwhile True:\n try:\n  while True: os.write(1, b'x' * 65536)\n \
         except BlockingIOError: select.select([], [1], [])\n",
    );
    let shell = Shell::start(&folder, "python3 polls.py | python3 sleeps.py", 1);
    assert_mostly(&shell.sample(), 0, "backpressured");
    folder.write(
        "awaits.py",
        "import os, select, sys\nos.read(0, 1)\nos.write(2, b'ready\\n')\nwhile True: select.select([0], [], [])\n",
    );
    let shell = Shell::start(&folder, "python3 starts.py | python3 awaits.py", 1);
    assert_mostly(&shell.sample(), 1, "idle");
}

#[test]
fn branches_of_tee_are_shown() {
    let Some(folder) = programs() else { return };
    if peer("bash").is_none() {
        return;
    }
    let script = "exec bash -c 'yes | tee >(python3 reads.py) >(python3 sleeps.py) | python3 reads.py'";
    let shell = Shell::start(&folder, script, 3);
    let sample = shell.sample();
    let joined = links(&sample);
    assert_eq!(
        joined.iter().map(|(from, _)| *from).collect::<Vec<_>>(),
        [0, 1, 1, 1],
        "{sample}"
    );
    let slow = texts(&sample).iter().position(|text| *text == "python3 sleeps.py");
    assert_eq!(sample["bottleneck"]["stage"].as_u64(), slow.map(|at| at as u64));
    assert_mostly(&sample, 4, "idle");
}

#[test]
fn a_fifo_joins_two_jobs() {
    let Some(folder) = programs() else { return };
    folder.fifo("fifo");
    let shell = Shell::start(&folder, "yes > fifo & python3 sleeps.py < fifo", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["yes", "python3 sleeps.py"]);
    assert_mostly(&sample, 0, "backpressured");
}

#[test]
fn a_connection_joins_two_processes() {
    let Some(folder) = programs() else { return };
    folder.write(
        "connected.py",
        "import socket, subprocess\ns = socket.create_server(('127.0.0.1', 0))\na = socket.create_connection(s.getsockname())\nb, _ = s.accept()\n\
         subprocess.Popen(['python3', 'sleeps.py'], stdin=b)\nb.close()\ns.close()\nwhile True: a.send(b'x' * 65536)\n",
    );
    // Its output is no sign that it reads from the connection.
    let shell = Shell::start(&folder, "exec python3 connected.py > file", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["python3 connected.py", "python3 sleeps.py"]);
    assert!(sample["links"][0]["buffered_bytes"].as_u64() > Some(65536), "{sample}");
    assert_mostly(&sample, 0, "backpressured");
    assert_mostly(&sample, 1, "busy");
}

#[test]
fn a_unix_socket_joins_two_processes() {
    let Some(folder) = programs() else { return };
    folder.write(
        "pair.py",
        "import socket, subprocess, sys, time\na, b = socket.socketpair()\nsubprocess.Popen(['python3', 'sleeps.py'], stdin=b)\nb.close()\n\
         while True: a.send(b'x' * 65536)\n",
    );
    let shell = Shell::start(&folder, "exec python3 pair.py", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["python3 pair.py", "python3 sleeps.py"]);
    assert_mostly(&sample, 0, "backpressured");
}

#[test]
fn subshell_is_one_stage() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "(cat < /dev/null; python3 starts.py) | python3 reads.py", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["python3 starts.py", "python3 reads.py"]);
}

#[test]
fn every_pipeline_of_a_shell_is_shown() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "yes 1 | python3 sleeps.py & yes 2 | python3 spins.py", 2);
    let run = highwater([
        "attach",
        &shell.pid(),
        "--once",
        "--interval",
        "100ms",
        "--progress",
        "json",
    ])
    .run();
    let printed = String::from_utf8(run.succeeds()).expect("text");
    let samples: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let mut found: Vec<String> = samples.iter().map(|sample| texts(sample).join(" | ")).collect();
    found.sort();
    assert_eq!(found, ["yes 1 | python3 sleeps.py", "yes 2 | python3 spins.py"]);
}

#[test]
fn a_name_stands_for_its_pipeline() {
    let Some(folder) = programs() else { return };
    let name = format!("prog{}", std::process::id());
    let copy = folder.join(&name);
    std::fs::copy("/bin/cat", &copy).expect("copied");
    let _shell = Shell::start(&folder, &format!("yes | ./{name} | python3 sleeps.py"), 1);
    assert_eq!(texts(&once(&name)), ["yes", name.as_str(), "python3 sleeps.py"]);
}

#[test]
fn candidates_are_listed() {
    let Some(folder) = programs() else { return };
    let _shell = Shell::start(&folder, "yes listed | cat | python3 sleeps.py", 1);
    let run = highwater(["attach"]).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let list = String::from_utf8(run.stdout).expect("text");
    let row = list.lines().find(|line| line.contains("yes listed"));
    let row = row.unwrap_or_else(|| panic!("{list}"));
    let pid = row.split_whitespace().next().expect("a number");
    assert!(row.ends_with("yes listed | cat | python3 sleeps.py"), "{row}");
    assert_eq!(texts(&once(pid))[0], "yes listed");
}

#[test]
fn own_pipeline_is_left_out() {
    let Some(folder) = programs() else { return };
    let script = "yes | python3 sleeps.py & read go; ($0 attach; true) | sed p | cat > list; echo listed >&2";
    let script = script.replace("$0", env!("CARGO_BIN_EXE_highwater"));
    let mut shell = Shell::fed(&folder, &script);
    assert_eq!(shell.line(), "ready\n");
    let mut stdin = shell.stdin.take().expect("a pipe");
    stdin.write_all(b"go\n").expect("written");
    assert_eq!(shell.line(), "listed\n");
    let list = String::from_utf8(folder.read("list")).expect("text");
    assert!(list.contains("yes | python3 sleeps.py\n"), "{list}");
    assert!(!list.lines().any(|row| row.ends_with("sed p | cat")), "{list}");
}

#[test]
fn wrong_processes_are_refused() {
    let mut ended = Command::new("true").spawn().expect("true starts");
    let pid = ended.id().to_string();
    ended.wait().expect("it ends");
    let refused = |what: &str, code| highwater(["attach", what, "--once"]).run().fails(code).to_owned();
    assert_eq!(
        refused(&pid, 3),
        format!("highwater: attach {pid}: there is no such process")
    );
    assert!(refused("no-such-program", 3).contains("no such program is running"));
    let mut alone = Command::new("sleep");
    let alone = alone.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
    let mut alone = alone.spawn().expect("sleep starts");
    let line = refused(&alone.id().to_string(), 2);
    alone.kill().expect("killed");
    alone.wait().expect("it ends");
    assert!(line.contains("no pipe joins it"), "{line}");
}

#[test]
fn process_of_another_user_is_explained() {
    let (Some(folder), Some(mut setpriv)) = (programs(), peer("setpriv")) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return skip("only root can be another user");
    }
    let shell = Shell::start(&folder, "yes | python3 sleeps.py", 1);
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let binary = env!("CARGO_BIN_EXE_highwater");
    let run = highwater(["attach", &shell.pid(), "--once"]).under(setpriv).run();
    if run.stderr.contains(binary) {
        return skip("other users cannot run the binary");
    }
    let line = run.fails(3);
    assert!(
        line.contains("it belongs to user 0; run highwater as that user or as root"),
        "{line}"
    );
}

#[test]
fn it_ends_with_the_pipeline() {
    let Some(folder) = programs() else { return };
    let mut shell = Shell::fed(&folder, "cat | python3 passes.py | cat > copy");
    let mut stdin = shell.stdin.take().expect("a pipe");
    stdin.write_all(b"twelve bytes").expect("written");
    assert_eq!(shell.line(), "ready\n");
    let mut attached = highwater([
        "attach",
        &shell.pid(),
        "--progress",
        "json",
        "--interval",
        "50ms",
        "--record",
        "run.jsonl",
    ])
    .within(&folder)
    .start();
    let first: Value = serde_json::from_str(&attached.line()).expect("an object");
    assert_eq!(texts(&first), ["cat", "python3 passes.py", "cat"]);
    drop(stdin);
    let run = attached.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.end()["exit"]["code"], 0);
    assert_eq!(shell.child.wait().expect("it ends").code(), Some(0));
    highwater(["report", "run.jsonl", "-o", "run.svg"])
        .within(&folder)
        .run()
        .succeeds();
    assert!(
        String::from_utf8(folder.read("run.svg"))
            .expect("text")
            .contains("python3 passes.py")
    );
}

#[test]
fn broken_pipe_still_kills_the_writer() {
    let Some(folder) = programs() else { return };
    if peer("bash").is_none() {
        return;
    }
    let script = "exec bash -c 'yes | python3 sleeps.py; echo ${PIPESTATUS[@]} >&2'";
    let mut shell = Shell::start(&folder, script, 1);
    let sample = shell.sample();
    let reader = sample["stages"][1]["children"][0]["pid"].as_i64().expect("a number");
    let mut attached = highwater(["attach", &shell.pid(), "--progress", "plain", "--interval", "10ms"]).start();
    assert!(attached.line().starts_with("highwater: "), "it looks");
    let reader = Pid::from_raw(i32::try_from(reader).expect("a number")).expect("a number");
    kill_process(reader, Signal::KILL).expect("it runs");
    // The shell says first that both were killed.
    let statuses = std::iter::from_fn(|| Some(shell.line()))
        .find(|line| line.is_empty() || line.starts_with(|first: char| first.is_ascii_digit()));
    assert_eq!(statuses.as_deref(), Some("141 137\n"));
    let run = attached.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("bottleneck"), "a summary: {}", run.stderr);
}

#[test]
fn interrupt_ends_only_attach() {
    let Some(folder) = programs() else { return };
    let mut shell = Shell::start(&folder, "yes | python3 sleeps.py", 1);
    let mut attached = highwater([
        "attach",
        &shell.pid(),
        "--progress",
        "json",
        "--interval",
        "10ms",
        "--stats",
        "stats",
    ])
    .within(&folder)
    .start();
    attached.line();
    attached.signal(Signal::INT);
    let run = attached.wait();
    assert_eq!(run.signal, Some(Signal::INT.as_raw()));
    let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
    assert_eq!(
        (&stats["event"], &stats["exit"]["code"]),
        (&Value::from("end"), &Value::from(130))
    );
    assert!(
        shell.child.try_wait().expect("a child").is_none(),
        "the pipeline goes on"
    );
    assert_mostly(&shell.sample(), 0, "backpressured");
}

#[test]
fn thousands_of_descriptors_are_listed() {
    let Some(folder) = programs() else { return };
    folder.write(
        "holds.py",
        "import os, sys, time, resource\nmost = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 6000), most))\nheld = [os.open('/dev/null', 0) for _ in range(3000)]\n\
         os.dup2(0, 5000)\nos.close(0)\nos.read(5000, 1)\nos.write(2, b'ready\\n')\ntime.sleep(1000)\n",
    );
    let shell = Shell::start(&folder, "yes | python3 holds.py", 1);
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["yes", "python3 holds.py"]);
    assert_mostly(&sample, 0, "backpressured");
}

#[test]
fn closed_ends_are_left_out() {
    let Some(folder) = programs() else { return };
    let go = folder.fifo("go");
    folder.write(
        "closes.py",
        "import os, sys, time\nos.read(0, 1)\nos.write(2, b'ready\\n')\nopen('go').read()\nos.close(0)\ntime.sleep(1000)\n",
    );
    let shell = Shell::start(&folder, "yes | python3 closes.py", 1);
    let mut attached = highwater(["attach", &shell.pid(), "--progress", "json", "--interval", "10ms"]).start();
    assert!(attached.line().contains("closes.py"));
    drop(File::options().write(true).open(go).expect("a reader"));
    let run = attached.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.end()["stages"][0]["ended"], true);
}

#[test]
fn an_unseen_end_is_named() {
    let Some(folder) = programs() else { return };
    // The only reader of the last pipe is gone, but its writer has not noticed.
    folder.write(
        "lonely.py",
        "import os, sys, time\nr, w = os.pipe()\nos.dup2(w, 1)\nos.close(r)\nos.close(w)\n\
         os.read(0, 1)\nos.write(2, b'ready\\n')\ntime.sleep(1000)\n",
    );
    let shell = Shell::start(&folder, "yes | python3 lonely.py", 1);
    let run = highwater(["attach", &shell.pid(), "--once", "--interval", "50ms"]).run();
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr
            .contains("no process that may be seen reads from the pipe at the output of python3"),
        "{}",
        run.stderr
    );
}

#[test]
fn container_hides_other_processes() {
    let (Some(folder), Some(_), Some(mut nsenter)) = (programs(), peer("unshare"), peer("nsenter")) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a namespace");
    }
    let shell = Shell::start(
        &folder,
        "yes | unshare --pid --fork --mount-proc sh -c 'cat | python3 sleeps.py; true'",
        1,
    );
    let sample = shell.sample();
    assert_eq!(texts(&sample), ["yes", "cat", "python3 sleeps.py"], "the host sees all");
    let inside = sample["stages"][2]["children"][0]["pid"].to_string();
    nsenter.args(["--target", &inside, "--pid", "--mount"]);
    let run = highwater(["attach", "cat", "--once", "--interval", "50ms", "--progress", "json"])
        .under(nsenter)
        .run();
    let hidden = "no process that may be seen writes to the pipe at the input of cat";
    assert!(run.stderr.contains(hidden), "{}", run.stderr);
    assert!(
        run.stderr.contains("from a container, only its own processes are seen"),
        "{}",
        run.stderr
    );
    let seen: Value = serde_json::from_slice(&run.stdout).expect("an object");
    assert_eq!(texts(&seen), ["cat", "python3 sleeps.py"]);
}

#[test]
fn metrics_show_other_programs() {
    let Some(folder) = programs() else { return };
    let shell = Shell::start(&folder, "yes | python3 sleeps.py", 1);
    let mut attached = highwater([
        "attach",
        &shell.pid(),
        "--progress",
        "plain",
        "--interval",
        "10ms",
        "--metrics",
        ":0",
    ])
    .start();
    let line = attached.line();
    let address = line
        .trim_end()
        .strip_prefix("highwater: metrics on http://")
        .and_then(|url| url.strip_suffix("/metrics"));
    assert!(attached.line().starts_with("highwater: "), "it looks");
    let mut client = TcpStream::connect(address.expect("an address")).expect("it listens");
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    let mut page = String::new();
    client.read_to_string(&mut page).expect("text");
    attached.signal(Signal::INT);
    attached.wait();
    assert!(
        page.contains("highwater_stage_seconds_total{stage=\"0\",name=\"yes\",state=\"backpressured\"}"),
        "{page}"
    );
}
