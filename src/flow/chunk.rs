//! A piece of the stream.

use super::block::Block;
use super::link::Credit;

/// A piece of the stream in a recycled buffer. While it lives it holds credit of the link it came through: the whole
/// capacity of its buffer, however few bytes it carries.
#[derive(Debug)]
pub struct Chunk {
    /// `Some` until the chunk is taken apart.
    bytes: Option<Block>,
    start: usize,
    end: usize,
    credit: Credit,
}

impl Chunk {
    pub(super) fn new(bytes: Block, start: usize, end: usize, credit: Credit) -> Self {
        Self {
            bytes: Some(bytes),
            start,
            end,
            credit,
        }
    }

    fn buffer(&self) -> &[u8] {
        self.bytes
            .as_deref()
            .expect("a chunk has its buffer until it is taken apart")
    }

    /// The bytes it carries.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer()[self.start..self.end]
    }

    /// How many bytes it carries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it carries none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of memory, and of its link's credit, that it pins.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer().len()
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// If it carries fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "a chunk of {} bytes cannot lose {count}",
            self.len()
        );
        self.start += count;
    }

    /// Keeps the first `count` bytes.
    ///
    /// # Panics
    /// If it carries fewer.
    pub fn truncate(&mut self, count: usize) {
        assert!(count <= self.len(), "a chunk of {} bytes has no {count}", self.len());
        self.end = self.start + count;
    }

    /// Takes the chunk apart: its credit goes back, and the buffer changes hands without leaving the pool's account.
    pub(super) fn into_parts(mut self) -> (Block, usize, usize) {
        let bytes = self
            .bytes
            .take()
            .expect("a chunk has its buffer until it is taken apart");
        self.credit.release(bytes.len());
        (bytes, self.start, self.end)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            let capacity = bytes.len();
            self.credit.recycle(bytes);
            self.credit.release(capacity);
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
