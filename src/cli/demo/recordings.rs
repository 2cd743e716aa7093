//! The folder of both recordings until the report is drawn.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::shown;

/// A folder that is removed when this is dropped.
pub struct Recordings {
    folder: PathBuf,
    names: [&'static str; 2],
}

impl Recordings {
    /// A folder for those of the demo, or of the one about records.
    pub fn new(records: bool) -> Result<Self, String> {
        let names = if records {
            ["by-count.jsonl", "by-count-and-bytes.jsonl"]
        } else {
            ["backpressure-ignored.jsonl", "backpressure-honoured.jsonl"]
        };
        let folder = std::env::temp_dir().join(format!("highwater-demo-{}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => Ok(Self { folder, names }),
            Err(error) => Err(format!(
                "cannot create {}: {error}",
                shown(folder.as_os_str().as_bytes())
            )),
        }
    }

    /// The file of one run, whose name the report shows.
    pub fn path(&self, is_ignoring: bool) -> PathBuf {
        self.folder.join(self.names[usize::from(!is_ignoring)])
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        // If this fails, the rest is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
