//! Replacing a file atomically: whoever looks sees the old file or the whole new one.

use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Failure, Kind, Stop, shown};
use crate::platform::{Descriptor, creation_mask};
use crate::stage::{Outcome, Undo};

use super::super::{Landing, Outgoing, Writing};

/// A temporary file beside its target, which takes the target's place when all bytes are durable.
pub struct Replacement {
    temporary: Arc<Temporary>,
    target: OsString,
    mode: Mode,
    owner: Option<(Uid, Gid)>,
    sync: bool,
}

/// The temporary file's name, as long as it is ours to remove.
struct Temporary {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Temporary,
    InPlace,
    Removed,
}

impl Replacement {
    /// Creates the temporary file, readable by nobody else, beside the file that `path` leads to.
    pub fn create(path: &Path, writing: Writing) -> Result<Outgoing, Errno> {
        let target = follow_links(path)?;
        let name = target.file_name().ok_or(Errno::ISDIR)?;
        let folder_path = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder_path = folder_path.unwrap_or(Path::new("."));
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder_path, directory, Mode::empty())?;
        let old = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        let mode = match (writing.mode, &old) {
            (Some(mode), _) => Mode::from_raw_mode(mode),
            (None, Some(stat)) => Mode::from_raw_mode(stat.st_mode & 0o7777),
            (None, None) => Mode::from_raw_mode(0o666) - creation_mask(),
        };
        let (fd, temporary) = create_temporary(&folder, name)?;
        let replacement = Self {
            temporary: Arc::new(Temporary {
                folder,
                path: folder_path.join(&temporary),
                name: temporary,
                state: Mutex::new(State::Temporary),
            }),
            target: name.to_owned(),
            mode,
            owner: old.map(|stat| (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))),
            sync: writing.sync,
        };
        let descriptor = Descriptor::own(fd).map_err(|error| {
            let _ = replacement.temporary.undo();
            Errno::from_io_error(&error).unwrap_or(Errno::IO)
        })?;
        Ok(Outgoing {
            descriptor,
            landing: Box::new(replacement),
            reader_left: Kind::Sink,
        })
    }
}

/// Follows the last component's symbolic links, also those that lead nowhere yet.
fn follow_links(path: &Path) -> Result<PathBuf, Errno> {
    /// As many as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match rustix::fs::readlink(&path, Vec::new()) {
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

/// Creates `.NAME.highwater-XXXXXXXX`, with as much of the name as a file name has room for.
fn create_temporary(folder: &OwnedFd, name: &OsStr) -> Result<(OwnedFd, OsString), Errno> {
    /// The longest file name on every common file system.
    const NAME_MAX: usize = 255;
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let mut random = [0; 4];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let suffix = format!(".highwater-{:08x}", u32::from_ne_bytes(random));
        let kept = name.as_bytes().len().min(NAME_MAX - suffix.len() - 1);
        let mut temporary = OsString::from(".");
        temporary.push(OsStr::from_bytes(&name.as_bytes()[..kept]));
        temporary.push(suffix);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((fd, temporary)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

impl Landing for Replacement {
    fn land(self: Box<Self>, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        let failed = |operation: &str, error: Errno| Failure::io(Kind::Sink, operation, error);
        if let Some((user, group)) = self.owner {
            // Only a privileged process may; for everybody else the new file is their own, as cp leaves it.
            let _ = rustix::fs::fchown(descriptor, Some(user), Some(group));
        }
        rustix::fs::fchmod(descriptor, self.mode).map_err(|error| failed("cannot set permissions", error))?;
        if self.sync {
            rustix::fs::fsync(descriptor).map_err(|error| failed("cannot make it durable", error))?;
        }
        self.temporary.rename(&self.target)?;
        if self.sync {
            rustix::fs::fsync(&self.temporary.folder)
                .map_err(|error| failed("the file is in place, but its durability is unknown", error))?;
        }
        Ok(())
    }

    fn is_new_file(&self) -> bool {
        true
    }

    fn is_durable(&self) -> bool {
        self.sync
    }

    fn undo(&self) -> Option<Arc<dyn Undo>> {
        Some(self.temporary.clone())
    }
}

impl Temporary {
    fn rename(&self, target: &OsStr) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Removed {
            return Err(Stop::Neighbour);
        }
        rustix::fs::renameat(&self.folder, &self.name, &self.folder, target)
            .map_err(|error| Failure::io(Kind::Sink, "cannot put the new file in place", error))?;
        *state = State::InPlace;
        Ok(())
    }
}

impl Undo for Temporary {
    fn undo(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Temporary {
            *state = State::Removed;
            rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())
                .map_err(|error| Failure::io(Kind::Sink, format!("cannot remove {}", self.name()), error))?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const WRITING: Writing = Writing {
        append: false,
        clobber: true,
        sync: true,
        mode: None,
    };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn land(outgoing: Outgoing) {
        let alarm = crate::platform::Alarm::new().expect("an alarm");
        outgoing
            .landing
            .land(&outgoing.descriptor, alarm.descriptor())
            .expect("landed");
    }

    #[test]
    fn the_target_changes_only_when_it_lands_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        std::fs::write(&target, "old").expect("written");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).expect("mode");
        let outgoing = Replacement::create(&target, WRITING).expect("created");
        outgoing.descriptor.write(b"new").expect("written");
        assert_eq!(std::fs::read(&target).expect("read"), b"old");
        let temporary = folder.path().join(&names(folder.path())[0]);
        assert_eq!(temporary.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        land(outgoing);
        assert_eq!(std::fs::read(&target).expect("read"), b"new");
        assert_eq!(target.metadata().expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn undone_it_leaves_the_target_alone_and_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        let outgoing = Replacement::create(&target, WRITING).expect("created");
        let undo = outgoing.landing.undo().expect("can be undone");
        assert!(undo.name().contains(".out.highwater-"), "{}", undo.name());
        undo.undo().expect("undone");
        assert!(names(folder.path()).is_empty());
        let alarm = crate::platform::Alarm::new().expect("an alarm");
        assert!(outgoing.landing.land(&outgoing.descriptor, alarm.descriptor()).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn links_are_followed_to_the_real_file_or_to_where_it_will_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::fs::create_dir(folder.path().join("deep")).expect("made");
        symlink("deep/real", &link).expect("linked");
        let outgoing = Replacement::create(&link, WRITING).expect("created");
        outgoing.descriptor.write(b"x").expect("written");
        land(outgoing);
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(std::fs::read(folder.path().join("deep/real")).expect("read"), b"x");
    }

    #[test]
    fn a_name_of_full_length_still_has_room_for_a_temporary() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x".repeat(255));
        land(Replacement::create(&target, WRITING).expect("created"));
        assert!(target.exists());
    }
}
