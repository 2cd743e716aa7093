//! The memory and files of a process and all its descendants.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::{Pid, Signal, WaitOptions};

use super::identity::FileId;
use super::system;

/// A process in the list of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// The number of its process group.
    pub group: i32,
    /// Whether its first thread is running, runnable, or waiting for a disk.
    pub is_running: bool,
    /// Whether it has ended and has not been waited for.
    pub is_zombie: bool,
}

/// The memory of one process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident pages, including those of mapped files.
    pub resident: u64,
    /// Private pages: heaps, stacks, written pages of private mappings.
    pub private: u64,
    /// Pages of shared memory and of files that live in memory.
    pub shared: u64,
}

/// What a process group uses; nothing where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupUse {
    /// Resident bytes; shared pages count once for each process.
    pub rss: u64,
    /// Processor time of its members, and of their children that have ended.
    pub cpu: Duration,
}

/// A regular file that a process has open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Its identity.
    pub id: FileId,
    /// Its last known path.
    pub path: PathBuf,
    /// Bytes that are allocated to it.
    pub allocated: u64,
    /// Whether it has a name.
    pub is_linked: bool,
    /// Whether its file system lives in memory.
    pub is_in_memory: bool,
}

/// What a process and its descendants use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeUse {
    /// The sum of their resident sets in bytes; shared pages count once for each process.
    pub rss: u64,
    /// Bytes of private and shared memory, and of the files in memory that they write.
    pub memory: u64,
    /// The process that has the most private memory.
    pub largest: Option<i32>,
    /// Bytes that they have written to storage since the first measurement; 0 if the system does not tell.
    pub disk: u64,
    /// Whether any of their threads is running or runnable.
    pub is_running: bool,
    /// The number of processes that have not ended.
    pub processes: usize,
}

/// A set of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// A process and all its descendants.
    Of(i32),
    /// All descendants of this process. It adopts orphans among them: see [`adopt_orphans`].
    Ours,
}

impl Tree {
    /// Whether it contains a process.
    pub fn contains(self, pid: i32) -> io::Result<bool> {
        Ok(self.members()?.iter().any(|process| process.pid == pid))
    }

    fn members(self) -> io::Result<Vec<Listed>> {
        let all = system::processes()?;
        let root = match self {
            Self::Of(pid) => pid,
            Self::Ours => rustix::process::getpid().as_raw_nonzero().get(),
        };
        let parents: HashMap<i32, i32> = all.iter().map(|process| (process.pid, process.parent)).collect();
        let descends = |pid: i32| {
            // Processes come and go while the list is read, so it may contain a loop.
            let ancestors = std::iter::successors(parents.get(&pid), |parent| parents.get(parent));
            ancestors.take(all.len()).any(|ancestor| *ancestor == root)
        };
        let is_member = |process: &&Listed| {
            (process.pid == root && self != Self::Ours) || (process.pid != root && descends(process.pid))
        };
        Ok(all.iter().filter(is_member).copied().collect())
    }
}

/// Measures trees repeatedly, and keeps the values of ended processes and closed files.
#[derive(Debug)]
pub struct TreeWatch {
    trees: Vec<Tree>,
    /// The bytes each process had written at its first and its last measurement.
    written: HashMap<i32, (u64, u64)>,
    files: HashMap<FileId, WrittenFile>,
    /// A folder, and the most bytes in it at once.
    folder: Option<(PathBuf, u64)>,
    count: u32,
}

#[derive(Debug)]
struct WrittenFile {
    file: OpenFile,
    /// Bytes that it had at the first measurement.
    before: u64,
    is_open: bool,
}

/// Bytes in the files that were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that are deleted or in the folder for temporary files.
    pub temporary: u64,
    /// Other files.
    pub kept: u64,
}

impl TreeWatch {
    /// Open files are listed once in this many measurements, because there may be many.
    const FILES_EVERY: u32 = 2;

    /// Measures `trees`. What they write below `folder` is temporary.
    #[must_use]
    pub fn new(trees: Vec<Tree>, folder: Option<&Path>) -> Self {
        Self {
            trees,
            written: HashMap::new(),
            files: HashMap::new(),
            folder: folder.map(|folder| (folder.to_owned(), 0)),
            count: 0,
        }
    }

