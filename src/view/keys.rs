//! Keys of the live view, which explain it, and change the controls of a run.
//!
//! They are read from the controlling terminal, whatever standard input is, by a thread of their own. It does nothing
//! to a terminal unless this process is in its foreground and no other program has changed its modes. It waits for the
//! first bytes, because the program that writes to our standard input may still ask for a password there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{Controls, Watch};
use crate::platform::{Keyboard, interrupt_this_process, spawn};

use super::live::KeyLine;

mod hand;
mod steps;

use hand::{Hand, KeyCommand};

/// The longest time until a terminal that has become available is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The keys of one view.
#[derive(Debug)]
pub struct Keys {
    state: Arc<Mutex<State>>,
    run: Option<Arc<Watch>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the terminal is taken now.
    is_taken: bool,
    hand: Hand,
}

impl Keys {
    /// Starts to read keys, of which some change the `run` if there is one; `None` if there is no terminal to read them
    /// from. It calls `redraw` after each key that has a meaning.
    pub fn start(run: Option<Arc<Watch>>, redraw: impl Fn() + Send + 'static) -> Option<Self> {
        let keyboard = Keyboard::open()?;
        let keys = Self {
            state: Arc::default(),
            run: run.clone(),
        };
        let reader = Reader {
            keyboard,
            state: keys.state.clone(),
            run,
            redraw,
        };
        spawn("keys", 128 << 10, move || reader.run()).is_ok().then_some(keys)
    }

    /// The line about keys on the screen; `None` while the terminal is not taken.
    #[must_use]
    pub fn shown(&self) -> Option<KeyLine> {
        let state = lock(&self.state);
        let shown = || state.hand.shown(controls(self.run.as_ref()), Instant::now());
        state.is_taken.then(shown)
    }
}

fn controls(run: Option<&Arc<Watch>>) -> Option<&Controls> {
    run.map(|watch| watch.controls())
}

/// The state of the thread.
struct Reader<R> {
    keyboard: Keyboard,
    state: Arc<Mutex<State>>,
    run: Option<Arc<Watch>>,
    redraw: R,
}

impl<R: Fn()> Reader<R> {
    /// Reads until the process ends: the signals that stop it are handled here, too.
    fn run(self) {
        loop {
            let has_begun = self.run.as_ref().is_none_or(|watch| watch.has_begun());
            let is_taken = has_begun && self.keyboard.take();
            lock(&self.state).is_taken = is_taken;
            let Ok(typed) = self.keyboard.wait(POLL_INTERVAL) else {
                return;
            };
            // An escape sequence is a key without a letter, which has no meaning here.
            if typed.first() != Some(&b'\x1b') {
                for key in typed {
                    self.press(key);
                }
            }
        }
    }

    fn press(&self, key: u8) {
        let deed = lock(&self.state)
            .hand
            .press(key, controls(self.run.as_ref()), Instant::now());
        match deed {
            Some(KeyCommand::Show) => (self.redraw)(),
            Some(KeyCommand::Quit) => interrupt_this_process(),
            None => {}
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
