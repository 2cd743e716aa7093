//! Where `--stats` goes.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Failure, Kind, shown};
use crate::platform::files;
use crate::view::say;

/// The file that gets the end object, opened before the run so that a wrong name is noticed in time.
pub struct StatsFile {
    /// `None` is standard error.
    file: Option<OwnedFd>,
    name: String,
}

impl StatsFile {
    /// Opens the file and leaves what is in it until the end.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let name = shown(path.as_os_str().as_bytes());
        if path.as_os_str() == "-" {
            return Ok(Self { file: None, name });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let opened = files::open(path, flags, Mode::from_raw_mode(0o666));
        let file = opened.map_err(|error| Failure::io(Kind::Sink, format!("--stats {name}: cannot open"), error))?;
        Ok(Self { file: Some(file), name })
    }

    /// Replaces what was in the file by the end object.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self, end: &str) -> Result<(), Failure> {
        let Some(file) = self.file else {
            say(end);
            return Ok(());
        };
        let emptied = files::fstat(&file).and_then(|stat| {
            if FileType::from_raw_mode(stat.st_mode).is_file() {
                files::ftruncate(&file, 0)
            } else {
                Ok(())
            }
        });
        let written = emptied.and_then(|()| files::write_all(&file, end.as_bytes()));
        written.map_err(|error| Failure::io(Kind::Sink, format!("--stats {}: cannot write", self.name), error))
    }
}
