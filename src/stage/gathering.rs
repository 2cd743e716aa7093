//! Gathers small chunks so that one system call writes many of them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use crate::error::Stop;
use crate::flow::{Chunk, Inlet, Position, StageMeter, Wait, block_on};

use super::Cancel;

/// The chunks of the next write: one large one, or several small ones.
///
/// Only chunks that already wait in the link are gathered. Where small writes follow each other closely, a bounded
/// delay comes first; a delay that gathered nothing makes the next one rarer. So the first bytes after a pause go out
/// at once, and a million tiny chunks cost few system calls.
pub struct Gathering {
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks`.
    bytes: usize,
    /// A position behind all bytes that came, if it came without bytes.
    passed: Option<Position>,
    rhythm: Rhythm,
}

impl Gathering {
    /// A larger chunk gains nothing from being gathered.
    const SMALL: usize = 16 << 10;
    /// Enough for one write.
    const ENOUGH: usize = 128 << 10;
    /// Every supported system accepts this many slices in one call.
    const MOST: usize = 1024;

    /// An empty gathering.
    pub fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            passed: None,
            rhythm: Rhythm::default(),
        }
    }

    /// Waits for the next chunk, or a position without one, and gathers the small ones behind it; returns false at the end
    /// of the stream.
    pub fn fill(&mut self, input: &mut Inlet, meter: &StageMeter, cancel: &Cancel) -> Result<bool, Stop> {
        if !block_on(self.receive(input))? {
            return Ok(false);
        }
        if !self.is_empty() && self.bytes < Self::SMALL && self.rhythm.is_close(Instant::now()) {
            let before = self.bytes;
            {
                let _idle = meter.wait(Wait::Idle);
                cancel.wait_until(Instant::now() + self.rhythm.delay)?;
            }
            self.gather(input);
            self.rhythm.waited(self.bytes - before, self.chunks.len());
        }
        Ok(true)
    }

    /// Waits for the next chunk that carries bytes, or a position, and gathers the small ones that wait behind it; returns
    /// false at the end of the stream.
    pub async fn receive(&mut self, input: &mut Inlet) -> Result<bool, Stop> {
        while let Some(chunk) = input.receive().await? {
            if !chunk.is_empty() {
                self.push(chunk);
                self.gather(input);
                return Ok(true);
            }
            if chunk.position().is_some() {
                self.passed = chunk.position();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The position that came without bytes, behind all that was written.
    pub fn take_passed(&mut self) -> Option<Position> {
        self.passed.take()
    }

    /// Adds a chunk that was received.
    pub fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Gathers chunks that wait in the link, as long as they are small.
    fn gather(&mut self, input: &mut Inlet) {
        let last_is_small = |chunks: &VecDeque<Chunk>| chunks.back().is_some_and(|chunk| chunk.len() < Self::SMALL);
        while last_is_small(&self.chunks) && self.bytes < Self::ENOUGH && self.chunks.len() < Self::MOST {
            let Some(chunk) = input.try_receive() else { break };
            self.push(chunk);
        }
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Passes the remaining bytes, in one slice or several, to a call that writes them.
    pub fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        if let [only] = self.chunks.as_slices().0
            && self.chunks.len() == 1
        {
            return write(&[IoSlice::new(only.as_slice())]);
        }
        let slices: Vec<IoSlice<'_>> = self.chunks.iter().map(|chunk| IoSlice::new(chunk.as_slice())).collect();
        write(&slices)
    }

    /// The remaining bytes of the first chunk only.
    pub fn first_chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], Chunk::as_slice)
    }

    /// Passes the first `count` bytes to `look`, chunk by chunk, and the position of each chunk whose end is among them.
    pub fn first_chunks(&self, mut count: usize, mut look: impl FnMut(&[u8], Option<Position>)) {
        for chunk in &self.chunks {
            if count == 0 && !chunk.is_empty() {
                return;
            }
            let bytes = &chunk.as_slice()[..count.min(chunk.len())];
            look(bytes, chunk.position().filter(|_| bytes.len() == chunk.len()));
            if bytes.len() < chunk.len() {
                return;
            }
            count -= bytes.len();
        }
    }

    /// Records that the first `count` bytes were written, and releases the chunks that carried them.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.chunks.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.chunks.pop_front();
        }
    }

    /// Records that all of it was written, which was `bytes` long.
    pub fn done(&mut self, bytes: usize) {
        self.rhythm.wrote((bytes < Self::SMALL).then(Instant::now));
    }

    /// Bytes that are still to be written.
    pub fn len(&self) -> usize {
        self.bytes
    }
}

/// How closely small writes follow each other.
struct Rhythm {
    /// When the last small write was done; `None` after a large one.
    last: Option<Instant>,
    /// How many small writes followed each other closely.
    streak: u32,
    /// How many of them it takes before a delay.
    needed: u32,
    /// Whether the last delay gathered something.
    is_dense: bool,
    /// How long to wait for more chunks.
    delay: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            last: None,
            streak: 0,
            needed: Self::FEWEST,
            is_dense: false,
            delay: Self::SHORTEST,
        }
    }
}

impl Rhythm {
    /// Writes that follow each other within this time are close. With a longer gap, a delay would gather next to
    /// nothing.
    const CLOSE: Duration = Duration::from_micros(100);
    /// The bounds of a delay: long enough for several chunks to arrive.
    const SHORTEST: Duration = Duration::from_micros(250);
    const LONGEST: Duration = Duration::from_millis(1);
    const MANY: usize = Gathering::MOST / 4;
    const FEWEST: u32 = 4;
    /// High enough that fruitless delays cost little, and low enough that a stream that becomes dense is noticed soon.
    const MOST: u32 = 32;

    /// Whether the write that is due `now` would follow many others closely.
    fn is_close(&mut self, now: Instant) -> bool {
        let follows = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) <= Self::CLOSE);
        self.streak = match (follows, self.is_dense) {
            (true, _) => self.streak + 1,
            // This write goes out at once; in a stream that was dense, the next one may wait.
            (false, true) => self.needed - 1,
            (false, false) => 0,
        };
        self.streak >= self.needed
    }

    /// Records how many bytes a delay gathered, and how many chunks there are now. A delay that gathered nothing makes
    /// the next one rarer; one that gathered little makes it longer.
    fn waited(&mut self, bytes: usize, chunks: usize) {
        self.is_dense = bytes > 0;
        if self.is_dense {
            self.needed = Self::FEWEST;
            let is_little = chunks < Self::MANY && bytes < Gathering::SMALL;
            self.delay = if is_little {
                (self.delay * 2).min(Self::LONGEST)
            } else {
                Self::SHORTEST
            };
        } else {
            self.streak = 0;
            self.needed = (self.needed * 2).min(Self::MOST);
            self.delay = Self::SHORTEST;
        }
    }

    /// Records that a write is done, and when, if it was a small one.
    fn wrote(&mut self, small: Option<Instant>) {
        self.last = small;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::{Link, Marks, Outlet, Pool};

    fn pattern(count: usize) -> Vec<u8> {
        (0..=250).cycle().take(count).collect()
    }

    /// A link that holds `count` chunks of one byte and the end, as a sink finds it after a stall.
    fn full_of_single_bytes(count: usize) -> Inlet {
        let link = Link::new(Marks::new(16 << 20, 8 << 20, 1), Arc::new(Pool::new(16 << 20)));
        let meter = || Arc::new(StageMeter::new(Instant::now()));
        let mut outlet = Outlet::new(link.clone(), meter());
        let inlet = Inlet::new(link, meter());
        for byte in pattern(count) {
            let mut buffer = outlet.reserve_blocking(1).expect("there is room");
            buffer.fill_from(&[byte]);
            outlet.send(buffer).expect("there is a reader");
        }
        outlet.finish();
        inlet
    }

    #[test]
    fn waiting_chunks_need_few_writes() {
        let count = 3 * Gathering::MOST;
        let (meter, cancel) = (StageMeter::new(Instant::now()), Cancel::default());
        let mut input = full_of_single_bytes(count);
        let mut gathering = Gathering::new();
        let mut written: Vec<u8> = Vec::new();
        let mut writes = 0;
        while gathering.fill(&mut input, &meter, &cancel).expect("nothing stops it") {
            gathering.with_slices(|slices| slices.iter().for_each(|slice| written.extend(&**slice)));
            writes += 1;
            let size = gathering.len();
            gathering.advance(size);
            gathering.done(size);
        }
        assert_eq!(writes, 3);
        assert!(written == pattern(count));
    }

    #[test]
    fn small_writes_are_delayed_from_the_fifth() {
        let mut rhythm = Rhythm::default();
        let mut now = Instant::now();
        let mut delays = 0;
        for _ in 0..100 {
            now += Duration::from_micros(20);
            if rhythm.is_close(now) {
                now += rhythm.delay;
                rhythm.waited(Rhythm::MANY, Rhythm::MANY + 1);
                delays += 1;
            }
            rhythm.wrote(Some(now));
        }
        assert_eq!(delays, 100 - 4);
    }

    #[test]
    fn first_write_after_a_pause_is_immediate() {
        let mut rhythm = Rhythm::default();
        let start = Instant::now();
        assert!(!rhythm.is_close(start));
        rhythm.wrote(Some(start));
        rhythm.streak = 1000;
        assert!(
            !rhythm.is_close(start + Duration::from_millis(1)),
            "a pause ends the streak"
        );
        rhythm.wrote(None);
        rhythm.streak = 1000;
        assert!(!rhythm.is_close(start), "so does a large write");
    }

    #[test]
    fn fruitless_delay_makes_delays_rarer() {
        let mut rhythm = Rhythm {
            streak: 10,
            ..Rhythm::default()
        };
        rhythm.waited(0, 1);
        assert_eq!((rhythm.streak, rhythm.needed), (0, 8));
        (0..20).for_each(|_| rhythm.waited(0, 1));
        assert_eq!(rhythm.needed, Rhythm::MOST);
        rhythm.waited(1, 2);
        assert_eq!(rhythm.needed, Rhythm::FEWEST);
    }

    #[test]
    fn short_gain_makes_delays_longer() {
        let mut rhythm = Rhythm::default();
        (0..20).for_each(|_| rhythm.waited(10, 11));
        assert_eq!(rhythm.delay, Rhythm::LONGEST);
        rhythm.waited(1000, Rhythm::MANY);
        assert_eq!(rhythm.delay, Rhythm::SHORTEST);
    }

    #[test]
    fn position_without_bytes_is_passed_on() {
        let link = Link::new(Marks::new(16 << 20, 8 << 20, 1), Arc::new(Pool::new(16 << 20)));
        let meter = || Arc::new(StageMeter::new(Instant::now()));
        let mut outlet = Outlet::new(link.clone(), meter());
        let mut inlet = Inlet::new(link, meter());
        outlet.mark(Position(7)).expect("there is a reader");
        let mut gathering = Gathering::new();
        assert!(block_on(gathering.receive(&mut inlet)).expect("nothing stops it"));
        assert!(gathering.is_empty());
        assert_eq!(gathering.take_passed(), Some(Position(7)));
        // Behind bytes, it is theirs.
        let mut buffer = outlet.reserve_blocking(1).expect("there is room");
        buffer.fill_from(b"x");
        outlet.send(buffer).expect("there is a reader");
        outlet.mark(Position(8)).expect("there is a reader");
        outlet.finish();
        assert!(block_on(gathering.receive(&mut inlet)).expect("nothing stops it"));
        let mut reached = None;
        gathering.first_chunks(1, |_, position| reached = position.or(reached));
        assert_eq!((reached, gathering.take_passed()), (Some(Position(8)), None));
    }
}
