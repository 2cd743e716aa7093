//! Output that is copied into whole buffers.

use crate::flow::{Buffer, Closed, Outlet};

/// What was made and not sent yet.
#[derive(Debug, Default)]
pub struct Gathered(Option<Buffer>);

impl Gathered {
    /// Adds `bytes`, and sends each buffer that they fill.
    pub fn put(&mut self, mut bytes: &[u8], out: &mut Outlet) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let mut buffer = match self.0.take() {
                Some(buffer) => buffer,
                None => out.reserve_blocking(usize::MAX)?,
            };
            bytes = &bytes[buffer.fill_from(bytes)..];
            if buffer.is_full() {
                out.send(buffer)?;
            } else {
                self.0 = Some(buffer);
            }
        }
        Ok(())
    }

    /// Sends what there is.
    pub fn send(&mut self, out: &mut Outlet) -> Result<(), Closed> {
        self.0.take().map_or(Ok(()), |buffer| out.send(buffer))
    }
}
