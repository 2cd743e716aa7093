//! Maps the numbers of the stats object to metrics.
//!
//! Metrics are named by the conventions of Prometheus: base units, counters ending in `_total`, related metrics in one
//! family with labels. A number that is unknown or missing has no sample.

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It never decreases.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Metrics of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The whole name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The description, a sentence with a full stop.
    pub help: &'static str,
}

/// A number of the stats object as a metric.
pub struct Field {
    /// Its key there.
    pub key: &'static str,
    /// The family of its metric.
    pub family: Family,
    /// What distinguishes it from the others of its family: a label and its value.
    pub label: Option<(&'static str, &'static str)>,
}

const fn gauge(key: &'static str, name: &'static str, help: &'static str) -> Field {
    field(key, name, Kind::Gauge, help)
}

const fn counter(key: &'static str, name: &'static str, help: &'static str) -> Field {
    field(key, name, Kind::Counter, help)
}

const fn field(key: &'static str, name: &'static str, kind: Kind, help: &'static str) -> Field {
    Field {
        key,
        family: Family { name, kind, help },
        label: None,
    }
}

impl Field {
    const fn with(self, label: &'static str, value: &'static str) -> Self {
        Self {
            label: Some((label, value)),
            ..self
        }
    }
}

/// Metrics of the whole run.
pub static RUN: &[Field] = &[
    gauge(
        "elapsed_s",
        "highwater_elapsed_seconds",
        "Time since the stages were started.",
    ),
    gauge(
        "rss_bytes",
        "highwater_resident_memory_bytes",
        "Resident memory of the process.",
    ),
    gauge(
        "rss_peak_bytes",
        "highwater_resident_memory_peak_bytes",
        "The most that was ever resident.",
    ),
    gauge(
        "buffered_bytes",
        "highwater_buffered_bytes",
        "Buffers that chunks of the stream hold.",
    ),
    gauge(
        "buffered_peak_bytes",
        "highwater_buffered_peak_bytes",
        "The most that was ever held.",
    ),
    gauge(
        "pool_free_bytes",
        "highwater_pool_free_bytes",
        "Buffers that wait for reuse.",
    ),
    gauge(
        "state_bytes",
        "highwater_state_bytes",
        "What stages hold besides buffers, such as the state of codecs.",
    ),
    gauge(
        "memory_limit_bytes",
        "highwater_memory_limit_bytes",
        "The ceiling over buffers and state.",
    ),
    gauge("paused", "highwater_paused", "Whether the sink is paused."),
    gauge(
        "expected_bytes",
        "highwater_expected_bytes",
        "What the source is expected to give; absent where that is not known.",
    ),
    gauge(
        "progress",
        "highwater_progress_ratio",
        "The share of what is expected that has reached the sink which is farthest behind; absent where that is not known.",
    ),
    gauge(
        "remaining_s",
        "highwater_remaining_seconds",
        "How long the rest takes at the rate of the last seconds; absent where that is not known.",
    ),
];

const STAGE_BYTES: &str = "highwater_stage_bytes_total";
const STAGE_BYTES_HELP: &str =
    "Bytes that a stage took in and gave out; of a source and a sink, what crossed its outer side.";
const STAGE_RECORDS: &str = "highwater_stage_records_total";
const STAGE_RECORDS_HELP: &str = "Records that a stage took in and gave out; absent where none flow.";
const STAGE_SECONDS: &str = "highwater_stage_seconds_total";
const STAGE_SECONDS_HELP: &str = "How a stage spent its time: idle is waiting for input or ended, backpressured is waiting for \
                                  room, busy is the rest.";