    /// Measures them.
    ///
    /// # Errors
    /// `Unsupported` if the system does not list processes; as open(2) otherwise.
    pub fn measure(&mut self) -> io::Result<TreeUse> {
        let mut members: Vec<Listed> = Vec::new();
        for tree in &self.trees {
            for process in tree.members()? {
                if !process.is_zombie && members.iter().all(|member| member.pid != process.pid) {
                    members.push(process);
                }
            }
        }
        let mut used = TreeUse::default();
        let (mut private, mut shared, mut most) = (0, 0, 0);
        for process in &members {
            let Some(memory) = system::process_memory(process.pid) else {
                continue;
            };
            used.processes += 1;
            used.rss += memory.resident;
            private += memory.private;
            // A sum would count it once for each process.
            shared = shared.max(memory.shared);
            if memory.private >= most {
                most = memory.private;
                used.largest = Some(process.pid);
            }
            used.is_running = used.is_running || process.is_running || system::has_running_thread(process.pid);
            let stored = system::stored_bytes(process.pid);
            self.written.entry(process.pid).or_insert((stored, stored)).1 = stored;
        }
        if self.count.is_multiple_of(Self::FILES_EVERY) {
            self.files.values_mut().for_each(|written| written.is_open = false);
            for process in &members {
                self.look_at_files(process.pid);
            }
            if let Some((folder, most)) = &mut self.folder {
                *most = (*most).max(allocated_below(folder));
            }
        }
        self.count += 1;
        let in_memory = self.files.values().filter(|written| written.file.is_in_memory);
        let in_memory: u64 = in_memory.map(WrittenFile::in_memory_now).sum();
        // Mapped files in memory are in both.
        used.memory = private + shared.max(in_memory);
        used.disk = self
            .written
            .values()
            .map(|(first, last)| last.saturating_sub(*first))
            .sum();
        Ok(used)
    }

    fn look_at_files(&mut self, pid: i32) {
        for file in system::open_files(pid) {
            match self.files.entry(file.id) {
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.is_open = true;
                    known.file = file;
                }
                Entry::Vacant(place) => {
                    // Only at the first measurement is the previous size known.
                    let before = if self.count == 0 { file.allocated } else { 0 };
                    place.insert(WrittenFile {
                        file,
                        before,
                        is_open: true,
                    });
                }
            }
        }
    }

    /// The files that were seen open for writing, and those in the folder.
    #[must_use]
    pub fn written(&self) -> Written {
        let mut written = Written::default();
        for WrittenFile { file, before, .. } in self.files.values() {
            let bytes = file.allocated.saturating_sub(*before);
            let folder = self.folder.as_ref().map(|(folder, _)| folder);
            let is_below = folder.is_some_and(|folder| file.path.starts_with(folder));
            if file.is_linked && !is_below && is_in_place(file) {
                written.kept += bytes;
            } else {
                written.temporary += bytes;
            }
        }
        // Descriptors that were open only briefly may be missed.
        let below = self.folder.as_ref().map_or(0, |(_, most)| *most);
        written.temporary = written.temporary.max(below);
        written
    }
}

/// Bytes of the files in a folder and in those below it.
fn allocated_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| {
        let path = entry.path();
        match rustix::fs::lstat(&path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => allocated_below(&path),
            Ok(stat) => allocated_bytes(&stat),
            Err(_) => 0,
        }
    });
    sizes.sum()
}

fn is_in_place(file: &OpenFile) -> bool {
    rustix::fs::stat(&file.path).is_ok_and(|stat| FileId::of(&stat) == file.id)
}

impl WrittenFile {
    /// Bytes by which a file in memory has grown, which may have been closed or deleted meanwhile.
    fn in_memory_now(&self) -> u64 {
        let now = match rustix::fs::stat(&self.file.path) {
            Ok(stat) if FileId::of(&stat) == self.file.id => allocated_bytes(&stat),
            // A deleted file exists as long as it is open.
            _ if self.is_open => self.file.allocated,
            _ => 0,
        };
        now.saturating_sub(self.before)
    }
}

