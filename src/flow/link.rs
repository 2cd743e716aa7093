//! The bounded buffer between two neighbouring stages.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::memory::Memory;
use super::seconds;
use super::sync::{Arc, Mutex, lock};
use super::{Load, Pool, Position, StageMeter};

mod buffer;
mod inlet;
mod joint;
mod marks;
mod outlet;
mod piece;

pub use buffer::Buffer;
pub(super) use buffer::Credit;
pub use inlet::Inlet;
use joint::Joint;
pub use marks::{Marks, RecordMarks};
pub use outlet::Outlet;
use piece::Piece;

/// The other side has gone: it closed its side, or stopped before the end. This is a consequence of an error elsewhere,
/// never the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the neighbouring stage has stopped")
    }
}

impl std::error::Error for Closed {}

/// A send this small is copied into the link's last chunk if that has room: cheaper than a buffer of its own, and short
/// enough to be done under the lock.
const APPEND: usize = 16 << 10;

/// The smallest buffer that a short read is moved into.
const SMALLEST: usize = 4 << 10;

/// What a link holds at one moment, and its counters since the start. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkLevels {
    /// Held by chunks that wait in the link or are held by the consumer; of a joined link, by the kernel in its two pipes.
    #[serde(rename = "buffered_bytes")]
    pub buffered: u64,
    /// The highest `buffered` ever.
    #[serde(rename = "peak_bytes")]
    pub peak: u64,
    /// The high-water mark; of a joined link, what its pipes can hold.
    #[serde(rename = "high_bytes")]
    pub high: u64,
    /// The low-water mark.
    #[serde(rename = "low_bytes")]
    pub low: u64,
    /// How often the producer was paused because the link was full; for advisory marks, how often the mark was passed.
    pub times_full: u64,
    /// How often the consumer found nothing and waited.
    pub times_empty: u64,
    /// How often the full link fell to its low-water mark and the producer resumed.
    pub drains: u64,
    /// The longest time that the producer was paused, including a pause that still lasts.
    #[serde(rename = "longest_pause_s", with = "seconds")]
    pub longest_pause: Duration,
    /// The same in records, where the link has a bound on them.
    #[serde(flatten)]
    pub records: Option<RecordLevels>,
}

/// How many records a link holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLevels {
    /// Those that wait in the link or are in the consumer's hand.
    #[serde(rename = "buffered_records")]
    pub buffered: u64,
    /// The highest `buffered` ever.
    #[serde(rename = "peak_records")]
    pub peak: u64,
    /// The high-water mark; of a joined link, what its pipes can hold.
    #[serde(rename = "high_records")]
    pub high: u64,
    /// The low-water mark.
    #[serde(rename = "low_records", default)]
    pub low: u64,
}

impl LinkLevels {
    /// What it holds now; without records where nothing bounds them.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            bytes: self.buffered,
            records: self.records.map_or(0, |records| records.buffered),
        }
    }

    /// How full it is: the part of its high-water mark that it holds, in bytes or in records, whichever is larger.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
    pub fn fullness(&self) -> f64 {
        let part = |held: u64, high: u64| if high == 0 { 0.0 } else { held as f64 / high as f64 };
        let records = self.records.map_or(0.0, |records| part(records.buffered, records.high));
        part(self.buffered, self.high).max(records)
    }

    /// The bound on records, if it is nearer than the one on bytes: with what is held now, or with the peaks.
    #[must_use]
    pub fn nearer_in_records(&self, at_peak: bool) -> Option<RecordLevels> {
        let held = |records: &RecordLevels| {
            if at_peak {
                (self.peak, records.peak)
            } else {
                (self.buffered, records.buffered)
            }
        };
        self.records.filter(|records| {
            let (bytes, count) = held(records);
            u128::from(count) * u128::from(self.high) > u128::from(bytes) * u128::from(records.high)
        })
    }
}

