//! Conclusions about a whole run: how its stages spent their time, the bottleneck, and its memory.

use crate::engine::{Moment, Share};
use crate::grammar::human_size;
use crate::graph::{Id, NodeMap};
use crate::view::sentence::{Witness, blame_one, full_link, percent};

use super::recording::{Run, shares as parts};
use super::scale::float;
use super::series::{mean, stretches};

/// How a stage spent the whole run: from the end object, or the mean of the samples if there is none.
pub fn shares(run: &Run, at: usize) -> Option<Share> {
    let last = run.last.stages[at].sample.share;
    let [busy, backpressured, idle] = if run.has_end() {
        parts(&last?)
    } else {
        mean(&stretches(&run.points, at))?.shares
    };
    // The parts of its busy time are in the proportion of its last object.
    let last = last.unwrap_or_default();
    let part = |part: f64| {
        if last.busy > 0.0 {
            (part / last.busy).clamp(0.0, 1.0) * busy
        } else {
            0.0
        }
    };
    Some(Share {
        busy,
        idle,
        backpressured,
        outside: part(last.outside),
        throttling: part(last.throttling),
    })
}

/// The bottleneck of the whole run: from the end object, or that of most samples if there is none.
pub fn bottleneck(run: &Run) -> Option<usize> {
    // Without known shares, no stage is named.
    run.last.stages.first()?.sample.share?;
    if run.has_end() {
        return run.last.bottleneck.as_ref().map(|bottleneck| bottleneck.stage);
    }
    let mut samples = vec![0_usize; run.last.stages.len()];
    for stage in run.points.iter().filter_map(|point| point.bottleneck) {
        samples[stage] += 1;
    }
    let most = (0..samples.len()).max_by_key(|stage| (samples[*stage], std::cmp::Reverse(*stage)))?;
    (samples[most] > 0).then_some(most)
}

/// `throttle 20MB/s: everything upstream waits for it; read backpressured 98 %, gzip 97 %`
pub fn blame(run: &Run) -> Option<String> {
    let at = bottleneck(run)?;
    let witnesses: Option<NodeMap<Witness<'_>>> = run
        .last
        .stages
        .iter()
        .enumerate()
        .map(|(at, stage)| {
            Some(Witness {
                kernel_queue: None,
                cores: stage.sample.cores(),
                record_rate: None,
                name: &stage.sample.name,
                text: &stage.sample.text,
                outside: stage.sample.outside,
                share: shares(run, at)?,
                ended: stage.sample.ended,
            })
        })
        .collect();
    if run.last.run.is_unbounded {
        let text = &run.last.stages[at].sample.text;
        return Some(format!(
            "{text}: what it was too slow for piled up, because backpressure was ignored"
        ));
    }
    let mut sentence = blame_one(&run.last.graph(), &witnesses?, Id::numbered(at), Moment::Ended);
    let input = run.last.links.iter().find(|link| link.to == at);
    let full = input.and_then(|link| full_link(&link.sample.levels, Moment::Ended));
    sentence.evidence.extend(full);
    Some(sentence.text())
}

/// The use of the ceiling, and how even the memory stayed.
pub fn memory(run: &Run) -> String {
    let held = held_peak(run);
    let limit = run.last.run.limit;
    let share = if limit > 0 { float(held) / float(limit) } else { 0.0 };
    let chain = if run.last.run.is_unbounded {
        format!(
            "Backpressure was ignored: the chain held up to {} where it should have held {} at most",
            human_size(held),
            human_size(limit)
        )
    } else {
        format!(
            "The chain never held more than {} of the {} it may ({})",
            human_size(held),
            human_size(limit),
            percent(share)
        )
    };
    // The first half includes touching buffers for the first time.
    let half = run.duration() / 2.0;
    let later = || {
        run.sampled()
            .iter()
            .filter(|point| point.at >= half)
            .map(|point| point.rss)
    };
    match (later().min(), later().max()) {
        (Some(least), Some(most)) if least < most => {
            let (least, most) = (human_size(least), human_size(most));
            format!("{chain}; in the second half resident memory was between {least} and {most}.")
        }
        (Some(same), Some(_)) => format!(
            "{chain}; in the second half resident memory stayed at {}.",
            human_size(same)
        ),
        _ => format!("{chain}."),
    }
}

/// The most that was resident. The system's number and the sampled one differ by a few pages.
pub fn rss_peak(run: &Run) -> u64 {
    let sampled = run.points.iter().map(|point| point.rss).max().unwrap_or(0);
    sampled.max(run.last.run.rss_peak)
}

/// The most that the pipeline held in any sample, and the peak of its buffers if that was between two.
pub fn held_peak(run: &Run) -> u64 {
    let sampled = run.points.iter().map(|point| point.held).max().unwrap_or(0);
    sampled.max(run.last.run.buffered_peak)
}
