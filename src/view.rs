//! Views of a run for people and scripts. Each view turns a snapshot into text; none touches the data path.
//!
//! The live view also has keys, which explain it and change a run's controls.
//!
//! A [`View`] has a thread of its own. It looks at the run ten times a second, writes when there is something new, and
//! never waits for a reader of standard error that has stopped reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::engine::{Observed, Sampler, Snapshot, Watch};
use crate::platform::{release_keyboard, spawn, write_patiently};

pub mod ascii;
pub mod clock;
pub mod contrast;
mod excess;
pub mod json;
pub mod keys;
pub mod levels;
pub mod live;
pub mod metrics;
pub mod plain;
pub mod record;
pub mod sentence;
pub mod summary;

use keys::Keys;
use live::Painter;
use record::Recorder;

/// What to show while a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// One picture, redrawn at the same place.
    Live,
    /// One line each interval.
    Plain,
    /// One JSON object each interval.
    Json,
    /// Nothing.
    None,
}

/// What a view shows and when.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to show.
    pub progress: Progress,
    /// How often.
    pub interval: Duration,
    /// Set by a signal: one plain line is to be written now.
    pub asked: Arc<AtomicBool>,
    /// How the live view looks.
    pub style: live::Style,
    /// Whether the live view may take keys from the terminal.
    pub keys: bool,
}

/// How often the view takes a reading, whatever its interval: often enough to name the bottleneck.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often the live view is drawn: a faster one could not be read.
const FRAME: Duration = Duration::from_millis(200);
/// How long the view's thread may take to end: it may be waiting for its reader.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reader of standard error may take before it misses something.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// Messages to the view's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The run is over.
    Over,
    /// A key has changed what is shown.
    Redraw,
}

/// A running view.
#[derive(Debug)]
pub struct View {
    events: Sender<Event>,
    /// The snapshot of the whole run, once it is over; `None` if no thread could be started.
    end: Option<Receiver<(Snapshot, Option<Recorder>)>>,
    /// Used if no thread could be started.
    observed: Arc<dyn Observed>,
}

impl View {
    /// Starts to observe a run that keys may steer, and to record it with `recorder`.
    #[must_use]
    pub fn start(watch: &Arc<Watch>, settings: Settings, recorder: Option<Recorder>) -> Self {
        Self::begin(watch.clone(), Some(watch.clone()), settings, recorder)
    }

    /// Starts to observe a pipeline that is not steered, and to record it with `recorder`.
    #[must_use]
    pub fn observe(observed: Arc<dyn Observed>, settings: Settings, recorder: Option<Recorder>) -> Self {
        Self::begin(observed, None, settings, recorder)
    }