/// A bounded buffer between one producer and one consumer.
#[derive(Debug)]
pub struct Link {
    marks: Marks,
    pool: Arc<Pool>,
    state: Mutex<State>,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is one thing that is so or not")]
struct State {
    queue: VecDeque<Packet>,
    /// Credit of buffers that the producer holds.
    granted: Load,
    /// Credit of chunks in the queue and of those that the consumer holds.
    level: Load,
    /// The number of buffers in `granted` and `level`.
    buffers: usize,
    /// What the paused producer waits for, and since when.
    pause: Option<(Load, Instant)>,
    /// A position behind all queued chunks that no chunk carries yet, because the consumer holds the largest allowed
    /// number of chunks.
    position: Option<Position>,
    /// Whether the consumer takes the producer's pipe instead of chunks.
    joint: Joint,
    /// Bytes that both pipes of a joined link can hold.
    capacity: Option<u64>,
    ended: Option<End>,
    /// The consumer has closed its side, or the run was cancelled.
    closed: bool,
    /// The consumer is held on purpose: see [`Link::hold`].
    held: bool,
    consumer_waits: bool,
    producer: Option<Waker>,
    consumer: Option<Waker>,
    peak: Load,
    /// The last offer was refused: see [`Link::offer`].
    refuses: bool,
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

/// The contents of a chunk.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) memory: Memory,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whole records among the bytes.
    pub(super) records: u64,
    /// The position up to which the source's input has been sent with them.
    pub(super) position: Option<Position>,
}

impl Packet {
    /// The credit that it holds of its link.
    pub(super) fn load(&self) -> Load {
        Load {
            bytes: self.memory.capacity() as u64,
            records: self.records,
        }
    }
}

impl Link {
    /// A link with these marks, whose buffers come from `pool`.
    #[must_use]
    pub fn new(marks: Marks, pool: Arc<Pool>) -> Arc<Self> {
        Self::of(marks, pool, Joint::None)
    }

