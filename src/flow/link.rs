//! The bounded buffer between two neighbouring stages.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::block::Block;
use super::sync::{Arc, Mutex, lock};
use super::{Chunk, Pool, StageMeter, Wait, Waiting, block_on, block_within};

/// The other side has gone: it wants no more, or it stopped before the end. Never a cause, always a consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the neighbouring stage has stopped")
    }
}

impl std::error::Error for Closed {}

/// How much a link may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Bytes that the link never exceeds; reaching for more pauses the producer. At least 1.
    pub high: u64,
    /// Bytes at which a paused producer resumes. At most `high`.
    pub low: u64,
    /// Bytes of the largest buffer that is granted: at most a quarter of `high`, but 1 at least, so that a full link
    /// is at least three quarters full.
    pub chunk: usize,
    /// Whether `high` is only advice: the producer is never paused, and nothing bounds the link. Only for showing what
    /// that leads to.
    pub is_advisory: bool,
}

impl Marks {
    /// A link of no more than 4 MiB holds at most this many chunks, however small they are: a bound for what their
    /// bookkeeping costs.
    pub const MOST_CHUNKS: usize = 1024;

    /// Marks with the largest chunk cut to what the high-water mark allows.
    ///
    /// # Panics
    /// If `high` is 0 or `low` is above it.
    #[must_use]
    pub fn new(high: u64, low: u64, chunk: usize) -> Self {
        assert!(high > 0 && low <= high, "marks need 0 <= low <= high and 0 < high");
        let quarter = usize::try_from(high / 4).unwrap_or(usize::MAX);
        Self {
            high,
            low,
            chunk: chunk.min(quarter).max(1),
            is_advisory: false,
        }
    }

    /// The same marks as mere advice.
    #[must_use]
    pub fn advisory(self) -> Self {
        Self {
            is_advisory: true,
            ..self
        }
    }

    /// How many chunks the link holds at most: one for each 4 KiB, so that a large link can be filled by short reads.
    #[must_use]
    pub fn most_chunks(&self) -> usize {
        usize::try_from(self.high / SMALLEST as u64).map_or(usize::MAX, |count| count.max(Self::MOST_CHUNKS))
    }
}

/// A send this small is copied into the link's last chunk where that has room: cheaper than a buffer of its own, and
/// short enough to be done under the lock.
const APPEND: usize = 16 << 10;

/// The smallest buffer that a short read is moved into.
const SMALLEST: usize = 4 << 10;

/// What a link holds at one moment, and what happened to it since the start. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLevels {
    /// Pinned by chunks that wait in the link or are in the consumer's hand.
    pub buffered: u64,
    /// The highest `buffered` ever.
    pub peak: u64,
    /// The high-water mark.
    pub high: u64,
    /// The low-water mark.
    pub low: u64,
    /// How often the producer was paused because the link was full; where the mark is only advice, how often it was
    /// passed.
    pub times_full: u64,
    /// How often the consumer found nothing and waited.
    pub times_empty: u64,
    /// How often the full link fell to its low-water mark and the producer resumed.
    pub drains: u64,
    /// The longest time that the producer was paused, a pause that still lasts included.
    pub longest_pause: Duration,
}

/// A bounded buffer between one producer and one consumer.
#[derive(Debug)]
pub struct Link {
    marks: Marks,
    pool: Arc<Pool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Packet>,
    /// Credit of buffers in the producer's hand.
    granted: u64,
    /// Credit of chunks in the queue and in the consumer's hand.
    level: u64,
    /// How many buffers `granted` and `level` stand for.
    buffers: usize,
    /// What the paused producer waits for, and since when.
    pause: Option<(u64, Instant)>,
    ended: Option<End>,
    /// The consumer wants no more, or the run was cancelled.
    closed: bool,
    /// The consumer is kept waiting on purpose: see [`Link::hold`].
    held: bool,
    consumer_waits: bool,
    producer: Option<Waker>,
    consumer: Option<Waker>,
    peak: u64,
    times_full: u64,
    times_empty: u64,
    drains: u64,
    longest_pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Aborted,
}

#[derive(Debug)]
struct Packet {
    bytes: Block,
    start: usize,
    end: usize,
}

