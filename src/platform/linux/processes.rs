//! Other processes, from /proc: see proc(5).

use std::collections::HashSet;
use std::fs::{read, read_dir, read_link};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FileType;

use super::super::identity::FileId;
use super::super::process_tree::{GroupUse, Listed, Listeners, OpenFile, ProcessMemory, allocated_bytes};
use super::status_field;

/// All processes, from the `stat` of each. One that ends meanwhile is left out.
pub fn processes() -> io::Result<Vec<Listed>> {
    let mut found = Vec::new();
    for pid in pids()? {
        let Ok(stat) = read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        found.extend(listed(pid, &String::from_utf8_lossy(&stat)));
    }
    Ok(found)
}

fn pids() -> io::Result<impl Iterator<Item = i32>> {
    let entries = read_dir("/proc")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// A process's name may contain blanks and brackets, so fields are counted from its last bracket: the state is the
/// third field, the parent the fourth, the process group the fifth.
fn listed(pid: i32, stat: &str) -> Option<Listed> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    Some(Listed {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        is_running: matches!(state, "R" | "D"),
        is_zombie: matches!(state, "Z" | "X"),
    })
}

/// What each of these process groups uses, or the process of that number where it leads none.
#[must_use]
pub fn group_use(leaders: &[i32]) -> Vec<GroupUse> {
    let mut sums = vec![GroupUse::default(); leaders.len()];
    for pid in pids().into_iter().flatten() {
        let Some((group, used)) = group_and_use(pid) else {
            continue;
        };
        let own = leaders.iter().position(|leader| *leader == pid);
        let of_group = leaders.iter().position(|leader| *leader == group);
        if let Some(at) = own.or(of_group) {
            sums[at].rss += used.rss;
            sums[at].cpu += used.cpu;
        }
    }
    sums
}

/// The processor time of a process and of those that it has waited for; none once it has been waited for itself.
#[must_use]
pub fn cpu_time(pid: i32) -> Duration {
    group_and_use(pid).map_or(Duration::ZERO, |(_, used)| used.cpu)
}

fn group_and_use(pid: i32) -> Option<(i32, GroupUse)> {
    let stat = read(format!("/proc/{pid}/stat")).ok()?;
    parse_use(&String::from_utf8_lossy(&stat))
}

/// The process group is the fifth field, the resident pages are the 24th. The 14th to the 17th are the ticks of the
/// process itself and of the children that it has waited for, in user and in system mode.
pub fn parse_use(stat: &str) -> Option<(i32, GroupUse)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok();
    let ticks: u64 = (14..=17).map(number).sum::<Option<u64>>()?;
    let used = GroupUse {
        rss: number(24)? * rustix::param::page_size() as u64,
        cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
    };
    Some((fields.get(2)?.parse().ok()?, used))
}

/// Whether any of a process's threads runs, is runnable, or waits for a disk.
pub fn has_running_thread(pid: i32) -> bool {
    let Ok(threads) = read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let stat = read(thread.path().join("stat")).unwrap_or_default();
        listed(pid, &String::from_utf8_lossy(&stat)).is_some_and(|thread| thread.is_running)
    })
}

/// `None` for a process that has ended.
pub fn process_memory(pid: i32) -> Option<ProcessMemory> {
    let status = read(format!("/proc/{pid}/status")).ok()?;
    let field = |name| {
        let kib: u64 = status_field(&status, name)?.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    };
    // A process that is ending has no memory any more.
    let resident = field("VmRSS:")?;
    Some(ProcessMemory {
        resident,
        // Before Linux 4.5 there is no such line.
        private: field("RssAnon:").unwrap_or(resident),
        shared: field("RssShmem:").unwrap_or(0),
    })
}

/// `write_bytes` of io: bytes sent to storage, counted when they are in the page cache. A file system in memory does
/// not count.
pub fn stored_bytes(pid: i32) -> u64 {
    let text = read(format!("/proc/{pid}/io")).unwrap_or_default();
    let stored = status_field(&text, "write_bytes:").and_then(|bytes| bytes.parse().ok());
    stored.unwrap_or(0)
}

/// The regular files that a process has open for writing. At most some thousand of its descriptors are examined.
pub fn open_files(pid: i32) -> Vec<OpenFile> {
    const MOST: usize = 4096;
    let Ok(descriptors) = read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let descriptors = descriptors.flatten().take(MOST).map(|entry| entry.path());
    descriptors.filter_map(|link| open_file(&link)).collect()
}

