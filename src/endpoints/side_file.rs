//! Small files that stages leave beside the stream, as atomically as the stream's own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Failure, Kind, Stop};
use crate::flow::block_on;
use crate::platform::{Interest, Transfer, Woken};
use crate::stage::{self, Cancel, Facts, Outcome, Rollback};

use super::{
    Endpoint, Misnamed, OpenWriter, Outgoing, Patience, SCHEMES, Writing, file, is_named_by, parse, sync_file,
};

/// One that is named and not yet opened. What is no regular file is written in place.
pub struct SideFile(Box<dyn Endpoint>);

impl SideFile {
    /// Reads its name: a path, plain or as `file:PATH`.
    ///
    /// # Errors
    /// If it is no path, or a standard stream.
    pub fn named(name: &[u8]) -> Result<Self, Misnamed> {
        let endpoint = parse(name)?;
        if endpoint.carries_stream() {
            return Err(Misnamed::new(
                "the standard streams carry the stream and nothing else",
                "name a file; /dev/stderr is one",
            ));
        }
        let is_path = |prefix: &str| prefix.is_empty() || prefix == file::SCHEME.prefix;
        let scheme = SCHEMES
            .iter()
            .find(|scheme| !scheme.prefix.is_empty() && is_named_by(name, scheme));
        match scheme {
            Some(scheme) if !is_path(scheme.prefix) => {
                let message = format!("{} is no file", endpoint.shown());
                Err(Misnamed::new(message, "name a file, a device or a FIFO"))
            }
            _ => Ok(Self(endpoint)),
        }
    }

    /// What can be known of it without touching it.
    ///
    /// # Errors
    /// Where it is already clear that it cannot be opened.
    pub fn facts(&self) -> Result<Facts, Failure> {
        self.0.permit(Writing::default())?;
        self.0.sink_facts()
    }

    /// What writing it will do: `creates SUMS`.
    #[must_use]
    pub fn effect(&self) -> String {
        self.0.effect(Writing::default())
    }

    /// Opens it; a FIFO waits for its reader.
    ///
    /// # Errors
    /// If it cannot be opened or created.
    pub async fn open(self) -> Result<OpenSideFile, Failure> {
        let opened = self.0.open_writer(Writing::default(), Patience::default()).await?;
        let OpenWriter::Descriptor(out) = opened else {
            let why = "it is no file, device or FIFO";
            return Err(Failure::because(Kind::Usage, "cannot write beside the stream", why));
        };
        Ok(OpenSideFile {
            rollback: out.commit.rollback(),
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
            Progress::Written(mut out) => {
                out.commit.prepare(&out.descriptor, cancel.alarm()?)?;
                out.commit.commit(&out.descriptor, cancel.alarm()?)
            }
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
        if out.commit.is_durable() {
            sync_file(&out.descriptor)?;
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
        match out.descriptor.write(bytes).map_err(failed)? {
            Transfer::Bytes(count) => bytes = &bytes[count..],
            Transfer::NotReady => {
                if out.descriptor.wait(Interest::Write, alarm).map_err(failed)? == Woken::Alarm {
                    return Err(Stop::Neighbour);
                }
            }
        }
    }
    Ok(())
}
