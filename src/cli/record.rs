//! Where `--record` goes.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind, shown};
use crate::plan::Plan;
use crate::platform::files;
use crate::view::record::{Header, Recorder};

/// Begins the recording of a run whose ends are not open yet.
///
/// # Errors
/// Where the file cannot be one. Then nothing has been changed.
pub fn begin(path: &Path, plan: &Plan) -> Result<Recorder, Failure> {
    let name = shown(path.as_os_str().as_bytes());
    let refused = |why: &str| {
        let operation = format!("--record {name}");
        Failure::because(Kind::Usage, operation, why)
    };
    if path.as_os_str() == "-" {
        return Err(refused("standard output carries data; for a file so named write ./-"));
    }
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(refused("is a directory; name a file in it")),
        Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_socket() => {
            return Err(refused("is no file; a recording waits for nobody"));
        }
        _ => {}
    }
    let io =
        |operation: &str, error: io::Error| Failure::io(Kind::Sink, format!("--record {name}: {operation}"), error);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let opened = files::open(path, flags, Mode::from_raw_mode(0o666));
    let file: File = opened.map_err(|error| io("cannot open", error.into()))?.into();
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        files::ftruncate(&file, 0).map_err(|error| io("cannot empty it", error.into()))?;
    }
    Ok(Recorder::new(file, &Header::now("run", &text(plan))))
}

/// The pipeline, normalised: `read a | gzip | write b`.
fn text(plan: &Plan) -> String {
    let transforms = plan.transforms.iter().map(|transform| transform.text.as_str());
    let stages: Vec<&str> = std::iter::once(plan.source.text.as_str())
        .chain(transforms)
        .chain([plan.sink.text.as_str()])
        .collect();
    stages.join(" | ")
}
