//! Finds the stage that all others wait for.
//!
//! In a pipeline of bounded buffers every stage but the slowest waits: those before it for room, those behind it for
//! input. So the bottleneck is the stage that is busy for the largest part of its time, including its waits for a disk,
//! a peer or a throttle's tokens; this is the utilisation law of queueing theory. To look only at which stages are
//! backpressured for more than half of the time would miss a stage that is no more than twice as slow as the one before
//! it.

use crate::graph::{EdgeMap, Graph, NodeId, NodeMap};

/// Shares that differ by less count as equal: the inaccuracy of the clock and the scheduler.
const SAME: f64 = 0.005;

/// An earlier stage must exceed the current bottleneck by this much, so that two equal ones do not alternate. No more
/// than the promised accuracy of the shares.
const OUTDONE: f64 = 0.03;

/// The bottleneck among the stages of a pipeline, given each one's busy share, or `None` if it has ended, how full each
/// link is, and which stage was the bottleneck until now.
///
/// Of several that are equally busy it is the one that holds up the others: of two on one path the later one, since as
/// long as a link between them still fills, the one behind it is the slower one; of two on different branches the one
/// whose branch is fuller where they part.
pub fn bottleneck(
    graph: &Graph,
    busy: &NodeMap<Option<f64>>,
    fullness: &EdgeMap<f64>,
    named: Option<NodeId>,
) -> Option<NodeId> {
    let running = || busy.iter().filter_map(|(node, share)| Some((node, (*share)?)));
    let most = running().map(|(_, share)| share).fold(f64::NEG_INFINITY, f64::max);
    let holds_up = |one: NodeId, other: NodeId| {
        let branch = |node| graph.towards(graph.fork(one, other)?, node);
        match (branch(one), branch(other)) {
            (Some(one), Some(other)) => fullness.get(one) > fullness.get(other),
            // On one path: the fork is the earlier one itself.
            _ => one > other,
        }
    };
    let later = |one, other| if holds_up(one, other) { one } else { other };
    let equals = running().filter(|(_, share)| *share >= most - SAME);
    let busiest = equals.map(|(node, _)| node).rev().reduce(later)?;
    let stays = named.filter(|named| {
        let share = busy.get(*named).copied().flatten();
        *named > busiest && share.is_some_and(|share| share >= most - OUTDONE)
    });
    stays.or(Some(busiest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Id, Port};

    /// The bottleneck of a pipeline without branches.
    fn in_chain(busy: &[Option<f64>], named: Option<usize>) -> Option<usize> {
        let graph = Graph::chain(busy.len());
        let busy = busy.iter().copied().collect();
        let fullness = graph.edges().map(|_| 0.5).collect();
        bottleneck(&graph, &busy, &fullness, named.map(Id::numbered)).map(Id::number)
    }

    /// The bottleneck of a source and a fork into two sinks, with links of this fullness.
    fn in_fork(busy: [f64; 4], fullness: [f64; 3]) -> Option<usize> {
        let mut graph = Graph::chain(2);
        let fork = graph.nodes().next_back().expect("two nodes");
        graph.append(fork, Port::Bytes);
        graph.append(fork, Port::Bytes);
        let busy = busy.into_iter().map(Some).collect();
        bottleneck(&graph, &busy, &fullness.into_iter().collect(), None).map(Id::number)
    }

    #[test]
    fn the_slower_branch_is_named() {
        assert_eq!(in_fork([0.1, 0.1, 1.0, 0.4], [1.0, 1.0, 0.1]), Some(2));
        assert_eq!(in_fork([0.1, 0.1, 0.4, 1.0], [1.0, 0.1, 1.0]), Some(3));
    }

    #[test]
    fn fuller_branch_is_named() {
        assert_eq!(in_fork([0.1, 0.1, 1.0, 1.0], [1.0, 1.0, 0.5]), Some(2));
        assert_eq!(in_fork([0.1, 0.1, 1.0, 1.0], [1.0, 0.5, 1.0]), Some(3));
    }

    #[test]
    fn bottleneck_is_the_busiest_stage() {
        assert_eq!(
            in_chain(&[Some(0.01), Some(0.01), Some(1.0), Some(0.03)], None),
            Some(2)
        );
        // The stages before it wait for less than half of the time, and one stage for more: neither makes another stage
        // the bottleneck.
        assert_eq!(in_chain(&[Some(0.6), Some(1.0), Some(0.1)], None), Some(1));
        assert_eq!(in_chain(&[Some(0.2), Some(0.6), Some(1.0)], None), Some(2));
        assert_eq!(in_chain(&[Some(0.9), Some(0.5), Some(0.0)], None), Some(0));
    }

    #[test]
    fn an_ended_stage_is_never_named() {
        assert_eq!(in_chain(&[None, Some(0.0), Some(0.1)], None), Some(2));
        assert_eq!(in_chain(&[Some(0.1), None], Some(1)), Some(0));
        assert_eq!(in_chain(&[None, None], Some(1)), None);
    }

    #[test]
    fn last_of_equal_stages_is_named() {
        assert_eq!(in_chain(&[Some(1.0), Some(0.998)], None), Some(1));
        assert_eq!(in_chain(&[Some(1.0), Some(0.998)], Some(0)), Some(1));
        assert_eq!(in_chain(&[Some(1.0), Some(0.98)], Some(1)), Some(1), "not outdone");
        assert_eq!(in_chain(&[Some(1.0), Some(0.96)], Some(1)), Some(0), "outdone");
        assert_eq!(
            in_chain(&[Some(1.0), Some(0.98)], Some(0)),
            Some(0),
            "nor does it take over"
        );
    }
}
