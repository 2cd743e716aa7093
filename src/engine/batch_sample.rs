//! The numbers of a stage that runs a pipeline for each batch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::seconds;
use crate::stage::BatchState;

/// The batches of a stage at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchSample {
    /// Those that are complete and durable.
    #[serde(rename = "batches_committed")]
    pub committed: u64,
    /// Runs that failed.
    #[serde(rename = "batches_failed")]
    pub failed: u64,
    /// Whether one has all its bytes and is being committed.
    #[serde(rename = "batch_committing")]
    pub is_committing: bool,
    /// What the one has that is being filled, if there is one.
    #[serde(rename = "batch_bytes")]
    pub bytes: Option<u64>,
    /// The same in records; 0 where none flow.
    #[serde(rename = "batch_records")]
    pub records: Option<u64>,
    /// The time since its first byte.
    #[serde(rename = "batch_age_s", with = "seconds::optional")]
    pub age: Option<Duration>,
    /// How the last one ended: `committed`, or why it failed.
    #[serde(rename = "batch_last")]
    pub last: Option<String>,
}

impl From<BatchState> for BatchSample {
    fn from(state: BatchState) -> Self {
        Self {
            committed: state.committed,
            failed: state.failed,
            is_committing: state.is_committing,
            bytes: state.filling.map(|filling| filling.bytes),
            records: state.filling.map(|filling| filling.records),
            age: state.filling.map(|filling| filling.since.elapsed()),
            last: state.last,
        }
    }
}

impl BatchSample {
    /// How many are not committed yet.
    #[must_use]
    pub fn open(&self) -> u64 {
        u64::from(self.bytes.is_some()) + u64::from(self.is_committing)
    }
}
