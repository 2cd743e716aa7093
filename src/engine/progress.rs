//! How much of a run is done, by what has reached its sinks.

use std::time::Duration;

use crate::graph::{Graph, NodeId, NodeMap};
use crate::stage::OutputSize;

use super::snapshot::StageSample;

/// How much of a run is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The sink which is farthest behind.
    pub sink: NodeId,
    /// The share of its expected bytes that has reached it.
    pub share: f64,
    /// How long the rest takes at that sink's rate, where anything reaches it.
    pub remaining: Option<Duration>,
}

impl Progress {
    /// The progress of a run whose source is expected to give `expected` bytes. `None` where the size of an output cannot be
    /// known, or is another one than was expected.
    ///
    /// It is exact where no stage changes the number of bytes. Otherwise the size of what such a stage gives is estimated by
    /// what it has given so far.
    #[must_use]
    pub fn of(graph: &Graph, stages: &NodeMap<StageSample>, expected: Option<u64>) -> Option<Self> {
        let sinks = graph.sinks().map(|sink| Self::of_sink(graph, stages, expected, sink));
        let sinks: Vec<Self> = sinks.collect::<Option<_>>()?;
        sinks.into_iter().min_by(|one, other| one.share.total_cmp(&other.share))
    }

    fn of_sink(graph: &Graph, stages: &NodeMap<StageSample>, expected: Option<u64>, sink: NodeId) -> Option<Self> {
        let mut path: Vec<NodeId> = graph.before(sink).collect();
        path.reverse();
        let mut size = expected.map_or(Size::Unknown, Size::Known);
        for node in path {
            size = size.behind(&stages[node]);
        }
        let (stage, whole) = match size {
            Size::Known(whole) if whole > 0 => (&stages[sink], whole),
            Size::NothingYet => {
                return Some(Self {
                    sink,
                    share: 0.0,
                    remaining: None,
                });
            }
            Size::Known(_) | Size::Unknown => return None,
        };
        let left = whole.checked_sub(stage.bytes_out)?;
        let seconds = float(left) / stage.rate;
        Some(Self {
            sink,
            share: float(stage.bytes_out) / float(whole),
            remaining: Duration::try_from_secs_f64(seconds).ok().filter(|_| stage.rate >= 1.0),
        })
    }
}

/// How many bytes pass a place in the pipeline during the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Known(u64),
    /// It will be known once more has passed.
    NothingYet,
    Unknown,
}

impl Size {
    /// The size behind a stage that has this size in front of it.
    fn behind(self, stage: &StageSample) -> Self {
        match (stage.output_size, self) {
            (OutputSize::Part { skip, most }, Self::Known(size)) => {
                let rest = size.saturating_sub(skip);
                Self::Known(most.map_or(rest, |most| rest.min(most)))
            }
            // A source without an end is read until there is enough.
            (OutputSize::Part { most: Some(most), .. }, Self::Unknown) => Self::Known(most),
            (OutputSize::Limited(most), Self::Known(size)) => Self::Known(size.min(most)),
            (OutputSize::Changed, Self::Known(size)) => Self::scaled(size, stage),
            (_, size) => size,
        }
    }

