//! Local outputs that can be rolled back until they are committed.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Failure, Stop};
use crate::stage::{BoxFuture, Outcome, Rollback};

/// How an output is rolled back without a noticeable wait.
pub trait Revoke: Send + Sync {
    /// Rolls it back, as far as possible.
    ///
    /// # Errors
    /// If that fails; the message names what is left behind.
    fn revoke(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// What would be left behind.
    fn name(&self) -> String;
}

/// An output that is either committed or rolled back, once.
#[derive(Debug, Default)]
pub struct Revocable<T> {
    output: T,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Committed,
    RolledBack,
}

impl<T> Revocable<T> {
    /// An output that is neither yet.
    pub fn new(output: T) -> Self {
        Self {
            output,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something during which it is not rolled back; `None` if it was before.
    pub fn unless_rolled_back<R>(&self, act: impl FnOnce(&T) -> R) -> Option<R> {
        let state = self.state();
        (*state != State::RolledBack).then(|| act(&self.output))
    }

    /// Commits it with `act`, unless it was rolled back.
    pub fn commit(&self, act: impl FnOnce(&T) -> Result<(), Failure>) -> Outcome {
        let mut state = self.state();
        if *state == State::RolledBack {
            return Err(Stop::PeerClosed);
        }
        act(&self.output)?;
        *state = State::Committed;
        Ok(())
    }
}

impl<T: Revoke> Revocable<T> {
    /// Rolls it back, unless it was committed.
    pub fn roll_back_now(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if *state != State::Open {
            return Ok(());
        }
        *state = State::RolledBack;
        self.output.revoke()
    }
}

impl<T> Deref for Revocable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.output
    }
}

impl<T: Revoke + 'static> Rollback for Revocable<T> {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move { self.roll_back_now() })
    }

    fn is_committed(&self) -> bool {
        *self.state() == State::Committed
    }

    fn name(&self) -> String {
        self.output.name()
    }
}
