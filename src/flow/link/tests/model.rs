//! Long random histories of a link, compared step by step with a simple, slow model.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::flow::Position;

/// One step. Sizes are in thousandths: of the largest chunk, of the high-water mark for whole records, and of what is
/// available. `which` picks one of the held buffers or chunks.
#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve {
        size: usize,
        records: u64,
    },
    ReserveWhole {
        size: usize,
    },
    Send {
        which: usize,
        fill: usize,
        records: u64,
        is_marked: bool,
    },
    SendOneByte {
        which: usize,
    },
    DropBuffer {
        which: usize,
    },
    Mark,
    Copy {
        size: usize,
    },
    Receive,
    TryReceive,
    /// Sends what was received once more, over the same link.
    Share {
        which: usize,
    },
    Forward {
        which: usize,
    },
    Advance {
        which: usize,
        count: usize,
    },
    Truncate {
        which: usize,
        count: usize,
    },
    DropOldest,
    DropNewest,
    Finish,
    Abort,
    Leave,
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let records = || prop_oneof![2 => Just(0), 3 => 0..5u64, 1 => 0..300u64];
    let step = prop_oneof![
        20 => (1..1200usize, records()).prop_map(|(size, records)| Step::Reserve { size, records }),
        20 => records().prop_map(|records| Step::Reserve { size: 1000, records }),
        4 => (0..=1000usize).prop_map(|size| Step::ReserveWhole { size }),
        20 => (0..4usize, 0..=1000usize, records(), any::<bool>())
            .prop_map(|(which, fill, records, is_marked)| Step::Send { which, fill, records, is_marked }),
        8 => (0..4usize, records())
            .prop_map(|(which, records)| Step::Send { which, fill: 1000, records, is_marked: false }),
        8 => (0..4usize).prop_map(|which| Step::SendOneByte { which }),
        3 => (0..4usize).prop_map(|which| Step::DropBuffer { which }),
        4 => Just(Step::Mark),
        3 => (0..3000usize).prop_map(|size| Step::Copy { size }),
        20 => Just(Step::Receive),
        5 => Just(Step::TryReceive),
        8 => (0..4usize).prop_map(|which| Step::Share { which }),
        8 => (0..4usize).prop_map(|which| Step::Forward { which }),
        2 => (0..4usize, 0..=1000usize).prop_map(|(which, count)| Step::Advance { which, count }),
        2 => (0..4usize, 0..=1000usize).prop_map(|(which, count)| Step::Truncate { which, count }),
        14 => Just(Step::DropOldest),
        8 => Just(Step::DropNewest),
        1 => prop_oneof![Just(Step::Finish), Just(Step::Abort), Just(Step::Leave), Just(Step::Cancel)],
    ];
    proptest::collection::vec(step, 1..200)
}

/// In bytes, and in records if those are bounded.
type Given = (u64, u64, usize, Option<(u64, u64)>);

const MARKS: [Given; 12] = [
    (1, 0, 1, None),
    (7, 3, 2, None),
    (100, 0, 9, None),
    (100, 50, 25, None),
    (100, 100, 25, None),
    (64 << 10, 32 << 10, 16 << 10, None),
    (256 << 10, 50_000, 64 << 10, None),
    (7, 3, 2, Some((1, 0))),
    (100, 100, 25, Some((7, 3))),
    (100, 20, 25, Some((1000, 1000))),
    (64 << 10, 64 << 10, 16 << 10, Some((40, 0))),
    (256 << 10, 50_000, 64 << 10, Some((8, 8))),
];

fn marks((high, low, chunk, records): Given) -> Marks {
    let marks = Marks::new(high, low, chunk);
    records.map_or(marks, |(high, low)| marks.with_records(high, low))
}

/// The bytes that are sent: 0 to 250, repeated, so that a newline comes every 251 bytes.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take(251 + (256 << 10)).collect());

/// A chunk that waits or that the consumer holds.
#[derive(Debug, Clone)]
struct Item {
    /// Items with the same number share a block.
    block: usize,
    size: usize,
    /// Where in the block the bytes end.
    end: usize,
    bytes: Vec<u8>,
    records: u64,
    position: Option<Position>,
}

