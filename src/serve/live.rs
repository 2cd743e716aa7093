//! The runs that there are now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::engine::Watch;
use crate::graph::NodeId;

/// The runs, by number, the oldest first.
#[derive(Debug, Default)]
pub struct Live {
    runs: Mutex<(u64, BTreeMap<u64, LiveRun>)>,
}

/// One run.
#[derive(Debug, Clone)]
pub struct LiveRun {
    /// The address of its client.
    pub client: SocketAddr,
    /// The number of its route.
    pub route: usize,
    /// When its request came.
    pub begun: Instant,
    /// The stage that reads the request's body, if one does.
    pub source: Option<NodeId>,
    /// The stage that writes the response's body, if one does.
    pub sink: Option<NodeId>,
    /// What it does; `None` while it is being opened.
    pub watch: Option<Arc<Watch>>,
}

/// A run that is shown until this is dropped.
#[derive(Debug)]
pub struct Listed {
    live: Arc<Live>,
    number: u64,
}

impl Live {
    fn runs(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, LiveRun>)> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a run.
    pub fn add(self: &Arc<Self>, run: LiveRun) -> Listed {
        let mut runs = self.runs();
        runs.0 += 1;
        let number = runs.0;
        runs.1.insert(number, run);
        Listed {
            live: self.clone(),
            number,
        }
    }

    /// All of them now, with their numbers.
    pub fn all(&self) -> Vec<(u64, LiveRun)> {
        let runs = self.runs();
        runs.1.iter().map(|(number, run)| (*number, run.clone())).collect()
    }

    /// How many there are of each route.
    pub fn by_route(&self, routes: usize) -> Vec<usize> {
        let mut counts = vec![0; routes];
        for run in self.runs().1.values() {
            counts[run.route] += 1;
        }
        counts
    }

    /// Bytes that all runs hold in buffers and state.
    pub fn held_bytes(&self) -> u64 {
        let runs = self.runs();
        let watches = runs.1.values().filter_map(|run| run.watch.as_ref());
        watches.map(|watch| watch.held_bytes()).sum()
    }
}

impl Listed {
    /// Sets what the run does.
    pub fn started(&self, watch: Arc<Watch>) {
        if let Some(run) = self.live.runs().1.get_mut(&self.number) {
            run.watch = Some(watch);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.live.runs().1.remove(&self.number);
    }
}
