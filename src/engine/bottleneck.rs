//! Which stage everything else waits for.

/// Above this share of its time a stage counts as backpressured.
const BACKPRESSURED: f64 = 0.5;

/// The bottleneck among the stages of a chain, given each one's backpressured share, or `None` where it has ended: the
/// running stage just downstream of the last backpressured one; where none is, the first running stage.
pub fn bottleneck(backpressured: &[Option<f64>]) -> Option<usize> {
    let last = backpressured
        .iter()
        .rposition(|share| share.is_some_and(|share| share > BACKPRESSURED));
    let from = last.map_or(0, |last| last + 1);
    let running = |from: usize| (from..backpressured.len()).find(|at| backpressured[*at].is_some());
    // A stage that waits for room has somebody behind it, unless that one has ended this very moment.
    running(from).or_else(|| running(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_downstream_of_the_last_backpressured_stage() {
        assert_eq!(bottleneck(&[Some(0.99), Some(0.99), Some(0.0), Some(0.0)]), Some(2));
        assert_eq!(bottleneck(&[Some(0.2), Some(0.6), Some(0.1)]), Some(2));
    }

    #[test]
    fn without_backpressure_it_is_the_first_that_runs() {
        assert_eq!(bottleneck(&[Some(0.1), Some(0.5), Some(0.0)]), Some(0));
        assert_eq!(bottleneck(&[None, Some(0.0), Some(0.0)]), Some(1));
        assert_eq!(bottleneck(&[None, None]), None);
    }

    #[test]
    fn an_ended_stage_is_never_named() {
        assert_eq!(bottleneck(&[Some(0.9), None, Some(0.0)]), Some(2));
        assert_eq!(bottleneck(&[Some(0.9), None]), Some(0));
    }
}
