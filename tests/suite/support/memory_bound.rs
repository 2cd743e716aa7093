//! A limit on the memory of a test's processes: a control group if the system lets a test have one, else a limit of the
//! process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::peer;

/// The mount point of each version of control groups, and the name of its memory limit: see cgroups(7).
const VERSIONS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

/// What bounds them.
pub enum MemoryBound {
    /// A control group, removed when it is dropped.
    Group(PathBuf),
    /// `RLIMIT_DATA`, in bytes: the private mappings of a process.
    Data(u64),
}

impl MemoryBound {
    /// Limits them to `bytes` together by a group below our own, which inherits our own limits. In version 2 a group
    /// with processes in it has no groups with limits below it, so there it is tried beside our own as well. `None` if
    /// all are refused: then [`MemoryBound::data`] has to do.
    pub fn group(bytes: u64) -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut refusals = Vec::new();
        for (root, limit) in VERSIONS {
            let own = own(&groups, limit);
            let beside = own.parent().filter(|_| limit == "memory.max");
            for parent in [Some(own), beside].into_iter().flatten() {
                let parent = Path::new(root).join(parent);
                match Self::below(&parent, limit, bytes) {
                    Ok(made) => return Some(made),
                    Err(why) => refusals.push(format!("below {}: {why}", parent.display())),
                }
            }
        }
        eprintln!("no control group can be made: {}", refusals.join("; "));
        None
    }

    /// Limits each of them to `bytes`. `None` if nothing can do that; the test is skipped.
    pub fn data(bytes: u64) -> Option<Self> {
        peer("prlimit").map(|_| Self::Data(bytes))
    }

    fn below(parent: &Path, limit: &str, bytes: u64) -> Result<Self, String> {
        let said = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
        // The mount point itself exists on every machine.
        if !parent.join("cgroup.procs").exists() {
            return Err("no group".to_owned());
        }
        let folder = parent.join(format!("highwater-test-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(said("mkdir"))?;
        let limit = folder.join(limit);
        let group = Self::Group(folder);
        if !limit.exists() {
            // It stays enabled: another process may have begun to rely on it.
            std::fs::write(parent.join("cgroup.subtree_control"), "+memory").map_err(said("enable the controller"))?;
        }
        std::fs::write(limit, bytes.to_string()).map_err(said("set the limit"))?;
        let joined = group.command("true").output().map_err(said("sh"))?;
        if joined.status.success() {
            Ok(group)
        } else {
            Err(format!("join: {}", String::from_utf8_lossy(&joined.stderr).trim_end()))
        }
    }

    /// A command that runs the program within the bound.
    pub fn command(&self, program: &str) -> Command {
        match self {
            Self::Group(folder) => {
                let mut command = Command::new("sh");
                let join = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
                command.args(["-c", join]).arg(folder).arg(program);
                command
            }
            Self::Data(bytes) => {
                let mut command = Command::new("prlimit");
                command.args([&format!("--data={bytes}"), "--", program]);
                command
            }
        }
    }
}

impl Drop for MemoryBound {
    fn drop(&mut self) {
        if let Self::Group(folder) = self {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Our own group in the hierarchy with this limit, without the slash in front: see cgroups(7), `/proc/PID/cgroup`.
fn own<'a>(groups: &'a str, limit: &str) -> &'a Path {
    let lines = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let controller = if limit == "memory.max" { "" } else { "memory" };
    let mut ours = lines.filter(|(controllers, _)| controllers.split(',').any(|name| name == controller));
    let path = ours.next().map_or("", |(_, path)| path);
    Path::new(path.trim_start_matches('/'))
}

#[test]
fn the_group_of_each_version_is_found() {
    let both = "9:name=systemd:/\n4:cpu,memory:/api/1\n0::/user.slice/a:b\n";
    assert_eq!(own(both, "memory.limit_in_bytes"), Path::new("api/1"));
    assert_eq!(own(both, "memory.max"), Path::new("user.slice/a:b"));
    assert_eq!(own("0::/\n", "memory.limit_in_bytes"), Path::new(""));
}
