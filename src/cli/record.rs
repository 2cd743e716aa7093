//! The file of `--record`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::platform::files;
use crate::view::record::{Header, Recorder};

use super::own_files::OwnFile;

/// Begins the recording of this pipeline, whose ends are not open yet.
///
/// # Errors
/// If the file is not suitable. Nothing has been changed then.
pub fn begin(path: &Path, text: &str) -> Result<Recorder, Failure> {
    let name = shown(path.as_os_str().as_bytes());
    let refused = |why: &str| {
        let operation = format!("--record {name}");
        Failure::because(Kind::Usage, operation, why)
    };
    if path.as_os_str() == "-" {
        return Err(refused("standard output carries data; for a file so named write ./-"));
    }
    let io = |operation: &str, error: Errno| Failure::io(Kind::Sink, format!("--record {name}: {operation}"), error);
    match files::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Directory) => return Err(refused("is a directory; name a file in it")),
        Ok(FileType::Fifo | FileType::Socket) => {
            return Err(refused("is not a file; a recording does not wait for a reader"));
        }
        Ok(_) | Err(Errno::NOENT) => {}
        Err(error) => return Err(io("cannot open", error)),
    }
    let own = OwnFile::open(path).map_err(|error| io("cannot open", error))?;
    own.empty().map_err(|error| io("cannot empty it", error))?;
    Ok(Recorder::new(own.file, own.is_shared, &Header::now("run", text)))
}
