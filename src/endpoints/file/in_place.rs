//! Writing to a file where it is: behind what it has, or instead of that.
//!
//! Other processes may write to the same file meanwhile. Where the run fails, its own bytes are cut off if they are still
//! the last ones; nothing that is not provably its own is touched.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{Descriptor, FileId, files};
use crate::stage::{Holes, Outgoing};

use super::super::revocable::{Revocable, Revoke};
use super::draft::Draft;
use super::options::{Existing, WriteOptions};
use super::target::{NEW, PRIVATE, Target, set_rights};

/// A file that is written where it is.
pub struct InPlace {
    fd: OwnedFd,
    path: PathBuf,
    /// Where it was created; `None` where it was there.
    created: Option<Target>,
    /// Whether what it had is gone.
    is_emptied: bool,
    mode: Option<Mode>,
    sync: bool,
    own: Mutex<Own>,
}

/// Where in the file the run's bytes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Own {
    /// The last ones, as far as they lie together.
    start: u64,
    end: u64,
    /// How many lie before others' bytes, or at an unknown place.
    elsewhere: u64,
}

impl Own {
    /// `count` bytes were written, up to `end` if that is known.
    fn add(&mut self, count: u64, end: Option<u64>) {
        let start = end.and_then(|end| end.checked_sub(count));
        if start.is_none() || start != Some(self.end) {
            self.elsewhere += self.end - self.start;
            self.start = start.unwrap_or(0);
            self.end = self.start;
        }
        if start.is_some() {
            self.end += count;
        } else {
            self.elsewhere += count;
        }
    }

    /// Takes those off that can be cut off a file of that length; returns to which length.
    fn cut(&mut self, length: u64) -> Option<u64> {
        let is_tail = self.end > self.start && self.end == length;
        is_tail.then(|| {
            self.end = self.start;
            self.start
        })
    }

    fn count(&self) -> u64 {
        self.end - self.start + self.elsewhere
    }
}

