//! Letting the disk begin before the end.

use crate::platform::Descriptor;

/// Has the kernel start to write back what a sink wrote, piece by piece, so that there is little left to wait for when the
/// file is made durable.
pub struct Writeback {
    /// Whether the end waits for the disk.
    is_wanted: bool,
    /// Bytes that were written since the last piece.
    pending: u64,
}

impl Writeback {
    /// Bytes of a piece: large enough for a disk to work at its full rate.
    const PIECE: u64 = 16 << 20;

    /// Nothing is written yet.
    pub fn new(is_wanted: bool) -> Self {
        Self { is_wanted, pending: 0 }
    }

    /// Says that `count` more bytes were written.
    pub fn wrote(&mut self, descriptor: &Descriptor, count: u64) {
        self.pending += count;
        if self.is_wanted && self.pending >= Self::PIECE {
            self.pending = 0;
            descriptor.start_writeback();
        }
    }
}
