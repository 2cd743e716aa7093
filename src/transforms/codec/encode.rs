//! Compressing a stream.

use std::io;
use std::time::{Duration, Instant};

use async_compression::codecs::EncodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Buffer, Chunk, Outlet, block_on};
use crate::stage::{Content, OnThread, Outcome, Stage, Transform, TransformPlan, Want};

use super::PIECE;

/// The plan of a stage that compresses.
pub struct Packing<F> {
    /// Bytes that the encoder holds.
    pub state: u64,
    /// How long it may hold back what it was given; `None` where it cannot be hurried.
    pub flush: Option<Duration>,
    /// Makes the encoder.
    pub encoder: F,
}

impl<E: EncodeV2 + Send + 'static, F: FnOnce() -> E + Send> TransformPlan for Packing<F> {
    fn state_bytes(&self) -> u64 {
        self.state
    }

    fn content(&self) -> Content {
        Content::Compressed
    }

    fn make(self: Box<Self>, _: u64) -> Box<dyn Stage> {
        Box::new(OnThread(Encoding::new((self.encoder)(), self.flush)))
    }
}

/// An encoder takes every byte, and its parameters were checked: what it can lack is memory and threads.
fn failed(error: io::Error) -> Failure {
    Failure::io(Kind::Resources, "cannot compress", error)
}

/// A compressor as a transform.
pub struct Encoding<E> {
    encoder: E,
    /// What was compressed and not sent yet.
    gathered: Option<Buffer>,
    flush: Option<Duration>,
    held: Held,
}

/// Bytes that a flush is given at once.
const ROOM: usize = 1 << 10;

/// What the encoder was given and has not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// Something. It gave out something of its own accord since it last had to wait for input, so this is not old.
    Young,
    /// Something, at least since it had to wait for input.
    Since(Instant),
}

impl<E: EncodeV2 + Send> Encoding<E> {
    /// A transform that gives out what `encoder` makes of its input, and hurries it after `flush`.
    pub fn new(encoder: E, flush: Option<Duration>) -> Self {
        Self {
            encoder,
            gathered: None,
            flush,
            held: Held::Nothing,
        }
    }

    /// Runs one step of the encoder into a buffer with room, and sends the buffer once it is full. Answers what the step
    /// answered, and whether anything came of it.
    fn step<T>(
        &mut self,
        out: &mut Outlet,
        step: impl FnOnce(&mut E, &mut WriteBuffer<'_>) -> io::Result<T>,
    ) -> Result<(T, bool), Stop> {
        let mut buffer = match self.gathered.take() {
            Some(buffer) => buffer,
            None => out.reserve_blocking(usize::MAX)?,
        };
        let mut output = WriteBuffer::new_initialized(buffer.spare_mut());
        let result = step(&mut self.encoder, &mut output);
        let written = output.written_len();
        buffer.advance(written);
        let result = result.map_err(failed)?;
        if buffer.is_full() {
            out.send(buffer)?;
        } else {
            self.gathered = Some(buffer);
        }
        Ok((result, written > 0))
    }
}

impl<E: EncodeV2 + Send> Transform for Encoding<E> {
    fn transform(&mut self, input: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        for piece in input.as_slice().chunks(PIECE) {
            let mut rest = PartialBuffer::new(piece);
            while !rest.unwritten().is_empty() {
                let ((), gave) = self.step(out, |encoder, output| encoder.encode(&mut rest, output))?;
                if gave || self.held == Held::Nothing {
                    self.held = Held::Young;
                }
            }
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        match self.gathered.take() {
            Some(buffer) => Ok(out.send(buffer)?),
            None => Ok(()),
        }
    }

    fn idle_after(&mut self) -> Option<Duration> {
        let flush = self.flush?;
        let since = match self.held {
            Held::Nothing => return None,
            Held::Young => Instant::now(),
            Held::Since(since) => since,
        };
        self.held = Held::Since(since);
        Some(flush.saturating_sub(since.elapsed()))
    }

    fn on_idle(&mut self, out: &mut Outlet) -> Outcome {
        // zlib repeats its marker, for ever if need be, until a flush leaves room behind it: a link's own buffer may be
        // too small for that.
        let mut room = [0; ROOM];
        self.starved(out)?;
        loop {
            let mut output = WriteBuffer::new_initialized(&mut room[..]);
            let result = self.encoder.flush(&mut output);
            let written = output.written_len();
            let is_done = result.map_err(failed)?;
            block_on(out.copy(&room[..written]))?;
            if is_done {
                break;
            }
        }
        self.held = Held::Nothing;
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        while !self.step(out, E::finish)?.0 {}
        self.starved(out)
    }
}
