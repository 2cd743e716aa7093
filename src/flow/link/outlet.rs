//! The producer's side of a link.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::buffer::Buffer;
use super::piece::Piece;
use super::{APPEND, Closed, End, Link, SMALLEST};
use crate::flow::sync::Arc;
use crate::flow::{Chunk, Load, Position, StageMeter, Wait, block_on};

/// The producer's side of a link. Dropped without [`Outlet::finish`], it aborts the stream.
#[derive(Debug)]
pub struct Outlet {
    pub(super) link: Arc<Link>,
    pub(super) meter: Arc<StageMeter>,
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
    pub async fn reserve(&mut self, size: usize) -> Result<Buffer, Closed> {
        self.reserve_records(size, 0).await
    }

    /// [`Outlet::reserve`] with credit for `records` as well, or for the most that a chunk of this link has, whichever
    /// is less.
    pub async fn reserve_records(&mut self, size: usize, records: u64) -> Result<Buffer, Closed> {
        self.reserve_exactly(Load {
            bytes: size.clamp(1, self.largest()) as u64,
            records: records.min(self.link.marks.most_records()),
        })
        .await
    }

    /// A buffer for one record of `size` bytes, however much of the link it takes.
    ///
    /// # Panics
    /// If it is larger than the link's high-water mark: the plan makes room for the largest record.
    pub async fn reserve_whole(&mut self, size: usize) -> Result<Buffer, Closed> {
        self.reserve_exactly(Load {
            bytes: size.max(1) as u64,
            records: 1,
        })
        .await
    }

    async fn reserve_exactly(&mut self, load: Load) -> Result<Buffer, Closed> {
        self.grant(load).await?;
        Ok(self.buffer(load))
    }

    /// A buffer whose credit was granted.
    fn buffer(&self, load: Load) -> Buffer {
        Buffer {
            bytes: Some(self.link.pool.take(usize::try_from(load.bytes).unwrap_or(usize::MAX))),
            filled: 0,
            records: 0,
            granted_records: load.records,
            position: None,
            link: self.link.clone(),
        }
    }

    /// [`Outlet::reserve`] for a thread.
    pub fn reserve_blocking(&mut self, size: usize) -> Result<Buffer, Closed> {
        block_on(self.reserve(size))
    }

    /// [`Outlet::reserve`] for a producer that waits for something else as well, and counts that wait itself.
    pub fn poll_reserve(&mut self, size: usize, context: &mut Context<'_>) -> Poll<Result<Buffer, Closed>> {
        let load = Load::bytes(size.clamp(1, self.largest()) as u64);
        self.link.poll_grant(load, context).map_ok(|()| self.buffer(load))
    }

    async fn grant(&self, load: Load) -> Result<(), Closed> {
        let marks = &self.link.marks;
        if marks.is_advisory {
            // A producer that never waits would never let the other tasks of its thread run.
            tokio::task::coop::consume_budget().await;
        } else {
            assert!(
                load.is_within(marks.high_load()),
                "room for {load:?} never comes in a link of {marks:?}"
            );
        }
        let mut wait = None;
        poll_fn(|context| {
            let grant = self.link.poll_grant(load, context);
            if grant.is_pending() && wait.is_none() {
                wait = Some(self.meter.wait(Wait::Backpressured));
            }
            grant
        })
        .await
    }

    /// Sends what was filled. A buffer that carries little is exchanged for a smaller one, so that few bytes do not
    /// hold much credit. Never waits; a buffer without bytes and records is only given back, and its position, if it
    /// has one, is passed on.
    pub fn send(&mut self, mut buffer: Buffer) -> Result<(), Closed> {
        let count = buffer.len();
        if count == 0 && buffer.records == 0 {
            return buffer.position.map_or(Ok(()), |position| self.mark(position));
        }
        let carried = Piece {
            bytes: buffer.bytes.as_ref().map_or(&[][..], |bytes| &bytes[..count]),
            records: buffer.records,
            position: buffer.position,
        };
        if count <= APPEND.min(buffer.capacity() / 2) && self.link.append(&carried, true, &self.meter) {
            buffer.granted_records -= buffer.records;
            return Ok(());
        }
        let smaller = count.next_power_of_two().max(SMALLEST);
        if smaller <= buffer.capacity() / 2 && self.link.try_grant(Load::bytes(smaller as u64)) {
            let mut exchanged = self.buffer(Load::bytes(smaller as u64));
            exchanged.fill_from(carried.bytes);
            exchanged.records = buffer.records;
            exchanged.position = buffer.position;
            exchanged.granted_records = std::mem::take(&mut buffer.granted_records);
            buffer = exchanged;
        }
        let granted = buffer.granted();
        self.link.push(buffer.into_packet(), granted, &self.meter)
    }

    /// Records that everything up to `position` has been sent. Never waits: if the consumer holds the largest allowed
    /// number of chunks, it gets the position once it has dropped one.
    pub fn mark(&mut self, position: Position) -> Result<(), Closed> {
        self.link.mark(position)
    }

    /// How often this side had to wait because the link was full.
    #[must_use]
    pub fn times_full(&self) -> u64 {
        self.link.levels().times_full
    }

    /// Whether the consumer has closed its side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Passes a chunk on without a copy if this link accepts chunks of its size, and in pieces if not. The rest of a
    /// chunk is copied if its bytes are no more than half of the credit that it holds. A piece of a chunk of records
    /// has whole records, unless one is larger than the link.
    pub async fn forward(&mut self, chunk: Chunk) -> Result<(), Closed> {
        let records = chunk.records();
        self.forward_records(chunk, records).await
    }

