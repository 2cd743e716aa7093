//! liblzma's decoder, which knows what a block takes before it allocates anything for it.
//!
//! The decoder of `async-compression` hides liblzma's memory limit; this one uses it: the limit starts at the least, the
//! library stops where a block asks for more, and goes on once the limit is raised.

use std::io;

use async_compression::core::util::{PartialBuffer, WriteBuffer};
use liblzma::stream::{Action, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use crate::transforms::codec::{Decoder, Step};

/// Decodes one stream of an .xz file at a time, or an .lzma file.
pub struct XzDecoder {
    stream: Option<Stream>,
    /// Bytes that it may use.
    allowed: u64,
    has_warned: bool,
}

impl XzDecoder {
    /// A decoder that may use next to nothing yet.
    pub fn new() -> Self {
        Self {
            stream: None,
            allowed: 1,
            has_warned: false,
        }
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        if self.stream.is_none() {
            self.stream = Some(Stream::new_auto_decoder(self.allowed, TELL_UNSUPPORTED_CHECK)?);
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("no stream"))
    }
}

impl Decoder for XzDecoder {
    fn restart(&mut self) -> io::Result<()> {
        // Frees the old one's dictionary first.
        self.stream = None;
        Ok(())
    }

    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<Step> {
        let stream = self.stream()?;
        let before = (stream.total_in(), stream.total_out());
        let result = stream.process(input.unwritten(), output.initialize_unwritten(), Action::Run);
        let taken = stream.total_in() - before.0;
        let given = stream.total_out() - before.1;
        input.advance(usize::try_from(taken).unwrap_or(0));
        output.advance(usize::try_from(given).unwrap_or(0));
        match result {
            Ok(Status::StreamEnd) => Ok(Step::Ended),
            // "Cannot go on without more input or room" is no fault where there was none.
            Ok(Status::MemNeeded) if taken == 0 && given == 0 && !input.unwritten().is_empty() => {
                Err(io::Error::other("the decoder makes no progress"))
            }
            Ok(_) => Ok(Step::Within),
            Err(Error::UnsupportedCheck) => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    tracing::warn!(
                        "the xz stream has a check of a kind that is not supported: its integrity is not verified"
                    );
                }
                Ok(Step::Within)
            }
            Err(Error::MemLimit) => Ok(Step::Needs(needed(stream))),
            Err(error) => Err(io::Error::other(meaning(error))),
        }
    }

    fn allow(&mut self, bytes: u64) -> io::Result<()> {
        self.allowed = self.allowed.max(bytes);
        let allowed = self.allowed;
        Ok(self.stream()?.set_memlimit(allowed)?)
    }
}

/// What the block at hand takes: the least limit that liblzma accepts. It does not say so in any other way.
fn needed(stream: &mut Stream) -> u64 {
    let (mut refused, mut accepted) = (0, u64::MAX / 2);
    while refused + 1 < accepted {
        let tried = refused + (accepted - refused) / 2;
        if stream.set_memlimit(tried).is_ok() {
            accepted = tried;
        } else {
            refused = tried;
        }
    }
    accepted
}

fn meaning(error: Error) -> &'static str {
    match error {
        Error::Data => "the compressed data is corrupt",
        Error::Options => "it uses an option that is not supported",
        Error::Format => "the file format is not recognised",
        Error::Mem => "no memory left",
        _ => "the decoder failed",
    }
}