/// The link's own permissions show how it is open; its target is the file itself, whether or not that has a name.
fn open_file(link: &PathBuf) -> Option<OpenFile> {
    let is_writable = rustix::fs::lstat(link).ok()?.st_mode & 0o200 != 0;
    if !is_writable {
        return None;
    }
    let path = read_link(link).ok().filter(|path| path.is_absolute())?;
    let stat = rustix::fs::stat(link).ok()?;
    FileType::from_raw_mode(stat.st_mode).is_file().then(|| OpenFile {
        id: FileId::of(&stat),
        allocated: allocated_bytes(&stat),
        is_linked: stat.st_nlink > 0,
        is_in_memory: is_in_memory(link),
        path,
    })
}

/// tmpfs and ramfs: see statfs(2).
fn is_in_memory(link: &PathBuf) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58F6;
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "its width differs between architectures"
    )]
    rustix::fs::statfs(link).is_ok_and(|system| matches!(system.f_type as u64 & 0xFFFF_FFFF, TMPFS | RAMFS))
}

/// The listening processes: `of` one process, or of all in this network namespace.
pub fn listeners(of: Option<i32>, port: Option<u16>) -> Listeners {
    let sockets = listening_sockets(of, port);
    let holds_one = |pid: &i32| {
        let Ok(descriptors) = read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        let targets = descriptors.flatten().filter_map(|entry| read_link(entry.path()).ok());
        targets
            .filter_map(|target| socket_inode(target.to_str()?))
            .any(|inode| sockets.contains(&inode))
    };
    let candidates: Vec<i32> = match of {
        Some(pid) => vec![pid],
        None => pids().map(Iterator::collect).unwrap_or_default(),
    };
    Listeners {
        is_bound: !sockets.is_empty(),
        pids: candidates
            .into_iter()
            .filter(|pid| !sockets.is_empty() && holds_one(pid))
            .collect(),
    }
}

/// `socket:[4711]`
pub(super) fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inodes of sockets in the state LISTEN, of a process's network namespace.
fn listening_sockets(of: Option<i32>, port: Option<u16>) -> HashSet<u64> {
    let process = of.map_or("self".to_owned(), |pid| pid.to_string());
    let tables = ["tcp", "tcp6"].map(|name| read(format!("/proc/{process}/net/{name}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.split(|byte| *byte == b'\n'));
    let sockets = lines.filter_map(|line| listening_socket(std::str::from_utf8(line).ok()?));
    sockets
        .filter(|(at, _)| port.is_none_or(|port| port == *at))
        .map(|(_, inode)| inode)
        .collect()
}

/// Port and inode of a line of the table. Fields are the local address, the remote one, the state; the inode is the tenth.
fn listening_socket(line: &str) -> Option<(u16, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let is_listening = *fields.get(3)? == LISTEN;
    is_listening.then(|| Some((u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?)))?
}

/// Whether a process is in this process's network namespace; true if that cannot be read.
pub fn shares_network(pid: i32) -> bool {
    let namespace = |process: &str| read_link(format!("/proc/{process}/ns/net")).ok();
    namespace(&pid.to_string()).is_none_or(|other| Some(other) == namespace("self"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_name_may_contain_brackets() {
        let process = listed(42, "42 (a) R 7) S 17 42 42 0 -1 4194304").expect("read");
        assert_eq!((process.parent, process.group), (17, 42));
        assert!(!process.is_running && !process.is_zombie);
        assert!(listed(42, "42 (cut").is_none());
    }

    #[test]
    fn processor_time_includes_ended_children() {
        let stat = "42 (a) R) S 17 40 42 0 -1 4194304 9 9 9 9 100 20 3 7 20 0 1 0 5 4096 6 18446744073709551615 1";
        let (group, used) = parse_use(stat).expect("read");
        let ticks = 130 * 1000 / rustix::param::clock_ticks_per_second();
        assert_eq!((group, used.cpu), (40, Duration::from_millis(ticks)));
        assert_eq!(used.rss, 6 * rustix::param::page_size() as u64);
        assert!(parse_use("42 (cut) S 17 40 42").is_none());
    }

    #[test]
    fn listening_sockets_are_recognised() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 126 1";
        assert_eq!(listening_socket(line), Some((8080, 126)));
        assert_eq!(listening_socket(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening_socket("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn open_file_has_size_and_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        rustix::io::write(&file, &vec![1; 100_000]).expect("room");
        rustix::fs::fsync(&file).expect("written");
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let id = FileId::of(&rustix::fs::fstat(&file).expect("open"));
        let find = || open_files(own).into_iter().find(|open| open.id == id).expect("seen");
        let seen = find();
        assert!(
            seen.allocated >= 100_000 && seen.is_linked && seen.path == file.path(),
            "{seen:?}"
        );
        std::fs::remove_file(file.path()).expect("removed");
        assert!(!find().is_linked);
    }
}
