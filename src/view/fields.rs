//! Every number that a snapshot holds: its key in the stats object, and the metric that it is.
//!
//! The page of `--metrics` is made from these tables, and a test holds the stats object to them, so neither can have a
//! number that the other lacks. Metrics are named by the conventions of Prometheus: base units, counters ending in
//! `_total`, what belongs together in one family and told apart by labels.

use std::time::Duration;

use crate::engine::{LinkSample, Snapshot, StageSample};

/// A number of a stats object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Bytes, or how many.
    Whole(u64),
    /// Seconds, rates and shares.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// Nobody can tell.
    Unknown,
}

impl Number {
    fn of(whole: Option<u64>) -> Self {
        whole.map_or(Self::Unknown, Self::Whole)
    }

    fn seconds(time: Duration) -> Self {
        Self::Real(time.as_secs_f64())
    }
}

/// A number of a snapshot, at the place in its list of stages or links; one of the whole run has place 0.
pub type Get = fn(&Snapshot, usize) -> Number;

/// What becomes of a metric as time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It never becomes less.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Metrics of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The whole name.
    pub name: &'static str,
    /// What becomes of it.
    pub kind: Kind,
    /// What it is, in a sentence with a full stop.
    pub help: &'static str,
}

/// A number, and both its forms.
pub struct Field {
    /// Its key in the stats object.
    pub key: &'static str,
    /// Its value there.
    pub get: Get,
    /// The metric that it is.
    pub family: Family,
    /// What tells it from the others of its family: a label and its value.
    pub label: Option<(&'static str, &'static str)>,
    /// The metric's value, where that is another one: the time of a share, since a share of an interval cannot be summed.
    pub metric: Option<Get>,
}

const fn gauge(key: &'static str, name: &'static str, help: &'static str, get: Get) -> Field {
    let kind = Kind::Gauge;
    Field {
        key,
        get,
        family: Family { name, kind, help },
        label: None,
        metric: None,
    }
}

const fn counter(key: &'static str, name: &'static str, help: &'static str, get: Get) -> Field {
    let kind = Kind::Counter;
    Field {
        family: Family { name, kind, help },
        ..gauge(key, name, help, get)
    }
}

impl Field {
    const fn with(self, label: &'static str, value: &'static str) -> Self {
        Self {
            label: Some((label, value)),
            ..self
        }
    }

    const fn measured_by(self, get: Get) -> Self {
        Self {
            metric: Some(get),
            ..self
        }
    }
}

fn stage(snapshot: &Snapshot, at: usize) -> &StageSample {
    &snapshot.stages.values()[at]
}

fn link(snapshot: &Snapshot, at: usize) -> &LinkSample {
    &snapshot.links.values()[at]
}

/// Where one call reads and writes, nobody can tell the shares.
fn share(snapshot: &Snapshot, share: f64) -> Number {
    if snapshot.has_shares() {
        Number::Real(share)
    } else {
        Number::Unknown
    }
}

fn spent(snapshot: &Snapshot, time: Duration) -> Number {
    share(snapshot, time.as_secs_f64())
}

/// The whole run.
pub static RUN: &[Field] = &[
    gauge(
        "elapsed_s",
        "highwater_elapsed_seconds",
        "Time since the stages were started.",
        |run, _| Number::seconds(run.elapsed),
    ),
    gauge(
        "rss_bytes",
        "highwater_resident_memory_bytes",
        "Resident memory of the process.",
        |run, _| Number::Whole(run.rss),
    ),
    gauge(
        "rss_peak_bytes",
        "highwater_resident_memory_peak_bytes",
        "The most that was ever resident.",
        |run, _| Number::Whole(run.rss_peak),
    ),
    gauge(
        "buffered_bytes",
        "highwater_buffered_bytes",
        "Buffers that chunks of the stream pin.",
        |run, _| Number::Whole(run.buffered),
    ),
    gauge(
        "buffered_peak_bytes",
        "highwater_buffered_peak_bytes",
        "The most that was ever pinned.",
        |run, _| Number::Whole(run.buffered_peak),
    ),
    gauge(
        "pool_free_bytes",
        "highwater_pool_free_bytes",
        "Buffers that wait for reuse.",
        |run, _| Number::Whole(run.pool_free),
    ),
    gauge(
        "state_bytes",
        "highwater_state_bytes",
        "What stages hold besides buffers: the state of codecs.",
        |run, _| Number::Whole(run.state),
    ),
    gauge(
        "memory_limit_bytes",
        "highwater_memory_limit_bytes",
        "The ceiling over buffers and state.",
        |run, _| Number::Whole(run.limit),
    ),
    gauge("paused", "highwater_paused", "Whether the sink is paused.", |run, _| {
        Number::Flag(run.paused)
    }),
    gauge(
        "expected_bytes",
        "highwater_expected_bytes",
        "What the source is expected to give; absent where that is not known.",
        |run, _| Number::of(run.expected),
    ),
];

