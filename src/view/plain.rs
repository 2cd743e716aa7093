//! One line of progress, for logs.

use crate::engine::Snapshot;
use crate::grammar::human_size;

use super::clock::estimate;
use super::excess::excess;

/// What has passed, how fast, where it waits and what that costs, with a newline.
#[must_use]
pub fn line(snapshot: &Snapshot) -> String {
    let (source, (_, sink)) = (snapshot.source(), snapshot.slowest_sink());
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
    format!(
        "highwater: {:.1}s  in {}  out {}{done}  {}/s{left}  buffered {} of {}{times}  rss {}{bottleneck}{paused}\n",
        snapshot.run.elapsed.as_secs_f64(),
        human_size(source.bytes_in),
        human_size(sink.bytes_out),
        human_rate(sink.rate),
        human_size(held),
        human_size(snapshot.run.limit),
        human_size(snapshot.run.rss),
    )
}

/// Bytes of a rate, as people read them.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and below 2^53"
)]
pub fn human_rate(rate: f64) -> String {
    human_size(rate.max(0.0) as u64)
}
