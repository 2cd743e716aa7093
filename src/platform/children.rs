//! Child processes: their pipes, their start, and the news of their end.

use std::ffi::OsStr;
use std::io::{self, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::fault::{self, Operation};
use super::{Descriptor, files, system};

/// A pipe that a child reads: the child's end, and ours, which never blocks.
///
/// # Errors
/// If no descriptor is left.
pub fn pipe_to_child() -> io::Result<(OwnedFd, Descriptor)> {
    fault::point(Operation::Spawn)?;
    let (theirs, ours) = pipe()?;
    Ok((theirs.into(), never_blocking(ours)?))
}

/// A pipe that a child writes: ours, which never blocks, and the child's end.
///
/// # Errors
/// If no descriptor is left.
pub fn pipe_from_child() -> io::Result<(Descriptor, OwnedFd)> {
    fault::point(Operation::Spawn)?;
    let (ours, theirs) = pipe()?;
    Ok((never_blocking(ours)?, theirs.into()))
}

fn never_blocking(end: impl Into<OwnedFd>) -> io::Result<Descriptor> {
    let end = end.into();
    ioctl_fionbio(&end, true)?;
    Descriptor::own(end)
}

/// Starts a program.
///
/// # Errors
/// As fork(2) and execve(2).
pub fn spawn_child(command: &mut Command) -> io::Result<Child> {
    fault::point(Operation::Spawn)?;
    command.spawn()
}

/// Tells whether a child has ended or stopped. It leaves the child's status to be taken.
#[derive(Debug)]
pub struct ChildExit {
    pid: Pid,
    descriptor: Option<OwnedFd>,
}

impl ChildExit {
    /// Of a child that was not waited for yet.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        Self {
            pid,
            descriptor: system::exit_descriptor(pid),
        }
    }

    /// Becomes readable when the child ends; `None` where the system has no such descriptor.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// The signal that has stopped the child, while it is stopped.
    #[must_use]
    pub fn stopping_signal(&self) -> Option<i32> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid), options).ok()??;
        status.stopping_signal()
    }
}

/// Waits until one of the descriptors is ready, for at most `limit`. A signal may end the wait early.
///
/// # Errors
/// As poll(2).
pub fn wait_for_any(descriptors: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match fault::point(Operation::Poll).and_then(|()| poll(descriptors, limit.as_ref())) {
        Ok(_) => Ok(()),
        Err(Errno::INTR) => {
            descriptors.iter_mut().for_each(PollFd::clear_revents);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds a program as a shell does: a name with a slash is a path, seen from `folder`; any other is looked for in the folders
/// of `search`.
///
/// # Errors
/// `ENOENT` or `ENOTDIR` if there is none, `EACCES` if what there is may not be executed.
pub fn find_program(name: &OsStr, folder: Option<&Path>, search: &OsStr) -> io::Result<PathBuf> {
    let seen = |path: &Path| folder.map_or_else(|| path.to_owned(), |folder| folder.join(path));
    if name.as_bytes().contains(&b'/') {
        return check_executable(&seen(Path::new(name))).map(|()| PathBuf::from(name));
    }
    let mut refused = Errno::NOENT;
    for place in std::env::split_paths(search) {
        let path = if place.as_os_str().is_empty() {
            Path::new(".").join(name)
        } else {
            place.join(name)
        };
        match check_executable(&seen(&path)) {
            Ok(()) => return Ok(path),
            Err(error) => match Errno::from_io_error(&error) {
                None | Some(Errno::NOENT | Errno::NOTDIR) => {}
                Some(other) => refused = other,
            },
        }
    }
    Err(refused.into())
}

fn check_executable(path: &Path) -> io::Result<()> {
    fault::point(Operation::Stat)?;
    if !std::fs::metadata(path)?.is_file() {
        return Err(Errno::ACCESS.into());
    }
    Ok(files::access(rustix::fs::CWD, path, Access::EXEC_OK)?)
}

/// Whether this process has a terminal that programs may ask for a password.
#[must_use]
pub fn has_terminal() -> bool {
    rustix::fs::open(
        "/dev/tty",
        OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .is_ok()
}