impl InPlace {
    /// Opens the file, or creates it: at its end, or emptied.
    pub fn open(path: &Path, writing: &WriteOptions) -> Result<Outgoing, Errno> {
        let appends = writing.existing == Existing::Append;
        let (fd, created) = open_or_create(path, appends, writing)?;
        let other = files::duplicate(&fd).inspect_err(|_| {
            if let Some(target) = &created {
                // It was made a moment ago.
                let _ = files::unlinkat(&target.folder, &target.name, AtFlags::empty());
            }
        })?;
        let file = Arc::new(Revocable::new(Self {
            fd: other,
            path: path.to_owned(),
            is_emptied: !appends && created.is_none(),
            created,
            mode: writing.mode.map(Mode::from_raw_mode),
            sync: writing.sync,
            own: Mutex::default(),
        }));
        let descriptor = Descriptor::own(fd).map_err(|error| {
            let _ = file.roll_back_now();
            Errno::from_io_error(&error).unwrap_or(Errno::IO)
        })?;
        Ok(Outgoing::new(descriptor, Box::new(file)))
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off what is the run's own and no other process has written behind; returns how long the file is then.
    fn cut_back(&self, own: &mut Own) -> Result<u64, Errno> {
        let length = u64::try_from(files::fstat(&self.fd)?.st_size).unwrap_or(0);
        let Some(shorter) = own.cut(length) else {
            return Ok(length);
        };
        files::ftruncate(&self.fd, shorter)?;
        Ok(shorter)
    }
}

/// Returns the place as well where the file was created.
fn open_or_create(path: &Path, appends: bool, writing: &WriteOptions) -> Result<(OwnedFd, Option<Target>), Errno> {
    let how = if appends { OFlags::APPEND } else { OFlags::TRUNC };
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY | how;
    if writing.clobber {
        match files::open(path, flags, Mode::empty()) {
            Ok(fd) => return Ok((fd, None)),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    let target = Target::find(path, writing)?;
    // A mode that was asked for comes in the end.
    let mode = if writing.mode.is_some() { PRIVATE } else { NEW };
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let created = files::openat(&target.folder, &target.name, flags, mode)?;
    if writing.sync {
        // At once: when bytes have been written, it could only be said that they may be lost.
        files::fsync(&target.folder).inspect_err(|_| {
            let _ = files::unlinkat(&target.folder, &target.name, AtFlags::empty());
        })?;
    }
    Ok((created, Some(target)))
}

/// From its commit on, what was written stays.
impl Draft for InPlace {
    fn is_durable(&self) -> bool {
        self.sync
    }

    fn holes(&self) -> Holes {
        Holes::Punch
    }

    fn wrote(&self, count: u64) {
        let end = files::tell(&self.fd).ok();
        self.own().add(count, end);
    }

    fn dress(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        let Some(mode) = self.mode else { return Ok(()) };
        set_rights(descriptor, mode, None).map_err(|error| Failure::io(Kind::Sink, "cannot set permissions", error))
    }
}

impl Revoke for InPlace {
    fn revoke(&self) -> Result<(), Failure> {
        let mut own = self.own();
        let name = self.name();
        if self.is_emptied {
            let operation = format!("cannot restore {name}");
            let why = format!(
                "it was written where it is, and has {} bytes of what was to come",
                own.count()
            );
            return Err(Failure::because(Kind::Sink, operation, why));
        }
        let failed = |error| Failure::io(Kind::Sink, format!("cannot cut back {name}"), error);
        let length = self.cut_back(&mut own).map_err(failed)?;
        if own.count() > 0 {
            let operation = format!("cannot roll back {} bytes of {name}", own.count());
            let why = "another process has written to it as well";
            return Err(Failure::because(Kind::Sink, operation, why));
        }
        if let Some(target) = &self.created
            && length == 0
        {
            let file = files::fstat(&self.fd).map(|stat| FileId::of(&stat));
            file.and_then(|file| files::unlinkat_same(&target.folder, &target.name, file))
                .map_err(failed)?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;
    use crate::flow::{StageMeter, block_on};
    use crate::stage::Context;
    use std::time::Instant;

    fn open(path: &Path) -> Outgoing {
        let writing = WriteOptions {
            existing: Existing::Append,
            ..WriteOptions::default()
        };
        InPlace::open(path, &writing).expect("opened")
    }

    fn write(outgoing: &mut Outgoing, bytes: &[u8]) {
        outgoing.descriptor().write(bytes).expect("written");
        outgoing.took(
            bytes.len() as u64,
            &Context::detached(Arc::new(StageMeter::new(Instant::now()))),
        );
    }

    fn write_elsewhere(path: &Path, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).open(path).expect("opened");
        file.write_all(bytes).expect("written");
    }

    fn roll_back(outgoing: &Outgoing) -> Result<(), Failure> {
        block_on(outgoing.rollback().expect("can be rolled back").roll_back())
    }

    /// A file in a folder of its own, with something in it.
    fn log(old: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        if !old.is_empty() {
            std::fs::write(&path, old).expect("written");
        }
        (folder, path)
    }

    #[test]
    fn a_failed_append_cuts_off_its_own_bytes() {
        let (_folder, path) = log("old");
        let mut outgoing = open(&path);
        write(&mut outgoing, b" and new");
        assert_eq!(std::fs::read(&path).expect("read"), b"old and new");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
    }

    #[test]
    fn a_failed_append_keeps_what_others_wrote() {
        let (_folder, path) = log("old,");
        let mut outgoing = open(&path);
        write_elsewhere(&path, b"theirs,");
        write(&mut outgoing, b"ours,");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("read"), b"old,theirs,");
    }

    #[test]
    fn bytes_before_those_of_others_are_counted() {
        let (_folder, path) = log("old,");
        let mut outgoing = open(&path);
        write(&mut outgoing, b"one,");
        write_elsewhere(&path, b"theirs,");
        write(&mut outgoing, b"two,");
        write(&mut outgoing, b"three,");
        let failure = roll_back(&outgoing).expect_err("four bytes stay");
        let expected = format!(
            "cannot roll back 4 bytes of {}: another process has written to it as well",
            path.display()
        );
        assert_eq!(failure.to_string(), expected);
        assert_eq!(std::fs::read(&path).expect("read"), b"old,one,theirs,");
    }

    #[test]
    fn nothing_is_cut_where_others_wrote_last() {
        let (_folder, path) = log("old,");
        let mut outgoing = open(&path);
        write(&mut outgoing, b"ours,");
        write_elsewhere(&path, b"theirs,");
        let failure = roll_back(&outgoing).expect_err("five bytes stay");
        assert!(failure.to_string().contains("5 bytes"), "{failure}");
        assert_eq!(std::fs::read(&path).expect("read"), b"old,ours,theirs,");
    }

    #[test]
    fn a_file_that_was_not_there_is_removed() {
        let (_folder, path) = log("");
        let mut outgoing = open(&path);
        write(&mut outgoing, b"new");
        roll_back(&outgoing).expect("rolled back");
        assert!(!path.exists());
    }

    #[test]
    fn a_new_file_stays_where_others_wrote_to_it() {
        let (_folder, path) = log("");
        let mut outgoing = open(&path);
        write_elsewhere(&path, b"theirs");
        write(&mut outgoing, b"ours");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("there"), b"theirs");
    }

    #[test]
    fn what_has_taken_a_new_files_name_is_not_removed() {
        let (folder, path) = log("");
        let outgoing = open(&path);
        std::fs::rename(&path, folder.path().join("log.1")).expect("moved");
        std::fs::write(&path, "theirs").expect("written");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("there"), b"theirs");
    }

    #[test]
    fn a_file_written_in_place_is_not_restored() {
        let (_folder, path) = log("old");
        let writing = WriteOptions {
            existing: Existing::Empty,
            ..WriteOptions::default()
        };
        let mut outgoing = InPlace::open(&path, &writing).expect("opened");
        write(&mut outgoing, b"ne");
        let failure = roll_back(&outgoing).expect_err("it is gone");
        let expected = "it was written where it is, and has 2 bytes of what was to come";
        assert!(failure.to_string().ends_with(expected), "{failure}");
        assert_eq!(std::fs::read(&path).expect("read"), b"ne");
    }
}
