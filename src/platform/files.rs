//! Names and attributes of files: calls that change the file system besides moving bytes.
//!
//! The functions are rustix's of the same names. Here each passes its [`fault`] point, and one that a signal
//! interrupted is repeated.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::ffi::CString;
use rustix::fs::{Access, Advice, AtFlags, FlockOperation, Gid, Mode, OFlags, SeekFrom, Stat, Uid};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::rand::GetRandomFlags;

use super::fault::{self, Operation};
use super::identity::FileId;
use super::system;

/// Passes the operation's point and makes the call, again if it was interrupted.
fn call<T>(operation: Operation, mut make: impl FnMut() -> Result<T>) -> Result<T> {
    retry_on_intr(|| {
        fault::point(operation)?;
        make()
    })
}

/// [`fsync`] of a descriptor that may have no disk behind it: see proc(5) and sysfs(5).
pub fn sync_if_possible(fd: impl AsFd) -> Result<()> {
    match fsync(fd) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        synced => synced,
    }
}

/// Opens a file.
pub fn open(path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    call(Operation::Open, || rustix::fs::open(path.as_ref(), flags, mode))
}

/// Creates a file without a name in a folder, to write and to read; it is gone once it is closed.
///
/// # Errors
/// As open(2) with `O_TMPFILE`; where the file system or the system has none, a file is created and its name removed.
pub fn open_unnamed(folder: impl AsRef<Path>) -> Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    #[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
    match open(&folder, flags | OFlags::TMPFILE, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        opened => return opened,
    }
    let path = folder.as_ref().join(format!(".highwater-{:08x}", random()?));
    let opened = open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
    unlink(&path)?;
    Ok(opened)
}

/// Opens a file by its name in a folder.
pub fn openat(folder: impl AsFd, name: impl AsRef<Path>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    call(Operation::Open, || {
        rustix::fs::openat(&folder, name.as_ref(), flags, mode)
    })
}

/// What a path leads to.
pub fn stat(path: impl AsRef<Path>) -> Result<Stat> {
    call(Operation::Stat, || rustix::fs::stat(path.as_ref()))
}

/// The file at that path, without following a symbolic link.
pub fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    call(Operation::Stat, || rustix::fs::lstat(path.as_ref()))
}

/// What has that name in a folder.
pub fn statat(folder: impl AsFd, name: impl AsRef<Path>, flags: AtFlags) -> Result<Stat> {
    call(Operation::Stat, || rustix::fs::statat(&folder, name.as_ref(), flags))
}

/// The open file.
pub fn fstat(fd: impl AsFd) -> Result<Stat> {
    call(Operation::Stat, || rustix::fs::fstat(&fd))
}

/// Whether this process may access a name in a folder, as far as permissions and read-only file systems tell.
pub fn access(folder: impl AsFd, name: impl AsRef<Path>, access: Access) -> Result<()> {
    call(Operation::Stat, || {
        rustix::fs::accessat(&folder, name.as_ref(), access, AtFlags::EACCESS)
    })
}

/// What prevents a name in a folder from being replaced, besides permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guards {
    /// It cannot be changed: see chattr(1).
    pub is_immutable: bool,
    /// It can only grow: see chattr(1).
    pub is_append_only: bool,
    /// It is a mount point.
    pub is_mount_point: bool,
}

/// The guards of a name in a folder, symbolic links not followed; none if the system does not tell.
#[must_use]
pub fn guards(folder: impl AsFd, name: impl AsRef<Path>) -> Guards {
    let look = || system::guards(folder.as_fd(), name.as_ref());
    call(Operation::Stat, look).unwrap_or_default()
}

/// Whether this process may do what is reserved to the owners of files.
#[must_use]
pub fn acts_for_owners() -> bool {
    system::acts_for_owners()
}

/// Where a symbolic link leads.
pub fn readlink(path: impl AsRef<Path>) -> Result<CString> {
    call(Operation::ReadLink, || rustix::fs::readlink(path.as_ref(), Vec::new()))
}

/// The same limit as the kernel's.
pub(super) const MOST_LINKS: usize = 40;

/// Follows the last component's symbolic links, also if their target does not exist.
///
/// # Errors
/// As readlink(2), and `ELOOP` if there are too many.
pub fn follow_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match readlink(&path) {
            Ok(link) => {
                let link = PathBuf::from(OsStr::from_bytes(link.to_bytes()));
                path = path.parent().unwrap_or(Path::new("")).join(link);
            }
            Err(Errno::INVAL | Errno::NOENT) => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP)
}

/// Moves the offset; returns the new one.
pub fn seek(fd: impl AsFd, to: SeekFrom) -> Result<u64> {
    call(Operation::Seek, || rustix::fs::seek(&fd, to))
}

/// Where the offset is.
pub fn tell(fd: impl AsFd) -> Result<u64> {
    call(Operation::Seek, || rustix::fs::tell(&fd))
}

