//! `highwater report`: reads recordings and writes their report.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::catalog::Misnamed;
use crate::endpoints::SideFile;
use crate::error::{Failure, Kind, Stop, shown};
use crate::platform::{FileId, files};
use crate::report::{self, Format, Recording};
use crate::stage::{Cancel, SideFile as _};

/// Draws `recordings` into the file at `to`, all or nothing.
///
/// # Errors
/// The message and the exit code. Nothing is written if a recording cannot be read.
pub fn write(recordings: &[PathBuf], to: &Path) -> Result<(), (String, u8)> {
    let name = shown(to.as_os_str().as_bytes());
    let refused = |why: String| (format!("report: -o {name}: {why}"), Kind::Usage.exit_code());
    let format = Format::of(to).map_err(refused)?;
    let target = files::stat(to).ok().map(|target| FileId::of(&target));
    for path in recordings {
        let own = files::stat(path).ok().map(|own| FileId::of(&own));
        if own.is_some() && own == target {
            return Err(refused(format!(
                "it is the same file as the recording {}; write to another name",
                shown(path.as_os_str().as_bytes())
            )));
        }
    }
    let recordings: Result<Vec<Recording>, report::Trouble> =
        recordings.iter().map(|path| report::read(path)).collect();
    let recordings = recordings.map_err(|trouble| (format!("report: {trouble}"), trouble.kind.exit_code()))?;
    let failed = |failure: &Failure| (format!("report: -o {name}: {failure}"), failure.kind().exit_code());
    let drawn = report::draw(&recordings, format).map_err(|failure| failed(&failure))?;
    put(to, &drawn).map_err(|failure| failed(&failure))
}

/// Writes the file as atomically as a pipeline's sink.
fn put(to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io(Kind::Resources, "cannot start", error))?;
    let name = to.as_os_str().as_bytes();
    let misnamed = |wrong: Misnamed| Failure::because(Kind::Usage, "cannot write", wrong.message);
    let file = SideFile::named(name).map_err(misnamed)?;
    let file = runtime.block_on(file.open())?;
    let cancel = Cancel::default();
    let written = file.append(bytes, &cancel).and_then(|()| file.finish());
    match written.and_then(|()| file.commit(&cancel)) {
        Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
        // It is never told to stop.
        Err(_) => Err(Failure::because(Kind::Other, "cannot write", "it was told to stop")),
    }
}
