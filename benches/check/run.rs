//! Runs one check, as a user does.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use highwater::child::{Group, wait_until};
use serde_json::Value;

use super::case::{Case, ServerCase};

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// What a check said.
pub struct Said {
    pub verdict: String,
    pub sentence: String,
    pub seconds: f64,
    /// `None` of a server.
    pub accepted: Option<u64>,
    pub returned: u64,
    pub memory: u64,
    pub disk: u64,
}

/// A folder of its own, on storage.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Checks a command.
pub fn command(case: &Case, scratch: &Scratch) -> io::Result<Said> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/check/peers");
    let command = case.command.iter().map(|word| match word.strip_prefix('@') {
        Some(name) => peers.join(name).to_string_lossy().into_owned(),
        None => (*word).to_owned(),
    });
    let arguments = case.options.iter().map(|option| (*option).to_owned());
    check(arguments.chain(["--".to_owned()]).chain(command), scratch)
}

/// Starts a server, with an upstream of its own where it needs one, and checks it.
pub fn server(case: &ServerCase, scratch: &Scratch) -> io::Result<Said> {
    let (port, upstream) = (free_port()?, free_port()?);
    let servers = servers_folder();
    let filled = |text: &str| {
        text.replace("PORT", &port.to_string())
            .replace("UPSTREAM", &upstream.to_string())
            .replace("DIR", &scratch.0.to_string_lossy())
    };
    let words = |command: &[&str]| -> Vec<String> {
        let words = command.iter().map(|word| match word.strip_prefix('@') {
            Some(name) => servers.join(name).to_string_lossy().into_owned(),
            None => filled(word),
        });
        words.collect()
    };
    let mut running = Vec::new();
    if let Some((name, text)) = case.config {
        fs::write(scratch.0.join(name), filled(text))?;
        fs::File::create(scratch.0.join("file"))?.set_len(400 << 20)?;
        if text.contains("UPSTREAM") {
            let upstream_port = upstream.to_string();
            let export = servers.join("export.py").to_string_lossy().into_owned();
            running.push(start(
                &["python3".to_owned(), export, upstream_port],
                upstream,
                scratch,
            )?);
        }
    }
    running.push(start(&words(case.command), port, scratch)?);
    let url = format!("http://127.0.0.1:{port}{}", case.path);
    let options = case.options.iter().map(|option| (*option).to_owned());
    check(options.chain([url]), scratch)
}

fn servers_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/check/servers")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a server and waits until it listens. It ends with what is returned.
fn start(command: &[String], port: u16, scratch: &Scratch) -> io::Result<Group> {
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).current_dir(&scratch.0).stdin(Stdio::null());
    program.env("PYTHONPATH", servers_folder());
    let running = Group::spawn(program.stdout(Stdio::null()).stderr(Stdio::null()), GRACE)?;
    if wait_until(START_LIMIT, || TcpStream::connect(("127.0.0.1", port)).is_ok()) {
        Ok(running)
    } else {
        Err(io::Error::other(format!("{} does not listen", command[0])))
    }
}

fn check(arguments: impl Iterator<Item = String>, scratch: &Scratch) -> io::Result<Said> {
    let temporary = scratch.0.join("temporary");
    fs::create_dir_all(&temporary)?;
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["check", "--json"])
        .args(arguments)
        .current_dir(&scratch.0)
        .env("TMPDIR", temporary)
        .output()?;
    let seconds = started.elapsed().as_secs_f64();
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let objects: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let [.., last, end] = &objects[..] else {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    };
    let number = |object: &Value, name: &str| object[name].as_u64();
    Ok(Said {
        verdict: end["verdict"].as_str().unwrap_or_default().to_owned(),
        sentence: format!(
            "{}{}",
            end["sentence"].as_str().unwrap_or_default(),
            end["error_line"]
                .as_str()
                .map_or(String::new(), |line| format!(" [{line}]"))
        ),
        seconds,
        accepted: number(last, "accepted_bytes"),
        returned: number(last, "returned_bytes").unwrap_or(0),
        memory: number(end, "memory_peak_bytes").unwrap_or(0),
        disk: number(end, "disk_bytes").unwrap_or(0),
    })
}
