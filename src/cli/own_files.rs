//! The files that a run writes about itself: none of them may be a file that its chain reads or writes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::FilePlace;

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
