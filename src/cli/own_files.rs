//! The files that a run writes about itself: none of them may be a file that its chain reads or writes.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::{FilePlace, duplicate_inherited, files, named_descriptor};

/// One of these files, open for writing.
pub struct OwnFile {
    pub file: OwnedFd,
    /// Whether what is written belongs behind what others wrote: the name means a descriptor that was inherited.
    pub is_shared: bool,
}

impl OwnFile {
    /// Opens or creates it, and leaves what is in it.
    pub fn open(path: &Path) -> rustix::io::Result<Self> {
        if let Some(number) = named_descriptor(path) {
            let file = duplicate_inherited(number, OFlags::WRONLY)?;
            // A pipe or a terminal is opened by its name, for a description that waits.
            if matches!(file_type(&file)?, FileType::RegularFile | FileType::Socket) {
                return Ok(Self { file, is_shared: true });
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(Self {
            file: files::open(path, flags, Mode::from_raw_mode(0o666))?,
            is_shared: false,
        })
    }

    /// Makes what was written durable, if it is a file of its own: a run that ended well promises that of all it leaves.
    pub fn sync(&self) -> rustix::io::Result<()> {
        if !self.is_shared && file_type(&self.file)?.is_file() {
            return files::sync_if_possible(&self.file);
        }
        Ok(())
    }

    /// Removes what is in it, if it is a file of its own.
    pub fn empty(&self) -> rustix::io::Result<()> {
        if !self.is_shared && file_type(&self.file)?.is_file() {
            files::ftruncate(&self.file, 0)?;
        }
        Ok(())
    }
}

fn file_type(file: &OwnedFd) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(files::fstat(file)?.st_mode))
}

/// The regular files that are taken already, each with whose it is.
pub struct Taken(Vec<(FilePlace, String)>);

impl Taken {
    /// Those of a chain.
    pub fn by(files: Vec<(FilePlace, String)>) -> Self {
        Self(files)
    }

    /// Takes the file that `option` names, before it is opened. What is no regular file can be shared, and that
    /// there is no such folder is for whoever opens it to say.
    ///
    /// # Errors
    /// If it is taken already, or cannot be looked at.
    pub fn take(&mut self, option: &str, path: &Path) -> Result<(), Failure> {
        let name = shown(path.as_os_str().as_bytes());
        let place = match FilePlace::find(path) {
            Ok(Some(place)) => place,
            Ok(None) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Failure::io(Kind::Sink, format!("{option} {name}: cannot open"), error)),
        };
        if let Some((_, other)) = self.0.iter().find(|(taken, _)| *taken == place) {
            let why = format!("is the same file as {other}; write to another name");
            return Err(Failure::because(Kind::Usage, format!("{option} {name}"), why));
        }
        self.0.push((place, option.to_owned()));
        Ok(())
    }
}
