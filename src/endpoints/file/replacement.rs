//! Replaces a file atomically: a reader sees the old file or the whole new one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{Descriptor, FileId, files};
use crate::stage::{Holes, Outgoing};

use super::super::revocable::{Revocable, Revoke};
use super::draft::Draft;
use super::obstacle::uncreatable;
use super::target::{NEW, PRIVATE, Target};
use super::temporary;

/// A temporary file beside its target, which replaces the target when all bytes are durable.
pub struct Replacement {
    target: Target,
    /// The temporary file's name, as long as this run has to remove it.
    name: OsString,
    /// The identity of the temporary file, to notice if another program has replaced it.
    file: FileId,
    /// Whether it gets its final permissions only at the end.
    is_private: bool,
    sync: bool,
}

impl Replacement {
    /// Creates the temporary file beside its target. If it replaces a file, or gets explicit permissions, it is
    /// readable by no other user until it is complete; otherwise it gets the permissions of any new file at once.
    pub fn create(target: Target, sync: bool) -> Result<Outgoing, Failure> {
        let is_private = !target.leaves_rights_to_system();
        let mode = if is_private { PRIVATE } else { NEW };
        temporary::sweep(&target);
        let (fd, name) = temporary::create(&target, mode).map_err(|error| uncreatable(&target, error))?;
        let failed = |error| Failure::io(Kind::Sink, "cannot create", error);
        let file = files::fstat(&fd).map(|stat| FileId::of(&stat)).map_err(|error| {
            // It was created a moment ago.
            let _ = files::unlinkat(&target.folder, &name, AtFlags::empty());
            failed(error)
        })?;
        let replacement = Arc::new(Revocable::new(Self {
            target,
            name,
            file,
            is_private,
            sync,
        }));
        let descriptor = Descriptor::own(fd).map_err(|error| {
            let _ = replacement.roll_back_now();
            failed(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        Ok(Outgoing::new(descriptor, Box::new(replacement)))
    }
}

impl Draft for Replacement {
    fn is_durable(&self) -> bool {
        self.sync
    }

    fn holes(&self) -> Holes {
        Holes::Grow
    }

    fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        if self.is_private {
            self.target.dress(descriptor)?;
        }
        Ok(())
    }

    fn put_in_place(&self) -> Result<(), Failure> {
        self.target.put_in_place(&self.name)
    }

    fn conclude(&self) -> Result<(), Failure> {
        if self.sync {
            self.target.sync_names()?;
        }
        Ok(())
    }
}

impl Revoke for Replacement {
    fn revoke(&self) -> Result<(), Failure> {
        files::unlinkat_same(&self.target.folder, &self.name, self.file)
            .map_err(|error| Failure::io(Kind::Sink, format!("cannot remove {}", self.name()), error))
    }

    fn name(&self) -> String {
        shown(self.target.path_of(&self.name).as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::WriteOptions;
    use super::super::target::spared;
    use super::*;
    use crate::error::Stop;
    use crate::flow::block_on;
    use crate::stage::{Cancel, Rollback};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn create(path: &Path) -> Outgoing {
        let target = Target::find(path, &WriteOptions::default()).expect("found");
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

    fn commit(mut outgoing: Outgoing) {
        outgoing.commit_at_once(&Cancel::default()).expect("committed");
    }

    fn roll_back(rollback: Arc<dyn Rollback>) {
        block_on(rollback.roll_back()).expect("rolled back");
    }

    #[test]
    fn the_target_changes_only_at_the_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        std::fs::write(&target, "old").expect("written");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).expect("mode");
        let outgoing = create(&target);
        outgoing.descriptor().write(b"new").expect("written");
        assert_eq!(std::fs::read(&target).expect("read"), b"old");
        let temporary = folder.path().join(&names(folder.path())[0]);
        assert_eq!(temporary.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        commit(outgoing);
        assert_eq!(std::fs::read(&target).expect("read"), b"new");
        assert_eq!(target.metadata().expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn replacement_drops_setuid_and_capabilities() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        std::fs::write(&target, "old").expect("written");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o6755)).expect("mode");
        commit(create(&target));
        assert_eq!(target.metadata().expect("there").permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn the_access_control_list_is_taken_over() {
        /// acl(5) as stored by xattr(7): version 2, then tag, permissions and id of each entry.
        fn list(entries: [(u16, u16, u32); 5]) -> Vec<u8> {
            let entries = entries.into_iter().flat_map(|(tag, rights, id)| {
                let (tag, rights) = (tag.to_le_bytes(), rights.to_le_bytes());
                [tag[0], tag[1], rights[0], rights[1]]
                    .into_iter()
                    .chain(id.to_le_bytes())
            });
            2_u32.to_le_bytes().into_iter().chain(entries).collect()
        }
        const NOBODY: u32 = u32::MAX;
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        let old = std::fs::File::create(&target).expect("created");
        // The owner, one other user, the group without any permission, the mask, all others.
        let entries = [
            (1, 6, NOBODY),
            (2, 6, 65_534),
            (4, 0, NOBODY),
            (0x10, 6, NOBODY),
            (0x20, 0, NOBODY),
        ];
        if files::set_access_list(&old, &list(entries)).is_err() {
            eprintln!("skipped: there are no access control lists here");
            return;
        }
        let before = files::access_list(&target);
        assert_eq!(target.metadata().expect("there").permissions().mode() & 0o777, 0o660);
        commit(create(&target));
        assert_eq!(files::access_list(&target), before);
        assert_eq!(target.metadata().expect("there").permissions().mode() & 0o777, 0o660);
    }

    #[test]
    fn clobber_false_spares_a_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let sparing = WriteOptions {
            clobber: false,
            ..WriteOptions::default()
        };
        let create = || Replacement::create(Target::find(&path, &sparing).expect("found"), true).expect("created");
        let (first, mut second) = (create(), create());
        first.descriptor().write(b"first").expect("written");
        let rollback = second.rollback().expect("can be rolled back");
        commit(first);
        match second.commit_at_once(&Cancel::default()) {
            Err(Stop::Failed(failure)) => assert_eq!(failure.to_string(), spared().to_string()),
            other => panic!("{other:?}"),
        }
        roll_back(rollback);
        assert_eq!(std::fs::read(&path).expect("there"), b"first");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn replacement_rollback_leaves_only_the_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        let mut outgoing = create(&target);
        let rollback = outgoing.rollback().expect("can be rolled back");
        assert!(rollback.name().contains(".out.highwater-"), "{}", rollback.name());
        roll_back(rollback);
        assert!(names(folder.path()).is_empty());
        assert!(outgoing.commit_at_once(&Cancel::default()).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn killed_runs_leave_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..4 {
            std::fs::write(folder.path().join(format!(".out.highwater-{number:08x}")), "part").expect("written");
        }
        let [first, second] = [(); 2].map(|()| create(&folder.path().join("out")));
        assert_eq!(
            names(folder.path()),
            [".out.highwater-00000000", ".out.highwater-00000001"],
            "those of live runs"
        );
        drop((first, second));
    }

    #[test]
    fn foreign_file_under_temporary_name_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let outgoing = create(&folder.path().join("out"));
        let temporary = folder.path().join(&names(folder.path())[0]);
        std::fs::rename(&temporary, folder.path().join("moved")).expect("moved");
        std::fs::write(&temporary, "theirs").expect("written");
        roll_back(outgoing.rollback().expect("can be rolled back"));
        assert_eq!(std::fs::read(&temporary).expect("there"), b"theirs");
    }

    #[test]
    fn links_are_followed_to_the_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::fs::create_dir(folder.path().join("deep")).expect("made");
        symlink("deep/real", &link).expect("linked");
        let outgoing = create(&link);
        outgoing.descriptor().write(b"x").expect("written");
        commit(outgoing);
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(std::fs::read(folder.path().join("deep/real")).expect("read"), b"x");
    }

    #[test]
    fn longest_name_has_room_for_temporary() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x".repeat(255));
        commit(create(&target));
        assert!(target.exists());
    }
}
