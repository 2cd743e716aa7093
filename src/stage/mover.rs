//! Moves the bytes of a pipe that a link's producer has lent, inside the kernel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{Inlet, Wait};
use crate::platform::{Descriptor, Interest, Transfer};

use super::fill::Fill;

/// What has become of a lent pipe, and what its next move waits for. See [`Inlet::lent`].
#[derive(Debug, Default)]
pub struct Mover {
    from: Option<Arc<Descriptor>>,
    /// Whether that pipe can hold what comes during a rest.
    is_roomy: bool,
    awaits: Awaited,
    /// Whether the reader behind it had nothing left when bytes were moved last.
    was_starved: bool,
    fill: Fill,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Awaited {
    #[default]
    Bytes,
    Room,
    /// Some time, in which bytes gather, so that one call moves many.
    Rest,
    /// The end of a pause.
    Release,
}

/// How long bytes may gather. Each move costs a call and two switches between threads, and a program may write small pieces.
const REST: Duration = Duration::from_micros(200);
/// The least that a pipe must hold so that no program fills it in that time.
const ROOMY: u64 = 512 << 10;
/// The most that one call moves, so that a cancel never waits long for it.
const MOST: usize = 16 << 20;

impl Mover {
    /// Takes the pipe that is lent, if there is one; what is in `to` counts for the level of the link. To be called before every
    /// wait.
    pub fn take(&mut self, inlet: &Inlet, to: Option<&Arc<Descriptor>>) {
        let (from, is_held) = inlet.lent(to).unzip();
        self.awaits = match self.awaits {
            _ if is_held == Some(true) => Awaited::Release,
            Awaited::Release => Awaited::Bytes,
            other => other,
        };
        if let (Some(from), None) = (&from, &self.from) {
            let queue = from.kernel_queue(Interest::Read);
            self.is_roomy = queue.and_then(|queue| queue.capacity) >= Some(ROOMY);
        }
        self.from = from;
    }

    /// Whether there is a pipe.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        self.from.is_some()
    }

    /// The pipe, while nothing is in it.
    #[must_use]
    pub fn awaits_bytes(&self) -> Option<&Arc<Descriptor>> {
        self.from.as_ref().filter(|_| self.awaits == Awaited::Bytes)
    }

    /// Whether there is no room for what is in the pipe.
    #[must_use]
    pub fn awaits_room(&self) -> bool {
        self.is_lent() && self.awaits == Awaited::Room
    }

    /// How long bytes may gather before the next move.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        (self.is_lent() && self.awaits == Awaited::Rest).then_some(REST)
    }

    /// What the stage waits for if neither for bytes nor for room. A reader that had nothing left after the last rest will have
    /// nothing left after this one.
    #[must_use]
    pub fn kind_of_wait(&self) -> Wait {
        if self.was_starved && self.awaits != Awaited::Release {
            Wait::Idle
        } else {
            Wait::Outside
        }
    }

    /// Counts the producer as held up if it is; returns whether that may change without anything to be told by.
    pub fn look_in_front(&mut self, inlet: &Inlet) -> bool {
        let stays = matches!(self.awaits, Awaited::Room | Awaited::Release);
        let pipe = self.from.as_ref().filter(|_| stays);
        let is_full = pipe.map(|pipe| self.fill.is_full(pipe));
        if is_full == Some(true) {
            inlet.hold_up();
        }
        is_full == Some(false)
    }

    /// Moves what is in the pipe, as far as there is room, and counts it. A pipe that has ended or cannot be moved is given
    /// back.
    ///
    /// # Errors
    /// As [`Descriptor::splice_to`].
    pub fn advance(&mut self, inlet: &Inlet, to: &Descriptor) -> io::Result<Transfer> {
        let Some(from) = self.from.as_ref().filter(|_| self.awaits != Awaited::Release) else {
            return Ok(Transfer::NotReady);
        };
        self.was_starved = to.kernel_queue(Interest::Write).is_none_or(|queue| queue.bytes == 0);
        let moved = from.splice_to(to, MOST)?;
        match moved {
            None | Some(Transfer::Bytes(0)) => {
                inlet.give_back(moved.is_some());
                self.from = None;
            }
            Some(Transfer::Bytes(count)) => {
                inlet.moved(count as u64);
                self.fill = Fill::default();
                self.awaits = if self.is_roomy { Awaited::Rest } else { Awaited::Bytes };
                return Ok(Transfer::Bytes(count));
            }
            Some(Transfer::NotReady) => {
                let has_bytes = from.kernel_queue(Interest::Read).is_some_and(|queue| queue.bytes > 0);
                if has_bytes {
                    self.awaits = Awaited::Room;
                } else {
                    self.awaits = Awaited::Bytes;
                    inlet.starve();
                }
            }
        }
        Ok(Transfer::NotReady)
    }
}
