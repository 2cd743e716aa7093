//! Divides the memory ceiling among links and state.
//!
//! A stage's *demand* is what it asks for; its *share* is what the plan gives to a link; a *claim* is what a running
//! stage takes for its state.

use std::ops::{Range, RangeInclusive};

use crate::catalog::{Args, Definition};
use crate::error::Problem;
use crate::flow::Marks;
use crate::grammar::format_size;
use crate::graph::{EdgeMap, Graph, NodeMap, Port};
use crate::stage::{LinkShare, MemoryUse, RecordBound, RecordRoom, TransformPlan};

use super::{Limits, StagePlan, marks};

/// What one stage demands of the budget.
#[derive(Debug)]
pub(super) struct Demand {
    /// Where the stage is in the text.
    pub span: Range<usize>,
    /// Bytes besides links.
    pub state: u64,
    /// Whether more may be claimed once the input is known.
    pub claims_later: bool,
    /// The high-water mark that the user, or else the stage, sets for each link behind it.
    pub high: Option<u64>,
    pub low: Option<u64>,
    /// The marks in records that the user set, and where.
    pub record_marks: Option<((u64, u64), Range<usize>)>,
    /// The room for records.
    pub records: Option<RecordRoom>,
}

impl Demand {
    /// The demand of a call and its plan.
    pub fn of(definition: &Definition, args: &Args, plan: Option<&StagePlan>) -> Self {
        let feeds_links = definition.role.feeds_a_link();
        let transform = plan.and_then(StagePlan::as_transform);
        let memory = transform.and_then(TransformPlan::memory_use);
        Self {
            span: args.span(),
            state: plan.map_or(0, StagePlan::state_bytes),
            claims_later: memory.is_some_and(MemoryUse::claims_later),
            high: feeds_links.then(|| args.high().or_else(|| memory?.high())).flatten(),
            low: feeds_links.then(|| args.low()).flatten(),
            record_marks: feeds_links
                .then(|| Some((args.record_marks()?, args.span_of("high-records"))))
                .flatten(),
            records: plan.and_then(StagePlan::record_room),
        }
    }

    /// No demand, for a stage that is not in the text.
    pub fn none(span: Range<usize>) -> Self {
        Self {
            span,
            state: 0,
            claims_later: false,
            high: None,
            low: None,
            record_marks: None,
            records: None,
        }
    }
}

/// How a pipeline's memory is divided. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The ceiling for everything.
    pub limit: u64,
    /// Whether the user set it; if so, nothing raises it.
    pub fixed: bool,
    /// The marks of each link.
    pub links: EdgeMap<Marks>,
    /// What the stages hold besides links.
    pub state: u64,
    /// The largest record that each stage may pass on, where records flow.
    pub largest_record: NodeMap<u64>,
    /// Whether the user set a mark of a link and so expects it even where none is needed.
    pub explicit_marks: EdgeMap<bool>,
    /// Whether the marks are advisory, so that the ceiling is what the links would have kept to.
    pub is_unbounded: bool,
    /// How the links would divide another ceiling.
    pub share: LinkShare,
}

/// The default ceiling.
const DEFAULT_LIMIT: u64 = 8 << 20;
/// A link's high-water mark, if there is room for it.
const DEFAULT_HIGH: u64 = 1 << 20;
/// The same for links of bytes where the user set no ceiling: measured, copies take no longer than with more of it. Links
/// of records need room for the largest.
const DEFAULT_BYTES: RangeInclusive<u64> = 256 << 10..=512 << 10;
/// What all links of bytes hold together where the user set no ceiling, as far as each has the least of that.
const DEFAULT_ALL_BYTES: u64 = 1536 << 10;
/// The same beside links of records, which need more room than those; their stages take longer than either.
const DEFAULT_BYTES_BESIDE_RECORDS: u64 = 1 << 20;
/// No address space is larger: the sum of all demands stays below this, so that none overflows.
const MOST: u64 = i64::MAX.unsigned_abs();
/// Below this a link moves less than a page at once, and most of the time is spent on switching threads.
const LEAST_HIGH: u64 = 4 << 10;

