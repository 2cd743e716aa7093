//! Keys in the live view, on a real terminal that `script` provides and a shell with job control uses.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Folder, noise, peer};

/// Longer than any test needs: after this silence the terminal prints nothing more.
const FAR_TOO_LONG: Duration = Duration::from_secs(120);

/// The last thing in the line of keys.
const HINT: &str = "quit";

/// A shell on a terminal.
struct Terminal {
    folder: Folder,
    script: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// The unread output on the screen.
    seen: String,
}

impl Terminal {
    /// Runs a shell script in which `$hw` is the program; `None` if there is no `script` and it is optional.
    fn run(commands: &str) -> Option<Self> {
        let folder = Folder::new();
        peer("bash")?;
        folder.write(
            "commands",
            format!("hw={}\n{commands}", env!("CARGO_BIN_EXE_highwater")),
        );
        let mut script = peer("script")?;
        script
            .args(["-qec", "bash commands", "/dev/null"])
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut script = script.spawn().expect("script starts");
        let keyboard = script.stdin.take().expect("stdin is a pipe");
        let mut stdout = script.stdout.take().expect("stdout is a pipe");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            folder,
            script,
            keyboard,
            screen,
            seen: String::new(),
        })
    }

    /// Waits until the screen shows `text`; drops the output before it.
    #[track_caller]
    fn until(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let Ok(bytes) = self.screen.recv_timeout(FAR_TOO_LONG) else {
                panic!("no `{text}` in {:?}", self.seen);
            };
            self.seen += &String::from_utf8_lossy(&bytes);
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Sends a signal to the process whose number is in the file `pid`.
    fn signal(&self, signal: Signal) {
        let pid = self.text("pid").trim().parse().ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a number"), signal).expect("it runs");
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.folder.read(name)).expect("text")
    }

    /// Waits for the shell's end; returns its folder.
    fn end(mut self) -> Folder {
        while self.screen.recv_timeout(FAR_TOO_LONG).is_ok() {}
        drop(self.keyboard);
        self.script.wait().expect("it ends");
        self.folder
    }
}

#[track_caller]
fn same_modes(folder: &Folder, names: [&str; 2]) {
    let [before, after] = names.map(|name| String::from_utf8(folder.read(name)).expect("text"));
    assert!(before.contains("icanon") && before.contains(" echo "), "{before}");
    assert_eq!(before, after, "{names:?}");
}

#[test]
fn plus_minus_and_q_act() {
    let commands = "stty -a >before
        $hw 'read /dev/zero | throttle 1MB/s | write /dev/null'; echo $? >code
        stty -a >after";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.until(HINT);
    terminal.types("+");
    terminal.until("throttle at 1.1MB/s");
    terminal.types("--");
    terminal.until("throttle at 900kB/s");
    terminal.types("q");
    let folder = terminal.end();
    assert_eq!(folder.read("code"), b"130\n");
    same_modes(&folder, ["before", "after"]);
}

#[test]
fn space_pauses_and_resumes() {
    let commands = "$hw 'read /dev/zero high=64KiB | write /dev/null'; echo $? >code";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.until(HINT);
    terminal.types("+");
    terminal.until("no throttle in this chain");
    terminal.types(" ");
    terminal.until("takes nothing more until it is resumed");
    terminal.until("resume");
    terminal.types("?");
    terminal.until("high-water mark");
    terminal.types("?");
    terminal.until("help");
    terminal.types(" ");
    terminal.until("pause");
    terminal.types("q");
    assert_eq!(terminal.end().read("code"), b"130\n");
}

#[test]
fn views_that_only_watch_explain_and_quit() {
    let views: &[(&str, &str)] = &[
        #[cfg(not(feature = "portable-platform"))]
        ("sleep 600 | cat >/dev/null & $hw attach $!", "pipe or a connection"),
        #[cfg(feature = "http")]
        ("$hw serve 127.0.0.1:0 'read /dev/zero'", "other requests wait in line"),
    ];
    for (command, explained) in views {
        let commands =
            format!("trap : INT; stty -a >before; {command}; echo $? >code; stty -a >after; kill $(jobs -p)");
        let Some(mut terminal) = Terminal::run(&commands) else {
            return;
        };
        terminal.until("help");
        terminal.until(HINT);
        // There is nothing to pause or to turn.
        terminal.types(" +?");
        terminal.until(explained);
        terminal.until("close");
        terminal.types("q");
        let folder = terminal.end();
        assert_eq!(folder.read("code"), b"130\n", "{command}");
        same_modes(&folder, ["before", "after"]);
    }
}

