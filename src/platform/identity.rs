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
