//! Which stage everything else waits for.
//!
//! In a chain of bounded buffers every stage but the slowest waits: those before it for room, those behind it for input.
//! So the bottleneck is the stage that is busy for the largest part of its time, its waits for a disk, a peer or a
//! throttle's tokens included; this is the utilisation law of queueing theory. Looking only at who is backpressured for
//! more than half of the time would miss a stage that is no more than twice as slow as the one before it.

/// Shares that differ by less count as the same: what the clock and the scheduler make of equal ones.
const SAME: f64 = 0.005;

/// By how much the stage that was named must be outdone by one before it, so that two equal ones do not take turns. No
/// more than the accuracy that the shares are promised with.
const OUTDONE: f64 = 0.03;

/// The bottleneck among the stages of a chain, given each one's busy share, or `None` where it has ended, and who was
/// the bottleneck until now.
///
/// Of several that are equally busy it is the last: as long as a link between them still fills, the one behind it is the
/// slower one.
pub fn bottleneck(busy: &[Option<f64>], named: Option<usize>) -> Option<usize> {
    let running = || busy.iter().enumerate().filter_map(|(at, share)| Some((at, (*share)?)));
    let most = running().map(|(_, share)| share).fold(f64::NEG_INFINITY, f64::max);
    let busiest = running()
        .filter(|(_, share)| *share >= most - SAME)
        .map(|(at, _)| at)
        .next_back()?;
    let stays = named.filter(|named| {
        *named > busiest
            && busy
                .get(*named)
                .copied()
                .flatten()
                .is_some_and(|share| share >= most - OUTDONE)
    });
    stays.or(Some(busiest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_busiest_stage() {
        assert_eq!(
            bottleneck(&[Some(0.01), Some(0.01), Some(1.0), Some(0.03)], None),
            Some(2)
        );
        // Those before it wait for less than half of the time, and one of them for more: both are no reason to blame another.
        assert_eq!(bottleneck(&[Some(0.6), Some(1.0), Some(0.1)], None), Some(1));
        assert_eq!(bottleneck(&[Some(0.2), Some(0.6), Some(1.0)], None), Some(2));
        assert_eq!(bottleneck(&[Some(0.9), Some(0.5), Some(0.0)], None), Some(0));
    }

    #[test]
    fn an_ended_stage_is_never_named() {
        assert_eq!(bottleneck(&[None, Some(0.0), Some(0.1)], None), Some(2));
        assert_eq!(bottleneck(&[Some(0.1), None], Some(1)), Some(0));
        assert_eq!(bottleneck(&[None, None], Some(1)), None);
    }

    #[test]
    fn of_equals_it_is_the_last_and_stays_so() {
        assert_eq!(bottleneck(&[Some(1.0), Some(0.998)], None), Some(1));
        assert_eq!(bottleneck(&[Some(1.0), Some(0.998)], Some(0)), Some(1));
        assert_eq!(bottleneck(&[Some(1.0), Some(0.98)], Some(1)), Some(1), "not outdone");
        assert_eq!(bottleneck(&[Some(1.0), Some(0.96)], Some(1)), Some(0), "outdone");
        assert_eq!(
            bottleneck(&[Some(1.0), Some(0.98)], Some(0)),
            Some(0),
            "nor does it take over"
        );
    }
}
