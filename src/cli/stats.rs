//! Where `--stats` goes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::engine::Snapshot;
use crate::error::{Failure, Kind, shown};
use crate::view::{json, say};

/// The file that gets the end object, opened before the run so that a wrong name is noticed in time.
pub struct StatsFile {
    /// `None` is standard error.
    file: Option<File>,
    name: String,
}

impl StatsFile {
    /// Opens the file and leaves what is in it until the end.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = shown(path.as_os_str().as_bytes());
        if path.as_os_str() == "-" {
            return Ok(Self { file: None, name });
        }
        let opened = OpenOptions::new().create(true).write(true).truncate(false).open(path);
        let file =
            opened.map_err(|error| format!("--stats {name}: {}", Failure::io(Kind::Sink, "cannot open", error)))?;
        Ok(Self { file: Some(file), name })
    }

    /// Replaces what was in the file by the end object.
    pub fn write(self, snapshot: Option<&Snapshot>, exit: &json::Exit) -> Result<(), String> {
        let text = json::end(snapshot, exit);
        let Some(mut file) = self.file else {
            say(&text);
            return Ok(());
        };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let emptied = if is_file { file.set_len(0) } else { Ok(()) };
        emptied.and_then(|()| file.write_all(text.as_bytes())).map_err(|error| {
            format!(
                "--stats {}: {}",
                self.name,
                Failure::io(Kind::Sink, "cannot write", error)
            )
        })
    }
}