/// Metrics of each stage.
pub static STAGE: &[Field] = &[
    counter("bytes_in", STAGE_BYTES, STAGE_BYTES_HELP).with("direction", "in"),
    counter("bytes_out", STAGE_BYTES, STAGE_BYTES_HELP).with("direction", "out"),
    counter("records_in", STAGE_RECORDS, STAGE_RECORDS_HELP).with("direction", "in"),
    counter("records_out", STAGE_RECORDS, STAGE_RECORDS_HELP).with("direction", "out"),
    counter(
        "rejected",
        "highwater_stage_rejected_total",
        "Records that a stage dropped because they are bad or too long; absent where none flow.",
    ),
    counter(
        "dropped",
        "highwater_stage_dropped_total",
        "Records that a stage dropped because a link was full; absent where none flow.",
    ),
    counter("busy", STAGE_SECONDS, STAGE_SECONDS_HELP).with("state", "busy"),
    counter("idle", STAGE_SECONDS, STAGE_SECONDS_HELP).with("state", "idle"),
    counter("backpressured", STAGE_SECONDS, STAGE_SECONDS_HELP).with("state", "backpressured"),
    counter(
        "waiting_outside",
        "highwater_stage_waiting_outside_seconds_total",
        "The part of a stage's busy time that it waited for a disk, a peer or a terminal.",
    ),
    counter(
        "throttling",
        "highwater_stage_throttling_seconds_total",
        "The part of a stage's busy time that it waited on purpose, to keep its rate.",
    ),
    gauge(
        "kernel_queue_bytes",
        "highwater_stage_kernel_queue_bytes",
        "Bytes in the kernel queue of a source's or a sink's pipe or socket; absent without one.",
    ),
    gauge(
        "kernel_queue_capacity_bytes",
        "highwater_stage_kernel_queue_capacity_bytes",
        "How much such a pipe or socket can hold; absent where that is not known.",
    ),
    gauge(
        "snapshot_age_s",
        "highwater_stage_snapshot_age_seconds",
        "How long a database has kept the snapshot of a source's query; absent of other stages.",
    ),
    counter(
        "batches_committed",
        "highwater_stage_batches_committed_total",
        "Batches that are complete and durable; absent where a stage makes none.",
    ),
    counter(
        "batches_failed",
        "highwater_stage_batches_failed_total",
        "Runs of a batch that failed; absent where a stage makes none.",
    ),
    gauge(
        "batch_committing",
        "highwater_stage_batch_committing",
        "Whether a batch is being committed: 1 or 0; absent where a stage makes none.",
    ),
    gauge(
        "batch_bytes",
        "highwater_stage_batch_bytes",
        "Bytes of the batch that is being filled; absent without one.",
    ),
    gauge(
        "batch_records",
        "highwater_stage_batch_records",
        "Records of the batch that is being filled; absent without one.",
    ),
    gauge(
        "batch_age_s",
        "highwater_stage_batch_age_seconds",
        "The time since the first byte of the batch that is being filled; absent without one.",
    ),
    gauge(
        "acknowledged_position",
        "highwater_stage_acknowledged_position",
        "The position of a source's input up to which everything is durable; absent where it does not note that.",
    ),
    gauge(
        "backlog_bytes",
        "highwater_stage_backlog_bytes",
        "Bytes that a writer has added to a followed file and that are not read yet; absent of other stages.",
    ),
    gauge(
        "pending",
        "highwater_stage_pending_messages",
        "Messages that wait at the server of a source's queue; absent of other stages.",
    ),
    gauge(
        "unacknowledged",
        "highwater_stage_unacknowledged_messages",
        "Messages of a queue that came and are not acknowledged; absent of other stages.",
    ),
    counter(
        "redelivered",
        "highwater_stage_redelivered_messages_total",
        "Messages of a queue that came and had been delivered before; absent of other stages.",
    ),
    gauge(
        "limit_bytes_per_s",
        "highwater_stage_limit_bytes_per_second",
        "The rate that a throttle keeps now; absent of other stages.",
    ),
    gauge(
        "limit_records_per_s",
        "highwater_stage_limit_records_per_second",
        "The rate that a throttle of records keeps now; absent of other stages.",
    ),
    gauge(
        "ended",
        "highwater_stage_ended",
        "Whether a stage has nothing left to do: 1 or 0.",
    ),
];

