//! A partial file that stays when a run ends early, so that a later run can continue it.
//!
//! Beside the target are `.NAME.highwater-part` with the bytes, and `.NAME.highwater-journal` with how many of them are
//! certainly on the disk. Their names are predictable, so existing files are trusted only if they are regular files,
//! owned by this user, with no other name.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{Descriptor, FileId, FilePlace, files};
use crate::stage::{Holes, Outgoing, ResumeKey, Resumption};

use super::super::journal::{Found, Journal};
use super::super::revocable::{Revocable, Revoke};
use super::draft::Draft;
use super::options::WriteChecks;
use super::resumed::{Checkpoint, Resumed};
use super::target::{PRIVATE, Target};
use super::temporary::{is_ours, sweep};
use super::verifier::Verifier;

const PART: &str = ".highwater-part";
const JOURNAL: &str = ".highwater-journal";

/// A part and its journal beside their target, which the part replaces when all bytes are durable.
pub struct Partial {
    target: Target,
    part: OsString,
    journal: OsString,
}

impl Partial {
    fn beside(target: Target) -> Self {
        Self {
            part: target.beside(PART),
            journal: target.beside(JOURNAL),
            target,
        }
    }

    /// Opens the files that an earlier run of the same key has left, or creates them. The states of the stages then are
    /// restored.
    pub fn open(target: Target, key: &ResumeKey, run: Resumption, checks: WriteChecks) -> Result<Outgoing, Failure> {
        let names = Self::beside(target);
        let part = names.open_ours(&names.part, OFlags::empty())?;
        names.lock(&part)?;
        // Another run may already have given it its final permissions.
        let failed = |error: Errno| Failure::io(Kind::Sink, format!("cannot open {}", names.shown(&names.part)), error);
        files::fchmod(&part, PRIVATE).map_err(failed)?;
        sweep(&names.target);
        let (journal, last) = names.open_journal(&part, key, &run)?;
        for (saved, state) in run.states.iter().zip(&last.states) {
            saved.restore(state.clone());
        }
        files::fsync(&names.target.folder).map_err(failed)?;
        let descriptor =
            Descriptor::own(part).map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let partial = Arc::new(Revocable::new(names));
        let mut outgoing = Outgoing::new(descriptor, Box::new(partial.clone()));
        let every = checks.resume.unwrap_or(u64::MAX);
        let resumed = Resumed::new(last, journal, every, run.states, partial);
        outgoing.verify = Some(Box::new(Verifier::new(checks.verify, Some(resumed))));
        Ok(outgoing)
    }
}

