//! Where a new file will stand: its folder, its name, and what it takes over from the file that it replaces.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Failure, Kind};
use crate::platform::{Descriptor, creation_mask, files, folder_of};

use super::super::Writing;

/// A place in an open folder.
pub struct Target {
    /// The folder, whatever happens to its name meanwhile.
    pub folder: OwnedFd,
    /// The name in that folder; no symbolic link.
    pub name: OsString,
    folder_path: PathBuf,
    mode: Mode,
    owner: Option<(Uid, Gid)>,
}

impl Target {
    /// Finds the file that `path` leads to, or the place where it will be.
    pub fn find(path: &Path, writing: Writing) -> Result<Self, Errno> {
        let path = files::follow_links(path)?;
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        let folder_path = folder_of(&path);
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = files::open(&folder_path, directory, Mode::empty())?;
        let old = match files::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        let mode = match (writing.mode, &old) {
            (Some(mode), _) => Mode::from_raw_mode(mode),
            (None, Some(stat)) => Mode::from_raw_mode(stat.st_mode & 0o7777),
            (None, None) => Mode::from_raw_mode(0o666) - creation_mask(),
        };
        Ok(Self {
            name: name.to_owned(),
            folder_path,
            folder,
            mode,
            owner: old.map(|stat| (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))),
        })
    }

    /// The name of a hidden file beside it: `.NAME` and `suffix`, with as much of the name as a file name has room for.
    pub fn beside(&self, suffix: &str) -> OsString {
        /// The longest file name on every common file system.
        const NAME_MAX: usize = 255;
        let kept = self.name.as_bytes().len().min(NAME_MAX - suffix.len() - 1);
        let mut hidden = OsString::from(".");
        hidden.push(OsStr::from_bytes(&self.name.as_bytes()[..kept]));
        hidden.push(suffix);
        hidden
    }

    /// The path of a name in the same folder.
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.folder_path.join(name)
    }

    /// Gives the file that will stand there the owner and the permissions that belong to the place.
    pub fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        if let Some((user, group)) = self.owner {
            // Only a privileged process may; for everybody else the new file is their own, as cp leaves it.
            let _ = files::fchown(descriptor, Some(user), Some(group));
        }
        files::fchmod(descriptor, self.mode).map_err(|error| Failure::io(Kind::Sink, "cannot set permissions", error))
    }

    /// Puts the file called `hidden` into the place.
    pub fn put_in_place(&self, hidden: &OsStr) -> Result<(), Failure> {
        files::renameat(&self.folder, hidden, &self.folder, &self.name)
            .map_err(|error| Failure::io(Kind::Sink, "cannot put the new file in place", error))
    }

    /// Makes the folder's present names durable, of which the place's own is one already.
    pub fn sync_names(&self) -> Result<(), Failure> {
        let operation = "the file is in place, but its durability is unknown";
        files::fsync(&self.folder).map_err(|error| Failure::io(Kind::Sink, operation, error))
    }
}
