//! The link before a child and the pipe to its standard input.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;

use crate::flow::{Chunk, Closed, Inlet};
use crate::platform::{Descriptor, Interest, Transfer};
use crate::stage::Mover;

/// What a child is given to read. Dropped, it is the end of the child's input, so it lives until either the link's honest
/// end, or the child's.
#[derive(Debug)]
pub struct Input {
    inlet: Inlet,
    pipe: Arc<Descriptor>,
    /// What the pipe had no room for yet.
    chunk: Option<Chunk>,
    /// The pipe of the program in front, if it has lent that.
    mover: Mover,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many bytes of it are in the pipe.
    Bytes(usize),
    /// The child will read no more.
    Refused,
}

impl Input {
    pub fn new(inlet: Inlet, pipe: Arc<Descriptor>) -> Self {
        Self {
            inlet,
            pipe,
            chunk: None,
            mover: Mover::default(),
        }
    }

    pub fn pipe(&self) -> &Arc<Descriptor> {
        &self.pipe
    }

    pub fn mover(&self) -> &Mover {
        &self.mover
    }

    /// Whether there is nothing for the child now.
    pub fn is_starved(&self) -> bool {
        self.chunk.is_none() && (self.mover.awaits_bytes().is_some() || !self.mover.is_lent())
    }

    /// Whether there is something that the child's pipe has no room for.
    pub fn awaits_room(&self) -> bool {
        self.chunk.is_some() || self.mover.awaits_room()
    }

    /// As [`Mover::look_in_front`].
    pub fn look_in_front(&mut self) -> bool {
        self.mover.look_in_front(&self.inlet)
    }

    /// Takes the next chunk from the link unless there is one, or the pipe that is lent instead; returns whether more may come.
    pub fn refill(&mut self, context: &mut Context<'_>) -> Result<bool, Closed> {
        while self.chunk.is_none() {
            match self.inlet.poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(Err(closed)) => return Err(closed),
                Poll::Ready(Ok(None)) => return Ok(false),
                // One without bytes carries a position, which goes no farther.
                Poll::Ready(Ok(Some(chunk))) => self.chunk = Some(chunk).filter(|chunk| !chunk.is_empty()),
            }
        }
        self.mover.take(&self.inlet, Some(&self.pipe));
        Ok(true)
    }

    /// Moves what the program in front has written, as far as the pipe has room.
    ///
    /// # Errors
    /// As splice(2).
    pub fn splice(&mut self) -> io::Result<Written> {
        written(self.mover.advance(&self.inlet, &self.pipe))
    }

    /// Writes what the pipe has room for; it was found to be ready.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&mut self) -> io::Result<Written> {
        if self.mover.awaits_room() {
            return self.splice();
        }
        let Some(chunk) = &mut self.chunk else {
            // There is nothing to be ready for but the reader's end.
            return Ok(Written::Refused);
        };
        let transfer = self.pipe.write(chunk.as_slice());
        if let Ok(Transfer::Bytes(count)) = transfer {
            chunk.advance(count);
            self.chunk.take_if(|chunk| chunk.is_empty());
        }
        written(transfer)
    }

    /// Bytes in the pipe that the child has not read yet, where that is known.
    pub fn unread(&self) -> u64 {
        self.pipe.kernel_queue(Interest::Write).map_or(0, |queue| queue.bytes)
    }
}

fn written(transfer: io::Result<Transfer>) -> io::Result<Written> {
    match transfer {
        Ok(Transfer::Bytes(count)) => Ok(Written::Bytes(count)),
        Ok(Transfer::NotReady) => Ok(Written::Bytes(0)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => Ok(Written::Refused),
        Err(error) => Err(error),
    }
}
