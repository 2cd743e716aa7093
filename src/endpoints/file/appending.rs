//! Writing behind what a file has, and cutting back to that where the run fails.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, Stop, shown};
use crate::platform::{Descriptor, FileId, creation_mask, files};
use crate::stage::{Outcome, Phase, Undo};

use super::super::{Landing, Outgoing, Writing, finish};

/// A file that grows.
pub struct Appending {
    growth: Arc<Growth>,
    sync: bool,
}

/// What the file was before.
struct Growth {
    fd: OwnedFd,
    path: PathBuf,
    /// Its length in bytes; `None` if it was not there.
    old: Option<u64>,
    /// Set once the growth is to stay, or has been cut back.
    settled: Mutex<bool>,
}

impl Appending {
    /// Opens the file at its end, or creates it.
    pub fn open(path: &Path, writing: Writing) -> Result<Outgoing, Errno> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        let mode = writing.mode.map_or(Mode::from_raw_mode(0o666), Mode::from_raw_mode) - creation_mask();
        let (fd, existed) = match files::open(path, flags, Mode::empty()) {
            Ok(fd) => (fd, true),
            Err(Errno::NOENT) => (files::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode)?, false),
            Err(error) => return Err(error),
        };
        Self::begin(fd, path, existed, writing).inspect_err(|_| {
            if !existed {
                // It is ours, and nobody else's bytes are in it.
                let _ = files::unlink(path);
            }
        })
    }

    fn begin(fd: OwnedFd, path: &Path, existed: bool, writing: Writing) -> Result<Outgoing, Errno> {
        let length = u64::try_from(files::fstat(&fd)?.st_size).unwrap_or(0);
        let growth = Arc::new(Growth {
            fd: files::duplicate(&fd)?,
            path: path.to_owned(),
            old: existed.then_some(length),
            settled: Mutex::new(false),
        });
        let descriptor = Descriptor::own(fd).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Outgoing {
            descriptor,
            landing: Box::new(Self {
                growth,
                sync: writing.sync,
            }),
            reader_left: Kind::Sink,
        })
    }
}

impl Landing for Appending {
    fn phase(&self) -> Phase {
        Phase::Name
    }

    fn prepare(&mut self, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        if self.sync {
            files::fsync(descriptor.as_fd())
                .map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
        } else {
            finish(descriptor)?;
        }
        Ok(())
    }

    fn land(self: Box<Self>, _: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        let mut settled = self.growth.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled {
            return Err(Stop::Neighbour);
        }
        *settled = true;
        Ok(())
    }

    fn is_durable(&self) -> bool {
        self.sync
    }

    fn undo(&self) -> Option<Arc<dyn Undo>> {
        Some(self.growth.clone())
    }
}

impl Growth {
    /// Removes the file, if it is still the one that has that path.
    fn remove(&self) -> Result<(), Errno> {
        match files::lstat(&self.path) {
            Ok(stat) if FileId::of(&stat) == FileId::of(&files::fstat(&self.fd)?) => files::unlink(&self.path),
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Undo for Growth {
    fn undo(&self) -> Result<(), Failure> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled {
            return Ok(());
        }
        *settled = true;
        let failed = |error| Failure::io(Kind::Sink, format!("cannot cut back {}", self.name()), error);
        match self.old {
            Some(length) => files::ftruncate(&self.fd, length).map_err(failed),
            None => self.remove().map_err(failed),
        }
    }

    fn name(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITING: Writing = Writing {
        append: true,
        clobber: true,
        sync: true,
        mode: None,
    };

    #[test]
    fn a_failed_append_cuts_back_to_the_old_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "old").expect("written");
        let outgoing = Appending::open(&path, WRITING).expect("opened");
        outgoing.descriptor.write(b" and new").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"old and new");
        outgoing.landing.undo().expect("can be undone").undo().expect("undone");
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let outgoing = Appending::open(&path, WRITING).expect("opened");
        std::fs::rename(&path, folder.path().join("log.1")).expect("moved");
        std::fs::write(&path, "theirs").expect("written");
        outgoing.landing.undo().expect("can be undone").undo().expect("undone");
        assert_eq!(std::fs::read(&path).expect("there"), b"theirs");
    }

    #[test]
    fn a_file_that_was_not_there_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let outgoing = Appending::open(&path, WRITING).expect("opened");
        outgoing.landing.undo().expect("can be undone").undo().expect("undone");
        assert!(!path.exists());
    }
}
