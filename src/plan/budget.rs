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
/// No address space is larger: whatever a chain asks for together stays below, so that no sum of it overflows.
const MOST: u64 = i64::MAX.unsigned_abs();
/// Below this a link moves less than a page at once, and the chain does little but change hands.
const LEAST_HIGH: u64 = 4 << 10;

impl MemoryPlan {
    /// Shares the ceiling: state first, then the marks that the user set, then equal parts for the other links.
    pub(super) fn new(needs: &[Needs], limits: Limits, whole: &Range<usize>) -> Result<Self, Vec<Problem>> {
        let sum = |part: fn(&Needs) -> u64| needs.iter().map(part).fold(0, u64::saturating_add);
        let (state, explicit) = (sum(|need| need.state), sum(|need| need.high.unwrap_or(0)));
        let feeding = || needs.iter().filter(|need| need.feeds_a_link);
        let open = feeding().filter(|need| need.high.is_none()).count() as u64;
        let fixed = state.saturating_add(explicit);
        let least = fixed.saturating_add(open * LEAST_HIGH);
        if least > MOST {
            let message = "this pipeline asks for more memory than there can be";
            let problem = at_heaviest(needs, message.to_owned(), whole);
            return Err(vec![problem.help("ask for less than the machine has")]);
        }
        let default_high = share(DEFAULT_LIMIT, open);
        let limit = limits
            .memory
            .unwrap_or_else(|| DEFAULT_LIMIT.max(fixed + open * default_high));
        if least > limit {
            let message = format!("--memory {} is too little for this pipeline", format_size(limit));
            let help = format!("the least that would do is --memory {}", format_size(least));
            return Err(vec![at_heaviest(needs, message, whole).help(help)]);
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

/// A problem that points at what takes most.
fn at_heaviest(needs: &[Needs], message: String, whole: &Range<usize>) -> Problem {
    let weight = |need: &Needs| need.state.saturating_add(need.high.unwrap_or(0));
    let heaviest = needs
        .iter()
        .max_by_key(|need| weight(need))
        .filter(|need| weight(need) > 0);
    match heaviest {
        Some(heaviest) => {
            let needed = format_size(weight(heaviest));
            Problem::at(heaviest.span.clone(), message).label(format!("needs {needed}"))
        }
        None => Problem::at(whole.clone(), message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

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
    fn only_a_given_ceiling_is_shared_with_claims_and_never_raised() {
        let decoder = || Needs {
            claims_later: true,
            ..needs(512 << 10, None)
        };
        let open = plan(&[needs(0, None), decoder()], None).expect("fits");
        assert_eq!((open.fixed, open.link_bytes()), (false, 2 * DEFAULT_HIGH));
        let given = plan(&[needs(0, None), decoder()], Some(open.limit)).expect("fits");
        assert_eq!((given.fixed, given.link_bytes()), (true, (7680 << 10) / 4));
    }

    #[test]
    fn a_mark_of_either_kind_is_one_that_the_user_wants_to_see() {
        let low = |low| Needs {
            low: Some(low),
            ..needs(0, Some(8192))
        };
        assert!(!plan(&[needs(0, None)], None).expect("fits").has_explicit_marks);
        assert!(plan(&[needs(0, Some(8192))], None).expect("fits").has_explicit_marks);
        let only_low = Needs {
            high: None,
            ..low(4096)
        };
        assert!(plan(&[only_low], None).expect("fits").has_explicit_marks);
        assert_eq!(plan(&[low(8191)], None).expect("fits").links[0].low, 8191);
        let refused = plan(&[low(8192)], None).expect_err("not below");
        assert_eq!(refused[0].message, "`low` is not below the high-water mark, 8KiB");
    }

    #[test]
    fn what_no_machine_can_have_is_refused_with_whatever_ceiling() {
        let huge = [needs(0, Some(MOST / 2)), needs(MOST / 2 + 1, Some(LEAST_HIGH))];
        let beyond = [needs(u64::MAX, Some(u64::MAX)), needs(u64::MAX, None)];
        for (chain, label) in [(huge, MOST / 2 + 1 + LEAST_HIGH), (beyond, u64::MAX)] {
            for memory in [None, Some(u64::MAX)] {
                let refused = plan(&chain, memory).expect_err("too much");
                assert_eq!(
                    (refused[0].message.as_str(), refused[0].help.as_deref()),
                    (
                        "this pipeline asks for more memory than there can be",
                        Some("ask for less than the machine has")
                    )
                );
                assert_eq!(refused[0].label, Some(format!("needs {}", format_size(label))));
            }
        }
        let just = plan(&[needs(0, Some(MOST))], None).expect("half of all that there is");
        assert_eq!((just.limit, just.link_bytes()), (MOST, MOST));
    }

    /// What a chain of up to seven stages asks for: sizes of all magnitudes, from nothing to more than there is.
    fn chains() -> impl Strategy<Value = Vec<Needs>> {
        let size = || (0..64u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift);
        let mark = || prop_oneof![3 => Just(None), 1 => size().prop_map(|high| Some(high.max(1)))];
        let need = (
            prop_oneof![Just(0), size()],
            mark(),
            prop::option::weighted(0.1, size()),
            any::<bool>(),
        );
        let need = need.prop_map(|(state, high, low, claims_later)| Needs {
            claims_later,
            low,
            ..needs(state, high)
        });
        proptest::collection::vec(need, 1..7)
    }

    /// The same chains every time.
    fn seeded() -> ProptestConfig {
        ProptestConfig {
            cases: 4096,
            rng_seed: RngSeed::Fixed(0x9_2026),
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn marks_and_states_never_exceed_the_ceiling(
            chain in chains(),
            memory in prop::option::of((0..64u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)),
            chunk in prop::option::of(1..1u64 << 40),
        ) {
            let limits = Limits { memory, chunk, ..Limits::default() };
            let least = chain.iter().map(|need| {
                u128::from(need.state) + u128::from(need.high.unwrap_or(LEAST_HIGH))
            });
            let least: u128 = least.sum();
            let fits = least <= u128::from(MOST.min(memory.unwrap_or(MOST)));
            match MemoryPlan::new(&chain, limits, &(0..9)) {
                Ok(plan) => {
                    prop_assert!(fits);
                    let marks: u128 = plan.links.iter().map(|marks| u128::from(marks.high)).sum();
                    let states: u128 = chain.iter().map(|need| u128::from(need.state)).sum();
                    prop_assert_eq!(u128::from(plan.state), states);
                    prop_assert!(marks + states <= u128::from(plan.limit));
                    prop_assert_eq!(plan.limit, memory.unwrap_or(plan.limit), "what is given is not raised");
                    for (marks, need) in plan.links.iter().zip(&chain) {
                        prop_assert!(marks.low <= marks.high && marks.chunk as u64 <= (marks.high / 4).max(1));
                        prop_assert_eq!(marks.high, need.high.unwrap_or(marks.high));
                        prop_assert!(need.high.is_some() || (LEAST_HIGH..=DEFAULT_HIGH).contains(&marks.high));
                        prop_assert_eq!(marks.low, need.low.unwrap_or(marks.high / 2));
                    }
                }
                Err(problems) => {
                    let low = chain.iter().any(|need| need.low.is_some());
                    prop_assert!(!fits || low, "{:?}", problems);
                }
            }
        }
    }
}