impl Item {
    fn load(&self) -> Load {
        load(self.size, self.records)
    }
}

fn load(size: usize, records: u64) -> Load {
    Load {
        bytes: size as u64,
        records,
    }
}

/// The expected state of the link. It knows blocks by their numbers and sizes alone.
struct Model {
    marks: Marks,
    blocks: usize,
    sent: usize,
    /// The credit of each buffer that the producer holds.
    reserved: Vec<Load>,
    queued: VecDeque<Item>,
    held: VecDeque<Item>,
    paused: Option<Load>,
    waits: bool,
    ended: Option<End>,
    closed: bool,
    peak: Load,
    times_full: u64,
    times_empty: u64,
    drains: u64,
}

fn sum(loads: impl Iterator<Item = Load>) -> Load {
    loads.fold(Load::default(), |sum, load| sum + load)
}

impl Model {
    fn new(marks: Marks) -> Self {
        Self {
            marks,
            blocks: 0,
            sent: 0,
            reserved: Vec::new(),
            queued: VecDeque::new(),
            held: VecDeque::new(),
            paused: None,
            waits: false,
            ended: None,
            closed: false,
            peak: Load::default(),
            times_full: 0,
            times_empty: 0,
            drains: 0,
        }
    }

    fn granted(&self) -> Load {
        sum(self.reserved.iter().copied())
    }

    fn level(&self) -> Load {
        sum(self.queued.iter().chain(&self.held).map(Item::load))
    }

    fn holders(&self, block: usize) -> usize {
        self.queued
            .iter()
            .chain(&self.held)
            .filter(|item| item.block == block)
            .count()
    }

    /// Bytes of all blocks, each counted once.
    fn in_use(&self) -> u64 {
        let mut blocks: Vec<_> = self
            .queued
            .iter()
            .chain(&self.held)
            .map(|item| (item.block, item.size))
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        self.granted().bytes + blocks.iter().map(|(_, size)| *size as u64).sum::<u64>()
    }

    fn is_within(&self, load: Load) -> bool {
        let Load { bytes, records } = self.granted() + self.level() + load;
        bytes <= self.marks.high && self.marks.records.is_none_or(|marks| records <= marks.high)
    }

    fn fits(&self, load: Load) -> bool {
        self.marks.is_advisory || self.is_within(load)
    }

    /// Counts a grant of `load` that passes an advisory mark.
    fn pass_the_mark(&mut self, load: Load) {
        self.times_full += u64::from(self.is_within(Load::default()) && !self.is_within(load));
    }

    /// After a release: a pause ends if both levels are low enough and the wanted credit fits.
    fn settle(&mut self) {
        let Load { bytes, records } = self.level();
        let is_low = bytes <= self.marks.low && self.marks.records.is_none_or(|marks| records <= marks.low);
        if is_low && self.paused.is_some_and(|load| self.fits(load)) {
            self.paused = None;
            self.drains += 1;
        }
    }

    fn reserve(&mut self, load: Load) -> Option<Result<Load, Closed>> {
        if self.closed {
            return Some(Err(Closed));
        }
        if let Some(wanted) = &mut self.paused {
            *wanted = load;
            self.settle();
        }
        if self.paused.is_some() {
            return None;
        }
        if !self.fits(load) {
            self.paused = Some(load);
            self.times_full += 1;
            return None;
        }
        self.pass_the_mark(load);
        self.reserved.push(load);
        Some(Ok(load))
    }

    /// Appends bytes to the last queued chunk, if they fit there and it is not shared.
    fn append(&mut self, bytes: &[u8], records: u64, position: Option<Position>) -> bool {
        let Some(last) = self.queued.back() else {
            return false;
        };
        let most_records = self.marks.records.map_or(u64::MAX, |marks| (marks.high / 4).max(1));
        let has_room = last.end + bytes.len() <= last.size && last.records + records <= most_records;
        let is_behind_position = last.position.is_some() && position.is_none();
        let appends = has_room && !is_behind_position && self.holders(last.block) == 1;
        if appends {
            let last = self.queued.back_mut().unwrap();
            last.end += bytes.len();
            last.bytes.extend(bytes);
            last.records += records;
            last.position = position.or(last.position);
        }
        appends
    }

