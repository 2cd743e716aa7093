//! The files that a run writes about itself: none of them may be a file that its chain reads or writes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Failure, Kind, shown};
use crate::platform::FilePlace;

/// The regular files that are taken already, each with whose it is.
pub struct Taken(Vec<(FilePlace, String)>);

impl Taken {
    /// Those of a chain.
    pub fn by(files: Vec<(FilePlace, String)>) -> Self {
        Self(files)
    }

    /// Takes the file that `option` names, before it is opened. What is no regular file can be shared, and what cannot be
    /// found is for whoever opens it to say.
    ///
    /// # Errors
    /// If it is taken already.
    pub fn take(&mut self, option: &str, path: &Path) -> Result<(), Failure> {
        let Ok(Some(place)) = FilePlace::find(path) else {
            return Ok(());
        };
        if let Some((_, other)) = self.0.iter().find(|(taken, _)| *taken == place) {
            let name = shown(path.as_os_str().as_bytes());
            let why = format!("is the same file as {other}; write to another name");
            return Err(Failure::because(Kind::Usage, format!("{option} {name}"), why));
        }
        self.0.push((place, option.to_owned()));
        Ok(())
    }
}
