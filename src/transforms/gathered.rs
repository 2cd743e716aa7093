//! Output that is gathered into whole buffers.

use async_compression::core::util::WriteBuffer;

use crate::flow::{Buffer, Closed, Outlet, Position};

/// Output that was not sent yet.
#[derive(Debug, Default)]
pub struct Gathered(Option<Buffer>);

impl Gathered {
    /// Appends `bytes`, and sends each buffer that becomes full.
    pub fn put(&mut self, bytes: &[u8], out: &mut Outlet) -> Result<(), Closed> {
        self.put_marked(bytes, None, out)
    }

    /// [`Gathered::put`], and sends all of it if there is a position behind `bytes`.
    pub fn put_marked(&mut self, mut bytes: &[u8], position: Option<Position>, out: &mut Outlet) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let mut buffer = self.buffer(out)?;
            bytes = &bytes[buffer.fill_from(bytes)..];
            if let Some(position) = position.filter(|_| bytes.is_empty()) {
                buffer.mark(position);
                return out.send(buffer);
            }
            self.keep(buffer, out)?;
        }
        Ok(())
    }

    /// Appends what `step` writes to a buffer with room, and sends the buffer if it becomes full. Returns the result of
    /// `step`, and the number of bytes it wrote.
    pub fn step<T>(
        &mut self,
        out: &mut Outlet,
        step: impl FnOnce(&mut WriteBuffer<'_>) -> T,
    ) -> Result<(T, usize), Closed> {
        let mut buffer = self.buffer(out)?;
        let mut output = WriteBuffer::new_initialized(buffer.spare_mut());
        let result = step(&mut output);
        let written = output.written_len();
        buffer.advance(written);
        self.keep(buffer, out)?;
        Ok((result, written))
    }

    /// Whether all was sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Sends the gathered output.
    pub fn send(&mut self, out: &mut Outlet) -> Result<(), Closed> {
        self.0.take().map_or(Ok(()), |buffer| out.send(buffer))
    }

    fn buffer(&mut self, out: &mut Outlet) -> Result<Buffer, Closed> {
        match self.0.take() {
            Some(buffer) => Ok(buffer),
            None => out.reserve_blocking(usize::MAX),
        }
    }

    fn keep(&mut self, buffer: Buffer, out: &mut Outlet) -> Result<(), Closed> {
        if buffer.is_full() {
            return out.send(buffer);
        }
        self.0 = Some(buffer);
        Ok(())
    }
}
