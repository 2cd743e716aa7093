//! Replacing a file atomically: whoever looks sees the old file or the whole new one.

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, Stop, shown};
use crate::platform::{Descriptor, files};
use crate::stage::{Outcome, Undo};

use super::super::{Landing, Outgoing, finish};
use super::target::Target;

/// A temporary file beside its target, which takes the target's place when all bytes are durable.
pub struct Replacement {
    temporary: Arc<Temporary>,
    sync: bool,
}

/// The temporary file's name, as long as it is ours to remove.
struct Temporary {
    target: Target,
    name: OsString,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Temporary,
    InPlace,
    Removed,
}

impl Replacement {
    /// Creates the temporary file, readable by nobody else, beside its target.
    pub fn create(target: Target, sync: bool) -> Result<Outgoing, Errno> {
        let (fd, name) = create_temporary(&target)?;
        let replacement = Self {
            temporary: Arc::new(Temporary {
                target,
                name,
                state: Mutex::new(State::Temporary),
            }),
            sync,
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

/// Creates `.NAME.highwater-XXXXXXXX`.
fn create_temporary(target: &Target) -> Result<(OwnedFd, OsString), Errno> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let temporary = target.beside(&format!(".highwater-{:08x}", files::random()?));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match files::openat(&target.folder, &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((fd, temporary)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

impl Landing for Replacement {
    fn land(self: Box<Self>, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        let target = &self.temporary.target;
        target.dress(descriptor)?;
        if self.sync {
            files::fsync(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        } else {
            finish(descriptor)?;
        }
        self.temporary.put_in_place()?;
        if self.sync {
            target.sync_names()?;
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
    fn put_in_place(&self) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Removed {
            return Err(Stop::Neighbour);
        }
        self.target.put_in_place(&self.name)?;
        *state = State::InPlace;
        Ok(())
    }
}

impl Undo for Temporary {
    fn undo(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Temporary {
            *state = State::Removed;
            files::unlinkat(&self.target.folder, &self.name, AtFlags::empty())
                .map_err(|error| Failure::io(Kind::Sink, format!("cannot remove {}", self.name()), error))?;
        }
        Ok(())
    }

    fn has_landed(&self) -> bool {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::InPlace
    }

    fn name(&self) -> String {
        shown(self.target.path_of(&self.name).as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Writing;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    const WRITING: Writing = Writing {
        append: false,
        clobber: true,
        sync: true,
        mode: None,
    };

    fn create(path: &Path) -> Outgoing {
        let target = Target::find(path, WRITING).expect("found");
        Replacement::create(target, true).expect("created")
    }

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
        let outgoing = create(&target);
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
        let outgoing = create(&target);
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
        let outgoing = create(&link);
        outgoing.descriptor.write(b"x").expect("written");
        land(outgoing);
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(std::fs::read(folder.path().join("deep/real")).expect("read"), b"x");
    }

    #[test]
    fn a_name_of_full_length_still_has_room_for_a_temporary() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x".repeat(255));
        land(create(&target));
        assert!(target.exists());
    }
}
