//! Measures the checked processes, and keeps the samples.

use std::path::Path;

use crate::error::{Failure, Kind, shown};
use crate::platform::{Tree, TreeUse, TreeWatch, Written, process_name};
use crate::view::record::Process;

use super::series::{Sample, Series};
use super::{Ending, Settings};

/// Measures trees of processes, and keeps the samples.
#[derive(Debug)]
pub struct Meter {
    watch: TreeWatch,
    /// The samples so far.
    pub series: Series,
    /// The process with the most memory at the peak of all.
    pub holder: Option<Process<'static>>,
}

impl Meter {
    /// Measures for the first time, to find out whether that is possible. Files below `folder` are temporary.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the system cannot measure processes.
    pub fn new(trees: Vec<Tree>, folder: Option<&Path>) -> Result<Self, Failure> {
        let mut watch = TreeWatch::new(trees, folder);
        watch
            .measure()
            .map_err(|error| Failure::io(Kind::Usage, "cannot measure the memory of other processes", error))?;
        Ok(Self {
            watch,
            series: Series::default(),
            holder: None,
        })
    }

    /// The present use of the processes.
    pub fn measure(&mut self) -> Result<TreeUse, Failure> {
        let used = self
            .watch
            .measure()
            .map_err(|error| Failure::io(Kind::Resources, "cannot look at the processes", error))?;
        if self.series.peak().is_none_or(|peak| used.memory > peak.memory) {
            self.holder = used.largest.and_then(process).or(self.holder.take());
        }
        Ok(used)
    }

    /// The files that they wrote.
    pub fn written(&self) -> Written {
        self.watch.written()
    }
}

fn process(pid: i32) -> Option<Process<'static>> {
    let name = process_name(u32::try_from(pid).ok()?)?;
    Some(Process {
        pid,
        name: shown(name.as_bytes()).into(),
    })
}

/// Whether a limit of the check was passed.
pub fn passed(settings: &Settings, sample: &Sample) -> Option<Ending> {
    if sample.memory > settings.max_rss {
        Some(Ending::TooLarge(settings.max_rss))
    } else if sample.disk > settings.max_disk {
        Some(Ending::TooMuchDisk(settings.max_disk))
    } else {
        None
    }
}
