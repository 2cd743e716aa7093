//! A link whose bytes do not enter this process: the producer lends the pipe that they are in, and the consumer moves them
//! on inside the kernel.
//!
//! Everything else is as with chunks: who ends the stream and who closes the link, and that a held consumer takes nothing.

use std::sync::{Arc as SharedArc, Weak};
use std::task::Context;

use tokio::time::Instant;

use super::{End, Inlet, Link, Marks, Outlet, State, set_waker};
use crate::flow::sync::{Arc, lock};
use crate::flow::{Load, Pool, StageMeter};
use crate::platform::{Descriptor, Interest};

/// Whether a link is joined.
#[derive(Debug)]
pub enum Joint {
    /// It is not: chunks pass.
    None,
    /// The producer may lend a pipe.
    Awaited,
    /// It has lent one.
    Lent(Lent),
}

/// A pipe that the producer has lent.
#[derive(Debug)]
pub struct Lent {
    from: SharedArc<Descriptor>,
    /// The consumer's own pipe that its bytes are moved to, where that is inside of the pipeline.
    to: Weak<Descriptor>,
    pub(super) producer: Arc<StageMeter>,
    /// Whether the producer is a source, so that what it sends is also what it has received.
    is_source: bool,
}

impl Lent {
    /// Bytes in both pipes, and how many they can hold.
    fn levels(&self) -> (u64, u64) {
        let to = self.to.upgrade().and_then(|to| to.kernel_queue(Interest::Write));
        let queues = [self.from.kernel_queue(Interest::Read), to];
        let queues = queues.iter().flatten();
        queues.fold((0, 0), |(bytes, capacity), queue| {
            (bytes + queue.bytes, capacity + queue.capacity.unwrap_or(0))
        })
    }
}

/// The level at which the writer of a full pipe goes on: a page is free.
pub(super) fn low(capacity: u64) -> u64 {
    const PAGE: u64 = 4 << 10;
    capacity.saturating_sub(PAGE)
}

impl Link {
    /// A link whose consumer takes a pipe instead of chunks, unless it refuses it later; then it is a link with these marks.
    #[must_use]
    pub fn joined(marks: Marks, pool: Arc<Pool>) -> Arc<Self> {
        Self::of(marks, pool, Joint::Awaited)
    }
}

impl State {
    /// Bytes in the pipes of a joined link.
    pub(super) fn measure_joint(&mut self) -> u64 {
        let Joint::Lent(pipe) = &self.joint else { return 0 };
        let (mut bytes, capacity) = pipe.levels();
        if self.pause.is_some() && !self.held {
            // A page that is not full takes the room of a whole one.
            bytes = capacity;
        }
        self.capacity = self.capacity.max(Some(capacity));
        self.peak.bytes = self.peak.bytes.max(bytes);
        bytes
    }

    /// The consumer takes nothing any more out of a pipe.
    pub(super) fn end_joint(&mut self) {
        self.end_pause();
        self.joint = Joint::None;
    }
}

impl Outlet {
    /// Lends the consumer a pipe, if it accepts one, and returns whether it does. Once [`Outlet::has_lent`] is false, its end has
    /// come, or the consumer cannot move its bytes: then the rest has to be read and sent. The consumer counts the bytes that
    /// it takes, also as received ones if this is a source.
    pub fn lend(&self, pipe: &SharedArc<Descriptor>, is_source: bool) -> bool {
        let waker = {
            let mut state = lock(&self.link.state);
            if state.closed || !matches!(state.joint, Joint::Awaited) {
                return false;
            }
            state.joint = Joint::Lent(Lent {
                from: pipe.clone(),
                to: Weak::new(),
                producer: self.meter.clone(),
                is_source,
            });
            state.wake_consumer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether the consumer still takes bytes out of the pipe that was lent. Registers the waker for the time when that
    /// changes.
    pub fn has_lent(&self, context: &mut Context<'_>) -> bool {
        let mut state = lock(&self.link.state);
        set_waker(&mut state.producer, context.waker());
        matches!(state.joint, Joint::Lent(_))
    }

    /// Whether there is no room for what is in the pipe that was lent.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        lock(&self.link.state).pause.is_some()
    }

    /// Bytes that were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.meter.bytes_out()
    }
}

impl Inlet {
    /// Whether the producer may lend a pipe instead of sending chunks.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        !matches!(lock(&self.link.state).joint, Joint::None)
    }

    /// The pipe that the producer has lent, and whether this side is held, so that nothing may be taken out of it now. What is in
    /// `to` counts for the level of the link as well.
    #[must_use]
    pub fn lent(&self, to: Option<&SharedArc<Descriptor>>) -> Option<(SharedArc<Descriptor>, bool)> {
        let mut guard = lock(&self.link.state);
        let state = &mut *guard;
        let is_held = state.is_withheld();
        let Joint::Lent(pipe) = &mut state.joint else {
            return None;
        };
        let from = pipe.from.clone();
        if state.capacity.is_none() {
            pipe.to = to.map_or_else(Weak::new, SharedArc::downgrade);
            state.measure_joint();
        }
        Some((from, is_held))
    }

    /// Counts bytes that were moved out of the pipe that was lent.
    pub fn moved(&self, count: u64) {
        let mut state = lock(&self.link.state);
        // One call may move more than the pipe holds, while its writer goes on.
        let held = count.min(state.capacity.unwrap_or(0));
        state.peak.bytes = state.peak.bytes.max(held);
        state.consumer_waits = false;
        if state.pause.is_some() {
            state.end_pause();
            state.drains += 1;
        }
        if let Joint::Lent(pipe) = &state.joint {
            if pipe.is_source {
                pipe.producer.add_in(count);
            }
            pipe.producer.add_out(count);
        }
        self.meter.add_in(count);
    }

    /// Records that the pipe that was lent is full, and that there is no room for what is in it.
    pub fn hold_up(&self) {
        let mut state = lock(&self.link.state);
        if state.pause.is_none()
            && let Joint::Lent(pipe) = &state.joint
        {
            pipe.producer.hold_up();
            state.pause = Some((Load::default(), Instant::now()));
            state.times_full += 1;
            state.measure_joint();
        }
    }

    /// Records that the pipe that was lent is empty.
    pub fn starve(&self) {
        let mut state = lock(&self.link.state);
        if !std::mem::replace(&mut state.consumer_waits, true) {
            state.times_empty += 1;
        }
    }

    /// Gives the pipe back, because its end was read, or because its bytes cannot be moved. In the latter case the link goes on
    /// with chunks.
    pub fn give_back(&self, has_ended: bool) {
        let waker = {
            let mut state = lock(&self.link.state);
            if !has_ended {
                state.capacity = None;
            }
            state.end_joint();
            state.producer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Whether a joined link keeps its end from the consumer: there may be bytes in the pipe. An abort does not wait for them.
pub(super) fn withholds_end(state: &State) -> bool {
    matches!(state.joint, Joint::Lent(_)) && state.ended != Some(End::Aborted)
}
