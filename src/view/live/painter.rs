//! Puts frames on the terminal, and other lines above them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::Snapshot;
use crate::view::ascii::for_locale;

use super::frame::{frame, frame_with_keys};
use super::history::History;
use super::keys::KeyLine;
use super::line::Line;
use super::screen::Screen;
use super::style::Style;

/// A run that ends sooner shows nothing.
const NOT_BEFORE: Duration = Duration::from_millis(200);

/// The picture that is on the terminal now, for text to be printed above it.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Draws a run.
#[derive(Debug)]
pub struct Painter {
    style: Style,
    history: History,
    screen: Screen,
    all: MultiProgress,
    /// The whole frame is one progress bar whose message has many lines.
    picture: ProgressBar,
}

impl Painter {
    /// A painter that has drawn nothing yet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let all = MultiProgress::with_draw_target(target);
        let picture = all.add(ProgressBar::no_length());
        picture.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            style,
            history: History::default(),
            screen,
            all,
            picture,
        }
    }

    /// Draws a snapshot of the run, and below it the line about keys.
    pub fn draw(&mut self, snapshot: &Snapshot, keys: Option<&KeyLine>) {
        self.history.add(snapshot.run.elapsed, snapshot.run.rss);
        if snapshot.run.elapsed < NOT_BEFORE {
            return;
        }
        let size = Screen::size();
        self.show(&match keys {
            Some(keys) => frame_with_keys(snapshot, &self.history, size, keys),
            None => frame(snapshot, &self.history, size),
        });
    }

    /// How wide a line may be, in columns.
    #[must_use]
    pub fn columns() -> usize {
        Screen::size().columns
    }

    /// How many rows the terminal has.
    #[must_use]
    pub fn rows() -> usize {
        Screen::size().rows
    }

    /// Draws any picture, each line no wider than the terminal; nothing while the terminal accepts nothing.
    pub fn show(&mut self, lines: &[Line]) {
        if !self.screen.is_ready() {
            return;
        }
        let text: Vec<String> = lines.iter().map(|line| self.style.text(line)).collect();
        let text = text.join("\n");
        self.picture.set_message(for_locale(&text).into_owned());
        let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none() {
            *shown = Some(self.all.clone());
        }
    }
}

impl Drop for Painter {
    /// Leaves a clean screen.
    fn drop(&mut self) {
        if forget() {
            self.picture.finish_and_clear();
        }
    }
}

/// Prints text above the picture on the terminal; returns whether there is one.
#[must_use]
pub fn print_above(text: &str) -> bool {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    shown.is_some_and(|shown| shown.println(text.trim_end_matches('\n')).is_ok())
}

/// Forgets the picture, so that nothing is printed above it any more; returns whether there was one.
pub fn forget() -> bool {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
}