/// The part and the journal beside a target, as far as they exist.
pub fn companions(target: &Target) -> Result<Vec<FilePlace>, Errno> {
    let mut there = Vec::new();
    for suffix in [PART, JOURNAL] {
        match files::statat(&target.folder, target.beside(suffix), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => there.push(FilePlace::File(FileId::of(&stat))),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}

/// Where in the source a run would go on with the part beside a target; `None` if there is none. The source is not looked
/// at: it may have changed.
///
/// # Errors
/// Why the run would refuse what is there.
pub fn goes_on_at(target: Target, run: &Resumption) -> Result<Option<u64>, Failure> {
    let names = Partial::beside(target);
    let open = |name| match names.open_with(name, OFlags::RDONLY) {
        Ok(file) => Ok(Some(file)),
        Err(failure) if failure.errno() == Some(Errno::NOENT) => Ok(None),
        Err(failure) => Err(failure),
    };
    let (part, journal) = (open(&names.part)?, open(&names.journal)?);
    let Some(part) = part else { return Ok(None) };
    let size = files::fstat(&part).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
    if size == 0 {
        return Ok(None);
    }
    let (_, last) = match journal {
        Some(journal) => names.last(files::Stream(&journal), size, run)?,
        None => names.last(io::empty(), size, run)?,
    };
    Ok((last.source > 0).then_some(last.source))
}

impl Partial {
    fn shown(&self, name: &OsStr) -> String {
        shown(self.target.path_of(name).as_os_str().as_bytes())
    }

    /// The failure for an obstacle.
    fn refused(&self, kind: Kind, name: &OsStr, why: &str) -> Failure {
        Failure::because(kind, format!("cannot go on with {}", self.shown(name)), why)
    }

    /// Opens or creates a file of this user, readable by no other. Another kind of file with that name is refused.
    fn open_ours(&self, name: &OsStr, more: OFlags) -> Result<OwnedFd, Failure> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | more)
    }

    fn open_with(&self, name: &OsStr, how: OFlags) -> Result<OwnedFd, Failure> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | how;
        let fd =
            files::openat(&self.target.folder, name, flags, PRIVATE).map_err(|error| self.unopened(name, error))?;
        let stat = files::fstat(&fd).map_err(|error| Failure::io(Kind::Sink, "cannot open", error))?;
        if is_ours(&stat) {
            Ok(fd)
        } else {
            Err(self.foreign(name))
        }
    }

    fn unopened(&self, name: &OsStr, error: Errno) -> Failure {
        if [Errno::LOOP, Errno::MLINK].contains(&error) {
            let why = "it is a symbolic link, which highwater never makes there";
            return self.refused(Kind::Sink, name, why);
        }
        Failure::io(Kind::Sink, format!("cannot open {}", self.shown(name)), error)
    }

    fn foreign(&self, name: &OsStr) -> Failure {
        let why = "it is not a regular file of this user with only this name";
        self.refused(Kind::Sink, name, why)
    }

    /// Locks the part against other runs; the lock lasts as long as the descriptor is open.
    fn lock(&self, part: &OwnedFd) -> Result<(), Failure> {
        match files::flock(part, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(self.refused(Kind::Sink, &self.part, "another run is writing it")),
            Err(error) => {
                let operation = format!("cannot lock {}", self.shown(&self.part));
                return Err(Failure::io(Kind::Sink, operation, error));
            }
        }
        // Between the opening and the lock another run may have renamed it.
        let opened = files::fstat(part).map(|stat| FileId::of(&stat));
        let named = files::statat(&self.target.folder, &self.part, AtFlags::SYMLINK_NOFOLLOW);
        if opened.is_err() || opened != named.map(|stat| FileId::of(&stat)) {
            return Err(self.refused(Kind::Sink, &self.part, "another run has just put it in place"));
        }
        Ok(())
    }

    /// Determines how much of the part can be trusted. An empty part starts from the beginning, whatever the journal
    /// says.
    fn open_journal(
        &self,
        part: &OwnedFd,
        key: &ResumeKey,
        run: &Resumption,
    ) -> Result<(Journal<Checkpoint>, Checkpoint), Failure> {
        let failed =
            |error: io::Error| Failure::io(Kind::Sink, format!("cannot open {}", self.shown(&self.journal)), error);
        let journal = self.open_ours(&self.journal, OFlags::APPEND)?;
        let size = files::fstat(part).map_err(|error| failed(error.into()))?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        if size == 0 {
            let begun = Journal::begin(journal, key).map_err(failed)?;
            return Ok((begun, Checkpoint::default()));
        }
        let (found, last) = self.last(files::Stream(&journal), size, run)?;
        Ok((Journal::resume_from(journal, &found).map_err(failed)?, last))
    }

    /// The last checkpoint of a part of `size` bytes, if `run` may go on with it.
    fn last(
        &self,
        journal: impl io::Read,
        size: u64,
        run: &Resumption,
    ) -> Result<(Found<ResumeKey>, Checkpoint), Failure> {
        let mut last = Checkpoint::default();
        let found = Found::<ResumeKey>::read(journal, |checkpoint| last = checkpoint)
            .map_err(|error| Failure::io(Kind::Sink, format!("cannot read {}", self.shown(&self.journal)), error))?;
        let over = format!("; remove {} to start over", self.shown(&self.part));
        let refused = |kind, why: &str| self.refused(kind, &self.part, &format!("{why}{over}"));
        let Some(begun) = &found.key else {
            return Err(refused(Kind::Integrity, "there is no journal that says what it is"));
        };
        if let Some((kind, why)) = begun.difference(run) {
            return Err(refused(kind, &why));
        }
        let (noted, states) = (last.states.len(), run.states.len());
        if last.bytes > 0 && noted != states {
            let why = format!("its journal has the states of {noted} stages, and the pipeline has {states}");
            return Err(refused(Kind::Integrity, &why));
        }
        if last.bytes > size {
            let why = format!("it has {size} bytes, and its journal speaks of {}", last.bytes);
            return Err(refused(Kind::Integrity, &why));
        }
        Ok((found, last))
    }

    /// The written bytes proved wrong: removes all that a later run would resume from.
    pub fn reject(&self) -> Result<(), Failure> {
        self.remove(&self.part)?;
        self.remove(&self.journal)
    }

    fn remove(&self, name: &OsStr) -> Result<(), Failure> {
        files::unlinkat(&self.target.folder, name, AtFlags::empty())
            .map_err(|error| Failure::io(Kind::Sink, format!("cannot remove {}", self.shown(name)), error))
    }
}

