//! Namespaces of a test's own: mounts and network devices that other processes do not see, and that end with it.

#![cfg_attr(
    feature = "portable-platform",
    allow(dead_code, reason = "peers vanish only where user timeouts are tried")
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{peer, skip};

/// In the environment of a test that runs in a namespace: its name.
const INSIDE: &str = "HIGHWATER_INSIDE";

/// The kind of namespace.
pub enum Namespace {
    Mounts,
    Network,
    /// The test is the first process, and waits for no orphans.
    Processes,
}

impl Namespace {
    fn options(&self) -> &'static [&'static str] {
        match self {
            Self::Mounts => &["--mount"],
            Self::Network => &["--net"],
            Self::Processes => &["--pid", "--fork", "--mount-proc"],
        }
    }

    /// Succeeds in a namespace that is sufficient for the tests.
    fn probe(&self) -> &'static [&'static str] {
        match self {
            Self::Mounts => &["mount", "-t", "tmpfs", "none", "/tmp"],
            Self::Network => &["ip", "link", "set", "lo", "up"],
            Self::Processes => &["true"],
        }
    }
}

/// Runs `body`, which is that of the test `name`, in a process of its own with such a namespace: in a user namespace,
/// which needs no root, else as root. If the system refuses both, the test is skipped.
pub fn isolated(namespace: &Namespace, name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == name) {
        return body();
    }
    if ["unshare", namespace.probe()[0]]
        .iter()
        .any(|name| peer(name).is_none())
    {
        return;
    }
    let mut refusals = Vec::new();
    for user in [&["--user", "--map-root-user"][..], &[]] {
        let unshare = |command: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(user).args(namespace.options()).args(command);
            unshare.env(INSIDE, name).stdin(Stdio::null());
            unshare.output().expect("unshare starts")
        };
        let probe = unshare(namespace.probe());
        if !probe.status.success() {
            let why = String::from_utf8_lossy(&probe.stderr);
            refusals.push(format!(
                "unshare {user:?} {:?}: {}",
                namespace.options(),
                why.trim_end()
            ));
            continue;
        }
        let program = std::env::current_exe().expect("a path");
        let program = program.to_str().expect("text");
        let run = unshare(&[program, "--exact", name, "--nocapture"]);
        let (said, failed) = (
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr),
        );
        assert!(
            run.status.success() && said.contains("test result: ok. 1 passed;"),
            "{name}: {said}{failed}"
        );
        return;
    }
    skip(refusals.join("; "));
}

/// A file system in memory, for as long as it lives.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one with room for a mebibyte at `folder`, within [`Namespace::Mounts`].
    pub fn at(folder: &Path) -> Self {
        mount(&["-t", "tmpfs", "-o", "size=1m", "none"], folder);
        Self(folder.to_owned())
    }

    /// Hides /proc, within [`Namespace::Mounts`].
    pub fn over_proc() -> Self {
        Self::at(Path::new("/proc"))
    }

    /// Mounts a file over another one, within [`Namespace::Mounts`].
    pub fn bind(file: &Path, over: &Path) -> Self {
        mount(&["--bind", file.to_str().expect("text")], over);
        Self(over.to_owned())
    }

    /// From here on nothing can be written to it.
    pub fn forbid_writing(&self) {
        mount(&["-o", "remount,ro"], &self.0);
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(folder).status();
    assert!(mounted.expect("mount starts").success());
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Turns the loopback device on or off, within [`Namespace::Network`].
pub fn loopback(state: &str) {
    let set = Command::new("ip").args(["link", "set", "lo", state]).status();
    assert!(set.expect("ip starts").success());
}
