//! Where `--record` goes.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::error::{Failure, Kind};
use crate::plan::Plan;
use crate::platform::FileId;
use crate::stage::Facts;
use crate::view::record::{Header, Recorder};

/// Begins the recording of a run whose ends are not open yet.
///
/// # Errors
/// Where the file cannot be one, or is an end of the chain itself. Then nothing has been changed.
pub fn begin(path: &Path, stats: Option<&Path>, plan: &Plan) -> Result<Recorder, Failure> {
    let name = path.display().to_string();
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
    let opened = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    let file = opened.map_err(|error| io("cannot open", error))?;
    if let Some(other) = whose(&file, stats, &before, &ends()).map_err(|error| io("cannot look at it", error))? {
        if !existed {
            // It was made to be compared.
            let _ = remove_file(path);
        }
        return Err(refused(&format!("is the same file as {other}; record to another name")));
    }
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.set_len(0).map_err(|error| io("cannot empty it", error))?;
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
    let own = rustix::fs::fstat(file)?;
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
        let stats = stats.and_then(|path| rustix::fs::stat(path).ok());
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
