//! The memory of other processes: of one and of all that descend from it.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions};

use super::system;

/// One process, as the kernel lists it.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Bytes that are resident; 0 of one that has ended.
    pub rss: u64,
    /// Whether its first thread runs, would run if a processor were free, or waits for a disk: not asleep, stopped or
    /// ended.
    pub is_running: bool,
    /// Whether it has ended and only waits to be waited for.
    pub is_zombie: bool,
}

/// What a process and its descendants come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeMemory {
    /// The sum of their resident sets, in bytes; a page that two of them share counts twice.
    pub rss: u64,
    /// Whether any thread of any of them runs or would if it could.
    pub is_running: bool,
    /// How many there are, ended ones left out.
    pub processes: usize,
}

/// Whose memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// A process and all its descendants.
    Of(i32),
    /// All descendants of this process. It adopts those whose parent has ended: see [`adopt_orphans`].
    Ours,
}

impl Tree {
    /// What it holds now.
    ///
    /// # Errors
    /// `Unsupported` where the system does not list processes; as open(2) otherwise.
    pub fn memory(self) -> io::Result<TreeMemory> {
        let mut memory = TreeMemory::default();
        for process in self.members()?.iter().filter(|process| !process.is_zombie) {
            memory.rss += process.rss;
            memory.is_running = memory.is_running || process.is_running || system::has_running_thread(process.pid);
            memory.processes += 1;
        }
        Ok(memory)
    }

    /// Bytes that its living processes have written to files on storage, pipes and sockets left out; 0 where the
    /// system does not tell.
    #[must_use]
    pub fn stored(self) -> u64 {
        let members = self.members().unwrap_or_default();
        members.iter().map(|process| system::stored_bytes(process.pid)).sum()
    }

    fn members(self) -> io::Result<Vec<Listed>> {
        let all = system::processes()?;
        let root = match self {
            Self::Of(pid) => pid,
            Self::Ours => rustix::process::getpid().as_raw_nonzero().get(),
        };
        let parents: HashMap<i32, i32> = all.iter().map(|process| (process.pid, process.parent)).collect();
        let descends = |pid: i32| {
            // A list that was read while processes came and went may have a loop in it.
            let ancestors = std::iter::successors(parents.get(&pid), |parent| parents.get(parent));
            ancestors.take(all.len()).any(|ancestor| *ancestor == root)
        };
        let is_member = |process: &&Listed| {
            (process.pid == root && self != Self::Ours) || (process.pid != root && descends(process.pid))
        };
        Ok(all.iter().filter(is_member).copied().collect())
    }
}

/// Makes this process the parent of descendants whose own parent ends, so that none of them is lost.
pub fn adopt_orphans() {
    system::adopt_orphans();
}

/// Has a program lead a process group of its own, and die with the thread that starts it where the system offers that.
pub fn lead_group(command: &mut Command) -> &mut Command {
    die_with_parent(command.process_group(0))
}

/// Has a program die with the thread that starts it where the system offers that.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    system::die_with_parent(command);
    command
}

/// Kills every descendant of this process, and waits for those that have ended. Answers how many were still there.
pub fn kill_descendants() -> io::Result<usize> {
    let members = Tree::Ours.members()?;
    for process in members.iter().filter(|process| !process.is_zombie) {
        if let Some(pid) = Pid::from_raw(process.pid) {
            // One that has ended meanwhile is what is wanted.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    Ok(members.len())
}

/// Makes a pipe as small as it can be, so that little waits in it unseen.
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
    fn this_process_is_in_its_own_tree_and_not_below_itself() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let memory = Tree::Of(own).memory().expect("listed");
        assert!(
            memory.rss > 100 << 10 && memory.is_running && memory.processes >= 1,
            "{memory:?}"
        );
        let below = Tree::Ours.members().expect("listed");
        assert!(below.iter().all(|process| process.pid != own), "{below:?}");
    }

    #[test]
    fn nobody_is_in_the_tree_of_a_number_that_is_no_process() {
        // The kernel gives no number above 2^22: see proc(5).
        assert_eq!(Tree::Of(1 << 30).memory().expect("listed"), TreeMemory::default());
    }
}