    fn note_peak(&mut self) {
        let level = self.level();
        self.peak.bytes = self.peak.bytes.max(level.bytes);
        self.peak.records = self.peak.records.max(level.records);
    }

    fn send(&mut self, which: usize, bytes: &[u8], records: u64, position: Option<Position>) -> Result<(), Closed> {
        let granted = self.reserved[which];
        let size = usize::try_from(granted.bytes).unwrap();
        let count = bytes.len();
        if count == 0 && records == 0 {
            let marked = position.map_or(Ok(()), |position| self.mark(position));
            self.drop_buffer(which);
            return marked;
        }
        if count <= APPEND.min(size / 2) && self.append(bytes, records, position) {
            self.drop_buffer(which);
        } else {
            let smaller = count.next_power_of_two().max(SMALLEST);
            let load = load(smaller, 0);
            let exchanged = smaller <= size / 2 && !self.closed && self.paused.is_none() && self.fits(load);
            if exchanged {
                self.pass_the_mark(load);
            }
            self.reserved.remove(which);
            if self.closed {
                return Err(Closed);
            }
            let item = Item {
                block: self.new_block(),
                size: if exchanged { smaller } else { size },
                end: count,
                bytes: bytes.to_vec(),
                records,
                position,
            };
            self.queued.push_back(item);
        }
        self.note_peak();
        self.settle();
        Ok(())
    }

    fn new_block(&mut self) -> usize {
        self.blocks += 1;
        self.blocks
    }

    fn mark(&mut self, position: Position) -> Result<(), Closed> {
        if self.closed {
            return Err(Closed);
        }
        if let Some(last) = self.queued.back_mut() {
            last.position = Some(position);
        } else {
            let block = self.new_block();
            self.queued.push_back(Item {
                block,
                size: 0,
                end: 0,
                bytes: Vec::new(),
                records: 0,
                position: Some(position),
            });
        }
        Ok(())
    }

    /// The bytes and records of the next piece, found record by record.
    fn piece(&self, bytes: &[u8], records: u64) -> (usize, u64) {
        let (high, chunk) = (usize::try_from(self.marks.high).unwrap(), self.marks.chunk);
        let most_records = self.marks.records.map_or(u64::MAX, |marks| (marks.high / 4).max(1));
        if bytes.len() <= chunk && records <= most_records || bytes.len() <= high && records == 1 {
            return (bytes.len(), records);
        }
        let mut piece = (0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let end = piece.0 + line.len();
            let bound = if piece.1 == 0 { high } else { chunk };
            if records == 1 || !line.ends_with(b"\n") || end > bound || piece.1 == records.min(most_records) {
                break;
            }
            piece = (end, piece.1 + 1);
        }
        if piece.1 == 0 {
            let length = bytes.len().min(chunk);
            piece = (length, u64::from(length == bytes.len() && records > 0));
        }
        piece
    }

    fn copy(&mut self, mut bytes: &[u8], mut records: u64, position: Option<Position>) -> Option<Result<(), Closed>> {
        if bytes.is_empty() && records == 0 {
            return Some(position.map_or(Ok(()), |position| self.mark(position)));
        }
        let has_credit = records == 0 || self.paused.is_none() && self.is_within(load(0, records));
        if bytes.len() <= APPEND && has_credit && self.append(bytes, records, position) {
            self.note_peak();
            return Some(Ok(()));
        }
        while !bytes.is_empty() || records > 0 {
            let (length, count) = self.piece(bytes, records);
            let rounded = length.next_power_of_two().max(SMALLEST).min(self.marks.chunk);
            if let Err(closed) = self.reserve(load(rounded.max(length), count))? {
                return Some(Err(closed));
            }
            let piece = &bytes[..length];
            (bytes, records) = (&bytes[length..], records - count);
            let is_last = bytes.is_empty() && records == 0;
            let which = self.reserved.len() - 1;
            self.send(which, piece, count, position.filter(|_| is_last))
                .expect("it is open");
        }
        Some(Ok(()))
    }