    fn of(marks: Marks, pool: Arc<Pool>, joint: Joint) -> Arc<Self> {
        Arc::new(Self {
            marks,
            pool,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                granted: Load::default(),
                level: Load::default(),
                buffers: 0,
                pause: None,
                position: None,
                joint,
                capacity: None,
                ended: None,
                closed: false,
                held: false,
                consumer_waits: false,
                producer: None,
                consumer: None,
                peak: Load::default(),
                refuses: false,
                times_full: 0,
                times_empty: 0,
                drains: 0,
                longest_pause: Duration::ZERO,
            }),
        })
    }

    /// Stops both sides and frees what waits: every call on either side now returns [`Closed`].
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

    /// Holds the consumer: it receives neither chunks nor the end, and the link fills to its high-water mark. Its time
    /// counts as waiting on the outside. A cancel still ends the wait.
    pub fn hold(&self) {
        self.set_held(true);
    }

    /// Releases the consumer.
    pub fn let_go(&self) {
        self.set_held(false);
    }

    fn set_held(&self, held: bool) {
        let waker = {
            let mut state = lock(&self.state);
            state.held = held;
            // A waiting consumer looks again in both cases: the kind of its wait has changed.
            state.wake_consumer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the consumer is held on purpose.
    #[must_use]
    pub fn is_held(&self) -> bool {
        lock(&self.state).held
    }

    /// What it holds now, and its counters so far.
    #[must_use]
    pub fn levels(&self) -> LinkLevels {
        let mut state = lock(&self.state);
        let joined = state.measure_joint();
        let open_pause = state.pause.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        LinkLevels {
            buffered: state.level.bytes + joined,
            peak: state.peak.bytes,
            high: state.capacity.unwrap_or(self.marks.high),
            low: state.capacity.map_or(self.marks.low, joint::low),
            times_full: state.times_full,
            times_empty: state.times_empty,
            drains: state.drains,
            longest_pause: state.longest_pause.max(open_pause),
            records: self.marks.records.map(|marks| RecordLevels {
                buffered: state.level.records,
                peak: state.peak.records,
                high: marks.high,
                low: marks.low,
            }),
        }
    }

    /// Grants credit for a buffer and its records, or pauses the producer until the link has drained.
    fn poll_grant(&self, load: Load, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        if let Some((wanted, _)) = &mut state.pause
            && *wanted != load
        {
            // A wait that was dropped may have asked for another amount.
            *wanted = load;
            state.resume(&self.marks);
        }
        if state.pause.is_none() {
            if state.fits(load, &self.marks) {
                if self.marks.is_advisory && !self.pool.has_room_for(load.bytes) {
                    // It will not drain: this waits for the end of the run.
                    set_waker(&mut state.producer, context.waker());
                    return Poll::Pending;
                }
                state.grant(load, &self.marks);
                return Poll::Ready(Ok(()));
            }
            state.times_full += 1;
            state.pause = Some((load, Instant::now()));
        }
        set_waker(&mut state.producer, context.waker());
        Poll::Pending
    }

    /// Grants credit if that is possible without waiting.
    fn try_grant(&self, load: Load) -> bool {
        let mut state = lock(&self.state);
        let grants = !state.closed && state.pause.is_none() && state.fits(load, &self.marks);
        if grants {
            state.grant(load, &self.marks);
        }
        grants
    }

    /// Grants credit if that is possible without waiting; otherwise what asked for it is dropped, and the link counts as
    /// full once until it has room again.
    fn offer(&self, load: Load) -> bool {
        let grants = self.try_grant(load);
        let mut state = lock(&self.state);
        if !grants && !state.closed && !state.refuses {
            state.times_full += 1;
        }
        state.refuses = !grants;
        grants
    }

    /// Queues a packet for which `granted` was granted. Its bytes are counted on the producer's meter before they can
    /// be received, so that the consumer's count never exceeds the producer's.
    fn push(&self, mut packet: Packet, granted: Load, producer: &StageMeter) -> Result<(), Closed> {
        let waker = {
            let mut state = lock(&self.state);
            state.granted -= granted;
            if state.closed {
                state.buffers -= 1;
                drop(state);
                packet.memory.give_to(&self.pool);
                return Err(Closed);
            }
            state.level += packet.load();
            state.peak = Load {
                bytes: state.peak.bytes.max(state.level.bytes),
                records: state.peak.records.max(state.level.records),
            };
            producer.add_out((packet.end - packet.start) as u64);
            producer.add_records_out(packet.records);
            // The packet is queued behind the pending position, so it can carry it.
            packet.position = packet.position.or(state.position.take());
            state.position = None;
            state.queue.push_back(packet);
            // Room for records that was granted and not used is free again.
            let producer = state.resume(&self.marks);
            [state.wake_consumer(), producer]
        };
        waker.into_iter().flatten().for_each(Waker::wake);
        Ok(())
    }

    /// Copies `bytes` into the last queued chunk, if it has the room and is not shared, and counts them as
    /// [`Link::push`] does. `is_granted` says that the records are those of a buffer, which has credit for them. Nothing
    /// is put behind a position: it stands for exactly the bytes before it.
    fn append(&self, added: &Piece<'_>, is_granted: bool, producer: &StageMeter) -> bool {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let records = Load {
            bytes: 0,
            records: added.records,
        };
        let has_credit =
            added.records == 0 || is_granted || state.pause.is_none() && state.has_room(records, &self.marks);
        let Some(last) = state.queue.back_mut() else {
            return false;
        };
        let is_behind_position = last.position.is_some() && added.position.is_none();
        if !has_credit || is_behind_position || last.records + added.records > self.marks.most_records() {
            return false;
        }
        let end = last.end + added.bytes.len();
        let Some(room) = last.memory.as_mut().and_then(|block| block.get_mut(last.end..end)) else {
            return false;
        };
        room.copy_from_slice(added.bytes);
        last.end = end;
        last.records += added.records;
        last.position = added.position.or(last.position);
        if is_granted {
            state.granted -= records;
        }
        state.level += records;
        state.peak.records = state.peak.records.max(state.level.records);
        producer.add_out(added.bytes.len() as u64);
        producer.add_records_out(added.records);
        true
    }

    /// Gives the last queued chunk a position, or queues an empty one that carries it. If the consumer holds the
    /// largest allowed number of chunks, the position waits until it has dropped one.
    fn mark(&self, position: Position) -> Result<(), Closed> {
        let waker = {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(Closed);
            }
            if let Some(last) = state.queue.back_mut() {
                last.position = Some(position);
                return Ok(());
            }
            state.position = Some(position);
            state.deliver_position(&self.marks)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the consumer has closed its side.
    fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Waits until the consumer closes its side, instead of waiting for room.
    fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.closed {
            return Poll::Ready(());
        }
        set_waker(&mut state.producer, context.waker());
        Poll::Pending
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
        if joint::withholds_end(&state) {
            set_waker(&mut state.consumer, context.waker());
            return Poll::Pending;
        }
        match state.ended.filter(|_| state.position.is_none()) {
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

    /// Sets how the stream ends. The first call counts.
    fn end(&self, end: End) {
        let (_gone, waker) = {
            let mut state = lock(&self.state);
            state.ended.get_or_insert(end);
            // The producer may have dropped a wait: its pause must end with the stream.
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

    /// Returns the credit of a buffer that was granted and not sent.
    fn ungrant(&self, load: Load) {
        let wakers = {
            let mut state = lock(&self.state);
            state.granted -= load;
            state.drop_buffer(&self.marks)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Returns the credit of a chunk that the consumer has dropped.
    fn release(&self, load: Load) {
        let wakers = {
            let mut state = lock(&self.state);
            state.level -= load;
            state.drop_buffer(&self.marks)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Returns the credit of records that a chunk no longer carries.
    fn release_records(&self, records: u64) {
        let waker = {
            let mut state = lock(&self.state);
            state.level.records -= records;
            state.resume(&self.marks)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn recycle_all(&self, packets: VecDeque<Packet>) {
        for packet in packets {
            packet.memory.give_to(&self.pool);
        }
    }
}

impl State {
    /// The one rule that bounds a link, in bytes, records and chunks. Advisory marks bound nothing.
    fn fits(&self, load: Load, marks: &Marks) -> bool {
        (self.has_room(load, marks) && self.buffers < marks.most_chunks()) || marks.is_advisory
    }

    fn has_room(&self, load: Load, marks: &Marks) -> bool {
        (self.granted + self.level + load).is_within(marks.high_load())
    }

    fn grant(&mut self, load: Load, marks: &Marks) {
        // What fits passes no hard mark.
        if self.has_room(Load::default(), marks) && !self.has_room(load, marks) {
            self.times_full += 1;
        }
        self.granted += load;
        self.buffers += 1;
    }

    /// Removes one buffer or chunk from the count; returns the wakers to call.
    fn drop_buffer(&mut self, marks: &Marks) -> [Option<Waker>; 2] {
        self.buffers -= 1;
        [self.deliver_position(marks), self.resume(marks)]
    }

    /// Queues a pending position, if there is room for a chunk; returns the waker to call.
    fn deliver_position(&mut self, marks: &Marks) -> Option<Waker> {
        if self.buffers >= marks.most_chunks() && !marks.is_advisory {
            return None;
        }
        let position = self.position.take()?;
        self.buffers += 1;
        self.queue.push_back(Packet {
            memory: Memory::default(),
            start: 0,
            end: 0,
            records: 0,
            position: Some(position),
        });
        self.wake_consumer()
    }

    /// Ends the pause if the link has drained; returns the waker to call.
    fn resume(&mut self, marks: &Marks) -> Option<Waker> {
        let (wanted, _) = self.pause?;
        // A link that is full of tiny chunks has drained when half of their number is gone.
        let crowded = self.queue.len() > marks.most_chunks() / 2;
        if !self.level.is_within(marks.low_load()) || crowded || !self.fits(wanted, marks) {
            return None;
        }
        self.end_pause();
        self.drains += 1;
        self.producer.take()
    }

    /// Closes the link: a pause ends here, without a drain.
    fn close(&mut self) {
        self.closed = true;
        self.end_joint();
    }

    fn end_pause(&mut self) {
        if let Joint::Lent(pipe) = &self.joint {
            pipe.producer.release();
        }
        if let Some((_, since)) = self.pause.take() {
            self.longest_pause = self.longest_pause.max(since.elapsed());
        }
    }

    /// Whether the consumer is held. The consumer of a closed link is not.
    fn is_withheld(&self) -> bool {
        self.held && !self.closed
    }

    /// The next packet; having received it, the consumer no longer waits.
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
        self.position = None;
        self.buffers -= self.queue.len();
        for packet in &self.queue {
            self.level -= packet.load();
        }
        std::mem::take(&mut self.queue)
    }
}

/// Keeps the waker of the latest poll, without a clone if it is the same.
fn set_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;

#[cfg(all(test, feature = "shuttle"))]
mod shuttle_tests;
