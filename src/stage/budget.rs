//! The hard ceiling over a chain's memory: its links' marks and its stages' state.

use std::sync::{Arc, Mutex, PoisonError};

/// The claimed of one chain's memory. Links have their share from the start; stages claim their state.
#[derive(Debug)]
pub struct Budget {
    /// Whether the user set the ceiling: then nothing raises it.
    fixed: bool,
    share: LinkShare,
    claimed: Mutex<Claimed>,
}

/// How a chain whose decoders claim later shares a ceiling that the user sets: the links get a quarter of what is not
/// fixed, within bounds, and the rest is left for the claims. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkShare {
    /// What is planned for the stages' state.
    pub state: u64,
    /// The links whose marks are given.
    pub given: u64,
    /// The least that all other links take.
    pub least: u64,
    /// The most that they take.
    pub most: u64,
}

impl LinkShare {
    /// What the links without marks of their own get under a ceiling of `limit`.
    #[must_use]
    pub fn of(&self, limit: u64) -> u64 {
        let room = limit.saturating_sub(self.state + self.given);
        (room / 4).clamp(self.least, self.most)
    }

    /// The least ceiling under which stages can hold `state` bytes beside what the links then get.
    #[must_use]
    pub fn least_with(&self, state: u64) -> u64 {
        let state = state.max(self.state);
        let links = ((state - self.state).saturating_sub(1) / 3).clamp(self.least, self.most);
        state + self.given + links
    }
}

#[derive(Debug)]
struct Claimed {
    limit: u64,
    links: u64,
    state: u64,
    state_peak: u64,
}

impl Budget {
    /// What one decoder may claim above a ceiling that the user did not set: 128 MiB, the largest window that
    /// `zstd -d` accepts without being told to.
    pub const DECODER_ALLOWANCE: u64 = 128 << 20;

    /// A budget of `limit` bytes, `links` of which are the links' high-water marks.
    #[must_use]
    pub fn new(limit: u64, links: u64, fixed: bool) -> Self {
        let claimed = Mutex::new(Claimed {
            limit,
            links,
            state: 0,
            state_peak: 0,
        });
        let share = LinkShare {
            given: links,
            ..LinkShare::default()
        };
        Self { fixed, share, claimed }
    }

    /// With what it takes to tell what ceiling would do.
    #[must_use]
    pub fn with_share(mut self, share: LinkShare) -> Self {
        self.share = share;
        self
    }

    fn with<T>(&self, change: impl FnOnce(&mut Claimed) -> T) -> T {
        change(&mut self.claimed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The ceiling, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.with(|claimed| claimed.limit)
    }

    /// What stages hold besides links, in bytes.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.with(|claimed| claimed.state)
    }

    /// The most that stages ever held besides links, in bytes.
    #[must_use]
    pub fn state_peak(&self) -> u64 {
        self.with(|claimed| claimed.state_peak)
    }

    /// Claims `bytes` for a stage's state until the claim is dropped. A ceiling that the user did not set is raised, as
    /// long as the claim is within what one decoder may have.
    ///
    /// # Errors
    /// The least `--memory` that would do, where it does not fit.
    pub fn claim(self: &Arc<Self>, bytes: u64) -> Result<Claim, u64> {
        self.with(|claimed| {
            let state = claimed.state.saturating_add(bytes);
            let needed = claimed.links.saturating_add(state);
            if needed > claimed.limit {
                if self.fixed || bytes > Self::DECODER_ALLOWANCE {
                    return Err(self.share.least_with(state));
                }
                claimed.limit = needed;
            }
            claimed.state = state;
            claimed.state_peak = claimed.state_peak.max(claimed.state);
            Ok(Claim {
                bytes,
                budget: self.clone(),
            })
        })
    }
}

/// Memory claimed from a [`Budget`], given back when this is dropped.
#[derive(Debug)]
pub struct Claim {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.with(|claimed| claimed.state -= self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_ceiling_is_never_raised() {
        let budget = Arc::new(Budget::new(100, 60, true));
        let first = budget.claim(30).expect("fits");
        assert_eq!(budget.claim(11).expect_err("does not fit"), 101);
        drop(first);
        assert!(budget.claim(40).is_ok());
        assert_eq!((budget.state(), budget.state_peak()), (0, 40));
    }

    #[test]
    fn the_least_that_would_do_does_and_one_byte_less_does_not() {
        let share = LinkShare {
            state: 500,
            given: 70,
            least: 8,
            most: 2000,
        };
        for claim in [1, 20, 24, 25, 1000, 5999, 6000, 6001, 100_000] {
            let fits = |limit: u64| share.of(limit) + 500 + 70 + claim <= limit;
            let least = share.least_with(500 + claim);
            assert!(fits(least) && !fits(least - 1), "{claim}: {least}");
        }
        assert_eq!(share.least_with(100), 578, "what is planned has to fit, too");
    }

    #[test]
    fn an_open_ceiling_is_raised_up_to_the_allowance() {
        let budget = Arc::new(Budget::new(100, 60, false));
        let _claim = budget.claim(1000).expect("within the allowance");
        assert_eq!((budget.limit(), budget.state()), (1060, 1000));
        assert!(budget.claim(Budget::DECODER_ALLOWANCE + 1).is_err());
        assert!(budget.claim(Budget::DECODER_ALLOWANCE).is_ok());
    }
}
