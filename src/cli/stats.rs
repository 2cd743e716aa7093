//! Where `--stats` goes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Failure, Kind, shown};
use crate::platform::files;
use crate::view::say_exactly;

use super::own_files::OwnFile;

/// The file that gets the end object, opened before the run so that a wrong name is noticed in time.
pub struct StatsFile {
    /// `None` is standard error.
    file: Option<OwnFile>,
    name: String,
}

impl StatsFile {
    /// Opens the file and leaves what is in it until the end.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let name = shown(path.as_os_str().as_bytes());
        if path.as_os_str() == "-" {
            return Ok(Self { file: None, name });
        }
        let file = OwnFile::open(path)
            .map_err(|error| Failure::io(Kind::Sink, format!("--stats {name}: cannot open"), error))?;
        Ok(Self { file: Some(file), name })
    }

    /// Replaces what was in the file by the end object.
    pub fn write(self, end: &str) -> Result<(), Failure> {
        let Some(file) = self.file else {
            say_exactly(end);
            return Ok(());
        };
        let written = file
            .empty()
            .and_then(|()| files::write_all(&file.file, end.as_bytes()))
            .and_then(|()| file.sync())
            .and_then(|()| files::close_error(&file.file));
        written.map_err(|error| Failure::io(Kind::Sink, format!("--stats {}: cannot write", self.name), error))
    }
}