/// Sets the length in bytes.
pub fn ftruncate(fd: impl AsFd, length: u64) -> Result<()> {
    call(Operation::Truncate, || rustix::fs::ftruncate(&fd, length))
}

/// Tells the kernel how the file will be read.
pub fn advise_sequential(fd: impl AsFd) -> Result<()> {
    call(Operation::Advise, || {
        rustix::fs::fadvise(&fd, 0, None, Advice::Sequential)
    })
}

/// Drops the page cache of a file that is on the disk, so that reading it reads the disk. Mapped pages, and file
/// systems in memory, keep theirs.
pub fn drop_cached(fd: impl AsFd) {
    // Only advice: if it is refused, the file is read from memory.
    let _ = call(Operation::Advise, || system::drop_cached(fd.as_fd()));
}

/// Waits until the disk has everything.
pub fn fsync(fd: impl AsFd) -> Result<()> {
    call(Operation::Sync, || rustix::fs::fsync(&fd))
}

/// The error that closing it would return, which is how some network file systems report a failed write.
///
/// # Errors
/// As close(2), or if no descriptor is left to duplicate it.
pub fn close_error(fd: impl AsFd) -> Result<()> {
    let other = duplicate(fd)?;
    fault::point(Operation::Close)?;
    close(other)
}

/// Waits until the disk has the bytes and what is needed to find them.
pub fn fdatasync(fd: impl AsFd) -> Result<()> {
    call(Operation::Sync, || rustix::fs::fdatasync(&fd))
}

/// Locks a file against other processes that use locks.
pub fn flock(fd: impl AsFd, how: FlockOperation) -> Result<()> {
    call(Operation::Lock, || rustix::fs::flock(&fd, how))
}

/// Reads at an offset without moving the file's own.
pub fn pread(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    retry_on_intr(|| {
        let room = fault::share(Operation::Read, buffer.len())?;
        rustix::io::pread(&fd, &mut buffer[..room], offset)
    })
}

/// Gives a file to another owner.
pub fn fchown(fd: impl AsFd, user: Option<Uid>, group: Option<Gid>) -> Result<()> {
    call(Operation::Owner, || rustix::fs::fchown(&fd, user, group))
}

/// Sets the permissions of what is open.
pub fn fchmod(fd: impl AsFd, mode: Mode) -> Result<()> {
    call(Operation::Mode, || rustix::fs::fchmod(&fd, mode))
}

/// A file's access control list, symbolic links not followed; `None` if it has only a mode, or the system knows no
/// lists.
pub fn access_list(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    system::access_list(path.as_ref())
}

/// Sets a file's access control list.
pub fn set_access_list(fd: impl AsFd, list: &[u8]) -> Result<()> {
    call(Operation::Mode, || system::set_access_list(fd.as_fd(), list))
}

