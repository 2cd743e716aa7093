//! Hidden files beside a target, and the removal of those left by killed runs.
//!
//! The first few names are predictable, so that a later run finds what an earlier one left without listing the folder.
//! A run holds a lock on the temporary of such a name as long as it lives: one that can be locked belongs to no run. Each
//! run sweeps before it takes a name, so that runs that are killed one after the other leave one file at most. If that
//! many runs write the same target at once, or there are no locks, names are random and are never swept.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::platform::{FileId, files};

use super::target::Target;

/// The number of predictable names.
const SLOTS: u32 = 4;
/// The number of random names that are tried after that.
const ATTEMPTS: u32 = 16;

/// Creates a temporary. Returns it with its name: `.NAME.highwater-XXXXXXXX`.
pub fn create(target: &Target, mode: Mode) -> Result<(OwnedFd, OsString), Errno> {
    for number in 0..SLOTS {
        let name = slot(target, number);
        if let Some(created) = create_named(target, &name, mode)?
            && is_locked(target, &name, &created)?
        {
            return Ok((created, name));
        }
    }
    for _ in 0..ATTEMPTS {
        let name = slot(target, files::random()? | SLOTS);
        if let Some(created) = create_named(target, &name, mode)? {
            return Ok((created, name));
        }
    }
    Err(Errno::EXIST)
}

fn slot(target: &Target, number: u32) -> OsString {
    target.beside(&format!(".highwater-{number:08x}"))
}

/// Creates the temporary of that name; `None` if the name is taken.
fn create_named(target: &Target, name: &OsStr, mode: Mode) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match files::openat(&target.folder, name, flags, mode) {
        Ok(created) => Ok(Some(created)),
        Err(Errno::EXIST) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks a temporary that was just created, so that no other run sweeps it. If another run was faster, or there are no
/// locks, the name is given up.
fn is_locked(target: &Target, name: &OsStr, created: &OwnedFd) -> Result<bool, Errno> {
    let unlink = || files::unlinkat(&target.folder, name, AtFlags::empty());
    let opened = files::fstat(created).map(|stat| FileId::of(&stat));
    let opened = opened.inspect_err(|_| {
        let _ = unlink();
    })?;
    match files::flock(created, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => match files::statat(&target.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok(FileId::of(&named) == opened),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => {
                let _ = unlink();
                Err(error)
            }
        },
        Err(Errno::WOULDBLOCK) => files::unlinkat_same(&target.folder, name, opened).map(|()| false),
        // Without locks no run sweeps, so it may stay.
        Err(_) => Ok(unlink().is_err()),
    }
}

/// Removes the temporaries of killed runs. Files that cannot be removed, or may belong to a live run, stay.
pub fn sweep(target: &Target) {
    for name in (0..SLOTS).map(|number| slot(target, number)) {
        let _ = sweep_named(target, &name);
    }
}

fn sweep_named(target: &Target, name: &OsStr) -> Result<(), Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |flags| files::openat(&target.folder, name, flags, Mode::empty());
    let left = match open(flags | OFlags::RDWR) {
        Err(Errno::ACCESS) => open(flags | OFlags::RDONLY),
        opened => opened,
    }?;
    let stat = files::fstat(&left)?;
    if is_ours(&stat) {
        files::flock(&left, FlockOperation::NonBlockingLockExclusive)?;
        files::unlinkat_same(&target.folder, name, FileId::of(&stat))?;
    }
    Ok(())
}

/// Whether it is a regular file of this user with no other name.
pub fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_nlink == 1
}