impl MemoryPlan {
    /// Divides the ceiling: state first, then the marks that the user set, then equal parts for the other links and for
    /// records that stages hold. A link of records has room for the largest of them.
    pub(super) fn new(
        graph: &Graph,
        demands: &NodeMap<Demand>,
        limits: Limits,
        whole: &Range<usize>,
    ) -> Result<Self, Vec<Problem>> {
        let links = || graph.edges().map(|edge| (edge, &demands[graph.edge(edge).from]));
        let bounds = record_bounds(graph, demands);
        let rooms = |is_given: bool| {
            let found = demands
                .iter()
                .filter_map(|(node, demand)| Some((bounds[node], demand.records?.held)));
            found.filter(move |(bound, _)| bound.is_some() == is_given)
        };
        let state = demands.values().iter().map(|demand| demand.state);
        let state = rooms(true)
            .map(|(bound, count)| bound.unwrap_or(0).saturating_mul(count))
            .chain(state)
            .fold(0, u64::saturating_add);
        let given = links()
            .filter_map(|(_, demand)| demand.high)
            .fold(0, u64::saturating_add);
        let least_high = |edge| {
            let edge = graph.edge(edge);
            let bound = bounds[edge.from].filter(|_| edge.port.has_records());
            bound.unwrap_or(0).max(LEAST_HIGH)
        };
        // The least that each open part needs.
        let open: Vec<u64> = links()
            .filter(|(_, demand)| demand.high.is_none())
            .map(|(edge, _)| least_high(edge))
            .chain(rooms(false).flat_map(|(_, count)| (0..count).map(|_| LEAST_HIGH)))
            .collect();
        let fixed = state.saturating_add(given);
        let least = open.iter().copied().fold(fixed, u64::saturating_add);
        if least > MOST {
            let message = "this pipeline asks for more memory than there can be";
            let problem = at_heaviest(graph, demands, message.to_owned(), whole);
            return Err(vec![problem.help("ask for less than the machine has")]);
        }
        let with_share = |share: u64| open.iter().map(|least| share.max(*least)).sum::<u64>();
        let limit = limits.memory.unwrap_or_else(|| {
            DEFAULT_LIMIT.max(fixed + with_share(share(DEFAULT_LIMIT, &vec![LEAST_HIGH; open.len()])))
        });
        if least > limit {
            let message = format!("--memory {} is too little for this pipeline", format_size(limit));
            let help = format!("the least that would do is --memory {}", format_size(least));
            return Err(vec![at_heaviest(graph, demands, message, whole).help(help)]);
        }
        let link_share = LinkShare {
            state,
            given,
            least: with_share(0),
            most: with_share(DEFAULT_HIGH),
        };
        let claims_later = demands.values().iter().any(|demand| demand.claims_later);
        let room = if claims_later && limits.memory.is_some() {
            link_share.of(limit)
        } else {
            limit - fixed
        };
        let high = share(room, &open);
        let bytes_high = match limits.memory {
            None => high.min(default_bytes(graph, demands)),
            Some(_) => high,
        };
        let open_high = |port: Port| if port.has_records() { high } else { bytes_high };
        let problems = mark_problems(graph, demands, &bounds, open_high);
        if !problems.is_empty() {
            return Err(problems);
        }
        let high_of = |edge, demand: &Demand| {
            let open = || open_high(graph.edge(edge).port).max(least_high(edge));
            demand.high.unwrap_or_else(open)
        };
        // What fits every link that carries records without a bound of their own.
        let open_record = links()
            .filter(|(edge, demand)| {
                let port = graph.edge(*edge).port;
                port.has_records() && demand.high.is_some() && bounds[graph.edge(*edge).from].is_none()
            })
            .map(|(edge, demand)| high_of(edge, demand))
            .fold(high, u64::min);
        Ok(Self {
            limit,
            fixed: limits.memory.is_some(),
            links: links()
                .map(|(edge, demand)| {
                    let marks = marks(high_of(edge, demand), demand.low, limits);
                    match demand.record_marks {
                        Some(((high, low), _)) if graph.edge(edge).port.has_records() => marks.with_records(high, low),
                        _ => marks,
                    }
                })
                .collect(),
            state: state + rooms(false).map(|(_, count)| count * open_record).sum::<u64>(),
            largest_record: bounds.map(|_, bound| bound.unwrap_or(open_record)),
            is_unbounded: limits.ignore_backpressure,
            explicit_marks: links()
                .map(|(_, demand)| demand.high.or(demand.low).is_some())
                .collect(),
            share: link_share,
        })
    }