    /// What becomes of `size` bytes if all of them become what those have that came so far.
    fn scaled(size: u64, stage: &StageSample) -> Self {
        if stage.bytes_in > size {
            return Self::Unknown;
        }
        if stage.bytes_in == 0 || stage.bytes_out == 0 {
            return Self::NothingYet;
        }
        let scaled = u128::from(stage.bytes_out) * u128::from(size) / u128::from(stage.bytes_in);
        u64::try_from(scaled).map_or(Self::Unknown, Self::Known)
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Port;

    const PART: fn(u64, Option<u64>) -> OutputSize = |skip, most| OutputSize::Part { skip, most };

    /// A stage that has taken and given so much.
    fn passing(output_size: OutputSize, bytes: [u64; 2]) -> StageSample {
        let [bytes_in, bytes_out] = bytes;
        StageSample {
            output_size,
            bytes_in,
            bytes_out,
            rate: 10.0,
            ..StageSample::default()
        }
    }

    fn same(bytes: u64) -> StageSample {
        passing(OutputSize::Same, [bytes; 2])
    }

    /// Per mille and seconds left of a chain.
    fn progress(expected: Option<u64>, stages: impl IntoIterator<Item = StageSample>) -> Option<(u64, Option<u64>)> {
        let stages: NodeMap<StageSample> = stages.into_iter().collect();
        shown(&Graph::chain(stages.len()), &stages, expected)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    fn shown(graph: &Graph, stages: &NodeMap<StageSample>, expected: Option<u64>) -> Option<(u64, Option<u64>)> {
        let progress = Progress::of(graph, stages, expected)?;
        let left = progress.remaining.map(|left| left.as_secs());
        Some(((progress.share * 1000.0).round() as u64, left))
    }

    #[test]
    fn what_waits_in_links_is_not_done() {
        assert_eq!(
            progress(Some(1000), [same(1000), same(300), same(250)]),
            Some((250, Some(75)))
        );
        assert_eq!(progress(Some(1000), [same(1000), same(1000)]), Some((1000, Some(0))));
        assert_eq!(progress(Some(1000), [same(1000), same(0)]), Some((0, Some(100))));
    }

    #[test]
    fn the_size_behind_a_codec_is_estimated() {
        let codec = |bytes| passing(OutputSize::Changed, bytes);
        let halving = [same(900), codec([800, 400]), same(390), same(100)];
        assert_eq!(progress(Some(1000), halving), Some((200, Some(40))));
        let twice = [same(1000), codec([500, 100]), codec([80, 800]), same(500)];
        assert_eq!(progress(Some(1000), twice), Some((250, Some(150))));
        assert_eq!(progress(Some(1000), [same(9), codec([9, 0]), same(0)]), Some((0, None)));
        let all = [same(1000), codec([1000, 333]), same(333)];
        assert_eq!(progress(Some(1000), all), Some((1000, Some(0))));
    }

    #[test]
    fn parts_of_the_stream_are_expected() {
        let one = |size, bytes| [same(500), passing(size, bytes), same(50)];
        assert_eq!(
            progress(Some(1000), one(PART(0, Some(100)), [100, 50])),
            Some((500, Some(5)))
        );
        assert_eq!(
            progress(Some(80), one(PART(0, Some(100)), [80, 50])),
            Some((625, Some(3)))
        );
        assert_eq!(progress(None, one(PART(7, Some(100)), [100, 50])), Some((500, Some(5))));
        assert_eq!(
            progress(Some(1000), one(PART(900, None), [950, 50])),
            Some((500, Some(5)))
        );
        assert_eq!(
            progress(Some(1000), one(OutputSize::Limited(200), [50; 2])),
            Some((250, Some(15)))
        );
        assert_eq!(progress(None, one(OutputSize::Limited(200), [50; 2])), None);
        let decoded = [
            same(10),
            passing(OutputSize::Changed, [10, 300]),
            passing(PART(0, Some(100)), [60, 60]),
            same(50),
        ];
        assert_eq!(progress(Some(100), decoded), Some((500, Some(5))));
    }

    #[test]
    fn a_wrong_expectation_is_no_progress() {
        assert_eq!(progress(None, [same(5), same(5)]), None);
        assert_eq!(progress(Some(0), [same(0), same(0)]), None);
        assert_eq!(progress(Some(10), [same(20), same(11)]), None);
        let codec = passing(OutputSize::Changed, [11, 5]);
        assert_eq!(progress(Some(10), [same(20), codec, same(5)]), None);
    }

    #[test]
    fn the_slowest_branch_governs() {
        let mut graph = Graph::chain(3);
        let tee = graph.upstream(graph.sinks().next().expect("a sink")).expect("a tee");
        let half = graph.append(tee, Port::Bytes);
        graph.append(half, Port::Bytes);
        let branches = |fast, slow| -> NodeMap<StageSample> {
            let half = passing(OutputSize::Changed, [800, 400]);
            [same(1000), same(900), same(fast), half, same(slow)]
                .into_iter()
                .collect()
        };
        assert_eq!(shown(&graph, &branches(900, 100), Some(1000)), Some((200, Some(40))));
        // In bytes the second branch has less, but it is farther.
        assert_eq!(shown(&graph, &branches(500, 400), Some(1000)), Some((500, Some(50))));
    }
}