    fn begin(
        observed: Arc<dyn Observed>,
        steered: Option<Arc<Watch>>,
        settings: Settings,
        recorder: Option<Recorder>,
    ) -> Self {
        let (events, happened) = channel();
        let redraw = events.clone();
        let has_keys = settings.progress == Progress::Live && settings.keys;
        let keys = has_keys.then(|| {
            Keys::start(steered, move || {
                // Without a view there is nothing to draw.
                let _ = redraw.send(Event::Redraw);
            })
        });
        let keys = keys.flatten();
        let sampler = Sampler::new(observed.clone());
        // Its shares are those since its own last sample, whatever is shown in between.
        let recording = recorder.map(|recorder| (Sampler::new(observed.clone()), recorder));
        let (last, end) = channel();
        let thread = spawn("view", 256 << 10, move || {
            let mut ticker = Ticker::new(sampler, settings, keys, recording);
            loop {
                match happened.recv_timeout(ticker.until_next()) {
                    Err(RecvTimeoutError::Timeout) => ticker.tick(),
                    Ok(Event::Redraw) => ticker.report(),
                    Ok(Event::Over) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            let _ = last.send(ticker.end());
        });
        Self {
            events,
            end: thread.is_ok().then_some(end),
            observed,
        }
    }

    /// Ends the view and leaves a clean screen; returns the snapshot of the whole run, and the recording to be ended.
    /// Waits neither for a terminal that has stopped reading nor for a recording's failed disk.
    #[must_use]
    pub fn finish(self) -> (Snapshot, Option<Recorder>) {
        // The terminal's modes are restored before anything else is written, even if the screen is still being drawn.
        release_keyboard();
        let _ = self.events.send(Event::Over);
        let ended = self.end.and_then(|end| end.recv_timeout(STOP_TIMEOUT).ok());
        live::forget();
        ended.unwrap_or_else(|| (Sampler::new(self.observed).end(), None))
    }
}

/// Writes text to standard error, in the character set of the locale.
pub fn say(text: &str) {
    say_exactly(&ascii::for_locale(text));
}

/// Writes text to standard error unchanged, above the live view if there is one; a reader that does not accept it in
/// time misses it.
pub fn say_exactly(text: &str) {
    /// Whether a write has timed out. The timeout applies once.
    static STUCK: AtomicBool = AtomicBool::new(false);
    if !live::print_above(text) {
        let patience = if STUCK.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            WRITE_TIMEOUT
        };
        STUCK.store(!write_patiently(text.as_bytes(), patience), Ordering::Relaxed);
    }
}

/// Decides at each reading whether to write something.
struct Ticker {
    sampler: Sampler,
    settings: Settings,
    painter: Option<Painter>,
    keys: Option<Keys>,
    recording: Option<(Sampler, Recorder)>,
    next_poll: Instant,
    next_report: Instant,
}

impl Ticker {
    fn new(sampler: Sampler, settings: Settings, keys: Option<Keys>, recording: Option<(Sampler, Recorder)>) -> Self {
        let now = Instant::now();
        Self {
            sampler,
            painter: (settings.progress == Progress::Live).then(|| Painter::new(settings.style)),
            keys,
            recording,
            next_poll: now + POLL_INTERVAL,
            next_report: now + interval(&settings),
            settings,
        }
    }

    fn until_next(&self) -> Duration {
        let next = match self.settings.progress {
            Progress::None => self.next_poll,
            Progress::Live | Progress::Plain | Progress::Json => self.next_poll.min(self.next_report),
        };
        next.saturating_duration_since(Instant::now())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.settings.asked.swap(false, Ordering::Relaxed) {
            say(&plain::line(&self.sampler.sample()));
        }
        if self.settings.progress != Progress::None && now >= self.next_report {
            self.report();
            // Missed reports are skipped.
            while self.next_report <= now {
                self.next_report += interval(&self.settings);
            }
        }
        if now >= self.next_poll {
            self.sampler.observe();
            self.record();
            while self.next_poll <= now {
                self.next_poll += POLL_INTERVAL;
            }
        }
    }

    fn report(&mut self) {
        match (&mut self.painter, self.settings.progress) {
            (Some(painter), _) => {
                let keys = self.keys.as_ref().and_then(Keys::shown);
                painter.draw(&self.sampler.recent(), keys.as_ref());
            }
            (None, Progress::Json) => say_exactly(&json::sample(&self.sampler.sample())),
            (None, _) => say(&plain::line(&self.sampler.sample())),
        }
    }

    /// Adds a sample to the recording.
    fn record(&mut self) {
        if let Some((sampler, recorder)) = &mut self.recording {
            recorder.sample(&sampler.sample());
            if let Some(error) = recorder.trouble() {
                say(&record::stopped(error));
            }
        }
    }

    /// Leaves a clean screen; returns the snapshot of the whole run.
    fn end(mut self) -> (Snapshot, Option<Recorder>) {
        drop(self.painter.take());
        (self.sampler.end(), self.recording.map(|(_, recorder)| recorder))
    }
}

/// How often something is written.
fn interval(settings: &Settings) -> Duration {
    if settings.progress == Progress::Live {
        FRAME
    } else {
        settings.interval
    }
}
