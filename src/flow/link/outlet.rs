//! The producer's side of a link.

use std::future::poll_fn;

use super::buffer::Buffer;
use super::{APPEND, Closed, End, Link, Packet, SMALLEST};
use crate::flow::sync::Arc;
use crate::flow::{Chunk, StageMeter, Wait, block_on};

/// The producer's side of a link. Dropped without [`Outlet::finish`], it aborts the stream.
#[derive(Debug)]
pub struct Outlet {
    pub(super) link: Arc<Link>,
    meter: Arc<StageMeter>,
}

impl Outlet {
    /// The producing side of `link`, whose waits and bytes are counted on `meter`.
    #[must_use]
    pub fn new(link: Arc<Link>, meter: Arc<StageMeter>) -> Self {
        Self { link, meter }
    }

    /// Bytes of the largest buffer that the link grants.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.link.marks.chunk
    }

    /// A buffer of `size` bytes or the largest that the link grants, whichever is less; waits while the link is full.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub async fn reserve(&mut self, size: usize) -> Result<Buffer, Closed> {
        let size = size.clamp(1, self.largest());
        self.grant(size).await?;
        Ok(self.buffer(size))
    }

    /// A buffer whose credit was granted.
    fn buffer(&self, size: usize) -> Buffer {
        Buffer {
            bytes: Some(self.link.pool.take(size)),
            filled: 0,
            link: self.link.clone(),
        }
    }

    /// [`Outlet::reserve`] for a thread.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub fn reserve_blocking(&mut self, size: usize) -> Result<Buffer, Closed> {
        block_on(self.reserve(size))
    }

    async fn grant(&self, size: usize) -> Result<(), Closed> {
        if self.link.marks.is_advisory {
            // Who never waits would never let the others on its thread have a turn; on a thread of its own this is nothing.
            tokio::task::coop::consume_budget().await;
        }
        let mut wait = None;
        poll_fn(|context| {
            let grant = self.link.poll_grant(size as u64, context);
            if grant.is_pending() && wait.is_none() {
                wait = Some(self.meter.wait(Wait::Backpressured));
            }
            grant
        })
        .await
    }

    /// Sends what was filled. A buffer that carries little is exchanged for a smaller one, so that few bytes do not pin
    /// many. Never waits; an empty buffer is only given back.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub fn send(&mut self, mut buffer: Buffer) -> Result<(), Closed> {
        let count = buffer.len();
        if count == 0 {
            return Ok(());
        }
        let filled = &buffer.bytes.as_ref().map_or(&[][..], |bytes| &bytes[..count]);
        if count <= APPEND.min(buffer.capacity() / 2) && self.link.append(filled, &self.meter) {
            return Ok(());
        }
        let smaller = count.next_power_of_two().max(SMALLEST);
        if smaller <= buffer.capacity() / 2 && self.link.try_grant(smaller as u64) {
            let mut exchanged = self.buffer(smaller);
            exchanged.fill_from(filled);
            buffer = exchanged;
        }
        self.link.push(buffer.into_packet(), &self.meter)
    }

    /// How often this side had to wait because the link was full.
    #[must_use]
    pub fn times_full(&self) -> u64 {
        self.link.levels().times_full
    }

    /// Passes a chunk on without a copy where this link takes chunks of its size, and in pieces where it does not. What
    /// is left of a chunk is copied where that pins no more than half as much.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub async fn forward(&mut self, chunk: Chunk) -> Result<(), Closed> {
        if chunk.is_empty() {
            return Ok(());
        }
        let smaller = chunk.len().next_power_of_two().max(SMALLEST);
        if chunk.capacity() > self.largest() || smaller <= chunk.capacity() / 2 {
            return self.copy(chunk.as_slice()).await;
        }
        self.grant(chunk.capacity()).await?;
        let (bytes, start, end) = chunk.into_parts();
        self.link.push(Packet { bytes, start, end }, &self.meter)
    }

    /// Copies `bytes` behind what waits in the link, or into buffers of its own, and sends them.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub async fn copy(&mut self, mut bytes: &[u8]) -> Result<(), Closed> {
        if bytes.len() <= APPEND && self.link.append(bytes, &self.meter) {
            return Ok(());
        }
        while !bytes.is_empty() {
            // Few sizes, so that buffers can be used again.
            let mut buffer = self.reserve(bytes.len().next_power_of_two().max(SMALLEST)).await?;
            let count = buffer.fill_from(bytes);
            self.send(buffer)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Ends the stream: the consumer finds its end behind the bytes that were sent.
    pub fn finish(self) {
        self.link.end(End::Finished);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // Means nothing after `finish`: what was said first counts.
        self.link.end(End::Aborted);
    }
}
