//! Where a new file will stand: its folder, its name, and what it takes over from the file that it replaces.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{FileId, files, folder_of};

use super::options::WriteOptions;
use super::temporary;

/// A place in an open folder.
pub struct Target {
    /// The folder, whatever happens to its name meanwhile.
    pub folder: OwnedFd,
    /// The name in that folder; no symbolic link.
    pub name: OsString,
    /// The file that has the name, to be replaced.
    pub old: Option<Stat>,
    folder_path: PathBuf,
    /// The permissions that were asked for.
    mode: Option<Mode>,
    /// The old file's access control list, where it has one: then the mode's group bits are only the list's mask.
    access_list: Option<Vec<u8>>,
    /// Whether a file that has the name may be replaced.
    clobber: bool,
}

/// What is said of a file that is there and must not be replaced.
pub fn spared() -> Failure {
    Failure::because(Kind::Sink, "will not replace it", "the file exists (clobber=false)")
}

/// Permissions without set-user-ID, set-group-ID and the sticky bit: those were given to other contents.
const PLAIN: u32 = 0o777;
/// What a new file is asked for; the system takes from it what the umask or the folder's default list say.
pub const NEW: Mode = Mode::from_raw_mode(0o666);
/// For its owner alone.
pub const PRIVATE: Mode = Mode::from_raw_mode(0o600);

impl Target {
    /// Finds the file that `path` leads to, or the place where it will be.
    pub fn find(path: &Path, writing: &WriteOptions) -> Result<Self, Errno> {
        let path = files::follow_links(path)?;
        let name = files::file_name(&path).ok_or(Errno::ISDIR)?;
        let folder_path = folder_of(&path);
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = files::open(&folder_path, directory, Mode::empty())?;
        let old = match files::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            mode: writing.mode.map(Mode::from_raw_mode),
            access_list: old.and_then(|_| files::access_list(&path)),
            clobber: writing.clobber,
            name: name.to_owned(),
            old,
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

    /// Whether a new file there gets the permissions that the system gives it when it is created.
    pub fn leaves_rights_to_system(&self) -> bool {
        self.mode.is_none() && self.old.is_none()
    }

    /// Gives a file that only its owner can use, and that will stand there, what belongs to the place: the old file's
    /// owners, permissions and attributes, the permissions that were asked for, or those that the system gives a new file.
    pub fn dress(&self, file: impl AsFd) -> Result<(), Failure> {
        let file = file.as_fd();
        let failed = |error| Failure::io(Kind::Sink, "cannot set permissions", error);
        let Some(old) = &self.old else {
            let (mode, list) = match self.mode {
                Some(mode) => (mode, None),
                None => self.rights_of_new_file().map_err(failed)?,
            };
            return set_rights(file, mode, list.as_deref()).map_err(failed);
        };
        let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
        // Only a privileged process may give a file away. A group that one belongs to can be given.
        let keeps_owner = files::fchown(file, Some(user), Some(group)).is_ok();
        let keeps_group = keeps_owner || files::fchown(file, None, Some(group)).is_ok();
        if !keeps_owner && old.st_uid != rustix::process::geteuid().as_raw() {
            tracing::warn!(
                "{} belonged to user {}, and belongs to you now",
                self.shown(),
                old.st_uid
            );
        }
        if old.st_nlink > 1 {
            tracing::warn!(
                "{} had {} names; it is a file of its own now, and the others keep the old contents",
                self.shown(),
                old.st_nlink
            );
        }
        self.keep_attributes(old, file);
        if let Some(mode) = self.mode {
            return set_rights(file, mode, None).map_err(failed);
        }
        let mode = Mode::from_raw_mode(old.st_mode & PLAIN);
        let keeps_list = match &self.access_list {
            Some(list) if keeps_group => files::set_access_list(file, list).is_ok(),
            Some(_) => false,
            None => keeps_group,
        };
        if keeps_list {
            if self.access_list.is_none() {
                files::remove_access_list(file).map_err(failed)?;
            }
            return files::fchmod(file, mode).map_err(failed);
        }
        // The group bits spoke of others: the group that the file has now may do what everybody may.
        let mode = mode.as_raw_mode();
        let mode = Mode::from_raw_mode(mode & !0o070 | (mode & 0o007) << 3);
        set_rights(file, mode, None).map_err(failed)
    }

    /// Gives a file the old one's extended attributes, as far as the system lets us.
    fn keep_attributes(&self, old: &Stat, file: BorrowedFd<'_>) {
        let path = self.path_of(&self.name);
        // By its name, because a file that may be written to need not be readable: it must still be the same.
        if !files::lstat(&path).is_ok_and(|now| FileId::of(&now) == FileId::of(old)) {
            return;
        }
        let lost = files::copy_attributes(&path, file);
        if !lost.is_empty() {
            let lost: Vec<String> = lost.iter().map(|name| shown(name.as_bytes())).collect();
            tracing::warn!("{} loses its attributes {}", self.shown(), lost.join(", "));
        }
    }

    /// What the system gives a file that is created there: tried out, because nothing else tells.
    fn rights_of_new_file(&self) -> Result<(Mode, Option<Vec<u8>>), Errno> {
        let (tried, name) = temporary::create(self, NEW)?;
        let rights = files::fstat(&tried).map(|stat| {
            let list = files::access_list(self.path_of(&name));
            (Mode::from_raw_mode(stat.st_mode & PLAIN), list)
        });
        files::unlinkat(&self.folder, &name, AtFlags::empty())?;
        rights
    }

    fn shown(&self) -> String {
        shown(self.path_of(&self.name).as_os_str().as_bytes())
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

/// Sets a mode and a list, or a mode that no list adds to, be it one that the folder gave.
pub fn set_rights(file: impl AsFd, mode: Mode, list: Option<&[u8]>) -> Result<(), Errno> {
    match list {
        Some(list) => files::set_access_list(&file, list)?,
        None => files::remove_access_list(&file)?,
    }
    files::fchmod(&file, mode)
}
