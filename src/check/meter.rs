//! Measures the processes that are checked, and keeps the samples.

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
    /// Looks for the first time, to see whether that can be done. What is written below `folder` is temporary.
    ///
    /// # Errors
    /// [`Kind::Usage`] where the system does not tell what is needed.
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

    /// What they use now.
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

    /// What became of the files that they wrote.
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
