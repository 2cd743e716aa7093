//! The processes of this system and what joins them.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::shown;
use crate::grammar::quote_value;
use crate::platform::other_process::{
    HeldDescriptor, Target, command_line, connections, held_descriptors, network_namespace, unix_peers,
};
use crate::platform::{Listed, process_name, processes};

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its descriptors; `None` if they may not be seen.
    pub held: Option<Vec<HeldDescriptor>>,
}

/// What joins two processes: an anonymous pipe or a FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Carrier {
    /// An anonymous pipe, by its inode.
    Pipe(u64),
    /// A named pipe, by its device and inode.
    Fifo(u64, u64),
    /// A connection, by the inodes of its sockets, that of the writer first.
    Connection(u64, u64),
}

impl Carrier {
    /// The pipe at a descriptor.
    pub fn of(held: &HeldDescriptor) -> Option<Self> {
        match held.target {
            Target::Pipe(inode) => Some(Self::Pipe(inode)),
            Target::Fifo(device, inode) => Some(Self::Fifo(device, inode)),
            _ => None,
        }
    }
}

/// All processes that can be seen at one time.
#[derive(Debug, Default)]
pub struct Census {
    processes: HashMap<i32, Process>,
    /// The other socket of each connection within this system.
    peers: HashMap<u64, u64>,
}

impl Census {
    /// Lists the processes and their descriptors.
    ///
    /// # Errors
    /// `Unsupported` if the system does not list processes.
    pub fn take() -> io::Result<Self> {
        let listed = processes()?.into_iter();
        let listed = listed.filter(|process| !process.is_zombie);
        let look = |Listed { pid, parent, .. }| {
            let held = held_descriptors(pid).ok();
            (pid, Process { pid, parent, held })
        };
        let mut census = Self {
            processes: listed.map(look).collect(),
            peers: unix_peers().into_iter().collect(),
        };
        census.pair_connections();
        census.forget_inherited();
        Ok(census)
    }

    /// Forgets descriptors above the standard ones that a process has only because its parent has them: most programs
    /// know nothing of them. A shell names those of a process substitution in the command.
    fn forget_inherited(&mut self) {
        let is_inherited = |process: &Process, held: &HeldDescriptor| {
            held.fd > 2 && self.is_inherited(process.pid, held) && !is_named_in_command(process.pid, held.fd)
        };
        let inherited: Vec<(i32, i32)> = self
            .processes
            .values()
            .flat_map(|process| {
                let held = process.held.as_deref().unwrap_or_default().iter();
                let ends = held.filter(|held| Carrier::of(held).is_some() || matches!(held.target, Target::Socket(_)));
                ends.filter(|held| is_inherited(process, held))
                    .map(|held| (process.pid, held.fd))
            })
            .collect();
        for (pid, fd) in inherited {
            let held = self.processes.get_mut(&pid).and_then(|process| process.held.as_mut());
            if let Some(held) = held {
                held.retain(|held| held.fd != fd);
            }
        }
    }

    /// Pairs the sockets of TCP connections whose two ends are in one network namespace.
    fn pair_connections(&mut self) {
        let is_socket = |held: &HeldDescriptor| matches!(held.target, Target::Socket(_));
        let holders = self.processes.values().filter(|process| {
            let mut held = process.held.iter().flatten();
            held.any(is_socket)
        });
        let namespaces: HashMap<Option<u64>, i32> = holders
            .map(|process| (network_namespace(process.pid), process.pid))
            .collect();
        for pid in namespaces.into_values() {
            let ends: HashMap<_, _> = connections(pid)
                .into_iter()
                .map(|end| ((end.local, end.remote), end.inode))
                .collect();
            let pairs = ends.iter().filter_map(|((local, remote), inode)| {
                let other = ends.get(&(*remote, *local))?;
                Some((*inode, *other))
            });
            self.peers.extend(pairs);
        }
    }

    /// A process by its number.
    #[must_use]
    pub fn process(&self, pid: i32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    /// The numbers of all processes, in order.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self.processes.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    /// The processes with a program's name, without this process.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<i32> {
        let is_named = |pid: &i32| {
            let program = command_line(*pid).into_iter().next().unwrap_or_default();
            process_name(pid.unsigned_abs()).as_deref() == Some(name) || base_name(&program) == name.as_bytes()
        };
        let others = self.pids().into_iter().filter(|pid| *pid != own_pid());
        others.filter(is_named).collect()
    }

    /// Whether the parent of a process has the same descriptor.
    #[must_use]
    pub fn is_inherited(&self, pid: i32, held: &HeldDescriptor) -> bool {
        let parent = self.processes.get(&pid).map(|process| process.parent);
        let parent = parent.and_then(|parent| self.processes.get(&parent));
        parent
            .and_then(|parent| parent.held.as_deref())
            .is_some_and(|above| above.contains(held))
    }

    /// The ancestors of a process, the nearest first.
    pub fn ancestors(&self, pid: i32) -> impl Iterator<Item = i32> {
        let parent = |pid: &i32| self.processes.get(pid).map(|process| process.parent);
        // The list is not taken at one moment, so it might contain a loop.
        std::iter::successors(parent(&pid), parent).take(self.processes.len())
    }

    /// The descriptors of a process at pipes and sockets. Standard error joins nothing unless it is standard output,
    /// too.
    pub fn ends(&self, pid: i32) -> impl Iterator<Item = &HeldDescriptor> {
        let held = self.processes.get(&pid).and_then(|process| process.held.as_deref());
        held.unwrap_or_default().iter().filter(|held| held.fd != 2)
    }

    /// The other socket of a connection.
    #[must_use]
    pub fn peer(&self, socket: u64) -> Option<u64> {
        self.peers.get(&socket).copied()
    }

    /// Whether this process may not see what a process has open.
    #[must_use]
    pub fn hides(&self, pid: i32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.held.is_none())
    }
}

/// The number of this process.
#[must_use]
pub fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

/// Whether a command names a descriptor, as `/dev/fd/63` does.
fn is_named_in_command(pid: i32, fd: i32) -> bool {
    let name = format!("fd/{fd}");
    let words = command_line(pid).into_iter();
    words.skip(1).any(|word| word.ends_with(name.as_bytes()))
}

/// The command of a process, with the program's folder left out; its name in brackets if it has no command line.
#[must_use]
pub fn command(pid: i32) -> String {
    let mut words = command_line(pid);
    match words.as_mut_slice() {
        [] => return format!("[{}]", name(pid)),
        // A title that the program has written there.
        [title] if title.contains(&b' ') => return shown(title),
        [program, ..] => *program = base_name(program).to_vec(),
    }
    let words = words.iter().map(|word| match word.as_slice() {
        b"" => b"''".to_vec(),
        word => quote_value(word),
    });
    shown(&words.collect::<Vec<_>>().join(&b' '))
}

/// The name of a process.
#[must_use]
pub fn name(pid: i32) -> String {
    process_name(pid.unsigned_abs()).map_or_else(|| pid.to_string(), |name| shown(name.as_bytes()))
}

fn base_name(program: &[u8]) -> &[u8] {
    let path = Path::new(std::ffi::OsStr::from_bytes(program));
    path.file_name().map_or(program, OsStrExt::as_bytes)
}
