//! The folder of both recordings until the report is drawn.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::shown;

/// A folder that is removed when this is dropped.
pub struct Recordings(PathBuf);

impl Recordings {
    pub fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("highwater-demo-{}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => Ok(Self(folder)),
            Err(error) => Err(format!(
                "cannot create {}: {error}",
                shown(folder.as_os_str().as_bytes())
            )),
        }
    }

    /// The file of one run, whose name the report shows.
    pub fn path(&self, is_ignoring: bool) -> PathBuf {
        self.0.join(if is_ignoring {
            "backpressure-ignored.jsonl"
        } else {
            "backpressure-heeded.jsonl"
        })
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        // If this fails, the rest is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
