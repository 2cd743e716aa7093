//! Writes checkpoints on a thread of its own, so that the file can be written while the disk is waited for.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::error::{Failure, Kind};
use crate::platform::{self, files};

use super::super::journal::Journal;
use super::resumed::Checkpoint;

/// A thread that notes one checkpoint after the other.
pub struct Noter {
    /// `None` once no more come.
    checkpoints: Option<Sender<Checkpoint>>,
    results: Receiver<Result<(), Failure>>,
    /// Whether a checkpoint was submitted and its result not taken.
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Noter {
    /// Starts the thread; `file` is the one that is written.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(file: OwnedFd, mut journal: Journal<Checkpoint>) -> Result<Self, Failure> {
        let (checkpoints, submitted) = channel::<Checkpoint>();
        let (sender, results) = channel();
        let work = move || {
            for checkpoint in submitted {
                let _ = sender.send(note(&file, &mut journal, &checkpoint));
            }
        };
        let thread = platform::spawn("journal", 256 << 10, work);
        Ok(Self {
            checkpoints: Some(checkpoints),
            results,
            is_busy: false,
            thread: Some(thread.map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?),
        })
    }

    /// Lets a checkpoint be noted; the one before must have been waited for.
    pub fn submit(&mut self, checkpoint: Checkpoint) {
        if let Some(checkpoints) = &self.checkpoints {
            self.is_busy = checkpoints.send(checkpoint).is_ok();
        }
    }

    /// Waits until what was submitted is noted.
    ///
    /// # Errors
    /// If it could not be.
    pub fn wait(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_busy) {
            return self.results.recv().unwrap_or(Ok(()));
        }
        Ok(())
    }
}

/// First the bytes are synced to the disk, then the journal is appended to.
fn note(file: &OwnedFd, journal: &mut Journal<Checkpoint>, checkpoint: &Checkpoint) -> Result<(), Failure> {
    files::fdatasync(file).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))?;
    let noted = journal.note(checkpoint);
    noted.map_err(|error| Failure::io(Kind::Sink, "cannot write the journal", error))
}

impl Drop for Noter {
    /// Waits for the thread: what it holds open is locked.
    fn drop(&mut self) {
        self.checkpoints = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
