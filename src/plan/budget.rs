//! Sharing the memory ceiling among links and state.

use std::ops::Range;

use crate::error::Problem;
use crate::flow::Marks;
use crate::grammar::format_size;
use crate::stage::Elastic;

use super::{Limits, Needs, marks};

/// Where a chain's memory goes. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The ceiling over everything.
    pub limit: u64,
    /// Whether the user set it: then nothing raises it.
    pub fixed: bool,
    /// The marks of each link, in the order of the chain.
    pub links: Vec<Marks>,
    /// What the stages hold besides links.
    pub state: u64,
    /// Whether the user set a mark, and so wants to see a link even where none is needed.
    pub has_explicit_marks: bool,
    /// Whether the marks are only advice, so that the ceiling is what the links would keep to.
    pub is_unbounded: bool,
    /// How the links would share another ceiling.
    pub elastic: Elastic,
}

/// The ceiling where none is given.
const DEFAULT_LIMIT: u64 = 8 << 20;
/// A link's high-water mark where there is room for it.
const DEFAULT_HIGH: u64 = 1 << 20;
/// Below this a link moves less than a page at once, and the chain does little but change hands.
const LEAST_HIGH: u64 = 4 << 10;

impl MemoryPlan {
    /// Shares the ceiling: state first, then the marks that the user set, then equal parts for the other links.
    pub(super) fn new(needs: &[Needs], limits: Limits, whole: &Range<usize>) -> Result<Self, Vec<Problem>> {
        let state = needs.iter().map(|need| need.state).sum::<u64>();
        let mut highs = needs.iter().filter_map(|need| need.high);
        let Some(explicit) = highs.try_fold(0, u64::checked_add) else {
            return Err(vec![endless(needs)]);
        };
        let feeding = || needs.iter().filter(|need| need.feeds_a_link);
        let open = feeding().filter(|need| need.high.is_none()).count() as u64;
        let default_high = share(DEFAULT_LIMIT, open);
        let limit = limits.memory.unwrap_or_else(|| {
            let named = state.saturating_add(explicit).saturating_add(open * default_high);
            named.max(DEFAULT_LIMIT)
        });
        let fixed = state.saturating_add(explicit);
        let Some(least) = state
            .checked_add(explicit)
            .and_then(|sum| sum.checked_add(open * LEAST_HIGH))
        else {
            return Err(vec![endless(needs)]);
        };
        if least > limit {
            return Err(vec![refusal(needs, limit, least, whole)]);
        }
        let elastic = Elastic {
            state,
            given: explicit,
            least: open * LEAST_HIGH,
            most: open * DEFAULT_HIGH,
        };
        let claims_later = needs.iter().any(|need| need.claims_later);
        let room = if claims_later && limits.memory.is_some() {
            elastic.share(limit)
        } else {
            limit - fixed
        };
        let high = share(room, open);
        let mut problems = Vec::new();
        let mut links = Vec::new();
        for need in feeding() {
            let high = need.high.unwrap_or(high);
            match need.low {
                Some(low) if low >= high => problems.push(
                    Problem::at(
                        need.span.clone(),
                        format!("`low` is not below the high-water mark, {}", format_size(high)),
                    )
                    .help(format!("give high= as well, or low={}", format_size(high / 2))),
                ),
                low => links.push(marks(high, low, limits)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            limit,
            fixed: limits.memory.is_some(),
            links,
            state,
            is_unbounded: limits.ignore_backpressure,
            has_explicit_marks: needs.iter().any(|need| need.high.or(need.low).is_some()),
            elastic,
        })
    }

    /// What all links together may hold, in bytes.
    #[must_use]
    pub fn link_bytes(&self) -> u64 {
        self.links.iter().map(|marks| marks.high).sum()
    }
}

/// An equal part of `bytes` for each of `links`, no more than the default.
fn share(bytes: u64, links: u64) -> u64 {
    (bytes / links.max(1)).min(DEFAULT_HIGH)
}

/// Points at the largest mark of those that no number of 64 bits can sum.
fn endless(needs: &[Needs]) -> Problem {
    let largest = needs.iter().max_by_key(|need| need.high);
    let span = largest.map_or(0..0, |need| need.span.clone());
    Problem::at(span, "this comes to more memory than fits 64 bits of bytes").help("ask for less than the machine has")
}

/// Points at what takes most, and names the least that would do.
fn refusal(needs: &[Needs], limit: u64, least: u64, whole: &Range<usize>) -> Problem {
    let weight = |need: &Needs| need.state.saturating_add(need.high.unwrap_or(0));
    let heaviest = needs
        .iter()
        .max_by_key(|need| weight(need))
        .filter(|need| weight(need) > 0);
    let span = heaviest.map_or_else(|| whole.clone(), |need| need.span.clone());
    let mut problem = Problem::at(
        span,
        format!("--memory {} is too little for this pipeline", format_size(limit)),
    );
    if let Some(heaviest) = heaviest {
        problem = problem.label(format!("needs {}", format_size(weight(heaviest))));
    }
    problem.help(format!("the least that would do is --memory {}", format_size(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(state: u64, high: Option<u64>) -> Needs {
        Needs {
            span: 0..4,
            feeds_a_link: true,
            state,
            claims_later: false,
            high,
            low: None,
        }
    }

    fn plan(needs: &[Needs], memory: Option<u64>) -> Result<MemoryPlan, Vec<Problem>> {
        let limits = Limits {
            memory,
            ..Limits::default()
        };
        MemoryPlan::new(needs, limits, &(0..9))
    }

    #[test]
    fn by_default_a_link_has_a_mebibyte_and_the_chain_eight() {
        let plan = plan(&[needs(0, None), needs(300_000, None)], None).expect("fits");
        assert_eq!((plan.limit, plan.state), (8 << 20, 300_000));
        assert!(
            plan.links
                .iter()
                .all(|marks| *marks == Marks::new(1 << 20, 1 << 19, 256 << 10))
        );
    }

    #[test]
    fn advice_changes_no_mark_but_what_it_means() {
        let needs = [needs(0, None), needs(300_000, Some(3 << 20))];
        let limits = Limits {
            ignore_backpressure: true,
            ..Limits::default()
        };
        let unbounded = MemoryPlan::new(&needs, limits, &(0..9)).expect("fits");
        let bounded = plan(&needs, None).expect("fits");
        assert!(unbounded.is_unbounded && !bounded.is_unbounded);
        let advice: Vec<Marks> = bounded.links.iter().map(|marks| marks.advisory()).collect();
        assert_eq!(unbounded.links, advice);
        assert_eq!(unbounded.limit, bounded.limit);
    }

    #[test]
    fn twenty_links_share_the_default_ceiling() {
        let many: Vec<Needs> = (0..20).map(|_| needs(0, None)).collect();
        let plan = plan(&many, None).expect("fits");
        assert_eq!(plan.limit, 8 << 20);
        assert!(plan.link_bytes() <= 8 << 20);
        assert_eq!(plan.links[0].high, (8 << 20) / 20);
    }

    #[test]
    fn what_the_pipeline_names_raises_the_default_but_never_a_given_ceiling() {
        let chain = [needs(95 << 20, None), needs(0, Some(64 << 20))];
        assert_eq!(plan(&chain, None).expect("raised").limit, 160 << 20);
        let refused = plan(&chain, Some(100 << 20)).expect_err("too little");
        assert_eq!(refused[0].message, "--memory 100MiB is too little for this pipeline");
        let least = (159 << 20) + LEAST_HIGH;
        assert_eq!(
            refused[0].help.as_deref(),
            Some("the least that would do is --memory 162820KiB")
        );
        assert_eq!(least, 162_820 << 10);
        assert_eq!(
            plan(&chain, Some(least)).expect("just enough").links[0].high,
            LEAST_HIGH
        );
    }

    #[test]
    fn what_a_decoder_may_claim_is_left_to_it() {
        let decoder = Needs {
            claims_later: true,
            ..needs(512 << 10, None)
        };
        let plan = plan(&[needs(0, None), decoder], Some(4 << 20)).expect("fits");
        assert_eq!(plan.link_bytes(), (3584 << 10) / 4);
    }

    #[test]
    fn the_sum_never_exceeds_the_ceiling() {
        for memory in [64 << 10, 100_000, 1 << 20, 3 << 20, 1 << 30] {
            let plan = plan(&[needs(0, None), needs(0, None), needs(0, None)], Some(memory)).expect("fits");
            assert!(plan.link_bytes() + plan.state <= memory, "{memory}");
        }
    }
}
