//! Descriptors that the process was started with, and the paths that name them.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, Result};

use super::files::{self, MOST_LINKS};
use super::{folder_of, system};

/// The number of the descriptor that a path names, through any symbolic links: `/dev/fd/3`, `/dev/stderr`,
/// `/proc/self/fd/3`. Opening such a path would start a regular file at its beginning again, and replacing it would
/// replace the file that is open there.
#[must_use]
pub fn named_descriptor(path: &Path) -> Option<RawFd> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Some(number) = number(&path) {
            return Some(number);
        }
        let link = files::readlink(&path).ok()?;
        path = folder_of(&path).join(PathBuf::from(std::ffi::OsStr::from_bytes(link.to_bytes())));
    }
    None
}

/// The number in a path that names a descriptor directly.
fn number(path: &Path) -> Option<RawFd> {
    match path.as_os_str().as_bytes() {
        b"/dev/stdin" => return Some(0),
        b"/dev/stdout" => return Some(1),
        b"/dev/stderr" => return Some(2),
        _ => {}
    }
    let name = path.file_name()?.to_str()?;
    if !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let folder = folder_of(path);
    let is_own = folder == Path::new("/dev/fd") || system::lists_own_descriptors(&folder);
    is_own.then(|| name.parse().ok()).flatten()
}

/// A descriptor that the process was started with, if it is open for `access`.
///
/// # Errors
/// `EBADF` if there is none, or it was opened by this process.
pub fn inherited(number: RawFd, access: OFlags) -> Result<BorrowedFd<'static>> {
    if number < 0 || system::was_closed(number) {
        return Err(Errno::BADF);
    }
    #[allow(unsafe_code, reason = "an inherited descriptor is never closed by this process")]
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    // All that this process opens has the close-on-exec flag.
    if rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF);
    }
    let mode = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
    if mode == access || mode == OFlags::RDWR {
        Ok(fd)
    } else {
        Err(Errno::BADF)
    }
}

/// A duplicate of that descriptor, with the same offset.
///
/// # Errors
/// If the descriptor is not inherited, or as fcntl(2).
pub fn duplicate_inherited(number: RawFd, access: OFlags) -> Result<OwnedFd> {
    files::duplicate(inherited(number, access)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn every_name_of_a_descriptor_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/stderr", &link).expect("linked");
        for (path, expected) in [
            ("/dev/stdin", Some(0)),
            ("/dev/stdout", Some(1)),
            ("/dev/fd/17", Some(17)),
            ("/dev/fd/x", None),
            ("/dev/null", None),
            ("17", None),
            (link.to_str().expect("text"), Some(2)),
        ] {
            assert_eq!(named_descriptor(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
    fn the_kernels_own_names_are_known() {
        let own = std::process::id();
        for (path, expected) in [
            ("/proc/self/fd/4".to_owned(), Some(4)),
            ("/proc/thread-self/fd/4".to_owned(), Some(4)),
            (format!("/proc/{own}/fd/4"), Some(4)),
            (format!("/proc/{own}/task/{own}/fd/4"), Some(4)),
            ("/proc/1/fd/4".to_owned(), None),
            ("/proc/self/fdinfo/4".to_owned(), None),
        ] {
            assert_eq!(named_descriptor(Path::new(&path)), expected, "{path}");
        }
    }

    #[test]
    fn own_descriptor_is_not_inherited() {
        let file = tempfile::tempfile().expect("a file");
        let own = inherited(file.as_raw_fd(), OFlags::RDONLY);
        assert_eq!(own.map(|fd| fd.as_raw_fd()), Err(Errno::BADF));
    }
}
