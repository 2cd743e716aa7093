//! Long random histories of a link, step by step against a model that is slow and plain.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// One step. Sizes are in thousandths of the largest chunk; `which` picks one of the buffers in hand.
#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve { size: usize },
    Send { which: usize, fill: usize },
    SendOneByte { which: usize },
    DropBuffer { which: usize },
    Receive,
    TryReceive,
    DropOldest,
    DropNewest,
    Finish,
    Abort,
    Leave,
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (1..1200usize).prop_map(|size| Step::Reserve { size }),
        20 => Just(Step::Reserve { size: 1000 }),
        20 => (0..4usize, 0..=1000usize).prop_map(|(which, fill)| Step::Send { which, fill }),
        8 => (0..4usize).prop_map(|which| Step::Send { which, fill: 1000 }),
        8 => (0..4usize).prop_map(|which| Step::SendOneByte { which }),
        3 => (0..4usize).prop_map(|which| Step::DropBuffer { which }),
        20 => Just(Step::Receive),
        5 => Just(Step::TryReceive),
        14 => Just(Step::DropOldest),
        8 => Just(Step::DropNewest),
        1 => prop_oneof![Just(Step::Finish), Just(Step::Abort), Just(Step::Leave), Just(Step::Cancel)],
    ];
    proptest::collection::vec(step, 1..200)
}

const MARKS: [(u64, u64, usize); 7] = [
    (1, 0, 1),
    (7, 3, 2),
    (100, 0, 9),
    (100, 50, 25),
    (100, 100, 25),
    (64 << 10, 32 << 10, 16 << 10),
    (256 << 10, 50_000, 64 << 10),
];

/// What is sent: 0 to 250, again and again.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take(251 + (64 << 10)).collect());

/// What the link should be. It knows buffers by their sizes alone.
struct Model {
    marks: Marks,
    /// Sent and not yet received.
    bytes: VecDeque<u8>,
    sent: usize,
    /// Sizes of the buffers in the producer's hand.
    reserved: Vec<usize>,
    /// Sizes of the chunks that wait, and how many bytes are in them.
    queued: VecDeque<(usize, usize)>,
    /// Sizes of the chunks in the consumer's hand.
    held: VecDeque<usize>,
    paused: Option<usize>,
    waits: bool,
    ended: Option<End>,
    closed: bool,
    peak: u64,
    times_full: u64,
    times_empty: u64,
    drains: u64,
}

impl Model {
    fn new(marks: Marks) -> Self {
        Self {
            marks,
            bytes: VecDeque::new(),
            sent: 0,
            reserved: Vec::new(),
            queued: VecDeque::new(),
            held: VecDeque::new(),
            paused: None,
            waits: false,
            ended: None,
            closed: false,
            peak: 0,
            times_full: 0,
            times_empty: 0,
            drains: 0,
        }
    }

    fn granted(&self) -> u64 {
        self.reserved.iter().sum::<usize>() as u64
    }

    fn level(&self) -> u64 {
        (self.queued.iter().map(|(size, _)| size).sum::<usize>() + self.held.iter().sum::<usize>()) as u64
    }

    fn is_within(&self, size: usize) -> bool {
        self.granted() + self.level() + size as u64 <= self.marks.high
    }

    fn fits(&self, size: usize) -> bool {
        self.marks.is_advisory || self.is_within(size)
    }

    /// Counts it where granting `size` passes a mark that is only advice.
    fn pass_the_mark(&mut self, size: usize) {
        self.times_full += u64::from(self.is_within(0) && !self.is_within(size));
    }

    /// Something was given back: a pause ends where the level is low enough and what is waited for fits.
    fn settle(&mut self) {
        if self.level() <= self.marks.low && self.paused.is_some_and(|size| self.fits(size)) {
            self.paused = None;
            self.drains += 1;
        }
    }

    fn reserve(&mut self, size: usize) -> Option<Result<usize, Closed>> {
        if self.closed {
            return Some(Err(Closed));
        }
        if self.paused.is_some() {
            return None;
        }
        if !self.fits(size) {
            self.paused = Some(size);
            self.times_full += 1;
            return None;
        }
        self.pass_the_mark(size);
        self.reserved.push(size);
        Some(Ok(size))
    }

    fn send(&mut self, which: usize, bytes: &[u8]) -> Result<(), Closed> {
        let size = self.reserved[which];
        let count = bytes.len();
        if count == 0 {
            self.drop_buffer(which);
            return Ok(());
        }
        if let Some((size_of_last, used)) = self.queued.back_mut()
            && count <= APPEND.min(size / 2)
            && *used + count <= *size_of_last
        {
            *used += count;
            self.drop_buffer(which);
        } else {
            let smaller = count.next_power_of_two().max(SMALLEST);
            let exchanged = smaller <= size / 2 && !self.closed && self.paused.is_none() && self.fits(smaller);
            if exchanged {
                self.pass_the_mark(smaller);
            }
            self.reserved.remove(which);
            if self.closed {
                return Err(Closed);
            }
            self.queued.push_back((if exchanged { smaller } else { size }, count));
            self.peak = self.peak.max(self.level());
        }
        self.bytes.extend(bytes);
        self.sent += count;
        Ok(())
    }

    fn drop_buffer(&mut self, which: usize) {
        self.reserved.remove(which);
        self.settle();
    }

