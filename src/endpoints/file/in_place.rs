//! Writes to a file in place: appends to it, or empties it first.
//!
//! Other processes may write to the same file meanwhile. If the run fails, its own bytes are cut off if they are still
//! the last ones; bytes that may belong to another process are never touched.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{Descriptor, FileId, files};
use crate::stage::{Holes, Outgoing, SinkEnd};

use super::super::revocable::{Revocable, Revoke};
use super::appended::Appended;
use super::draft::Draft;
use super::options::{Existing, WriteOptions};
use super::target::{NEW, PRIVATE, Target, set_rights};

/// A file that is written in place.
pub struct InPlace {
    fd: OwnedFd,
    path: PathBuf,
    /// Where it was created; `None` if it existed.
    created: Option<Target>,
    /// Whether its old content is gone.
    is_emptied: bool,
    mode: Option<Mode>,
    sync: bool,
    own: Mutex<Own>,
}

/// Where in the file the run's bytes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Own {
    /// The last ones, as far as they are contiguous.
    start: u64,
    end: u64,
    /// How many are before bytes of others, or at an unknown offset.
    elsewhere: u64,
}

impl Own {
    /// Adds `count` written bytes, which end at `end` if that is known.
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

    /// Removes the bytes that can be cut off a file of `length` bytes; returns the new length.
    fn cut(&mut self, length: u64) -> Option<u64> {
        let is_tail = self.end > self.start && self.end == length;
        is_tail.then(|| {
            self.end = self.start;
            self.start
        })
    }

    /// Only the last `behind` ones may still be cut off.
    fn keep(&mut self, behind: u64) {
        let contiguous = behind.min(self.end - self.start);
        self.start = self.end - contiguous;
        self.elsewhere = self.elsewhere.min(behind - contiguous);
    }

    fn count(&self) -> u64 {
        self.end - self.start + self.elsewhere
    }
}

impl InPlace {
    /// Opens the file, or creates it: for appending, or emptied.
    pub fn open(path: &Path, writing: &WriteOptions) -> Result<Outgoing, Errno> {
        let appends = writing.existing == Existing::Append;
        let (fd, created) = open_or_create(path, appends, writing)?;
        let other = files::duplicate(&fd).inspect_err(|_| {
            if let Some(target) = &created {
                // It was created a moment ago.
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
        let mut outgoing = Outgoing::new(descriptor, Box::new(file.clone()));
        if appends && writing.sync {
            outgoing.kept_parts = Some(Box::new(Appended::new(file)));
        }
        Ok(outgoing)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path, as messages show it.
    pub fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    /// What the system says of it.
    pub fn stat(&self) -> Result<Stat, Errno> {
        files::fstat(&self.fd)
    }

    /// Makes durable what was written so far: a failure of the run does not cut it off any more, but for the last `behind`
    /// bytes. Returns where the others end.
    pub fn keep(&self, behind: u64) -> Result<SinkEnd, Failure> {
        let failed = |error| Failure::io(Kind::Sink, "cannot make it durable", error);
        files::fdatasync(&self.fd).map_err(failed)?;
        let found = self.stat().map_err(failed)?;
        let mut own = self.own();
        let length = match own.end {
            // Nothing was written by this run.
            0 => u64::try_from(found.st_size).unwrap_or(0),
            end => end - behind,
        };
        own.keep(behind);
        Ok(SinkEnd {
            device: found.st_dev,
            inode: found.st_ino,
            length,
        })
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off the run's own bytes that no other process has written behind; returns the new length of the file.
    fn cut_back(&self, own: &mut Own) -> Result<u64, Errno> {
        let length = u64::try_from(files::fstat(&self.fd)?.st_size).unwrap_or(0);
        let Some(shorter) = own.cut(length) else {
            return Ok(length);
        };
        files::ftruncate(&self.fd, shorter)?;
        Ok(shorter)
    }
}

/// Returns the target as well if the file was created.
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
    // A mode that was asked for is set at the end.
    let mode = if writing.mode.is_some() { PRIVATE } else { NEW };
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let created = files::openat(&target.folder, &target.name, flags, mode)?;
    if writing.sync {
        // At once: after bytes have been written, a failure could only report that they may be lost.
        files::fsync(&target.folder).inspect_err(|_| {
            let _ = files::unlinkat(&target.folder, &target.name, AtFlags::empty());
        })?;
    }
    Ok((created, Some(target)))
}

/// Once it commits, the written bytes stay.
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
        self.shown()
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

    /// A file with content, in a folder of its own.
    fn log(old: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        if !old.is_empty() {
            std::fs::write(&path, old).expect("written");
        }
        (folder, path)
    }

    #[test]
    fn failed_append_cuts_off_its_bytes() {
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
    fn created_file_is_removed() {
        let (_folder, path) = log("");
        let mut outgoing = open(&path);
        write(&mut outgoing, b"new");
        roll_back(&outgoing).expect("rolled back");
        assert!(!path.exists());
    }

    #[test]
    fn created_file_with_foreign_bytes_stays() {
        let (_folder, path) = log("");
        let mut outgoing = open(&path);
        write_elsewhere(&path, b"theirs");
        write(&mut outgoing, b"ours");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("there"), b"theirs");
    }

    #[test]
    fn foreign_file_under_new_name_stays() {
        let (folder, path) = log("");
        let outgoing = open(&path);
        std::fs::rename(&path, folder.path().join("log.1")).expect("moved");
        std::fs::write(&path, "theirs").expect("written");
        roll_back(&outgoing).expect("rolled back");
        assert_eq!(std::fs::read(&path).expect("there"), b"theirs");
    }

    #[test]
    fn emptied_file_is_not_restored() {
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
