//! Small files that stages leave beside the stream, as atomically as the stream's own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::{Misnamed, Scheme};
use crate::error::{Failure, Kind, Stop};
use crate::flow::block_on;
use crate::platform::{Interest, Transfer, Woken};
use crate::stage::{self, Cancel, Endpoint, Facts, OpenWriter, Outcome, Outgoing, Rollback};

use super::{SCHEMES, file, stdio, sync_file};

/// One that is named and not yet opened. What is no regular file is written in place.
pub struct SideFile(Box<dyn Endpoint>);

impl SideFile {
    /// Reads its name: a path, plain or as `file:PATH`.
    ///
    /// # Errors
    /// If it is no path, or a standard stream.
    pub fn named(name: &[u8]) -> Result<Self, Misnamed> {
        let (scheme, path) = Scheme::find(SCHEMES, name)?;
        if scheme.prefix == file::SCHEME.prefix {
            return file::beside_stream(path).map(Self);
        }
        if scheme.prefix == stdio::SCHEME.prefix {
            return Err(file::carries_stream());
        }
        let message = format!("{} is no file", scheme.form);
        Err(Misnamed::new(message, "name a file, a device or a FIFO"))
    }

    /// What can be known of it without touching it.
    ///
    /// # Errors
    /// Where it is already clear that it cannot be opened.
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
            let why = "it is no file, device or FIFO";
            return Err(Failure::because(Kind::Usage, "cannot write beside the stream", why));
        };
        Ok(OpenSideFile {
            rollback: out.rollback(),
            progress: Mutex::new(Progress::Empty(out)),
        })
    }
}

/// One that is open. Unless it is committed, nothing is left of it when it is dropped.
pub struct OpenSideFile {
    progress: Mutex<Progress>,
    rollback: Option<Arc<dyn Rollback>>,
}

/// How far a side file has come.
enum Progress {
    Empty(Outgoing),
    Written(Outgoing),
    /// It is committed, or was given up.
    Over,
}

impl OpenSideFile {
    /// Puts it in its place, if anything was written.
    ///
    /// # Errors
    /// If that fails, or it is not sure to last; or if it cannot be removed, where nothing was written.
    pub fn commit(&self, cancel: &Cancel) -> Outcome {
        match std::mem::replace(&mut *self.progress(), Progress::Over) {
            Progress::Written(mut out) => out.commit_at_once(cancel),
            Progress::Empty(_) | Progress::Over => Ok(self.roll_back()?),
        }
    }

    /// Removes what was written, unless it is committed. A second time changes nothing.
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
    fn write(&self, bytes: &[u8], cancel: &Cancel) -> Outcome {
        let mut progress = self.progress();
        let Progress::Empty(out) = std::mem::replace(&mut *progress, Progress::Over) else {
            return Err(Failure::because(Kind::Bug, "a bug in highwater", "a side file was written twice").into());
        };
        write_all(&out, bytes, cancel)?;
        if out.is_durable() {
            sync_file(out.descriptor())?;
        }
        *progress = Progress::Written(out);
        Ok(())
    }
}

impl Drop for OpenSideFile {
    fn drop(&mut self) {
        // A caller that wants to know of an error rolls it back before.
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
