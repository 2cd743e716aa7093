//! Keys in the live view: hands on the valve.
//!
//! They are read from the controlling terminal, whatever standard input is, by a thread of their own. It touches nothing
//! of a terminal in whose foreground it is not, and nothing that somebody else has set up for himself. It waits for the
//! first bytes: whoever writes into our standard input may still ask for a password there.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::Watch;
use crate::platform::{Keyboard, interrupt_this_process, spawn};

use super::Event;
use super::live::KeyLine;

mod hand;
mod steps;

use hand::{Hand, KeyCommand};

/// How long it takes at most until a terminal that has become free, or ours, is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The keys of one view.
#[derive(Debug)]
pub struct Keys {
    state: Arc<Mutex<State>>,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the terminal is ours at this moment.
    is_taken: bool,
    hand: Hand,
}

impl Keys {
    /// Starts to read keys; `None` where there is no terminal to read them from. Each that means something asks for a new
    /// picture.
    pub fn start(watch: &Arc<Watch>, redraw: Sender<Event>) -> Option<Self> {
        let keyboard = Keyboard::open()?;
        let keys = Self {
            state: Arc::default(),
            watch: watch.clone(),
        };
        let reader = Reader {
            keyboard,
            state: keys.state.clone(),
            watch: watch.clone(),
            redraw,
        };
        spawn("keys", 128 << 10, move || reader.run()).is_ok().then_some(keys)
    }

    /// What the screen shows of them; nothing while the terminal is not ours.
    pub fn shown(&self) -> Option<KeyLine> {
        let state = lock(&self.state);
        let shown = || state.hand.shown(self.watch.controls(), Instant::now());
        state.is_taken.then(shown)
    }
}

/// The thread's own things.
struct Reader {
    keyboard: Keyboard,
    state: Arc<Mutex<State>>,
    watch: Arc<Watch>,
    redraw: Sender<Event>,
}

impl Reader {
    /// Reads until the process ends: the signals that stop it are heeded here, too.
    fn run(self) {
        loop {
            let is_taken = self.watch.has_begun() && self.keyboard.take();
            lock(&self.state).is_taken = is_taken;
            let Ok(typed) = self.keyboard.wait(POLL_INTERVAL) else {
                return;
            };
            // An escape sequence is a key that has no letter, and means nothing here.
            if typed.first() != Some(&b'\x1b') {
                for key in typed {
                    self.press(key);
                }
            }
        }
    }

    fn press(&self, key: u8) {
        let deed = lock(&self.state).hand.press(key, self.watch.controls(), Instant::now());
        match deed {
            Some(KeyCommand::Show) => {
                // Where the view is gone, there is nothing to draw.
                let _ = self.redraw.send(Event::Redraw);
            }
            Some(KeyCommand::Quit) => interrupt_this_process(),
            None => {}
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