impl Draft for Partial {
    fn is_durable(&self) -> bool {
        true
    }

    fn holes(&self) -> Holes {
        Holes::Grow
    }

    fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        self.target.dress(descriptor)
    }

    fn put_in_place(&self) -> Result<(), Failure> {
        self.target.put_in_place(&self.part)
    }

    fn conclude(&self) -> Result<(), Failure> {
        self.target.sync_names()?;
        // If this run is killed before, the next one finds a journal without a part, and starts from the beginning.
        files::unlinkat(&self.target.folder, &self.journal, AtFlags::empty()).map_err(|error| {
            let operation = format!(
                "the file is in place, but {} cannot be removed",
                self.shown(&self.journal)
            );
            Failure::io(Kind::Sink, operation, error)
        })
    }
}

/// Nothing is removed: only the target must stay as it is from now on.
impl Revoke for Partial {
    fn name(&self) -> String {
        self.shown(&self.part)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::endpoints::file::options::WriteOptions;
    use crate::error::Stop;
    use crate::flow::{StageMeter, block_on};
    use crate::stage::{Cancel, Context, FileIdentity, SourceIdentity};

    fn open(folder: &Path) -> Outgoing {
        let key = ResumeKey {
            pipeline: "read a | write b resume=true".to_owned(),
            effects: Vec::new(),
            source: SourceIdentity::File(FileIdentity {
                path: "a".to_owned(),
                size: 3,
                modified_s: 0,
                modified_ns: 0,
                inode: 1,
            }),
        };
        let checks = WriteChecks {
            verify: true,
            resume: Some(1 << 20),
        };
        let target = Target::find(&folder.join("b"), &WriteOptions::default()).expect("found");
        Partial::open(target, &key, Resumption::default(), checks).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn count(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn rejected_part_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut outgoing = open(folder.path());
        outgoing.descriptor().write(b"abc").expect("written");
        assert_eq!(count(folder.path()), 2);
        let mut verify = outgoing.verify.take().expect("it is read back");
        verify.add(b"abd");
        let context = Context::detached(Arc::new(StageMeter::new(Instant::now())));
        let verified = verify.verify(outgoing.descriptor(), &context);
        assert!(matches!(verified, Err(Stop::Failed(failure)) if failure.kind() == Kind::Integrity));
        assert_eq!(count(folder.path()), 0);
    }

    #[test]
    fn failed_run_keeps_target_and_part() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("b"), "old").expect("written");
        let mut outgoing = open(folder.path());
        outgoing.descriptor().write(b"new").expect("written");
        block_on(outgoing.rollback().expect("can be rolled back").roll_back()).expect("rolled back");
        assert!(outgoing.commit_at_once(&Cancel::default()).is_err());
        assert_eq!(std::fs::read(folder.path().join("b")).expect("read"), b"old");
        assert_eq!(count(folder.path()), 3);
    }
}
