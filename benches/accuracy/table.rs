//! What was expected beside what was reported.

use std::fmt;

use crate::chains::{Chain, Shares, Slowest};
use crate::observe::Seen;

/// No share may be farther off, in points of percent.
const PROMISE: f64 = 3.0;
/// How long after a turn the name may be the old one: the window of five seconds holds more of that turn for half of it,
/// and what was in the pipe and the link must be through first.
const SETTLING: f64 = 4.0;

/// The head of the table.
pub const HEAD: &str = "| chain | bottleneck: is, named | right, % of samples | expected: busy idle held, stage by stage | \
                        reported | largest error, points |\n|---|---|---|---|---|---|";

/// One chain.
#[derive(Debug)]
pub struct Row {
    name: &'static str,
    pipeline: String,
    expected: Vec<Shares>,
    reported: Vec<Shares>,
    /// Who it is, and who was named most.
    slowest: String,
    named: String,
    /// Percent of the samples.
    right: f64,
    /// How often the name changed.
    changes: usize,
    error: f64,
}

impl Row {
    /// Compares.
    pub fn new(chain: &Chain, seen: &Seen) -> Self {
        let stages: Vec<String> = chain.pipeline.split(" | ").map(shortened).collect();
        let counted: Vec<&(f64, usize)> = seen.named.iter().filter(|(at, _)| is_settled(chain, *at)).collect();
        let right = counted
            .iter()
            .filter(|(at, stage)| is_right(chain, *at, *stage))
            .count();
        let mut named: Vec<usize> = counted.iter().map(|(_, stage)| *stage).collect();
        named.dedup();
        let changes = named.len().saturating_sub(1);
        named.sort_unstable();
        named.dedup();
        let text = |stages: &[String], of: &[usize], between: &str| {
            let texts: Vec<&str> = of.iter().map(|at| stages[*at].as_str()).collect();
            texts.join(between)
        };
        let slowest = match &chain.slowest {
            Slowest::Stage(stage) => text(&stages, &[*stage], ""),
            Slowest::Either(both) => text(&stages, both, " or "),
            Slowest::Turns(_, turns) => text(&stages, turns, ", then "),
        };
        let errors = chain.shares.iter().flatten().zip(seen.shares.iter().flatten());
        Self {
            name: chain.name,
            pipeline: stages.join(" \\| "),
            expected: chain.shares.clone(),
            reported: seen.shares.clone(),
            slowest,
            named: text(&stages, &named, ", "),
            right: percent(right, counted.len()),
            changes,
            error: errors.map(|(is, seen)| (is - seen).abs()).fold(0.0, f64::max),
        }
    }

    /// Whether all shares are near enough, and the name was always right.
    pub fn keeps_the_promise(&self) -> bool {
        self.error <= PROMISE && self.right >= 100.0
    }
}

/// Whether it is long enough after a turn for the name to be the new one.
fn is_settled(chain: &Chain, at: f64) -> bool {
    match chain.slowest {
        Slowest::Turns(turn, _) => at % turn.as_secs_f64() > SETTLING,
        _ => true,
    }
}

fn is_right(chain: &Chain, at: f64, stage: usize) -> bool {
    match chain.slowest {
        Slowest::Stage(slowest) => stage == slowest,
        Slowest::Either(both) => both.contains(&stage),
        Slowest::Turns(turn, turns) => {
            let is_first = (at / turn.as_secs_f64()) % 2.0 < 1.0;
            stage == turns[usize::from(!is_first)]
        }
    }
}

/// A source of forty files has one name.
fn shortened(stage: &str) -> String {
    if stage.len() > 40 {
        let name = stage.split(' ').next().unwrap_or(stage);
        return format!("{name} …");
    }
    stage.to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred samples")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        f64::NAN
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = |shares: &[Shares], digits: usize| {
            let stages = shares
                .iter()
                .map(|[busy, idle, held]| format!("{busy:.digits$} {idle:.digits$} {held:.digits$}"));
            stages.collect::<Vec<_>>().join(" · ")
        };
        let (expected, error) = if self.expected.is_empty() {
            ("it changes".to_owned(), "–".to_owned())
        } else {
            (shares(&self.expected, 0), format!("{:.1}", self.error))
        };
        let reported = if self.expected.is_empty() {
            "–".to_owned()
        } else {
            shares(&self.reported, 1)
        };
        write!(
            f,
            "| {}: `{}` | {}; {} ({} changes) | {:.0} | {expected} | {reported} | {error} |",
            self.name, self.pipeline, self.slowest, self.named, self.changes, self.right
        )
    }
}
