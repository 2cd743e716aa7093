//! A PostgreSQL server of the tests' own, which all tests that run at the same time share.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::{Pid, Signal, kill_process};

use super::certificates::Authority;
use super::harness::{Folder, highwater, skip};
use super::port::reserve;

/// A server that listens on a port of loopback, with TLS, and on a socket. Its roles are postgres, who needs no password,
/// and scram and md5, whose password is `se:cret`.
pub struct Server {
    folder: Folder,
    pub port: u16,
    _reserved: OwnedFd,
    child: Child,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that the other tests use, or a new one; `None` if PostgreSQL is not installed.
pub fn server() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let Some(programs) = programs() else {
        skip("postgresql is missing");
        return None;
    };
    let server = Arc::new(Server::start(&programs));
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// The folder of the newest server's programs: Debian keeps them out of PATH.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.map(|entry| entry.expect("an entry").path().join("bin"));
    folders.filter(|folder| folder.join("initdb").is_file()).max()
}

/// A server's program, which refuses to run as root.
fn command(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

/// Gives a path and what is in it to the user that the server runs as.
fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let given = Command::new("chown")
            .arg("-R")
            .arg("postgres:postgres")
            .arg(path)
            .status();
        assert!(given.expect("chown starts").success());
    }
}

impl Server {
    fn start(programs: &Path) -> Self {
        let folder = Folder::new();
        let data = folder.join("data");
        give_away(folder.path());
        let options = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ];
        let made = command(&programs.join("initdb"))
            .args(options)
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb starts").success());
        let (certificate, key) = Authority::new(&folder).sign("server", "localhost");
        let rules =
            "local all all trust\nhost all scram all scram-sha-256\nhost all md5 all md5\nhost all all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).expect("written");
        std::fs::copy(&certificate, data.join("server.crt")).expect("copied");
        std::fs::copy(&key, data.join("server.key")).expect("copied");
        rustix::fs::chmod(data.join("server.key"), rustix::fs::Mode::from_raw_mode(0o600)).expect("its own");
        give_away(folder.path());
        let (reserved, address) = reserve();
        let port = address.port();
        let mut child = command(&programs.join("postgres"))
            .args([
                "-F",
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "ssl=on",
                "-c",
                "max_connections=200",
            ])
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut all = String::new();
        while !all.contains("ready to accept connections") {
            assert!(
                said.read_line(&mut all).expect("text") > 0,
                "postgres did not start: {all}"
            );
        }
        // It must not block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let server = Self {
            folder,
            port,
            _reserved: reserved,
            child,
        };
        server.run(
            "SET password_encryption='scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'se:cret'; \
             SET password_encryption='md5'; CREATE ROLE md5 LOGIN PASSWORD 'se:cret'",
        );
        server
    }

    /// The URL of its database, by way of the socket.
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@/postgres?host={}&port={}",
            self.folder.path().display(),
            self.port
        )
    }

    /// The URL of its database for a role, by way of the port.
    pub fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@localhost:{}/postgres", self.port)
    }

    /// The certificate of the authority that signed its own.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Runs commands by way of psql; returns what it prints.
    #[track_caller]
    pub fn run(&self, commands: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.folder.path());
        let output = psql
            .args(["-p", &self.port.to_string(), "-c", commands, "postgres"])
            .output()
            .expect("psql starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its fast shutdown.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

/// A run of highwater that takes nothing from the environment of the tests.
pub fn run_with(pipeline: &str, variables: &[(&str, &str)]) -> super::harness::Invocation {
    let run = highwater([pipeline]).environment("HOME", "/nonexistent");
    variables
        .iter()
        .fold(run, |run, (name, value)| run.environment(name, value))
}
