//! Tells whether two names are the same file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::files;

/// The identity of a file or folder, independent of its names: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of what `stat` describes.
    #[must_use]
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the widths differ between systems"
    )]
    pub fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: u64::from(stat.st_ino),
        }
    }
}

/// Whether a regular file uses fewer blocks than its size needs.
#[must_use]
pub fn is_sparse(stat: &Stat) -> bool {
    /// The unit of `st_blocks`: see stat(3type).
    const BLOCK: i64 = 512;
    FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_blocks * BLOCK < stat.st_size
}

/// A regular file that exists or could be created: two paths that lead to the same one are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FilePlace {
    /// It exists.
    File(FileId),
    /// It does not exist yet.
    Vacant {
        /// The folder.
        folder: FileId,
        /// The name in it.
        name: OsString,
    },
}

impl FilePlace {
    /// The regular file that `stat` describes; `None` for anything else.
    #[must_use]
    pub fn of(stat: &Stat) -> Option<Self> {
        let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
        is_file.then(|| Self::File(FileId::of(stat)))
    }

    /// The file that `path` leads to; `None` if it is something else than a regular file.
    ///
    /// # Errors
    /// As stat(2), also of the folder if the file does not exist.
    pub fn find(path: &Path) -> rustix::io::Result<Option<Self>> {
        match files::stat(path) {
            Ok(stat) => Ok(Self::of(&stat)),
            Err(Errno::NOENT) => {
                let path = match files::lstat(path) {
                    // A symbolic link to a file that does not exist yet.
                    Ok(_) => files::follow_links(path)?,
                    Err(Errno::NOENT) => path.to_owned(),
                    Err(error) => return Err(error),
                };
                let name = files::file_name(&path).ok_or(Errno::ISDIR)?;
                let folder = FileId::of(&files::stat(folder_of(&path))?);
                Ok(Some(Self::Vacant {
                    folder,
                    name: name.to_owned(),
                }))
            }
            Err(error) => Err(error),
        }
    }
}

/// The folder of a path's last name.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// The identity of a file within its file system, and what changes when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Its inode number within its file system.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, in seconds since the epoch.
    pub modified_s: i64,
    /// The nanoseconds of that time.
    pub modified_ns: u64,
}

impl FileStamp {
    /// The stamp of the file that `stat` describes.
    #[must_use]
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the widths differ between systems"
    )]
    pub fn of(stat: &Stat) -> Self {
        Self {
            inode: u64::from(stat.st_ino),
            size: stat.st_size as u64,
            modified_s: i64::from(stat.st_mtime),
            modified_ns: stat.st_mtime_nsec as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::symlink;

    #[test]
    fn every_path_to_a_file_is_equal() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| FilePlace::find(&folder.path().join(name));
        symlink("file", folder.path().join("link")).expect("made");
        std::fs::create_dir(folder.path().join("deep")).expect("made");
        symlink("../link", folder.path().join("deep/link")).expect("made");
        for is_there in [false, true] {
            if is_there {
                std::fs::write(folder.path().join("file"), "").expect("written");
                std::fs::hard_link(folder.path().join("file"), folder.path().join("other")).expect("made");
            }
            let place = at("file");
            assert!(matches!(place, Ok(Some(_))), "{place:?}");
            for way in ["link", "deep/link", "deep/../file"] {
                assert_eq!(at(way), place, "{way}");
            }
            assert_eq!(at("other") == place, is_there);
            assert_ne!(at("deep/file"), place);
        }
    }

    #[test]
    fn only_regular_files_have_a_place() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(FilePlace::find(folder.path()), Ok(None));
        assert_eq!(FilePlace::find(Path::new("/dev/null")), Ok(None));
        assert_eq!(FilePlace::find(&folder.path().join("missing/file")), Err(Errno::NOENT));
    }
}