#[test]
fn terminal_is_restored_after_signals() {
    for (signal, code) in [
        (Some(Signal::TERM), "143\n"),
        (Some(Signal::QUIT), "131\n"),
        (None, "130\n"),
    ] {
        // Ctrl-C reaches the shell as well, which must survive to print how the run ended.
        let commands = "trap : INT; ulimit -c 0; stty -a >before
            bash -c 'echo $$ >pid; exec \"$0\" \"read /dev/zero | throttle 1MB/s | write /dev/null\"' $hw
            echo $? >code; stty -a >after";
        let Some(mut terminal) = Terminal::run(commands) else {
            return;
        };
        terminal.until(HINT);
        match signal {
            Some(signal) => terminal.signal(signal),
            None => terminal.types("\x03"),
        }
        let folder = terminal.end();
        assert_eq!(folder.read("code"), code.as_bytes(), "{signal:?}");
        same_modes(&folder, ["before", "after"]);
    }
}

#[test]
fn stopped_run_returns_the_terminal() {
    let commands = "set -m; stty -a >before
        $hw 'read /dev/zero | throttle 1MB/s | write /dev/null'
        stty -a >stopped; jobs -p >pid; echo has-stopped; read -r line; echo \"$line\" >typed
        fg; echo $? >code; stty -a >after";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.until(HINT);
    terminal.types("\x1a");
    terminal.until("has-stopped");
    // A line for the shell, which only the shell may receive.
    terminal.types("-q-\n");
    terminal.until(HINT);
    terminal.types("+");
    terminal.until("throttle at 1.1MB/s");
    terminal.signal(Signal::TERM);
    let folder = terminal.end();
    assert_eq!(folder.read("typed"), b"-q-\n");
    assert_eq!(folder.read("code"), b"143\n");
    same_modes(&folder, ["before", "stopped"]);
    same_modes(&folder, ["before", "after"]);
}

#[test]
fn run_without_shell_is_not_stopped() {
    // Without job control the shell and its programs are one orphaned process group.
    let commands = "$hw 'read /dev/zero | throttle 1MB/s | write /dev/null'; echo $? >code";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.until(HINT);
    terminal.types("\x1a");
    terminal.types("+");
    terminal.until("throttle at 1.1MB/s");
    terminal.types("q");
    assert_eq!(terminal.end().read("code"), b"130\n");
}

#[test]
fn background_run_reads_no_keys() {
    let commands = "set -m; stty -a >before
        $hw --stats end 'read /dev/zero | throttle 10MB/s | take 5MB | write out' &
        read -r line; echo \"$line\" >typed; stty -a >during; wait $!; echo $? >code; stty -a >after";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.types("-q-\n");
    let folder = terminal.end();
    assert_eq!(folder.read("typed"), b"-q-\n");
    assert_eq!(
        (folder.read("code"), folder.read("out").len()),
        (b"0\n".to_vec(), 5_000_000)
    );
    same_modes(&folder, ["before", "during"]);
    same_modes(&folder, ["before", "after"]);
}

#[test]
fn terminal_source_gets_the_keys() {
    let commands = "$hw --progress live 'read - | take 4 | write out'; echo $? >code";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    terminal.types("q+?\n");
    let folder = terminal.end();
    assert_eq!(
        (folder.read("out"), folder.read("code")),
        (b"q+?\n".to_vec(), b"0\n".to_vec())
    );
}

#[test]
fn resize_changes_neither_bytes_nor_code() {
    let commands = "mkfifo in go; echo ready
        (read line <go; stty cols 45 rows 8 </dev/tty; echo resized) &
        $hw 'read in | throttle 100MB/s | write out'; echo $? >code; wait";
    let Some(mut terminal) = Terminal::run(commands) else {
        return;
    };
    let bytes = noise(300_000, 70);
    terminal.until("ready");
    let open = |name: &str| {
        let options = std::fs::OpenOptions::new().write(true).open(terminal.folder.join(name));
        options.expect("it is read")
    };
    let mut source = open("in");
    source.write_all(&bytes[..100_000]).expect("read");
    let mut go = open("go");
    terminal.until(HINT);
    go.write_all(b"\n").expect("read");
    terminal.until("resized");
    source.write_all(&bytes[100_000..]).expect("read");
    drop(source);
    let folder = terminal.end();
    assert_eq!(folder.read("code"), b"0\n");
    assert!(folder.read("out") == bytes);
}
