//! zstd frames that are compressed at once.

use std::io;

use zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

use super::state;
use crate::transforms::members::Format;

/// Frames with a checksum of their content.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// The level, -7 to 22.
    pub level: i32,
    /// The window, as a power of two, if it is not the level's own.
    pub window: Option<u32>,
}

impl Frames {
    /// Bytes of input in a frame, if the user does not say. A frame starts without the history before it: in one of two
    /// windows or more, that costs little.
    pub fn default_size(self) -> u64 {
        const LEAST: u64 = 4 << 20;
        let window = match self.window {
            Some(log) => 1 << log,
            None => state::window(self.level) * 2,
        };
        window.max(LEAST)
    }

    fn context(self) -> Result<CCtx<'static>, usize> {
        let mut context = CCtx::try_create().ok_or(0_usize)?;
        context.set_parameter(CParameter::CompressionLevel(self.level))?;
        context.set_parameter(CParameter::ChecksumFlag(true))?;
        if let Some(log) = self.window {
            context.set_parameter(CParameter::WindowLog(log))?;
            if state::is_long(self.level, log) {
                context.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
                context.set_parameter(CParameter::LdmHashRateLog(state::LONG_RATE_LOG))?;
            }
        }
        Ok(context)
    }
}

impl Format for Frames {
    const WORKER: &str = "zstd worker";
    /// At the default level, filling a frame takes a tenth of the time that compressing one does.
    const SPARE: usize = 1;

    fn bound(&self, size: usize) -> usize {
        compress_bound(size)
    }

    fn compressor_bytes(&self) -> usize {
        usize::try_from(state::encoder(self.level, 1, self.window)).unwrap_or(usize::MAX)
    }

    fn effect(&self) -> String {
        match self.window {
            Some(log) => format!("zstd level={} window={}", self.level, 1_u64 << log),
            None => format!("zstd level={}", self.level),
        }
    }

    fn compressor(&self) -> impl FnMut(&[u8], &mut [u8]) -> io::Result<usize> + Send + 'static {
        let frames = *self;
        let mut context = None;
        let failed = |code| match code {
            0 => io::ErrorKind::OutOfMemory.into(),
            code => io::Error::other(get_error_name(code)),
        };
        move |input, output| {
            let context = match &mut context {
                Some(context) => context,
                empty => empty.insert(frames.context().map_err(failed)?),
            };
            context.compress2(output, input).map_err(failed)
        }
    }
}
