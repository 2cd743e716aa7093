//! The views, recordings and controls of one run.

use std::sync::Arc;

use crate::engine::{Observer, Sampler, Snapshot, Watch};
use crate::grammar::human_size;
use crate::view::metrics::Server;
use crate::view::record::{Recorder, stopped};
use crate::view::{self, Progress, View, say};

use super::control::Control;

/// Shows a run on standard error.
pub struct Audience {
    /// The metrics server.
    metrics: Option<Server>,
    settings: view::Settings,
    /// Whether only what must be said is said.
    is_quiet: bool,
    /// The recording, until a view writes it.
    recorder: Option<Recorder>,
    /// The run, once it has started.
    watch: Option<Arc<Watch>>,
    view: Option<View>,
    /// The socket of `highwater ctl`.
    control: Option<Control>,
}

impl Audience {
    /// Nothing is shown yet.
    pub fn new(settings: view::Settings, is_quiet: bool, recorder: Option<Recorder>, metrics: Option<Server>) -> Self {
        Self {
            metrics,
            settings,
            is_quiet,
            recorder,
            watch: None,
            view: None,
            control: None,
        }
    }

    /// What is shown while the pipeline runs.
    pub fn progress(&self) -> Progress {
        self.settings.progress
    }

    /// Ends the recording with the end object, if there is one.
    pub fn end_recording(&mut self, end: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end(end);
        }
        self.warn();
    }

    /// Ends the view, if one was started; returns the snapshot of the whole run, if it was started.
    pub fn finish(&mut self) -> Option<Snapshot> {
        self.control = None;
        drop(self.metrics.take());
        let Some(view) = self.view.take() else {
            return self.watch.take().map(|watch| Sampler::new(watch).end());
        };
        let (snapshot, recorder) = view.finish();
        self.recorder = recorder;
        Some(snapshot)
    }

    /// Reports that the recording has stopped, if it has.
    pub fn warn(&mut self) {
        if let Some(error) = self.recorder.as_mut().and_then(Recorder::trouble) {
            say(&stopped(error));
        }
    }
}

impl Observer for Audience {
    fn listening(&mut self, url: &str) {
        say(&format!("highwater: listening on {url}\n"));
    }

    fn resuming(&mut self, read: u64) {
        if !self.is_quiet && self.settings.progress != Progress::Json {
            let read = human_size(read);
            say(&format!(
                "highwater: goes on at {read} of the source, where an earlier run ended\n"
            ));
        }
    }

    fn started(&mut self, watch: &Arc<Watch>) {
        self.watch = Some(watch.clone());
        if let Some(metrics) = &self.metrics {
            metrics.show(watch.clone());
        }
    }

    fn draining(&mut self) {
        say("highwater: committing what was read; a second signal rolls back at once\n");
    }

    fn goes_on(&mut self) {
        self.control = self.watch.as_ref().and_then(Control::start);
        let recorder = self.recorder.take();
        self.view = self
            .watch
            .as_ref()
            .map(|watch| View::start(watch, self.settings.clone(), recorder));
    }
}