    /// Sends a chunk of the consumer once more; the consumer keeps it only if `keeps`.
    fn pass(&mut self, which: usize, keeps: bool) -> Option<Result<(), Closed>> {
        let item = self.held[which].clone();
        let most_records = self.marks.records.map_or(u64::MAX, |marks| (marks.high / 4).max(1));
        let smaller = item.bytes.len().next_power_of_two().max(SMALLEST);
        let takes_size = item.size <= self.marks.chunk || item.records == 1 && item.size as u64 <= self.marks.high;
        let is_whole = takes_size && item.records <= most_records && smaller > item.size / 2 && !item.bytes.is_empty();
        let passed = if is_whole {
            self.reserve(item.load())
        } else {
            self.copy(&item.bytes, item.records, item.position)
                .map(|copied| copied.map(|()| item.load()))
        };
        if !keeps {
            self.held.remove(which);
            self.settle();
        }
        if is_whole && passed == Some(Ok(item.load())) {
            self.reserved.pop();
            self.queued.push_back(item);
            self.note_peak();
            self.settle();
        }
        passed.map(|passed| passed.map(|_| ()))
    }

    fn drop_buffer(&mut self, which: usize) {
        self.reserved.remove(which);
        self.settle();
    }

    fn receive(&mut self) -> Option<Item> {
        let item = self.queued.pop_front()?;
        self.waits = false;
        self.held.push_back(item.clone());
        Some(item)
    }

    fn wait_for_bytes(&mut self) {
        self.times_empty += u64::from(!self.waits);
        self.waits = true;
    }

    fn close(&mut self) {
        self.closed = true;
        self.paused = None;
        self.queued.clear();
    }

    fn end(&mut self, end: End) {
        self.ended.get_or_insert(end);
        self.paused = None;
    }
}

fn assert_same(chunk: &Chunk, item: &Item) {
    assert!(chunk.as_slice() == item.bytes, "the bytes are what was sent");
    let carried = (chunk.records(), chunk.position(), chunk.capacity());
    assert_eq!(carried, (item.records, item.position, item.size));
}

/// The link and the model, driven together.
struct Both {
    rig: Rig,
    outlet: Option<Outlet>,
    inlet: Option<Inlet>,
    reserved: Vec<Buffer>,
    held: VecDeque<Chunk>,
    model: Model,
    position: u128,
}

impl Both {
    fn new(given: Given) -> Self {
        Self::around(Rig::in_pool(marks(given), Arc::new(Pool::new(given.0))))
    }