/// Bytes that are allocated to a file; stat(2) counts blocks of 512 bytes.
#[must_use]
pub fn allocated_bytes(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// The processes that listen on a TCP port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Whether a socket listens there, even of an invisible process.
    pub is_bound: bool,
    /// The visible processes: without root, those of the same user.
    pub pids: Vec<i32>,
}

impl Listeners {
    /// Finds them in this process's network namespace.
    #[must_use]
    pub fn on(port: u16) -> Self {
        system::listeners(None, Some(port))
    }

    /// Those without a listening parent: the masters, without their workers.
    pub fn roots(&self) -> io::Result<Vec<i32>> {
        let all = system::processes()?;
        let is_listener = |pid: &i32| self.pids.contains(pid);
        let parent = |pid: i32| {
            all.iter()
                .find(|process| process.pid == pid)
                .map(|process| process.parent)
        };
        let roots = self.pids.iter().copied();
        Ok(roots
            .filter(|pid| parent(*pid).is_none_or(|parent| !is_listener(&parent)))
            .collect())
    }
}

/// Whether a process of this tree listens on the port, or, in another network namespace, on any port.
pub fn listens(tree: Tree, port: u16) -> io::Result<bool> {
    let members = tree.members()?;
    Ok(members.iter().any(|process| {
        let port = system::shares_network(process.pid).then_some(port);
        system::listeners(Some(process.pid), port).pids.contains(&process.pid)
    }))
}

/// Whether this process becomes the parent of orphaned descendants.
#[must_use]
pub fn adopts_orphans() -> bool {
    system::adopts_orphans()
}

/// Makes this process the parent of orphaned descendants, so that none of them is lost, or leaves them to the first process
/// of the system again.
pub fn adopt_orphans(does: bool) {
    system::adopt_orphans(does);
}

/// Whether each member of a process group has ended, even if its parent does not wait for it. To be called when none can
/// start another any more: the list is not read at one moment. False where the system does not list processes.
#[must_use]
pub fn has_group_ended(group: Pid) -> bool {
    let is_alive = |process: &Listed| process.group == group.as_raw_nonzero().get() && !process.is_zombie;
    system::processes().is_ok_and(|processes| !processes.iter().any(is_alive))
}

/// Makes a program lead a process group of its own, and die with the thread that starts it if the system can do that.
pub fn lead_group(command: &mut Command) -> &mut Command {
    die_with_parent(command.process_group(0))
}

/// Has a program die with the thread that starts it where the system offers that.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    system::die_with_parent(command);
    command
}

/// Kills every descendant of this process, and reaps those that have ended. Returns the number of those that were left.
pub fn kill_descendants() -> io::Result<usize> {
    let members = Tree::Ours.members()?;
    for process in members.iter().filter(|process| !process.is_zombie) {
        if let Some(pid) = Pid::from_raw(process.pid) {
            // A process that has ended meanwhile is no error.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    Ok(members.len())
}

/// Makes a pipe as small as possible, so that little data is hidden in it.
pub fn shrink_pipe(fd: BorrowedFd<'_>) {
    system::shrink_pipe(fd);
}

#[cfg(all(test, target_os = "linux", not(feature = "portable-platform")))]
mod tests {
    use super::*;

    #[test]
    fn a_child_dies_with_its_starting_thread() {
        let start = || lead_group(Command::new("sleep").arg("1000")).spawn();
        let mut child = std::thread::spawn(start).join().expect("no panic").expect("sleep");
        let status = child.wait().expect("its status");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

    #[test]
    fn process_is_in_its_own_tree() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let used = TreeWatch::new(vec![Tree::Of(own)], None).measure().expect("listed");
        assert!(
            used.memory > 100 << 10 && used.rss > used.memory / 2 && used.is_running && used.processes >= 1,
            "{used:?}"
        );
        let below = Tree::Ours.members().expect("listed");
        assert!(below.iter().all(|process| process.pid != own), "{below:?}");
    }

    #[test]
    fn tree_of_unknown_process_is_empty() {
        // The kernel gives no number above 2^22: see proc(5).
        let used = TreeWatch::new(vec![Tree::Of(1 << 30)], None).measure();
        assert_eq!(used.expect("listed"), TreeUse::default());
    }
}
