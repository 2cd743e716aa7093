//! Telling whether two names are the same file.

use rustix::fs::Stat;

/// A regular file, whatever its names: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of the regular file that `stat` describes.
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

/// Where a file is within its file system, and what changes when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Its number within its file system.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, in seconds since the epoch.
    pub modified_s: i64,
    /// The nanoseconds that belong to it.
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
