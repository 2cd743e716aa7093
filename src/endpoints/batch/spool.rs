//! The bytes of a batch, kept so that its pipeline can be run again.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Failure, Kind, shown};
use crate::platform::files;

/// A file without a name in a folder: it is gone with the batch, and with a killed process.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Made with the first byte.
    file: Option<OwnedFd>,
    length: u64,
}

impl Spool {
    /// An empty one. Its calls block.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            file: None,
            length: 0,
        }
    }

    /// Keeps more bytes: all of them, or none if that fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(bytes)
            .map_err(|error| self.failed("cannot keep the batch in", error))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => files::open_unnamed(&self.folder)?,
        };
        let file = self.file.insert(file);
        // Behind what was kept: a write that failed may have left more.
        files::seek(&*file, rustix::fs::SeekFrom::Start(self.length))?;
        files::write_all(&*file, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Reads what is at an offset.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Failure> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let Some(file) = &self.file else { return Ok(0) };
        let count = files::pread(file, &mut buffer[..most], offset);
        count.map_err(|error| self.failed("cannot read the batch in", error))
    }

    fn failed(&self, operation: &str, error: impl Into<io::Error>) -> Failure {
        let folder = shown(self.folder.as_os_str().as_bytes());
        Failure::io(Kind::Sink, format!("{operation} {folder}"), error)
    }
}