    /// Whether the user set any mark.
    #[must_use]
    pub fn has_explicit_marks(&self) -> bool {
        self.explicit_marks.values().contains(&true)
    }

    /// What all links together may hold, in bytes.
    #[must_use]
    pub fn link_bytes(&self) -> u64 {
        self.links.values().iter().map(|marks| marks.high).sum()
    }
}

/// The most for each link of bytes without a mark of its own where the user set no ceiling.
fn default_bytes(graph: &Graph, demands: &NodeMap<Demand>) -> u64 {
    let edges = || graph.edges().map(|edge| graph.edge(edge));
    let all = if edges().any(|edge| edge.port.has_records()) {
        DEFAULT_BYTES_BESIDE_RECORDS
    } else {
        DEFAULT_ALL_BYTES
    };
    let shared = edges().filter(|edge| !edge.port.has_records() && demands[edge.from].high.is_none());
    let (least, most) = DEFAULT_BYTES.into_inner();
    (all / (shared.count() as u64).max(1)).clamp(least, most)
}

/// The problems of marks that cannot hold, where `open_high` is the mark of links without one of their own.
fn mark_problems(
    graph: &Graph,
    demands: &NodeMap<Demand>,
    bounds: &NodeMap<Option<u64>>,
    open_high: impl Fn(Port) -> u64,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (node, demand) in demands.iter() {
        let port = graph
            .outputs(node)
            .first()
            .map_or(Port::Bytes, |edge| graph.edge(*edge).port);
        let high = demand.high.unwrap_or_else(|| open_high(port));
        if let Some(largest) = bounds[node]
            && high < largest
            && demand.high.is_some()
            && graph
                .outputs(node)
                .iter()
                .any(|edge| graph.edge(*edge).port.has_records())
        {
            let message = format!(
                "a record of {} does not fit a link of {}",
                format_size(largest),
                format_size(high)
            );
            let help = format!("give high={} at least, or less to max-record", format_size(largest));
            problems.push(Problem::at(demand.span.clone(), message).help(help));
        }
        if let Some(low) = demand.low
            && low >= high
            && !graph.is_sink(node)
        {
            let message = format!("`low` is not below the high-water mark, {}", format_size(high));
            let help = format!("give high= as well, or low={}", format_size(high / 2));
            problems.push(Problem::at(demand.span.clone(), message).help(help));
        }
    }
    problems
}

/// The bound that the user set for the records behind each stage; `None` for an open one.
fn record_bounds(graph: &Graph, demands: &NodeMap<Demand>) -> NodeMap<Option<u64>> {
    let mut bounds = NodeMap::default();
    for (node, demand) in demands.iter() {
        let bound = match demand.records.map(|room| room.bound) {
            Some(RecordBound::Given(bytes)) => Some(bytes),
            Some(RecordBound::Open) => None,
            Some(RecordBound::Upstream) | None => graph.upstream(node).and_then(|before| bounds[before]),
        };
        bounds.push(bound);
    }
    bounds
}

/// An equal part of `bytes` for each of several parts, no more than the default. A part that needs at least more than
/// that gets what it needs, and the others share the rest.
fn share(bytes: u64, leasts: &[u64]) -> u64 {
    let mut share = DEFAULT_HIGH;
    loop {
        let (larger, others): (Vec<u64>, Vec<u64>) = leasts.iter().partition(|least| **least > share);
        let rest = bytes.saturating_sub(larger.iter().sum());
        let next = (rest / (others.len() as u64).max(1)).min(share);
        if next == share {
            return share;
        }
        share = next;
    }
}

