//! How much memory this process may still use.

use std::fs::read_to_string;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// The least of what the machine, the control groups and the process's own limit leave.
pub fn free_memory() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = left_by_groups(&groups, Path::new("/sys/fs/cgroup"));
    [machine, group, left_by_limit()].into_iter().flatten().min()
}

/// `MemAvailable` of meminfo, in KiB: see proc(5).
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// What the address space may still grow by, if `ulimit -v` bounds it.
fn left_by_limit() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let statm = read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    Some(limit.saturating_sub(pages * rustix::param::page_size() as u64))
}

/// What the groups in /proc/self/cgroup, and their ancestors, leave; both versions: see cgroups(7).
fn left_by_groups(groups: &str, root: &Path) -> Option<u64> {
    let rooms = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, files) = match controllers {
            "" => (root.to_owned(), UNIFIED),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), LEGACY),
            _ => return None,
        };
        // Inside a container, the path may exist only outside; then the root is used.
        let inside = root.join(path.trim_start_matches('/'));
        let above = inside.ancestors().take_while(|folder| folder.starts_with(&root));
        above.filter_map(|folder| left_by_group(folder, &files)).min()
    });
    rooms.min()
}

/// The names of a group's files: its limit, its usage, and what in its statistics can be reclaimed at once.
struct Names {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const UNIFIED: Names = Names {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file ",
};
const LEGACY: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file ",
};

fn left_by_group(folder: &Path, names: &Names) -> Option<u64> {
    let number = |name| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max` is not a number: there is no limit.
    let (limit, usage) = (number(names.limit)?, number(names.usage)?);
    let statistics = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let reclaimable = statistics.lines().find_map(|line| line.strip_prefix(names.reclaimable));
    let reclaimable = reclaimable.and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    fn group(folder: &Path, files: &[(&str, &str)]) {
        create_dir_all(folder).expect("made");
        for (name, text) in files {
            write(folder.join(name), text).expect("written");
        }
    }

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:  24683520 kB\nMemFree:  8049000 kB\nMemAvailable:   23930000 kB\n";
        assert_eq!(available(text), Some(23_930_000 << 10));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let stat = "anon 5\ninactive_file 100\n";
        let limited = [
            ("memory.max", "1000\n"),
            ("memory.current", "600\n"),
            ("memory.stat", stat),
        ];
        group(&root.path().join("a"), &limited);
        group(
            &root.path().join("a/b"),
            &[("memory.max", "max\n"), ("memory.current", "1\n")],
        );
        assert_eq!(left_by_groups("0::/a/b\n", root.path()), Some(500));
        assert_eq!(left_by_groups("0::/elsewhere\n", root.path()), None);
    }

    #[test]
    fn the_older_version_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        let files = [("memory.limit_in_bytes", "900\n"), ("memory.usage_in_bytes", "1000\n")];
        group(&root.path().join("memory"), &files);
        let groups = "8:pids:/\n4:memory:/only/outside\n0::/\n";
        assert_eq!(left_by_groups(groups, root.path()), Some(0));
    }
}