/// Metrics of each link.
pub static LINK: &[Field] = &[
    gauge(
        "buffered_bytes",
        "highwater_link_buffered_bytes",
        "Bytes held by chunks that wait in a link or that its consumer holds; of joined programs, bytes in the pipes between them.",
    ),
    gauge(
        "peak_bytes",
        "highwater_link_peak_bytes",
        "The most that a link ever held.",
    ),
    gauge(
        "high_bytes",
        "highwater_link_high_bytes",
        "The high-water mark, which a link never exceeds.",
    ),
    gauge(
        "low_bytes",
        "highwater_link_low_bytes",
        "The low-water mark, at which a paused producer resumes.",
    ),
    counter(
        "times_full",
        "highwater_link_full_total",
        "How often a producer was paused because its link was full.",
    ),
    counter(
        "times_empty",
        "highwater_link_empty_total",
        "How often a consumer found nothing and waited.",
    ),
    counter(
        "drains",
        "highwater_link_drains_total",
        "How often a full link fell to its low-water mark and its producer resumed.",
    ),
    gauge(
        "longest_pause_s",
        "highwater_link_longest_pause_seconds",
        "The longest time that a producer was paused.",
    ),
    gauge(
        "fill_bytes_per_s",
        "highwater_link_fill_bytes_per_second",
        "How fast a link's level rose over the last seconds; negative where it fell.",
    ),
    gauge(
        "full_in_s",
        "highwater_link_full_in_seconds",
        "When a link will be full if that goes on; absent where it is not filling.",
    ),
    gauge(
        "buffered_records",
        "highwater_link_buffered_records",
        "Records that wait in a link or that its consumer holds; absent where only bytes bound it.",
    ),
    gauge(
        "peak_records",
        "highwater_link_peak_records",
        "The most records that a link ever held.",
    ),
    gauge(
        "high_records",
        "highwater_link_high_records",
        "The high-water mark in records, which a link never exceeds.",
    ),
    gauge(
        "low_records",
        "highwater_link_low_records",
        "The low-water mark in records.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::engine::{BatchSample, RecordCounts};
    use crate::flow::RecordLevels;
    use crate::stage::QueueState;
    use crate::view::{json, live::sample};

    /// The keys of an object's numbers, known or not, without words and lists.
    fn numbers(object: &Value) -> BTreeSet<&str> {
        let fields = object.as_object().expect("an object").iter();
        let is_number = |value: &Value| value.is_number() || value.is_boolean() || value.is_null();
        fields
            .filter(|(_, value)| is_number(value))
            .map(|(key, _)| key.as_str())
            .collect()
    }

    /// The keys of a table, and numbers that are not metrics.
    fn keys(fields: &'static [Field], others: &[&'static str]) -> BTreeSet<&'static str> {
        let keys = fields.iter().map(|field| field.key);
        keys.chain(others.iter().copied()).collect()
    }

    #[test]
    fn every_number_is_a_metric() {
        let mut snapshot = sample::throttled();
        snapshot.links.values_mut()[0].levels.records = Some(RecordLevels {
            buffered: 1,
            peak: 2,
            high: 3,
            low: 1,
        });
        snapshot.stages.values_mut()[3].records = Some(RecordCounts::default());
        snapshot.stages.values_mut()[3].record_limit = Some(500.into());
        snapshot.stages.values_mut()[3].queue = Some((&QueueState::default()).into());
        snapshot.stages.values_mut()[3].snapshot_age = Some(std::time::Duration::from_secs(1));
        snapshot.stages.values_mut()[3].batches = Some(BatchSample::default());
        snapshot.stages.values_mut()[3].acknowledged = Some(7);
        snapshot.stages.values_mut()[3].backlog = Some(9);
        let object: Value = serde_json::from_str(&json::sample(&snapshot)).expect("an object");
        assert_eq!(numbers(&object), keys(RUN, &["schema"]));
        assert_eq!(numbers(&object["stages"][3]), keys(STAGE, &["index", "batch_last"]));
        assert_eq!(numbers(&object["links"][0]), keys(LINK, &["from", "to"]));
    }
}
