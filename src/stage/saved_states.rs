//! The states of a running stage, from which another run can start.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flow::Position;

/// The states of one stage at positions that the sink has not reached, and the one that the stage starts with.
///
/// Their number is bounded: where positions follow each other too closely, only some of them are passed on.
#[derive(Debug, Default)]
pub struct SavedStates(Mutex<Saved>);

#[derive(Debug, Default)]
struct Saved {
    start: Option<Vec<u8>>,
    states: VecDeque<(Position, Vec<u8>)>,
    /// The last position that was passed on.
    last: Position,
    /// How far the next one is from it at least.
    spacing: u128,
}

impl SavedStates {
    /// The most states that are kept.
    const MOST: usize = 256;
    /// Bytes of the largest state.
    pub const LARGEST: usize = 256;
    /// The most bytes of memory that all of them take.
    pub const MEMORY: u64 = (Self::MOST * (Self::LARGEST + size_of::<(Position, Vec<u8>)>())) as u64;

    fn lock(&self) -> MutexGuard<'_, Saved> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the state that the stage starts with.
    pub fn restore(&self, state: Vec<u8>) {
        self.lock().start = Some(state);
    }

    /// The state that the stage starts with, if it is not the first run.
    #[must_use]
    pub fn start(&self) -> Option<Vec<u8>> {
        self.lock().start.clone()
    }

    /// Saves the state at a position; returns whether the position may be passed on.
    ///
    /// # Panics
    /// If the state is larger than [`SavedStates::LARGEST`].
    pub fn save(&self, position: Position, state: impl FnOnce() -> Vec<u8>) -> bool {
        let mut saved = self.lock();
        if position.0 < saved.last.0.saturating_add(saved.spacing) {
            return false;
        }
        if saved.states.len() == Self::MOST {
            let first = saved.states.front().map_or(position, |(first, _)| *first);
            saved.spacing = 2 * (position.0 - first.0) / Self::MOST as u128;
            let mut stays = false;
            saved.states.retain(|_| {
                stays = !stays;
                stays
            });
        }
        let state = state();
        assert!(state.len() <= Self::LARGEST, "a state has {} bytes", state.len());
        saved.last = position;
        saved.states.push_back((position, state));
        true
    }

    /// The state at a position that the sink has reached, if it was kept. Earlier ones are dropped.
    #[must_use]
    pub fn at(&self, position: Position) -> Option<Vec<u8>> {
        let mut saved = self.lock();
        while saved.states.front().is_some_and(|(at, _)| *at < position) {
            saved.states.pop_front();
        }
        let (at, state) = saved.states.front()?;
        (*at == position).then(|| state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_found_at_their_positions() {
        let saved = SavedStates::default();
        for position in [10, 20, 30] {
            assert!(saved.save(Position(position), || vec![u8::try_from(position).expect("small")]));
        }
        assert_eq!(saved.at(Position(20)), Some(vec![20]));
        assert_eq!(saved.at(Position(20)), Some(vec![20]), "it stays");
        assert_eq!(saved.at(Position(10)), None, "it was dropped");
        assert_eq!(saved.at(Position(25)), None);
        assert_eq!(saved.at(Position(30)), Some(vec![30]));
    }

    #[test]
    fn number_of_states_is_bounded() {
        let saved = SavedStates::default();
        let mut passed = Vec::new();
        for position in 1..100_000 {
            if saved.save(Position(position), || vec![1; 8]) {
                passed.push(position);
            }
            assert!(saved.lock().states.len() <= SavedStates::MOST);
        }
        assert!(passed.len() < 20 * SavedStates::MOST, "{} passed", passed.len());
        let last = passed.last().copied().expect("some");
        assert!(last > 98_000, "it goes on to the end, and not to {last}");
        assert!(saved.at(Position(last)).is_some());
    }

    #[test]
    fn drained_states_make_no_gaps() {
        let saved = SavedStates::default();
        for position in 1..10_000 {
            let is_passed = saved.save(Position(position), Vec::new);
            assert!(is_passed, "the sink keeps up at {position}");
            assert_eq!(saved.at(Position(position)), Some(Vec::new()));
        }
    }
}
