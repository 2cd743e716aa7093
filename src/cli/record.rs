//! Where `--record` goes.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind, shown};
use crate::plan::Plan;
use crate::platform::{FileId, files};
use crate::stage::Facts;
use crate::view::record::{Header, Recorder};

/// Begins the recording of a run whose ends are not open yet.
///
/// # Errors
/// Where the file cannot be one, or is an end of the chain itself. Then nothing has been changed.
pub fn begin(path: &Path, stats: Option<&Path>, plan: &Plan) -> Result<Recorder, Failure> {
    let name = shown(path.as_os_str().as_bytes());
    let refused = |why: &str| {
        let operation = format!("--record {name}");
        Failure::because(Kind::Usage, operation, why)
    };
    if path.as_os_str() == "-" {
        return Err(refused("standard output carries data; for a file so named write ./-"));
    }
    let ends = || [plan.source.plan.facts(), plan.sink.plan.facts()];
    let before = ends();
    let existed = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(refused("is a directory; name a file in it")),
        Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_socket() => {
            return Err(refused("is no file; a recording waits for nobody"));
        }
        Ok(_) => true,
        Err(_) => false,
    };
    let io =
        |operation: &str, error: io::Error| Failure::io(Kind::Sink, format!("--record {name}: {operation}"), error);
    // What is in it stays until it is clear that it is neither end of the chain.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let opened = files::open(path, flags, Mode::from_raw_mode(0o666));
    let file: File = opened.map_err(|error| io("cannot open", error.into()))?.into();
    if let Some(other) = whose(&file, stats, &before, &ends()).map_err(|error| io("cannot look at it", error))? {
        if !existed {
            // It was made to be compared.
            let _ = files::unlink(path);
        }
        return Err(refused(&format!("is the same file as {other}; record to another name")));
    }
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        files::ftruncate(&file, 0).map_err(|error| io("cannot empty it", error.into()))?;
    }
    Ok(Recorder::new(file, &Header::now("run", &text(plan))))
}

/// Whose file it is already. A target that is not there yet cannot be compared; but it is the same where it has come to
/// be there by opening the recording.
fn whose<'a>(
    file: &File,
    stats: Option<&Path>,
    before: &[Result<Facts, Failure>; 2],
    after: &[Result<Facts, Failure>; 2],
) -> io::Result<Option<&'a str>> {
    let own = files::fstat(file)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let own = FileId::of(&own);
    let has = |facts: &Result<Facts, Failure>| facts.as_ref().is_ok_and(|facts| facts.files.contains(&own));
    let [source, sink] = after;
    let came_to_be = before[1].is_ok() && sink.is_err();
    let same = if has(source) {
        Some("the source")
    } else if has(sink) || came_to_be {
        Some("the sink")
    } else {
        let stats = stats.and_then(|path| files::stat(path).ok());
        stats
            .is_some_and(|stats| FileId::of(&stats) == own)
            .then_some("--stats")
    };
    Ok(same)
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