    /// The bytes of the next chunk.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let (size, count) = self.queued.pop_front()?;
        self.waits = false;
        self.held.push_back(size);
        Some(self.bytes.drain(..count).collect())
    }

    fn wait_for_bytes(&mut self) {
        self.times_empty += u64::from(!self.waits);
        self.waits = true;
    }

    fn close(&mut self) {
        self.closed = true;
        self.paused = None;
        self.queued.clear();
        self.bytes.clear();
    }

    fn end(&mut self, end: End) {
        self.ended.get_or_insert(end);
        self.paused = None;
    }
}

/// The link and the model, driven together.
struct Both {
    rig: Rig,
    outlet: Option<Outlet>,
    inlet: Option<Inlet>,
    reserved: Vec<Buffer>,
    held: VecDeque<Chunk>,
    model: Model,
}

impl Both {
    fn new((high, low, chunk): (u64, u64, usize)) -> Self {
        Self::around(Rig::new(high, low, chunk))
    }

    fn around((rig, outlet, inlet): (Rig, Outlet, Inlet)) -> Self {
        Self {
            model: Model::new(rig.link.marks),
            rig,
            outlet: Some(outlet),
            inlet: Some(inlet),
            reserved: Vec::new(),
            held: VecDeque::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reserve { size } => self.reserve(size),
            Step::Send { which, fill } => self.send(which, |size| size * fill / 1000),
            Step::SendOneByte { which } => self.send(which, |_| 1),
            Step::DropBuffer { which } => {
                if which < self.reserved.len() {
                    drop(self.reserved.remove(which));
                    self.model.drop_buffer(which);
                }
            }
            Step::Receive => self.receive(),
            Step::TryReceive => {
                if let Some(inlet) = &mut self.inlet {
                    let chunk = inlet.try_receive();
                    let expected = self.model.receive();
                    assert_eq!(chunk.as_ref().map(Chunk::as_slice), expected.as_deref());
                    self.held.extend(chunk);
                }
            }
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

    fn reserve(&mut self, size: usize) {
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        let size = outlet.largest() * size / 1000;
        let buffer = now(outlet.reserve(size));
        let expected = self.model.reserve(size.clamp(1, outlet.largest()));
        let outcome = buffer.as_ref().map(|buffer| buffer.as_ref().map(Buffer::capacity));
        assert_eq!(
            outcome,
            expected
                .as_ref()
                .map(Result::as_ref)
                .map(|size| size.copied().map_err(|_| &Closed))
        );
        self.reserved.extend(buffer.and_then(Result::ok));
    }

    fn send(&mut self, which: usize, count: impl FnOnce(usize) -> usize) {
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        if which < self.reserved.len() {
            let mut buffer = self.reserved.remove(which);
            let start = self.model.sent % 251;
            let bytes = &PATTERN[start..start + count(buffer.capacity())];
            assert_eq!(buffer.fill_from(bytes), bytes.len());
            assert_eq!(outlet.send(buffer), self.model.send(which, bytes));
        }
    }

    fn receive(&mut self) {
        let Some(inlet) = &mut self.inlet else {
            return;
        };
        let chunk = now(inlet.receive());
        if let Some(expected) = self.model.receive() {
            let chunk = chunk
                .expect("something waits")
                .expect("it is delivered")
                .expect("before any end");
            assert_eq!(chunk.as_slice(), expected);
            self.held.push_back(chunk);
            return;
        }
        match (self.model.ended, chunk) {
            (None, None) => self.model.wait_for_bytes(),
            (Some(End::Finished), Some(Ok(None))) | (Some(End::Aborted), Some(Err(Closed))) => {}
            (ended, chunk) => panic!("{ended:?} is seen as {chunk:?}"),
        }
    }

    fn assert_agreement(&self) {
        let (model, levels) = (&self.model, self.rig.link.levels());
        let (granted, level, count) = self.rig.credit();
        assert_eq!((granted, level), (model.granted(), model.level()));
        assert_eq!(count, model.reserved.len() + model.queued.len() + model.held.len());
        let is_advisory = model.marks.is_advisory;
        assert!(is_advisory || granted + level <= levels.high && levels.peak <= levels.high);
        assert_eq!((levels.buffered, levels.peak), (level, model.peak));
        assert_eq!(
            (levels.times_full, levels.times_empty, levels.drains),
            (model.times_full, model.times_empty, model.drains)
        );
        let pool = &self.rig.pool;
        assert_eq!(
            pool.levels().in_use,
            granted + level,
            "what is in use is what has credit"
        );
        assert!(
            pool.levels().in_use + pool.levels().free
                <= pool.limit().max(if is_advisory { pool.levels().in_use } else { 0 })
        );
    }

    /// Takes all steps and agrees after each; everything is given back at the end.
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
    fn a_link_agrees_with_its_model(marks in proptest::sample::select(&MARKS[..]), steps in steps()) {
        Both::new(marks).agree(steps);
    }

    #[test]
    fn a_link_whose_mark_is_advice_agrees_with_its_model(
        marks in proptest::sample::select(&MARKS[..]),
        steps in steps(),
    ) {
        let (high, low, chunk) = marks;
        Both::around(Rig::advisory(high, low, chunk)).agree(steps);
    }
}