    /// [`Outlet::forward`] for a chunk in which `records` whole records were found, whatever it carried before.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    pub async fn forward_records(&mut self, chunk: Chunk, records: u64) -> Result<(), Closed> {
        if !self.takes_whole(&chunk, records) {
            return self.copy_chunk(&chunk, records).await;
        }
        let load = Load {
            bytes: chunk.capacity() as u64,
            records,
        };
        self.grant(load).await?;
        let mut packet = chunk.into_packet();
        packet.records = records;
        self.link.push(packet, load, &self.meter)
    }

    /// Sends the contents of a chunk and leaves the chunk as it is, so that it can be sent to other links as well. If
    /// this link accepts chunks of its size both share the memory, which is not written to any more.
    pub async fn share(&mut self, chunk: &mut Chunk) -> Result<(), Closed> {
        if !self.takes_whole(chunk, chunk.records()) {
            return self.copy_chunk(chunk, chunk.records()).await;
        }
        let load = chunk.load();
        self.grant(load).await?;
        self.link.push(chunk.share(), load, &self.meter)
    }

    /// As [`Outlet::share`], but never waits: records for which the link has no room are dropped. Returns their number.
    pub fn share_or_drop(&mut self, chunk: &mut Chunk) -> Result<u64, Closed> {
        if self.is_closed() {
            return Err(Closed);
        }
        let load = chunk.load();
        if self.takes_whole(chunk, load.records) && self.link.offer(load) {
            return self.link.push(chunk.share(), load, &self.meter).map(|()| 0);
        }
        let mut dropped = 0;
        let mut rest = Piece {
            bytes: chunk.as_slice(),
            records: chunk.records(),
            position: chunk.position(),
        };
        while !rest.is_mark() {
            let piece = rest.split_off(&self.link.marks);
            if piece.bytes.len() <= APPEND && self.link.append(&piece, false, &self.meter) {
                continue;
            }
            let load = self.load_of(&piece);
            if self.link.offer(load) {
                let filled = self.filled(load, &piece);
                self.send(filled)?;
            } else {
                dropped += piece.records;
                rest.position = piece.position.or(rest.position);
            }
        }
        rest.position.map_or(Ok(()), |position| self.mark(position))?;
        Ok(dropped)
    }

    /// Sends a copy of the first `count` bytes of a chunk, with the records that end in them, and leaves the rest in
    /// the chunk.
    ///
    /// # Panics
    /// If it carries fewer.
    pub async fn forward_front(&mut self, chunk: &mut Chunk, count: usize) -> Result<(), Closed> {
        self.copy_piece(Piece {
            bytes: &chunk.as_slice()[..count],
            records: chunk.records_within(count),
            position: chunk.position().filter(|_| count == chunk.len()),
        })
        .await?;
        chunk.advance(count);
        Ok(())
    }

    /// Waits until the consumer closes its side.
    pub async fn closed(&self) {
        poll_fn(|context| self.link.poll_closed(context)).await;
    }

    /// Whether a chunk with so many records passes through this link as it is.
    fn takes_whole(&self, chunk: &Chunk, records: u64) -> bool {
        let marks = &self.link.marks;
        let smaller = chunk.len().next_power_of_two().max(SMALLEST);
        let is_whole_record = records == 1 && chunk.capacity() as u64 <= marks.high;
        !chunk.is_empty()
            && (chunk.capacity() <= marks.chunk || is_whole_record)
            && records <= marks.most_records()
            && smaller > chunk.capacity() / 2
    }

    async fn copy_chunk(&mut self, chunk: &Chunk, records: u64) -> Result<(), Closed> {
        self.copy_piece(Piece {
            bytes: chunk.as_slice(),
            records,
            position: chunk.position(),
        })
        .await
    }

    /// Copies `bytes` into the last queued chunk or into new buffers, and sends them.
    pub async fn copy(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        self.copy_piece(Piece {
            bytes,
            records: 0,
            position: None,
        })
        .await
    }

    async fn copy_piece(&mut self, mut rest: Piece<'_>) -> Result<(), Closed> {
        if !rest.is_mark() && rest.bytes.len() <= APPEND && self.link.append(&rest, false, &self.meter) {
            return Ok(());
        }
        while !rest.is_mark() {
            let piece = rest.split_off(&self.link.marks);
            let load = self.load_of(&piece);
            self.grant(load).await?;
            let filled = self.filled(load, &piece);
            self.send(filled)?;
        }
        rest.position.map_or(Ok(()), |position| self.mark(position))
    }

    /// The credit of a buffer for a copy of `piece`.
    fn load_of(&self, piece: &Piece<'_>) -> Load {
        let length = piece.bytes.len();
        let size = if length > self.largest() {
            length
        } else {
            // Few different sizes, so that buffers can be reused.
            length.next_power_of_two().max(SMALLEST).min(self.largest())
        };
        Load {
            bytes: size as u64,
            records: piece.records,
        }
    }

    /// A buffer with a copy of `piece`, whose credit was granted.
    fn filled(&self, load: Load, piece: &Piece<'_>) -> Buffer {
        let mut buffer = self.buffer(load);
        buffer.fill_from(piece.bytes);
        buffer.count_records(piece.records);
        buffer.position = piece.position;
        buffer
    }

    /// Ends the stream: the consumer finds its end behind the bytes that were sent.
    pub fn finish(self) {
        self.link.end(End::Finished);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // No effect after `finish`: the first call counts.
        self.link.end(End::Aborted);
    }
}
