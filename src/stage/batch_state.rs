//! How far a stage is that runs a pipeline for each part of its input.

use std::time::Instant;

use crate::error::Stop;

use super::Outcome;

/// The batches of a stage.
#[derive(Debug, Clone, Default)]
pub struct BatchState {
    /// Those that are complete and durable.
    pub committed: u64,
    /// Runs that failed.
    pub failed: u64,
    /// The one that is being filled.
    pub filling: Option<Filling>,
    /// Whether one has all its bytes and is being committed.
    pub is_committing: bool,
    /// How the last one ended: `committed`, or why it failed.
    pub last: Option<String>,
}

/// What a batch has that is being filled.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    /// In bytes.
    pub bytes: u64,
    /// In records.
    pub records: u64,
    /// When its first byte came.
    pub since: Instant,
}

impl BatchState {
    /// Counts a run that is over. One that was told to stop is neither committed nor failed.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(()) => {
                self.committed += 1;
                self.last = Some("committed".to_owned());
            }
            Err(Stop::Failed(failure)) => {
                self.failed += 1;
                self.last = Some(failure.to_string());
            }
            Err(Stop::PeerClosed) => {}
        }
    }
}
