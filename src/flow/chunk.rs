//! A piece of the stream.

use memchr::{memchr, memchr_iter, memrchr};

use super::Load;
use super::link::{Credit, Packet};

/// A position in a source's input: opaque to all other code, and ordered. A chunk that carries one says that everything
/// up to it has been sent once the chunk has, and nothing behind it. In a pipeline that can be resumed it is the number
/// of bytes that the source has given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u128);

/// A piece of the stream in a recycled buffer. While it exists it holds credit of its link: the whole capacity of its
/// buffer, however few bytes it carries, and its records.
#[derive(Debug)]
pub struct Chunk {
    /// `Some` until the chunk is taken apart.
    packet: Option<Packet>,
    credit: Credit,
}

impl Chunk {
    pub(super) fn new(packet: Packet, credit: Credit) -> Self {
        Self {
            packet: Some(packet),
            credit,
        }
    }

    fn packet(&self) -> &Packet {
        self.packet.as_ref().expect("a chunk is whole until it is taken apart")
    }

    fn packet_mut(&mut self) -> &mut Packet {
        self.packet.as_mut().expect("a chunk is whole until it is taken apart")
    }

    /// The bytes it carries.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let packet = self.packet();
        &packet.memory.as_slice()[packet.start..packet.end]
    }

    /// The bytes it carries, to be changed in place; `None` where others hold them, too: another branch of the pipeline. What
    /// is sent instead is then a copy, with the chunk's records and position.
    pub fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        let packet = self.packet_mut();
        let (start, end) = (packet.start, packet.end);
        Some(&mut packet.memory.as_mut()?[start..end])
    }

    /// The number of bytes it carries; 0 if it only carries a position.
    #[must_use]
    pub fn len(&self) -> usize {
        let packet = self.packet();
        packet.end - packet.start
    }

    /// Whether it carries none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many whole records it carries; 0 where only bytes flow.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.packet().records
    }

    /// The position up to which the source's input has been sent with this chunk.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.packet().position
    }

    /// Takes its position away.
    pub fn unmark(&mut self) {
        self.packet_mut().position = None;
    }

    /// Bytes of memory, and of its link's credit, that it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.packet().memory.capacity()
    }

    /// The credit that it holds of its link.
    pub(super) fn load(&self) -> Load {
        self.packet().load()
    }

    /// How many records end in the first `count` bytes: the last one ends where the chunk does, the others at a newline
    /// each.
    pub(super) fn records_within(&self, count: usize) -> u64 {
        match self.records() {
            records if count == self.len() => records,
            0 | 1 => 0,
            records => {
                let newlines = memchr_iter(b'\n', &self.as_slice()[..count]).count() as u64;
                newlines.min(records - 1)
            }
        }
    }

    /// The length of the longest prefix of whole records that fits in `most` bytes, but at least one record. Where the
    /// chunk carries bytes without records, `most` or all of them.
    #[must_use]
    pub fn whole_records_within(&self, most: usize) -> usize {
        let bytes = self.as_slice();
        match self.records() {
            _ if bytes.len() <= most => bytes.len(),
            0 => most,
            1 => bytes.len(),
            _ => {
                let within = memrchr(b'\n', &bytes[..most]);
                let first = || memchr(b'\n', &bytes[most..]).map(|at| most + at);
                within.or_else(first).map_or(bytes.len(), |at| at + 1)
            }
        }
    }

    /// The length of the first `count` records, or of all if there are no more.
    #[must_use]
    pub fn length_of_records(&self, count: u64) -> usize {
        match usize::try_from(count) {
            Ok(0) => 0,
            Ok(count) if (count as u64) < self.records() => {
                let end = memchr_iter(b'\n', self.as_slice()).nth(count - 1);
                end.map_or(self.len(), |newline| newline + 1)
            }
            _ => self.len(),
        }
    }

    /// Drops the first `count` bytes, and the records that end in them.
    ///
    /// # Panics
    /// If it carries fewer.
    pub fn advance(&mut self, count: usize) {
        let length = self.len();
        assert!(count <= length, "a chunk of {length} bytes cannot lose {count}");
        if count > 0 {
            let lost = self.records_within(count);
            self.packet_mut().start += count;
            self.give_back(lost);
        }
    }

    /// Keeps the first `count` bytes, and the records that end in them. The chunk then loses its position.
    ///
    /// # Panics
    /// If it carries fewer.
    pub fn truncate(&mut self, count: usize) {
        let length = self.len();
        assert!(count <= length, "a chunk of {length} bytes has no {count}");
        if count < length {
            let lost = self.records() - self.records_within(count);
            let packet = self.packet_mut();
            packet.end = packet.start + count;
            packet.position = None;
            self.give_back(lost);
        }
    }

    /// Releases the credit of `records` records.
    fn give_back(&mut self, records: u64) {
        if records > 0 {
            self.packet_mut().records -= records;
            self.credit.release_records(records);
        }
    }

    /// Another packet over the same bytes, which are not written to from now on.
    pub(super) fn share(&mut self) -> Packet {
        let pool = self.credit.pool().clone();
        let packet = self.packet_mut();
        Packet {
            memory: packet.memory.share(&pool),
            ..*packet
        }
    }

    /// Takes the chunk apart: its credit is released, and the buffer changes hands without leaving the pool's count.
    pub(super) fn into_packet(mut self) -> Packet {
        let packet = self.packet.take().expect("a chunk is whole until it is taken apart");
        self.credit.release(packet.load());
        packet
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(packet) = self.packet.take() {
            let load = packet.load();
            packet.memory.give_to(self.credit.pool());
            self.credit.release(load);
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
