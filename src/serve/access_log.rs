//! The access log. A thread writes it, so that a full disk or a pipe without a reader delays no run.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Failure, Kind};
use crate::platform::{files, spawn};
use crate::view::say_exactly;

/// Lines that wait for the disk; more are dropped, and counted.
const QUEUE: usize = 4096;
/// The stack of the thread.
const STACK: usize = 128 << 10;
/// How long the last lines may take.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Where the log goes.
#[derive(Debug)]
pub enum LogTarget {
    /// A file, or standard output.
    File(OwnedFd),
    /// The terminal on which the live view is drawn.
    Terminal,
}

/// A log that is written in the background.
#[derive(Debug)]
pub struct AccessLog {
    /// `None` once it has ended.
    lines: Mutex<Option<SyncSender<String>>>,
    dropped: Arc<AtomicU64>,
    ended: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Starts its thread.
    pub fn start(target: LogTarget) -> Result<Self, Failure> {
        let (lines, written) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(1);
        let dropped = Arc::<AtomicU64>::default();
        let missed = dropped.clone();
        let thread = spawn("access log", STACK, move || {
            write(&target, &written, &missed);
            let _ = end.send(());
        });
        thread.map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?;
        Ok(Self {
            lines: Mutex::new(Some(lines)),
            dropped,
            ended: Mutex::new(ended),
        })
    }

    /// Adds a line with its newline; never waits.
    pub fn write(&self, line: String) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !is_taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, or for too long.
    pub fn end(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(END_LIMIT).is_err() {
            tracing::warn!("the access log could not be written to its end");
        }
    }
}

fn write(target: &LogTarget, lines: &Receiver<String>, dropped: &AtomicU64) {
    let put = |line: &str| match target {
        LogTarget::File(file) => files::write_all(file, line.as_bytes()),
        LogTarget::Terminal => {
            say_exactly(line);
            Ok(())
        }
    };
    let mut has_failed = false;
    while let Ok(line) = lines.recv() {
        let missed = dropped.swap(0, Ordering::Relaxed);
        let written = if missed > 0 {
            put(&format!("{{\"dropped_lines\":{missed}}}\n")).and_then(|()| put(&line))
        } else {
            put(&line)
        };
        match written {
            Err(error) if !std::mem::replace(&mut has_failed, true) => {
                tracing::warn!("cannot write the access log: {error}");
            }
            written => has_failed = written.is_err(),
        }
    }
}