    fn around((rig, outlet, inlet): (Rig, Outlet, Inlet)) -> Self {
        Self {
            model: Model::new(rig.link.marks),
            rig,
            outlet: Some(outlet),
            inlet: Some(inlet),
            reserved: Vec::new(),
            held: VecDeque::new(),
            position: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reserve { size, records } => self.reserve(size, records),
            Step::ReserveWhole { size } => self.reserve_whole(size),
            Step::Send {
                which,
                fill,
                records,
                is_marked,
            } => {
                self.send(which, |size| size * fill / 1000, records, is_marked);
            }
            Step::SendOneByte { which } => self.send(which, |_| 1, 1, false),
            Step::DropBuffer { which } => {
                if which < self.reserved.len() {
                    drop(self.reserved.remove(which));
                    self.model.drop_buffer(which);
                }
            }
            Step::Mark => {
                let position = self.next_position();
                if let Some(outlet) = &mut self.outlet {
                    assert_eq!(outlet.mark(position), self.model.mark(position));
                }
            }
            Step::Copy { size } => {
                if let Some(outlet) = &mut self.outlet {
                    let size = (outlet.largest() * size / 1000).min(PATTERN.len());
                    let copied = now(outlet.copy(&PATTERN[..size]));
                    assert_eq!(copied, self.model.copy(&PATTERN[..size], 0, None));
                }
            }
            Step::Receive => self.receive(),
            Step::TryReceive => {
                if let Some(inlet) = &mut self.inlet {
                    let chunk = inlet.try_receive();
                    let expected = self.model.receive();
                    assert_eq!(chunk.is_some(), expected.is_some());
                    self.held.extend(chunk);
                }
            }
            Step::Share { which } => {
                if let (Some(outlet), Some(chunk)) = (&mut self.outlet, self.held.get_mut(which)) {
                    assert_eq!(now(outlet.share(chunk)), self.model.pass(which, true));
                }
            }
            Step::Forward { which } => {
                if let Some(outlet) = &mut self.outlet
                    && which < self.held.len()
                {
                    let chunk = self.held.remove(which).unwrap();
                    assert_eq!(now(outlet.forward(chunk)), self.model.pass(which, false));
                }
            }
            Step::Advance { which, count } => self.cut(which, count, true),
            Step::Truncate { which, count } => self.cut(which, count, false),
            Step::DropOldest => {
                drop(self.held.pop_front());
                self.model.held.pop_front();
                self.model.settle();
            }
            Step::DropNewest => {
                drop(self.held.pop_back());
                self.model.held.pop_back();
                self.model.settle();
            }
            Step::Finish => {
                if let Some(outlet) = self.outlet.take() {
                    outlet.finish();
                    self.model.end(End::Finished);
                }
            }
            Step::Abort => {
                if self.outlet.take().is_some() {
                    self.model.end(End::Aborted);
                }
            }
            Step::Leave => {
                if self.inlet.take().is_some() {
                    self.model.close();
                }
            }
            Step::Cancel => {
                self.rig.link.cancel();
                self.model.close();
                self.model.ended = Some(End::Aborted);
            }
        }
    }

    /// Takes bytes from a held chunk, off its front or its end.
    fn cut(&mut self, which: usize, count: usize, is_front: bool) {
        let Some(chunk) = self.held.get_mut(which) else {
            return;
        };
        let item = &mut self.model.held[which];
        let count = item.bytes.len() * count / 1000;
        // The last record ends where the chunk does.
        let newlines = (item.bytes[..count].split(|byte| *byte == b'\n').count() - 1) as u64;
        let ended = newlines.min(item.records.saturating_sub(1));
        let ended = if count == item.bytes.len() { item.records } else { ended };
        if is_front {
            chunk.advance(count);
            if count > 0 {
                item.records -= ended;
            }
            item.bytes.drain(..count);
        } else {
            chunk.truncate(count);
            item.records = ended;
            let lost = item.bytes.drain(count..).count();
            item.end -= lost;
            item.position = item.position.filter(|_| lost == 0);
        }
        self.model.settle();
    }

    fn next_position(&mut self) -> Position {
        self.position += 1;
        Position(self.position)
    }

    fn reserve(&mut self, size: usize, records: u64) {
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        let size = outlet.largest() * size / 1000;
        let buffer = now(outlet.reserve_records(size, records));
        let most = self
            .rig
            .link
            .marks
            .records
            .map_or(u64::MAX, |marks| (marks.high / 4).max(1));
        let expected = self
            .model
            .reserve(load(size.clamp(1, outlet.largest()), records.min(most)));
        self.keep(buffer, expected);
    }

    fn reserve_whole(&mut self, size: usize) {
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        let size = usize::try_from(self.rig.link.marks.high).unwrap() * size / 1000;
        let buffer = now(outlet.reserve_whole(size));
        let expected = self.model.reserve(load(size.max(1), 1));
        self.keep(buffer, expected);
    }

    fn keep(&mut self, buffer: Option<Result<Buffer, Closed>>, expected: Option<Result<Load, Closed>>) {
        let granted = |buffer: &Buffer| load(buffer.capacity(), buffer.record_room());
        let outcome = buffer
            .as_ref()
            .map(|buffer| buffer.as_ref().map(granted).map_err(|_| Closed));
        assert_eq!(outcome, expected);
        self.reserved.extend(buffer.and_then(Result::ok));
    }