impl Link {
    /// A link with these marks, whose buffers come from `pool`.
    #[must_use]
    pub fn new(marks: Marks, pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            marks,
            pool,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                granted: 0,
                level: 0,
                buffers: 0,
                pause: None,
                ended: None,
                closed: false,
                held: false,
                consumer_waits: false,
                producer: None,
                consumer: None,
                peak: 0,
                times_full: 0,
                times_empty: 0,
                drains: 0,
                longest_pause: Duration::ZERO,
            }),
        })
    }

    /// Stops both sides and frees what waits: every call on either side now answers [`Closed`].
    pub fn cancel(&self) {
        let (freed, wakers) = {
            let mut state = lock(&self.state);
            state.close();
            state.ended = Some(End::Aborted);
            (state.empty_queue(), [state.producer.take(), state.consumer.take()])
        };
        self.recycle_all(freed);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Keeps the consumer waiting from now on: it gets neither what waits nor the end, and the link fills to its
    /// high-water mark. Its time counts as waiting on the outside. A cancel ends the wait all the same.
    pub fn hold(&self) {
        self.set_held(true);
    }

    /// Lets the consumer go on.
    pub fn let_go(&self) {
        self.set_held(false);
    }

    fn set_held(&self, held: bool) {
        let waker = {
            let mut state = lock(&self.state);
            state.held = held;
            // A consumer that waits looks again in both cases: what it waits for has changed.
            state.wake_consumer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the consumer is kept waiting on purpose.
    #[must_use]
    pub fn is_held(&self) -> bool {
        lock(&self.state).held
    }

    /// What it holds now, and what happened to it so far.
    #[must_use]
    pub fn levels(&self) -> LinkLevels {
        let state = lock(&self.state);
        let open_pause = state.pause.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        LinkLevels {
            buffered: state.level,
            peak: state.peak,
            high: self.marks.high,
            low: self.marks.low,
            times_full: state.times_full,
            times_empty: state.times_empty,
            drains: state.drains,
            longest_pause: state.longest_pause.max(open_pause),
        }
    }

    /// Grants credit for a buffer of `size` bytes, or pauses the producer until the link has drained.
    fn poll_grant(&self, size: u64, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        if state.pause.is_none() {
            if state.fits(size, &self.marks) {
                if self.marks.is_advisory && !self.pool.has_room_for(size) {
                    // Nobody will drain it: this waits for the end of the run.
                    set_waker(&mut state.producer, context.waker());
                    return Poll::Pending;
                }
                state.grant(size, &self.marks);
                return Poll::Ready(Ok(()));
            }
            state.times_full += 1;
            state.pause = Some((size, Instant::now()));
        }
        set_waker(&mut state.producer, context.waker());
        Poll::Pending
    }

    /// Grants credit for `size` more bytes if that needs no waiting.
    fn try_grant(&self, size: u64) -> bool {
        let mut state = lock(&self.state);
        let grants = !state.closed && state.pause.is_none() && state.fits(size, &self.marks);
        if grants {
            state.grant(size, &self.marks);
        }
        grants
    }

    /// Queues a buffer whose credit was granted.
    fn push(&self, packet: Packet) -> Result<(), Closed> {
        let capacity = packet.bytes.len() as u64;
        let waker = {
            let mut state = lock(&self.state);
            state.granted -= capacity;
            if state.closed {
                state.buffers -= 1;
                drop(state);
                self.pool.give(packet.bytes);
                return Err(Closed);
            }
            state.level += capacity;
            state.peak = state.peak.max(state.level);
            state.queue.push_back(packet);
            state.wake_consumer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Copies `bytes` behind those of the last chunk that waits, if it has the room.
    fn append(&self, bytes: &[u8]) -> bool {
        let mut state = lock(&self.state);
        let Some(last) = state.queue.back_mut() else {
            return false;
        };
        let end = last.end + bytes.len();
        let Some(room) = last.bytes.get_mut(last.end..end) else {
            return false;
        };
        room.copy_from_slice(bytes);
        last.end = end;
        true
    }

    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Result<Option<Packet>, Closed>> {
        let mut state = lock(&self.state);
        if state.is_withheld() {
            set_waker(&mut state.consumer, context.waker());
            return Poll::Pending;
        }
        if let Some(packet) = state.pop() {
            return Poll::Ready(Ok(Some(packet)));
        }
        match state.ended {
            Some(End::Finished) => Poll::Ready(Ok(None)),
            Some(End::Aborted) => Poll::Ready(Err(Closed)),
            None => {
                if !state.consumer_waits {
                    state.consumer_waits = true;
                    state.times_empty += 1;
                }
                set_waker(&mut state.consumer, context.waker());
                Poll::Pending
            }
        }
    }

    fn end(&self, end: End) {
        let (_gone, waker) = {
            let mut state = lock(&self.state);
            state.ended.get_or_insert(end);
            // The producer may have given up a wait: its pause must not outlast it.
            state.end_pause();
            (state.producer.take(), state.wake_consumer())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self) {
        let (freed, waker) = {
            let mut state = lock(&self.state);
            state.close();
            (state.empty_queue(), state.producer.take())
        };
        self.recycle_all(freed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes back the credit of a buffer that was granted and not sent.
    fn ungrant(&self, size: usize) {
        let waker = {
            let mut state = lock(&self.state);
            state.granted -= size as u64;
            state.buffers -= 1;
            state.resume(&self.marks)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes back the credit of a chunk that the consumer is done with.
    fn release(&self, size: usize) {
        let waker = {
            let mut state = lock(&self.state);
            state.level -= size as u64;
            state.buffers -= 1;
            state.resume(&self.marks)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn recycle_all(&self, packets: VecDeque<Packet>) {
        for packet in packets {
            self.pool.give(packet.bytes);
        }
    }
}

impl State {
    /// The one rule that bounds a link; advice is not heeded.
    fn fits(&self, size: u64, marks: &Marks) -> bool {
        let is_within = self.granted + self.level + size <= marks.high && self.buffers < marks.most_chunks();
        is_within || marks.is_advisory
    }

    fn grant(&mut self, size: u64, marks: &Marks) {
        let before = self.granted + self.level;
        // What fits passes no mark that is more than advice.
        if before <= marks.high && before + size > marks.high {
            self.times_full += 1;
        }
        self.granted += size;
        self.buffers += 1;
    }

    /// Ends the pause if the link has drained; answers whom to wake.
    fn resume(&mut self, marks: &Marks) -> Option<Waker> {
        let (wanted, _) = self.pause?;
        // A link that is full of tiny chunks has drained when half of their number is gone.
        let crowded = self.queue.len() > marks.most_chunks() / 2;
        if self.level > marks.low || crowded || !self.fits(wanted, marks) {
            return None;
        }
        self.end_pause();
        self.drains += 1;
        self.producer.take()
    }

    /// Nothing more is wanted: a pause ends here, without a drain.
    fn close(&mut self) {
        self.closed = true;
        self.end_pause();
    }

    fn end_pause(&mut self) {
        if let Some((_, since)) = self.pause.take() {
            self.longest_pause = self.longest_pause.max(since.elapsed());
        }
    }

    /// Whether the consumer gets nothing now, whatever is there. A link that was closed holds nobody.
    fn is_withheld(&self) -> bool {
        self.held && !self.closed
    }

    /// The next packet; having got it, the consumer no longer waits.
    fn pop(&mut self) -> Option<Packet> {
        if self.is_withheld() {
            return None;
        }
        let packet = self.queue.pop_front()?;
        self.consumer_waits = false;
        Some(packet)
    }

    fn wake_consumer(&mut self) -> Option<Waker> {
        self.consumer.take()
    }

    fn empty_queue(&mut self) -> VecDeque<Packet> {
        self.buffers -= self.queue.len();
        for packet in &self.queue {
            self.level -= packet.bytes.len() as u64;
        }
        std::mem::take(&mut self.queue)
    }
}

/// Keeps the waker of the latest poll, without a clone where it is the same.
fn set_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

/// A chunk's share of its link: given back when the chunk is dropped.
#[derive(Debug)]
pub(super) struct Credit(Arc<Link>);

impl Credit {
    pub(super) fn release(&self, capacity: usize) {
        self.0.release(capacity);
    }

    pub(super) fn recycle(&self, buffer: Block) {
        self.0.pool.give(buffer);
    }
}

/// An empty buffer in the producer's hand, with credit of its link; filled, it is sent with [`Outlet::send`].
#[derive(Debug)]
pub struct Buffer {
    /// `Some` until it is sent.
    bytes: Option<Block>,
    filled: usize,
    link: Arc<Link>,
}

impl Buffer {
    /// How many bytes were put into it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was put into it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How many bytes it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// Whether nothing more can be put into it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.capacity()
    }

    /// The part that is not filled yet. It is initialised, with old bytes.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        self.bytes.as_mut().map_or(&mut [], |bytes| &mut bytes[filled..])
    }

    /// Says that `count` bytes of the spare part were filled.
    ///
    /// # Panics
    /// If the spare part is smaller.
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.capacity() - self.filled,
            "a buffer was filled beyond its end"
        );
        self.filled += count;
    }

    /// Copies as many of `bytes` as fit, and answers how many that were.
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = spare.len().min(bytes.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        count
    }

    /// Takes the memory out; its credit stays granted.
    fn into_packet(mut self) -> Packet {
        Packet {
            bytes: self.bytes.take().unwrap_or_default(),
            start: 0,
            end: self.filled,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            let capacity = bytes.len();
            self.link.pool.give(bytes);
            self.link.ungrant(capacity);
        }
    }
}

/// The producer's side of a link. Dropped without [`Outlet::finish`], it aborts the stream.
#[derive(Debug)]
pub struct Outlet {
    link: Arc<Link>,
    meter: Arc<StageMeter>,
    finished: bool,
}

impl Outlet {
    /// The producing side of `link`, whose waits and bytes are counted on `meter`.
    #[must_use]
    pub fn new(link: Arc<Link>, meter: Arc<StageMeter>) -> Self {
        Self {
            link,
            meter,
            finished: false,
        }
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
        if count <= APPEND.min(buffer.capacity() / 2) && self.link.append(filled) {
            self.meter.add_out(count as u64);
            return Ok(());
        }
        let smaller = count.next_power_of_two().max(SMALLEST);
        if smaller <= buffer.capacity() / 2 && self.link.try_grant(smaller as u64) {
            let mut exchanged = self.buffer(smaller);
            exchanged.fill_from(filled);
            buffer = exchanged;
        }
        self.push(buffer.into_packet())
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
        self.push(Packet { bytes, start, end })
    }

    /// Copies `bytes` behind what waits in the link, or into buffers of its own, and sends them.
    ///
    /// # Errors
    /// [`Closed`] when the consumer wants no more.
    pub async fn copy(&mut self, mut bytes: &[u8]) -> Result<(), Closed> {
        if bytes.len() <= APPEND && self.link.append(bytes) {
            self.meter.add_out(bytes.len() as u64);
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

    fn push(&self, packet: Packet) -> Result<(), Closed> {
        let count = packet.end - packet.start;
        self.link.push(packet)?;
        self.meter.add_out(count as u64);
        Ok(())
    }

    /// Ends the stream: the consumer finds its end behind the bytes that were sent.
    pub fn finish(mut self) {
        self.finished = true;
        self.link.end(End::Finished);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if !self.finished {
            self.link.end(End::Aborted);
        }
    }
}

/// The consumer's side of a link. Dropped, it tells the producer that no more is wanted.
#[derive(Debug)]
pub struct Inlet {
    link: Arc<Link>,
    meter: Arc<StageMeter>,
}

impl Inlet {
    /// The consuming side of `link`, whose waits and bytes are counted on `meter`.
    #[must_use]
    pub fn new(link: Arc<Link>, meter: Arc<StageMeter>) -> Self {
        Self { link, meter }
    }

    /// The next chunk, or `None` at the end of the stream; waits while there is neither.
    ///
    /// # Errors
    /// [`Closed`] when the producer stopped before the end.
    pub async fn receive(&mut self) -> Result<Option<Chunk>, Closed> {
        let mut wait: Option<Waiting<'_>> = None;
        let packet = poll_fn(|context| {
            let packet = self.link.poll_receive(context);
            if packet.is_pending() {
                // Whoever is held waits for a person's word, not for its input.
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
    ///
    /// # Errors
    /// [`Closed`] when the producer stopped before the end.
    pub fn receive_blocking(&mut self) -> Result<Option<Chunk>, Closed> {
        block_on(self.receive())
    }

    /// [`Inlet::receive_blocking`] for at most `limit`; pending if there was neither a chunk nor the end by then.
    ///
    /// # Errors
    /// [`Closed`] when the producer stopped before the end.
    pub fn receive_within(&mut self, limit: Duration) -> Result<Poll<Option<Chunk>>, Closed> {
        match block_within(self.receive(), limit) {
            Some(received) => received.map(Poll::Ready),
            None => Ok(Poll::Pending),
        }
    }

    /// The next chunk or the end, for who waits for something else as well, and counts that wait itself.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Closed>> {
        let packet = self.link.poll_receive(context);
        packet.map_ok(|packet| packet.map(|packet| self.chunk(packet)))
    }

    /// Whether a chunk is there now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = lock(&self.link.state);
        !state.queue.is_empty() && !state.is_withheld()
    }

    /// The next chunk if one is there now.
    pub fn try_receive(&mut self) -> Option<Chunk> {
        let packet = lock(&self.link.state).pop()?;
        Some(self.chunk(packet))
    }

    fn chunk(&self, packet: Packet) -> Chunk {
        let chunk = Chunk::new(packet.bytes, packet.start, packet.end, Credit(self.link.clone()));
        self.meter.add_in(chunk.len() as u64);
        chunk
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.link.close();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
#[path = "link_tests.rs"]
mod tests;

#[cfg(all(test, feature = "shuttle"))]
#[path = "link_interleavings.rs"]
mod interleavings;
