//! The consumer's side of a link.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Closed, Credit, Link, Packet};
use crate::flow::sync::{Arc, lock};
use crate::flow::{Chunk, StageMeter, Wait, Waiting, block_on, block_within};

/// The consumer's side of a link. Dropping it closes the link.
#[derive(Debug)]
pub struct Inlet {
    pub(super) link: Arc<Link>,
    pub(super) meter: Arc<StageMeter>,
}

impl Inlet {
    /// The consuming side of `link`, whose waits and bytes are counted on `meter`.
    #[must_use]
    pub fn new(link: Arc<Link>, meter: Arc<StageMeter>) -> Self {
        Self { link, meter }
    }

    /// The next chunk, or `None` at the end of the stream; waits while there is neither.
    pub async fn receive(&mut self) -> Result<Option<Chunk>, Closed> {
        let mut wait: Option<Waiting<'_>> = None;
        let packet = poll_fn(|context| {
            let packet = self.link.poll_receive(context);
            if packet.is_pending() {
                // A held consumer waits for the user, not for its input.
                let kind = if self.link.is_held() { Wait::Outside } else { Wait::Idle };
                if wait.as_ref().is_none_or(|wait| wait.kind() != kind) {
                    // Waits do not nest: one ends before the next begins.
                    drop(wait.take());
                    wait = Some(self.meter.wait(kind));
                }
            }
            packet
        })
        .await?;
        Ok(packet.map(|packet| self.chunk(packet)))
    }

    /// [`Inlet::receive`] for a thread.
    pub fn receive_blocking(&mut self) -> Result<Option<Chunk>, Closed> {
        block_on(self.receive())
    }

    /// [`Inlet::receive_blocking`] for at most `limit`; pending if neither a chunk nor the end came by then.
    pub fn receive_within(&mut self, limit: Duration) -> Result<Poll<Option<Chunk>>, Closed> {
        match block_within(self.receive(), limit) {
            Some(received) => received.map(Poll::Ready),
            None => Ok(Poll::Pending),
        }
    }

    /// The next chunk or the end, for a caller that also waits for something else and counts that wait itself.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Closed>> {
        let packet = self.link.poll_receive(context);
        packet.map_ok(|packet| packet.map(|packet| self.chunk(packet)))
    }

    /// Whether a chunk is available now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = lock(&self.link.state);
        !state.queue.is_empty() && !state.is_withheld()
    }

    /// The next chunk, if one is available now.
    pub fn try_receive(&mut self) -> Option<Chunk> {
        let packet = lock(&self.link.state).pop()?;
        Some(self.chunk(packet))
    }

    fn chunk(&self, packet: Packet) -> Chunk {
        let chunk = Chunk::new(packet, Credit(self.link.clone()));
        self.meter.add_in(chunk.len() as u64);
        self.meter.add_records_in(chunk.records());
        chunk
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.link.close();
    }
}
