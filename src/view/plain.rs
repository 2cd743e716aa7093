//! One line of progress, for logs.

use crate::engine::Snapshot;
use crate::grammar::{human_count, human_size};

use super::clock::estimate;
use super::excess::excess;

/// The bytes, the rate, the bottleneck and its effects, with a newline.
#[must_use]
pub fn line(snapshot: &Snapshot) -> String {
    let (node, sink) = snapshot.slowest_sink();
    let read = snapshot.bytes_read();
    let read = read.map_or_else(String::new, |bytes| format!("  in {}", human_size(bytes)));
    let of_several = if snapshot.graph.is_chain() {
        String::new()
    } else {
        format!(" in {}", sink.shown())
    };
    let percent = snapshot.run.percent(snapshot.moment);
    let done = percent.map_or_else(String::new, |percent| format!(" ({percent} %)"));
    let remaining = snapshot.run.remaining.filter(|_| !snapshot.run.paused);
    let left = remaining.map_or_else(String::new, |left| format!("  {} left", estimate(left)));
    let bottleneck = snapshot.bottleneck.map_or_else(String::new, |stage| {
        let stage = &snapshot.stages[stage];
        format!("  bottleneck {}", stage.shown())
    });
    let held = snapshot.run.buffered + snapshot.run.state;
    let times = excess(held, snapshot.run.limit).map_or_else(String::new, |times| format!(" ({times})"));
    let paused = if snapshot.run.paused { "  paused" } else { "" };
    let records = snapshot
        .last_with_records(node)
        .map_or_else(String::new, |(stage, count)| {
            let rate = human_record_rate(stage.record_rate);
            format!("  {} records  {rate}/s", human_count(count))
        });
    format!(
        "highwater: {:.1}s{read}  out {}{of_several}{done}  {}/s{records}{left}  buffered {} of {}{times}  rss {}{bottleneck}{paused}\n",
        snapshot.run.elapsed.as_secs_f64(),
        human_size(sink.bytes_out),
        human_rate(sink.rate),
        human_size(held),
        human_size(snapshot.run.limit),
        human_size(snapshot.run.rss),
    )
}

/// The bytes of a rate, for display.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and below 2^53"
)]
pub fn human_rate(rate: f64) -> String {
    human_size(rate.max(0.0) as u64)
}

/// The records of a rate, for display: `0.5`, `500`, `12.3k`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and below 2^53"
)]
pub fn human_record_rate(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        format!("{rate:.1}")
    } else {
        human_count(rate.max(0.0).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, str};

    use super::super::live::sample;
    use super::*;

    #[test]
    fn lines_of_a_chain_and_a_tree() {
        let mut paused = sample::throttled();
        paused.run.paused = true;
        let lines = [
            sample::throttled(),
            paused,
            sample::unbounded(),
            sample::branched(),
            sample::records(),
        ];
        assert_data_eq!(
            lines.each_ref().map(line).concat(),
            str![[r#"
highwater: 37.1s  in 53.4 MiB  out 34.5 MiB (74 %)  977 KiB/s  13 s left  buffered 3.80 MiB of 8.00 MiB  rss 13.0 MiB  bottleneck throttle 1MB/s
highwater: 37.1s  in 53.4 MiB  out 34.5 MiB (74 %)  977 KiB/s  buffered 3.80 MiB of 8.00 MiB  rss 13.0 MiB  bottleneck throttle 1MB/s  paused
highwater: 6.2s  in 146 MiB  out 11.8 MiB  1.91 MiB/s  buffered 134 MiB of 8.00 MiB (17×)  rss 139 MiB  bottleneck throttle 2MB/s
highwater: 37.1s  in 34.0 MiB  out 32.0 MiB in write slow.img (45 %)  1.00 MiB/s  39 s left  buffered 3.80 MiB of 8.00 MiB  rss 13.0 MiB  bottleneck write slow.img
highwater: 10.0s  in 86.0 MiB  out 20.0 MiB  1.95 MiB/s  5000 records  500/s  buffered 3.80 MiB of 8.00 MiB  rss 13.0 MiB  bottleneck throttle 500records/s

"#]]
        );
    }
}
