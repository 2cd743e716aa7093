//! The link before a child and the pipe to its standard input.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;

use crate::flow::{Chunk, Closed, Inlet};
use crate::platform::{Descriptor, Interest, Transfer};

/// What a child is given to read. Dropped, it is the end of the child's input, so it lives until either the link's honest
/// end, or the child's.
#[derive(Debug)]
pub struct Input {
    inlet: Inlet,
    pipe: Arc<Descriptor>,
    /// What the pipe had no room for yet.
    chunk: Option<Chunk>,
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
        }
    }

    pub fn pipe(&self) -> &Arc<Descriptor> {
        &self.pipe
    }

    /// Whether the link has nothing for the child now.
    pub fn is_starved(&self) -> bool {
        self.chunk.is_none()
    }

    /// Takes the next chunk from the link unless there is one; returns whether more may come.
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
        Ok(true)
    }

    /// Writes what the pipe has room for; it was found to be ready.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&mut self) -> io::Result<Written> {
        let Some(chunk) = &mut self.chunk else {
            // There is nothing to be ready for but the reader's end.
            return Ok(Written::Refused);
        };
        match self.pipe.write(chunk.as_slice()) {
            Ok(Transfer::Bytes(count)) => {
                chunk.advance(count);
                self.chunk.take_if(|chunk| chunk.is_empty());
                Ok(Written::Bytes(count))
            }
            Ok(Transfer::NotReady) => Ok(Written::Bytes(0)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => Ok(Written::Refused),
            Err(error) => Err(error),
        }
    }

    /// Bytes in the pipe that the child has not read yet, where that is known.
    pub fn unread(&self) -> u64 {
        self.pipe.kernel_queue(Interest::Write).map_or(0, |queue| queue.bytes)
    }
}
