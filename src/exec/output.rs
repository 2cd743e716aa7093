//! The pipe from a child's standard output, and the link or the lines that it goes to.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Failure, Kind, Stop};
use crate::flow::Outlet;
use crate::platform::{Descriptor, Interest, Transfer};
use crate::stage::Fill;

use super::lines::Lines;

/// What came of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// So many bytes.
    Bytes(usize),
    /// There is nothing now.
    Nothing,
    /// The link has no room.
    NoRoom,
    /// All that write to it have closed it.
    End,
}

/// What a child gives out, on its way into a link.
#[derive(Debug)]
pub struct Output {
    pub outlet: Outlet,
    /// `None` once the child has ended it.
    pub pipe: Option<Arc<Descriptor>>,
    /// Bytes that the next read should ask for.
    size: usize,
    /// Whether the link has no room for what is in the pipe.
    pub is_full: bool,
    /// How full the pipe is.
    fill: Fill,
    /// Whether the consumer takes the bytes out of the pipe itself.
    pub is_lent: bool,
    /// What the consumer had taken when it was last looked at.
    taken: u64,
}

/// Bytes of the first read: what a pipe of the usual size holds.
const FIRST: usize = 64 << 10;
/// Bytes of the smallest read.
const SMALLEST: usize = 4 << 10;

impl Output {
    /// `is_source` says that the child has no input of ours.
    pub fn new(outlet: Outlet, pipe: Arc<Descriptor>, is_source: bool) -> Self {
        let is_lent = outlet.lend(&pipe, is_source);
        Self {
            size: FIRST.min(outlet.largest()),
            outlet,
            pipe: Some(pipe),
            is_full: false,
            fill: Fill::default(),
            is_lent,
            taken: 0,
        }
    }

    /// Looks whether the pipe is still lent.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] if it is, and the consumer wants no more.
    pub fn look_behind(&mut self, context: &mut Context<'_>) -> Result<(), Stop> {
        if self.is_lent {
            self.is_lent = self.outlet.has_lent(context);
            if self.outlet.is_closed() {
                return Err(Stop::PeerClosed);
            }
        }
        Ok(())
    }

    /// Whether the pipe is lent, and something is in it or was taken out of it since the last call.
    pub fn is_being_taken(&mut self) -> bool {
        let sent = self.outlet.sent();
        let has_bytes = || {
            let queue = self.pipe.as_ref().and_then(|pipe| pipe.kernel_queue(Interest::Read));
            queue.is_some_and(|queue| queue.bytes > 0)
        };
        self.is_lent && (std::mem::replace(&mut self.taken, sent) < sent || has_bytes())
    }

    /// Moves into the link what is in the pipe, as far as both allow.
    ///
    /// # Errors
    /// [`Stop::PeerClosed`] when the consumer wants no more.
    pub fn read(&mut self, context: &mut Context<'_>) -> Result<Given, Stop> {
        let Some(pipe) = &self.pipe else {
            return Ok(Given::End);
        };
        let mut buffer = match self.outlet.poll_reserve(self.size, context) {
            Poll::Ready(granted) => granted?,
            Poll::Pending => {
                self.is_full = true;
                return Ok(Given::NoRoom);
            }
        };
        self.is_full = false;
        let cannot = |error| Failure::io(Kind::Child, "cannot read its output", error);
        match pipe.read(buffer.spare_mut()).map_err(cannot)? {
            Transfer::NotReady => Ok(Given::Nothing),
            Transfer::Bytes(0) => {
                self.pipe = None;
                Ok(Given::End)
            }
            Transfer::Bytes(count) => {
                if count == buffer.capacity() {
                    self.size = (self.size * 2).min(self.outlet.largest());
                } else if count < buffer.capacity() / 4 {
                    self.size = (self.size / 2).max(SMALLEST).min(self.outlet.largest());
                }
                buffer.advance(count);
                self.outlet.send(buffer)?;
                self.fill = Fill::default();
                Ok(Given::Bytes(count))
            }
        }
    }

    /// Whether the child waits for room, as far as can be told.
    pub fn holds_child_up(&mut self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| self.fill.is_full(pipe))
    }
}

/// Standard error of a child, relayed to ours line by line.
#[derive(Debug)]
pub struct LineRelay {
    /// `None` once all writers have closed it.
    pub pipe: Option<Descriptor>,
    lines: Lines,
}

impl LineRelay {
    pub fn new(pipe: Descriptor, speaker: String) -> Self {
        Self {
            pipe: Some(pipe),
            lines: Lines::of(speaker),
        }
    }

    /// Passes on some of what is there.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&mut self) -> io::Result<Given> {
        let mut buffer = [0; 8 << 10];
        let Some(pipe) = &self.pipe else {
            return Ok(Given::End);
        };
        match pipe.read(&mut buffer)? {
            Transfer::NotReady => Ok(Given::Nothing),
            Transfer::Bytes(0) => {
                self.pipe = None;
                self.lines.end();
                Ok(Given::End)
            }
            Transfer::Bytes(count) => {
                self.lines.take(&buffer[..count]);
                Ok(Given::Bytes(count))
            }
        }
    }

    /// Passes on what the child has left there when it ended; others may still write.
    pub fn end(&mut self) {
        /// More than a pipe holds.
        const READS: usize = 16;
        let _ = (0..READS).find(|_| !matches!(self.read(), Ok(Given::Bytes(_))));
        self.lines.end();
    }

    /// The last line so far.
    pub fn last(&self) -> Option<&str> {
        self.lines.last()
    }
}
