//! Where a new file will stand: its folder, its name, and what it takes over from the file that it replaces.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid};
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
    rights: Rights,
    /// Whether a file that has the name may be replaced.
    clobber: bool,
}

/// What is said of a file that is there and must not be replaced.
pub fn spared() -> Failure {
    Failure::because(Kind::Sink, "will not replace it", "the file exists (clobber=false)")
}

/// Who may do what with the file that will stand there.
struct Rights {
    mode: Mode,
    /// Whether the mode was given, and not taken from elsewhere.
    is_given: bool,
    /// The old file's owners.
    owners: Option<(Uid, Gid)>,
    /// The old file's access control list, where it has one: then the mode's group bits are only the list's mask.
    access_list: Option<Vec<u8>>,
}

impl Rights {
    /// Permissions without set-user-ID, set-group-ID and the sticky bit: those were given to other contents.
    const PLAIN: u32 = 0o777;

    fn new(given: Option<u32>, old: Option<&Stat>, path: &Path) -> Self {
        let mode = match (given, old) {
            (Some(mode), _) => mode,
            (None, Some(old)) => old.st_mode & Self::PLAIN,
            (None, None) => (Mode::from_raw_mode(0o666) - creation_mask()).as_raw_mode(),
        };
        Self {
            mode: Mode::from_raw_mode(mode),
            is_given: given.is_some(),
            owners: old.map(|old| (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid))),
            access_list: old.filter(|_| given.is_none()).and_then(|_| files::access_list(path)),
        }
    }

    /// The mode where the old file's group or its list could not be taken over: its group bits spoke of others, so the
    /// group that the file has now may do what everybody may.
    fn without_group(&self) -> Mode {
        if self.is_given {
            return self.mode;
        }
        let mode = self.mode.as_raw_mode();
        Mode::from_raw_mode(mode & !0o070 | (mode & 0o007) << 3)
    }
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
        Ok(Self {
            rights: Rights::new(writing.mode, old.as_ref(), &path),
            clobber: writing.clobber,
            name: name.to_owned(),
            folder_path,
            folder,
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

    /// Gives the file that will stand there the owners and the permissions that belong to the place.
    pub fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        let rights = &self.rights;
        // Only a privileged process may give a file away; for everybody else the new one is their own, as cp leaves it. A
        // group that one belongs to can be given.
        let keeps_group = rights.owners.is_none_or(|(user, group)| {
            files::fchown(descriptor, Some(user), Some(group)).is_ok()
                || files::fchown(descriptor, None, Some(group)).is_ok()
        });
        let keeps_list = match &rights.access_list {
            Some(list) => keeps_group && files::set_access_list(descriptor, list).is_ok(),
            None => true,
        };
        let mode = if keeps_group && keeps_list {
            rights.mode
        } else {
            rights.without_group()
        };
        files::fchmod(descriptor, mode).map_err(|error| Failure::io(Kind::Sink, "cannot set permissions", error))
    }

    /// Puts the file called `hidden` into the place.
    pub fn put_in_place(&self, hidden: &OsStr) -> Result<(), Failure> {
        let renamed = if self.clobber {
            files::renameat(&self.folder, hidden, &self.folder, &self.name)
        } else {
            files::renameat_new(&self.folder, hidden, &self.folder, &self.name)
        };
        renamed.map_err(|error| match error {
            // It was not there when the run began.
            Errno::EXIST if !self.clobber => spared(),
            error => Failure::io(Kind::Sink, "cannot put the new file in place", error),
        })
    }

    /// Makes the folder's present names durable, of which the place's own is one already.
    pub fn sync_names(&self) -> Result<(), Failure> {
        let operation = "the file is in place, but its durability is unknown";
        files::fsync(&self.folder).map_err(|error| Failure::io(Kind::Sink, operation, error))
    }
}