const STAGE_BYTES: &str = "highwater_stage_bytes_total";
const STAGE_BYTES_HELP: &str =
    "Bytes that a stage took in and gave out; of a source and a sink, what crossed its outer side.";
const STAGE_SECONDS: &str = "highwater_stage_seconds_total";
const STAGE_SECONDS_HELP: &str = "How a stage spent its time: idle is waiting for input or ended, backpressured is waiting for \
                                  room, busy is the rest.";

/// Each stage.
pub static STAGE: &[Field] = &[
    counter("bytes_in", STAGE_BYTES, STAGE_BYTES_HELP, |run, at| {
        Number::Whole(stage(run, at).bytes_in)
    })
    .with("direction", "in"),
    counter("bytes_out", STAGE_BYTES, STAGE_BYTES_HELP, |run, at| {
        Number::Whole(stage(run, at).bytes_out)
    })
    .with("direction", "out"),
    counter("busy", STAGE_SECONDS, STAGE_SECONDS_HELP, |run, at| {
        share(run, stage(run, at).share.busy)
    })
    .with("state", "busy")
    .measured_by(|run, at| spent(run, stage(run, at).spent.busy)),
    counter("idle", STAGE_SECONDS, STAGE_SECONDS_HELP, |run, at| {
        share(run, stage(run, at).share.idle)
    })
    .with("state", "idle")
    .measured_by(|run, at| spent(run, stage(run, at).spent.idle)),
    counter("backpressured", STAGE_SECONDS, STAGE_SECONDS_HELP, |run, at| {
        share(run, stage(run, at).share.backpressured)
    })
    .with("state", "backpressured")
    .measured_by(|run, at| spent(run, stage(run, at).spent.backpressured)),
    counter(
        "waiting_outside",
        "highwater_stage_waiting_outside_seconds_total",
        "The part of a stage's busy time that it waited for a disk, a peer or a terminal.",
        |run, at| share(run, stage(run, at).share.outside),
    )
    .measured_by(|run, at| spent(run, stage(run, at).spent.outside)),
    counter(
        "throttling",
        "highwater_stage_throttling_seconds_total",
        "The part of a stage's busy time that it waited on purpose, to keep its rate.",
        |run, at| share(run, stage(run, at).share.throttling),
    )
    .measured_by(|run, at| spent(run, stage(run, at).spent.throttling)),
    gauge(
        "kernel_queue_bytes",
        "highwater_stage_kernel_queue_bytes",
        "What waits in the kernel in a source's or a sink's pipe or socket; absent where there is none.",
        |run, at| Number::of(stage(run, at).kernel_queue.map(|queue| queue.bytes)),
    ),
    gauge(
        "kernel_queue_capacity_bytes",
        "highwater_stage_kernel_queue_capacity_bytes",
        "How much such a pipe or socket can hold; absent where that is not known.",
        |run, at| Number::of(stage(run, at).kernel_queue.and_then(|queue| queue.capacity)),
    ),
    gauge(
        "limit_bytes_per_s",
        "highwater_stage_limit_bytes_per_second",
        "The rate that a throttle keeps now; absent of other stages.",
        |run, at| Number::of(stage(run, at).limit.map(|limit| limit.now)),
    ),
    gauge(
        "ended",
        "highwater_stage_ended",
        "Whether a stage has nothing left to do: 1 or 0.",
        |run, at| Number::Flag(stage(run, at).ended),
    ),
];

