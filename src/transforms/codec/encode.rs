//! Compressing a stream.

use std::io;
use std::time::{Duration, Instant};

use async_compression::codecs::EncodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Outlet, block_on};
use crate::stage::{Content, Context, OnThread, Outcome, Transform, TransformPlan, Want};

use super::{Codec, PIECE};
use crate::transforms::gathered::Gathered;

/// Plans a stage that compresses with an encoder made by `encoder`, which holds `state` bytes. It holds back its input
/// for no longer than `flush`; `None` means that the format cannot be flushed.
pub fn compress<E: EncodeV2 + Send + 'static>(
    state: u64,
    flush: Option<Duration>,
    encoder: impl FnOnce() -> E + Send + 'static,
) -> Box<dyn TransformPlan> {
    Box::new(Codec {
        stage: OnThread(move |_: &Context| Encoding::new(encoder(), flush)),
        content: Content::Compressed,
        state,
        claims_later: false,
    })
}

/// An encoder accepts every byte, and its parameters were checked: it can only lack memory and threads.
fn failed(error: io::Error) -> Failure {
    Failure::io(Kind::Resources, "cannot compress", error)
}

/// A compressor as a transform.
struct Encoding<E> {
    encoder: E,
    /// Output that was not sent yet.
    gathered: Gathered,
    flush: Option<Duration>,
    held: Held,
}

/// The room for one flush, in bytes.
const ROOM: usize = 1 << 10;

/// Whether the encoder holds input that it has not sent the output of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// It holds some. It sent output of its own accord since it last had to wait for input, so this is not old.
    Young,
    /// It holds some, at least since it had to wait for input.
    Since(Instant),
}

impl<E: EncodeV2 + Send> Encoding<E> {
    /// A transform that sends the output of `encoder`, and flushes it after `flush`.
    fn new(encoder: E, flush: Option<Duration>) -> Self {
        Self {
            encoder,
            gathered: Gathered::default(),
            flush,
            held: Held::Nothing,
        }
    }
}

impl<E: EncodeV2 + Send> Transform for Encoding<E> {
    fn transform(&mut self, input: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        for piece in input.as_slice().chunks(PIECE) {
            let mut rest = PartialBuffer::new(piece);
            while !rest.unwritten().is_empty() {
                let encode = |output: &mut WriteBuffer<'_>| self.encoder.encode(&mut rest, output);
                let (encoded, given) = self.gathered.step(out, encode)?;
                encoded.map_err(failed)?;
                if given > 0 || self.held == Held::Nothing {
                    self.held = Held::Young;
                }
            }
        }
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.gathered.send(out)?)
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
        // zlib repeats its marker, forever if need be, until a flush leaves room behind it: a link's own buffer may be
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
        loop {
            let (is_done, _) = self.gathered.step(out, |output| self.encoder.finish(output))?;
            if is_done.map_err(failed)? {
                break;
            }
        }
        self.starved(out)
    }
}