/// Removes a file's access control list, so that only its mode applies.
pub fn remove_access_list(fd: impl AsFd) -> Result<()> {
    match call(Operation::Mode, || system::remove_access_list(fd.as_fd())) {
        Err(Errno::NODATA | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

/// Copies the extended attributes of the file at that path, except those that depend on its contents or its
/// permissions. Returns the names of the user's own that could not be set.
pub fn copy_attributes(from: impl AsRef<Path>, to: impl AsFd) -> Vec<OsString> {
    let from = from.as_ref();
    let Ok(names) = call(Operation::Attribute, || system::attributes(from)) else {
        return Vec::new();
    };
    let copy = |name: &OsString| call(Operation::Attribute, || system::copy_attribute(from, to.as_fd(), name));
    let is_kept = |name: &OsString| {
        let name = name.as_bytes();
        // These attest the old contents, which new ones must not inherit.
        ![&b"security.capability"[..], b"security.ima", b"security.evm"].contains(&name)
            && !name.starts_with(b"system.posix_acl_")
            && !name.starts_with(b"trusted.overlay.")
    };
    let failed = names.into_iter().filter(is_kept).filter(|name| copy(name).is_err());
    failed.filter(|name| name.as_bytes().starts_with(b"user.")).collect()
}

/// Sets the permissions of what has that path.
pub fn chmod(path: impl AsRef<Path>, mode: Mode) -> Result<()> {
    call(Operation::Mode, || rustix::fs::chmod(path.as_ref(), mode))
}

/// Renames a file, replacing an existing one.
pub fn renameat(from: impl AsFd, old_name: impl AsRef<Path>, to: impl AsFd, new_name: impl AsRef<Path>) -> Result<()> {
    fault::point(Operation::Rename)?;
    rustix::fs::renameat(from, old_name.as_ref(), to, new_name.as_ref())
}

/// Renames a file like [`renameat`], but never replaces an existing one.
///
/// # Errors
/// As renameat2(2) with `RENAME_NOREPLACE`: `EXIST` if the name is taken.
pub fn renameat_new(
    from: impl AsFd,
    old_name: impl AsRef<Path>,
    to: impl AsFd,
    new_name: impl AsRef<Path>,
) -> Result<()> {
    fault::point(Operation::Rename)?;
    let (from, to) = (from.as_fd(), to.as_fd());
    let (old_name, new_name) = (old_name.as_ref(), new_name.as_ref());
    match system::rename_new(from, old_name, to, new_name) {
        // The system or the file system has no such call; a hard link does not replace a file either.
        Err(Errno::INVAL | Errno::NOSYS) => match rustix::fs::linkat(from, old_name, to, new_name, AtFlags::empty()) {
            Ok(()) => rustix::fs::unlinkat(from, old_name, AtFlags::empty()),
            // There are no hard links either: a check before the rename is all that is left.
            Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match rustix::fs::statat(to, new_name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => rustix::fs::renameat(from, old_name, to, new_name),
                    Ok(_) => Err(Errno::EXIST),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        },
        renamed => renamed,
    }
}

/// Makes a folder, and those above it that are missing, durably.
pub fn make_folders(path: impl AsRef<Path>) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .as_ref()
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && matches!(stat(folder), Err(Errno::NOENT)))
        .collect();
    for folder in missing.into_iter().rev() {
        fault::point(Operation::Open)?;
        match std::fs::create_dir(folder) {
            // Somebody else has made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        sync_parent(folder)?;
    }
    Ok(())
}

/// Makes the name of a file or a folder durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(folder.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    Ok(sync_if_possible(&folder)?)
}

/// Makes a folder that only its owner can use.
pub fn make_private_folder(path: impl AsRef<Path>) -> Result<()> {
    fault::point(Operation::Open)?;
    rustix::fs::mkdir(path.as_ref(), Mode::RWXU)
}

/// The last name of a path as that of a file; `None` if it can only be a directory: `x/`, `x/.`, `..`.
#[must_use]
pub fn file_name(path: &Path) -> Option<&OsStr> {
    let bytes = path.as_os_str().as_bytes();
    let is_folder = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
    path.file_name().filter(|_| !is_folder)
}

/// The paths of the entries of a folder, in no order; entries that come or go meanwhile may be missing.
pub fn entries(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    fault::point(Operation::Open)?;
    let entries = std::fs::read_dir(folder)?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Removes a path.
pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
    fault::point(Operation::Unlink)?;
    rustix::fs::unlink(path.as_ref())
}

/// Removes a name from a folder.
pub fn unlinkat(folder: impl AsFd, name: impl AsRef<Path>, flags: AtFlags) -> Result<()> {
    fault::point(Operation::Unlink)?;
    rustix::fs::unlinkat(folder, name.as_ref(), flags)
}

/// Reads what is available, up to the length of `buffer`, waiting as long as necessary; 0 is the end.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry_on_intr(|| {
        let room = fault::share(Operation::Read, buffer.len())?;
        rustix::io::read(&fd, &mut buffer[..room])
    })
}

/// Writes as much of `bytes`, which must not be empty, as there is room for, waiting as long as necessary.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry_on_intr(|| {
        let room = fault::share(Operation::Write, bytes.len())?;
        rustix::io::write(&fd, &bytes[..room]).and_then(moved)
    })
}

/// Removes a name from a folder if it still is that file. A name that is gone or another file now is no error.
pub fn unlinkat_same(folder: impl AsFd, name: impl AsRef<Path>, file: FileId) -> Result<()> {
    match statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileId::of(&stat) == file => unlinkat(folder, name, AtFlags::empty()),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Checks the result of a write. A driver that accepts nothing without an error would be called forever.
///
/// # Errors
/// `EIO` if it is 0.
pub fn moved(count: usize) -> Result<usize> {
    if count == 0 { Err(Errno::IO) } else { Ok(count) }
}

/// Writes all of `bytes`, waiting as long as necessary.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = write(&fd, bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Reads or writes a descriptor through the traits of the standard library.
#[derive(Debug)]
pub struct Stream<F>(pub F);

impl<F: AsFd> io::Read for Stream<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(read(&self.0, buffer)?)
    }
}

impl<F: AsFd> io::Write for Stream<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(write(&self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A duplicate of a descriptor, closed when another program is executed.
pub fn duplicate(fd: impl AsFd) -> Result<OwnedFd> {
    call(Operation::Duplicate, || rustix::io::fcntl_dupfd_cloexec(&fd, 0))
}

/// An unpredictable number.
pub fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    call(Operation::Random, || {
        rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())
    })?;
    Ok(u32::from_ne_bytes(bytes))
}

/// Closes a descriptor and returns the system's error.
#[allow(
    unsafe_code,
    reason = "the descriptor is given up before it is closed, and no other code has its number"
)]
fn close(fd: OwnedFd) -> rustix::io::Result<()> {
    use std::os::fd::IntoRawFd;
    match unsafe { libc::close(fd.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