/// A problem that points at the largest demand.
fn at_heaviest(graph: &Graph, demands: &NodeMap<Demand>, message: String, whole: &Range<usize>) -> Problem {
    let weight = |(node, demand): (_, &Demand)| {
        let links = graph.outputs(node).len() as u64;
        let marks = demand.high.unwrap_or(0).saturating_mul(links);
        demand.state.saturating_add(marks)
    };
    let heaviest = demands.iter().max_by_key(|demand| weight(*demand));
    match heaviest.filter(|heaviest| weight(*heaviest) > 0) {
        Some(heaviest) => {
            let needed = format_size(weight(heaviest));
            Problem::at(heaviest.1.span.clone(), message).label(format!("needs {needed}"))
        }
        None => Problem::at(whole.clone(), message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn demand(state: u64, high: Option<u64>) -> Demand {
        Demand {
            span: 0..4,
            state,
            claims_later: false,
            high,
            ..Demand::none(0..4)
        }
    }

    fn plan(demands: Vec<Demand>, memory: Option<u64>) -> Result<MemoryPlan, Vec<Problem>> {
        let limits = Limits {
            memory,
            ..Limits::default()
        };
        share_among(demands, limits)
    }

    /// Divides the ceiling among stages in a row, and a sink without a demand.
    fn share_among(mut demands: Vec<Demand>, limits: Limits) -> Result<MemoryPlan, Vec<Problem>> {
        demands.push(Demand::none(0..4));
        let graph = Graph::chain(demands.len());
        MemoryPlan::new(&graph, &demands.into_iter().collect(), limits, &(0..9))
    }

    #[test]
    fn default_link_of_bytes_has_half_a_mebibyte() {
        let plan = plan(vec![demand(0, None), demand(300_000, None)], None).expect("fits");
        assert_eq!((plan.limit, plan.state), (8 << 20, 300_000));
        assert!(
            plan.links
                .values()
                .iter()
                .all(|marks| *marks == Marks::new(512 << 10, 256 << 10, 128 << 10))
        );
    }

    #[test]
    fn advisory_marks_keep_their_sizes() {
        let demands = || vec![demand(0, None), demand(300_000, Some(3 << 20))];
        let limits = Limits {
            ignore_backpressure: true,
            ..Limits::default()
        };
        let unbounded = share_among(demands(), limits).expect("fits");
        let bounded = plan(demands(), None).expect("fits");
        assert!(unbounded.is_unbounded && !bounded.is_unbounded);
        let advice: Vec<Marks> = bounded.links.values().iter().map(|marks| marks.advisory()).collect();
        assert_eq!(unbounded.links.values(), advice);
        assert_eq!(unbounded.limit, bounded.limit);
    }

    #[test]
    fn twenty_links_share_the_ceiling() {
        let many = || (0..20).map(|_| demand(0, None)).collect();
        let by_default = plan(many(), None).expect("fits");
        assert_eq!(by_default.limit, 8 << 20);
        assert_eq!(by_default.links.values()[0].high, 256 << 10);
        let given = plan(many(), Some(8 << 20)).expect("fits");
        assert_eq!(given.links.values()[0].high, (8 << 20) / 20);
    }

    #[test]
    fn pipeline_raises_only_the_default_ceiling() {
        let chain = || vec![demand(95 << 20, None), demand(0, Some(64 << 20))];
        assert_eq!(plan(chain(), None).expect("raised").limit, 160 << 20);
        let refused = plan(chain(), Some(100 << 20)).expect_err("too little");
        assert_eq!(refused[0].message, "--memory 100MiB is too little for this pipeline");
        let least = (159 << 20) + LEAST_HIGH;
        assert_eq!(
            refused[0].help.as_deref(),
            Some("the least that would do is --memory 162820KiB")
        );
        assert_eq!(least, 162_820 << 10);
        assert_eq!(
            plan(chain(), Some(least)).expect("just enough").links.values()[0].high,
            LEAST_HIGH
        );
    }

    #[test]
    fn decoder_claims_are_left_room() {
        let decoder = Demand {
            claims_later: true,
            ..demand(512 << 10, None)
        };
        let plan = plan(vec![demand(0, None), decoder], Some(4 << 20)).expect("fits");
        assert_eq!(plan.link_bytes(), (3584 << 10) / 4);
    }

    #[test]
    fn only_given_ceilings_shrink_links() {
        let decoder = || Demand {
            claims_later: true,
            ..demand(512 << 10, None)
        };
        let open = plan(vec![demand(0, None), decoder()], None).expect("fits");
        assert_eq!((open.fixed, open.link_bytes()), (false, 2 * DEFAULT_BYTES.end()));
        let given = plan(vec![demand(0, None), decoder()], Some(open.limit)).expect("fits");
        assert_eq!((given.fixed, given.link_bytes()), (true, (7680 << 10) / 4));
    }

    #[test]
    fn explicit_mark_forces_a_link() {
        let low = |low| Demand {
            low: Some(low),
            ..demand(0, Some(8192))
        };
        assert!(!plan(vec![demand(0, None)], None).expect("fits").has_explicit_marks());
        assert!(
            plan(vec![demand(0, Some(8192))], None)
                .expect("fits")
                .has_explicit_marks()
        );
        let only_low = Demand {
            high: None,
            ..low(4096)
        };
        assert!(plan(vec![only_low], None).expect("fits").has_explicit_marks());
        assert_eq!(plan(vec![low(8191)], None).expect("fits").links.values()[0].low, 8191);
        let refused = plan(vec![low(8192)], None).expect_err("not below");
        assert_eq!(refused[0].message, "`low` is not below the high-water mark, 8KiB");
    }

    #[test]
    fn impossible_memory_is_refused() {
        let huge = || vec![demand(0, Some(MOST / 2)), demand(MOST / 2 + 1, Some(LEAST_HIGH))];
        let beyond = || vec![demand(u64::MAX, Some(u64::MAX)), demand(u64::MAX, None)];
        let chains: [(&dyn Fn() -> Vec<Demand>, u64); 2] = [(&huge, MOST / 2 + 1 + LEAST_HIGH), (&beyond, u64::MAX)];
        for (chain, label) in chains {
            for memory in [None, Some(u64::MAX)] {
                let refused = plan(chain(), memory).expect_err("too much");
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
        let just = plan(vec![demand(0, Some(MOST))], None).expect("half of all that there is");
        assert_eq!((just.limit, just.link_bytes()), (MOST, MOST));
    }

    /// The demands of a chain of up to seven stages, with sizes of all magnitudes, up to more than there is.
    fn chains() -> impl Strategy<Value = Vec<Demand>> {
        let size = || (0..64u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift);
        let mark = || prop_oneof![3 => Just(None), 1 => size().prop_map(|high| Some(high.max(1)))];
        let need = (
            prop_oneof![Just(0), size()],
            mark(),
            prop::option::weighted(0.1, size()),
            any::<bool>(),
        );
        let need = need.prop_map(|(state, high, low, claims_later)| Demand {
            claims_later,
            low,
            ..demand(state, high)
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
            let states: u128 = chain.iter().map(|need| u128::from(need.state)).sum();
            let marked: Vec<_> = chain.iter().map(|need| (need.high, need.low)).collect();
            match share_among(chain, limits) {
                Ok(plan) => {
                    prop_assert!(fits);
                    let marks: u128 = plan.links.values().iter().map(|marks| u128::from(marks.high)).sum();
                    prop_assert_eq!(u128::from(plan.state), states);
                    prop_assert!(marks + states <= u128::from(plan.limit));
                    prop_assert_eq!(plan.limit, memory.unwrap_or(plan.limit), "what is given is not raised");
                    for (marks, (high, low)) in plan.links.values().iter().zip(&marked) {
                        prop_assert!(marks.low <= marks.high && marks.chunk as u64 <= (marks.high / 4).max(1));
                        prop_assert_eq!(marks.high, high.unwrap_or(marks.high));
                        prop_assert!(high.is_some() || (LEAST_HIGH..=DEFAULT_HIGH).contains(&marks.high));
                        prop_assert_eq!(marks.low, low.unwrap_or(marks.high / 2));
                    }
                }
                Err(problems) => {
                    let low = marked.iter().any(|(_, low)| low.is_some());
                    prop_assert!(!fits || low, "{:?}", problems);
                }
            }
        }
    }
}