/// Each link.
pub static LINK: &[Field] = &[
    gauge(
        "buffered_bytes",
        "highwater_link_buffered_bytes",
        "What chunks pin that wait in a link or are in its consumer's hand.",
        |run, at| Number::Whole(link(run, at).buffered),
    ),
    gauge(
        "peak_bytes",
        "highwater_link_peak_bytes",
        "The most that a link ever held.",
        |run, at| Number::Whole(link(run, at).peak),
    ),
    gauge(
        "high_bytes",
        "highwater_link_high_bytes",
        "The high-water mark, which a link never exceeds.",
        |run, at| Number::Whole(link(run, at).high),
    ),
    gauge(
        "low_bytes",
        "highwater_link_low_bytes",
        "The low-water mark, at which a paused producer resumes.",
        |run, at| Number::Whole(link(run, at).low),
    ),
    counter(
        "times_full",
        "highwater_link_full_total",
        "How often a producer was paused because its link was full.",
        |run, at| Number::Whole(link(run, at).times_full),
    ),
    counter(
        "times_empty",
        "highwater_link_empty_total",
        "How often a consumer found nothing and waited.",
        |run, at| Number::Whole(link(run, at).times_empty),
    ),
    counter(
        "drains",
        "highwater_link_drains_total",
        "How often a full link fell to its low-water mark and its producer resumed.",
        |run, at| Number::Whole(link(run, at).drains),
    ),
    gauge(
        "longest_pause_s",
        "highwater_link_longest_pause_seconds",
        "The longest time that a producer was paused.",
        |run, at| Number::seconds(link(run, at).longest_pause),
    ),
    gauge(
        "fill_bytes_per_s",
        "highwater_link_fill_bytes_per_second",
        "How fast a link's level rose over the last seconds; negative where it fell.",
        |run, at| Number::Real(link(run, at).fill_rate),
    ),
    gauge(
        "full_in_s",
        "highwater_link_full_in_seconds",
        "When a link will be full if that goes on; absent where it is not filling.",
        |run, at| link(run, at).full_in.map_or(Number::Unknown, Number::seconds),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::KernelQueue;
    use crate::view::{json, live::sample};
    use serde_json::{Map, Value};

    /// Every number of the table stands in the object, with its value, and no other does.
    #[track_caller]
    fn agree(object: &Value, fields: &[Field], snapshot: &Snapshot, at: usize, others: &[&str]) {
        let object: &Map<String, Value> = object.as_object().expect("an object");
        let keys = object.keys().map(String::as_str);
        let keys: Vec<&str> = keys.filter(|key| !others.contains(key)).collect();
        let mut known: Vec<&str> = fields.iter().map(|field| field.key).collect();
        known.sort_unstable();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, known);
        for field in fields {
            let value = &object[field.key];
            let is_same = match (field.get)(snapshot, at) {
                Number::Whole(number) => value.as_u64() == Some(number),
                Number::Real(number) => value.as_f64().is_some_and(|value| (value - number).abs() < 1e-6),
                Number::Flag(flag) => value.as_bool() == Some(flag),
                Number::Unknown => value.is_null(),
            };
            assert!(is_same, "{} is {value}", field.key);
        }
    }

    #[test]
    fn the_stats_object_has_the_numbers_of_the_tables_and_no_others() {
        let mut queued = sample::throttled();
        queued.stages.values_mut()[3].kernel_queue = Some(KernelQueue {
            bytes: 7,
            capacity: Some(70),
        });
        for snapshot in [queued, sample::direct()] {
            let object: Value = serde_json::from_str(&json::sample(&snapshot)).expect("an object");
            let others = ["schema", "event", "bottleneck", "stages", "links", "lane", "hashes"];
            agree(&object, RUN, &snapshot, 0, &others);
            for (at, stage) in object["stages"].as_array().expect("stages").iter().enumerate() {
                agree(stage, STAGE, &snapshot, at, &["index", "name", "text", "listening"]);
            }
            for (at, link) in object["links"].as_array().expect("links").iter().enumerate() {
                agree(link, LINK, &snapshot, at, &["from", "to"]);
            }
        }
    }
}
