//! Small files that stages write beside the stream, as atomically as the main output.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::{Misnamed, Scheme};
use crate::error::{Failure, Kind, Stop};
use crate::flow::block_on;
use crate::platform::{Interest, Transfer, Woken};
use crate::stage::{self, Cancel, Endpoint, Facts, OpenWriter, Outcome, Outgoing, Rollback};

use super::{SCHEMES, file, stdio, sync_file};

/// A side file that is not opened yet. Anything but a regular file is written in place.
pub struct SideFile(Box<dyn Endpoint>);

impl SideFile {
    /// Reads its name: a path, plain or as `file:PATH`.
    ///
    /// # Errors
    /// If it is not a path, or is a standard stream.
    pub fn named(name: &[u8]) -> Result<Self, Misnamed> {
        let (scheme, path) = Scheme::find(SCHEMES, name)?;
        if scheme.prefix == file::SCHEME.prefix {
            return file::beside_stream(path).map(Self);
        }
        if scheme.prefix == stdio::SCHEME.prefix {
            return Err(file::carries_stream());
        }
        let message = format!("{} is not a file", scheme.form);
        Err(Misnamed::new(message, "name a file, a device or a FIFO"))
    }

    /// What is known of it without side effects.
    ///
    /// # Errors
    /// If opening is certain to fail.
    pub fn facts(&self) -> Result<Facts, Failure> {
        self.0.permit()?;
        self.0.sink_facts()
    }

    /// What writing it will do: `creates SUMS`.
    #[must_use]
    pub fn effect(&self) -> String {
        self.0.effect()
    }

    /// Opens it; a FIFO waits for its reader.
    ///
    /// # Errors
    /// If it cannot be opened or created.
    pub async fn open(self) -> Result<OpenSideFile, Failure> {
        let opened = self.0.open_writer().await?;
        let OpenWriter::Descriptor(out) = opened else {
            let why = "it is not a file, a device or a FIFO";
            return Err(Failure::because(Kind::Usage, "cannot write beside the stream", why));
        };
        Ok(OpenSideFile {
            rollback: out.rollback(),
            progress: Mutex::new(Progress::Open(out)),
        })
    }
}

/// An open side file. Unless it is committed, it is removed when this is dropped.
pub struct OpenSideFile {
    progress: Mutex<Progress>,
    rollback: Option<Arc<dyn Rollback>>,
}

/// The progress of a side file.
enum Progress {
    Open(Outgoing),
    Finished(Outgoing),
    /// It is committed or was rolled back.
    Over,
}

impl OpenSideFile {
    /// Renames it to its final name, if its stage has finished it.
    ///
    /// # Errors
    /// If that fails or cannot be made durable; or if an unfinished file cannot be removed.
    pub fn commit(&self, cancel: &Cancel) -> Outcome {
        match std::mem::replace(&mut *self.progress(), Progress::Over) {
            Progress::Finished(mut out) => out.commit_at_once(cancel),
            Progress::Open(_) | Progress::Over => Ok(self.roll_back()?),
        }
    }

    /// Removes what was written, unless it is committed. A second call changes nothing.
    ///
    /// # Errors
    /// If it cannot be removed; the message names what is left behind.
    pub fn roll_back(&self) -> Result<(), Failure> {
        let rollback = self.rollback.clone();
        rollback.map_or(Ok(()), |rollback| block_on(rollback.roll_back()))
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl stage::SideFile for OpenSideFile {
    fn append(&self, bytes: &[u8], cancel: &Cancel) -> Outcome {
        match &*self.progress() {
            Progress::Open(out) => write_all(out, bytes, cancel),
            _ => Err(already_finished()),
        }
    }

    fn finish(&self) -> Outcome {
        let mut progress = self.progress();
        let Progress::Open(out) = std::mem::replace(&mut *progress, Progress::Over) else {
            return Err(already_finished());
        };
        if out.is_durable() {
            sync_file(out.descriptor())?;
        }
        *progress = Progress::Finished(out);
        Ok(())
    }
}

fn already_finished() -> Stop {
    Failure::because(Kind::Bug, "a bug in highwater", "a side file was finished twice").into()
}

impl Drop for OpenSideFile {
    fn drop(&mut self) {
        // A caller that needs the error rolls it back before.
        let _ = self.roll_back();
    }
}

impl fmt::Debug for OpenSideFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSideFile").finish_non_exhaustive()
    }
}

fn write_all(out: &Outgoing, mut bytes: &[u8], cancel: &Cancel) -> Outcome {
    let failed = |error: std::io::Error| Failure::io(Kind::Sink, "cannot write", error);
    let alarm = cancel.alarm()?;
    while !bytes.is_empty() {
        match out.descriptor().write(bytes).map_err(failed)? {
            Transfer::Bytes(count) => bytes = &bytes[count..],
            Transfer::NotReady => {
                if out.descriptor().wait(Interest::Write, alarm).map_err(failed)? == Woken::Alarm {
                    return Err(Stop::PeerClosed);
                }
            }
        }
    }
    Ok(())
}