    fn send(&mut self, which: usize, count: impl FnOnce(usize) -> usize, records: u64, is_marked: bool) {
        let position = is_marked.then(|| self.next_position());
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        if which < self.reserved.len() {
            let mut buffer = self.reserved.remove(which);
            let start = self.model.sent % 251;
            let bytes = &PATTERN[start..start + count(buffer.capacity())];
            assert_eq!(buffer.fill_from(bytes), bytes.len());
            let records = records.min(buffer.record_room());
            buffer.count_records(records);
            if let Some(position) = position {
                buffer.mark(position);
            }
            assert_eq!(outlet.send(buffer), self.model.send(which, bytes, records, position));
            self.model.sent += bytes.len();
        }
    }

    fn receive(&mut self) {
        let Some(inlet) = &mut self.inlet else {
            return;
        };
        let chunk = now(inlet.receive());
        if self.model.receive().is_some() {
            let chunk = chunk
                .expect("something waits")
                .expect("it is delivered")
                .expect("before any end");
            self.held.push_back(chunk);
            return;
        }
        match (self.model.ended, chunk) {
            (None, None) => self.model.wait_for_bytes(),
            (Some(End::Finished), Some(Ok(None))) | (Some(End::Aborted), Some(Err(Closed))) => {}
            (ended, chunk) => panic!("{ended:?} is seen as {chunk:?}"),
        }
    }

    fn assert_agreement(&mut self) {
        let (model, levels) = (&self.model, self.rig.link.levels());
        let (granted, level) = {
            let state = lock(&self.rig.link.state);
            let buffers = model.reserved.len() + model.queued.len() + model.held.len();
            assert_eq!(state.buffers, buffers);
            (state.granted, state.level)
        };
        assert_eq!((granted, level), (model.granted(), model.level()));
        let is_advisory = model.marks.is_advisory;
        let records = levels.records;
        let most_records = records.map_or(u64::MAX, |records| records.high);
        assert!(
            is_advisory
                || granted.bytes + level.bytes <= levels.high
                    && levels.peak <= levels.high
                    && granted.records + level.records <= most_records
                    && records.is_none_or(|records| records.peak <= most_records)
        );
        assert_eq!((levels.buffered, levels.peak), (level.bytes, model.peak.bytes));
        if let Some(records) = records {
            assert_eq!((records.buffered, records.peak), (level.records, model.peak.records));
        }
        assert_eq!(
            (levels.times_full, levels.times_empty, levels.drains),
            (model.times_full, model.times_empty, model.drains)
        );
        let pool = &self.rig.pool;
        assert_eq!(pool.levels().in_use, model.in_use(), "each block counts once");
        assert!(
            pool.levels().in_use + pool.levels().free
                <= pool.limit().max(if is_advisory { pool.levels().in_use } else { 0 })
        );
        assert_eq!(self.held.len(), model.held.len());
        for (chunk, item) in self.held.iter_mut().zip(&model.held) {
            assert_same(chunk, item);
            assert_eq!(chunk.as_mut_slice().is_some(), model.holders(item.block) == 1);
        }
    }

    /// Takes all steps and compares after each; at the end everything is released.
    fn agree(mut self, steps: Vec<Step>) {
        for step in steps {
            self.step(step);
            self.assert_agreement();
        }
        let Self {
            rig,
            outlet,
            inlet,
            reserved,
            held,
            ..
        } = self;
        drop((outlet, reserved, inlet, held));
        rig.assert_nothing_is_held();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x6869_6768),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_link_agrees_with_its_model(given in proptest::sample::select(&MARKS[..]), steps in steps()) {
        Both::new(given).agree(steps);
    }

    #[test]
    fn a_link_whose_mark_is_advice_agrees_with_its_model(
        given in proptest::sample::select(&MARKS[..]),
        steps in steps(),
    ) {
        let pool = Arc::new(Pool::advisory(given.0, u64::MAX));
        Both::around(Rig::in_pool(marks(given).advisory(), pool)).agree(steps);
    }
}
